package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// quick bounds a request that is answered at once or never.
const quick = 3 * time.Second

func (p *prober) quick() time.Duration {
	if p.o.quick > 0 {
		return p.o.quick
	}
	return quick
}

// send sends a request and records its bare answer.
func (p *prober) send(ctx context.Context, asked string, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
	start := time.Now()
	reply, err := p.fence.Call(ctx, routine, msg)
	p.note(asked, routine, reply, err, time.Since(start))
	return reply, err
}

// sendQuick is send for a request that must not hold up the others.
func (p *prober) sendQuick(ctx context.Context, asked string, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
	ctx, cancel := context.WithTimeout(ctx, p.quick())
	defer cancel()
	return p.send(ctx, asked, routine, msg)
}

// load800 loads a job and records the bare answer.
func (p *prober) load800(ctx context.Context, asked string, j *job) (xpc.Errno, error) {
	start := time.Now()
	reply, err := p.bootstrap(ctx, j)
	code, refused := codeOf(err)
	if err != nil && !refused {
		p.note(asked, routineBootstrap, reply, err, time.Since(start))
		return 0, err
	}
	if reply == nil && code != 0 {
		err = code
	} else {
		err = nil // the number stands in the reply
	}
	p.note(asked, routineBootstrap, reply, err, time.Since(start))
	return code, nil
}

// codeOf is launchd's number in an error, if it is a refusal.
func codeOf(err error) (xpc.Errno, bool) {
	if _, unknown := errors.AsType[*xpc.UnknownOutcome](err); unknown {
		return 0, false
	}
	return errors.AsType[xpc.Errno](err)
}

// note records an answer.
func (p *prober) note(asked string, routine uint64, reply xpc.Dict, err error, took time.Duration) {
	raw := Raw{Asked: asked, Routine: routine, Took: milliseconds(took)}
	switch code, refused := codeOf(err); {
	case err == nil:
		raw.Code, raw.Reply = new(int32), render(reply)
	case refused:
		n := int32(code)
		raw.Code, raw.Words = &n, code.Error()
	default:
		raw.Words = "no answer: " + err.Error()
	}
	p.answer.Raw = append(p.answer.Raw, raw)
}

// see records something that was looked at.
func (p *prober) see(what, format string, args ...any) {
	p.answer.Raw = append(p.answer.Raw, Raw{Asked: what, Words: fmt.Sprintf(format, args...)})
}

// render shows a reply. A text in it is launchd's about a throwaway job, as are the keys.
func render(d xpc.Dict) string {
	if len(d) == 0 {
		return "empty"
	}
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(d)) {
		parts = append(parts, key+" = "+renderValue(d[key]))
	}
	return strings.Join(parts, ", ")
}

func renderValue(v any) string {
	switch v := v.(type) {
	case xpc.Dict:
		return "{" + render(v) + "}"
	case []any:
		items := make([]string, len(v))
		for i := range v {
			items[i] = renderValue(v[i])
		}
		return "[" + strings.Join(items, ", ") + "]"
	case string:
		return fmt.Sprintf("%q", v)
	case xpc.Right:
		return "(" + string(v) + ")"
	case []byte:
		return fmt.Sprintf("(data, %d bytes)", len(v))
	case nil:
		return "null"
	}
	return fmt.Sprintf("%v (%T)", v, v)
}
