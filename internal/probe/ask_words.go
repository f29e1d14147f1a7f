package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/hermes-gw/hermes-gw/internal/cgoless"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

func (p *prober) attributes(ctx context.Context) (string, error) {
	j, _, err := p.runs(ctx, 0)
	if err != nil {
		return "", err
	}
	reply, err := p.send(ctx, "attributes", routineAttributes, j.about(nil))
	if code, refused := codeOf(err); refused {
		return fmt.Sprintf("None: it is refused with %d (%v).", int(code), code), nil
	}
	if err != nil {
		return "", err
	}
	attrs, ok := reply.Dict("attrs")
	if !ok {
		return "The answer has no attrs.", nil
	}
	return strings.Join(slices.Sorted(maps.Keys(attrs)), ", ") + ".", nil
}

func (p *prober) listTypes(ctx context.Context) (string, error) {
	j, _, err := p.runs(ctx, 0)
	if err != nil {
		return "", err
	}
	uid := uint64(p.o.UID)
	session := uint64(0)
	if text, err := p.client.PrintDomain(ctx, p.domain); err == nil {
		if info, err := launchd.ParseDomain(text); err == nil && kindOf(p.domain) == "gui" {
			session = uint64(info.Handle) // the audit session
		}
	}
	var verdicts []string
	for _, t := range []struct {
		name         string
		kind, handle uint64
	}{
		{"system", kindSystem, 0}, {"user", kindUser, uid}, {"login", 3, session}, {"session", 4, session},
		{"pid", 5, uint64(os.Getpid())}, {"requestor's user", 6, 0}, {"own", kindOwn, 0}, {"gui", kindGUI, uid},
	} {
		msg := xpc.Dict{"type": t.kind, "handle": t.handle}
		all, err := p.countQuick(ctx, fmt.Sprintf("list of all, type %d (%s)", t.kind, t.name), msg)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		msg["name"] = j.target.Label
		_, oneErr := p.sendQuick(ctx, fmt.Sprintf("list of one, type %d (%s)", t.kind, t.name), routineList, msg)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		verdicts = append(verdicts, fmt.Sprintf("%d (%s): all %s, one %s", t.kind, t.name, outcome(err, all), outcome(oneErr, "answered")))
	}
	verdict := strings.Join(verdicts, "; ") + "."
	if session == 0 {
		verdict += " Types 3 and 4 were asked with handle 0, because the audit session is not known."
	}
	return verdict, nil
}

// countQuick lists a whole domain, and records no more than how many jobs there are: they
// are the user's own affair.
func (p *prober) countQuick(ctx context.Context, asked string, msg xpc.Dict) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, p.quick())
	defer cancel()
	reply, err := p.fence.Call(ctx, routineList, msg)
	services, ok := reply.Dict("services")
	count := fmt.Sprintf("%d jobs", len(services))
	if err == nil && !ok {
		count = "answered without services"
	}
	p.note(asked, routineList, xpc.Dict{"services": int64(len(services))}, err, 0)
	return count, err
}

func outcome(err error, good string) string {
	switch code, refused := codeOf(err); {
	case err == nil:
		return good
	case refused:
		return fmt.Sprint(int(code))
	}
	return "no answer"
}

func (p *prober) printed(ctx context.Context) (string, error) {
	j, _, err := p.runs(ctx, 0)
	if err != nil {
		return "", err
	}
	text, err := p.client.Print(ctx, j.target)
	if err != nil {
		return "", numbered(err)
	}
	p.answer.Text = withoutEnvironment(text)
	fields, properties := unknownNames(text)
	if len(fields)+len(properties) == 0 {
		return "Every name in it is known.", nil
	}
	return "New fields: " + none(fields) + ". New properties: " + none(properties) + ".", nil
}

func none(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

func (p *prober) symbols(context.Context) (string, error) {
	found, err := cgoless.FindSymbols()
	if errors.Is(err, errors.ErrUnsupported) {
		return "", notAsked("This is not macOS: %v.", err)
	}
	if err != nil {
		return "", err
	}
	var missing []string
	for _, f := range found {
		is := "found"
		if !f.There {
			is = "missing"
			missing = append(missing, f.Name)
		}
		p.see(f.Name, "%s in %s", is, f.Library)
	}
	if missing == nil {
		return fmt.Sprintf("All %d.", len(found)), nil
	}
	return fmt.Sprintf("All %d but: %s.", len(found), strings.Join(missing, ", ")), nil
}

func (p *prober) errorTexts(context.Context) (string, error) {
	var texts []string
	for code := int32(160); code <= 163; code++ {
		text, ok := cgoless.ErrorText(code)
		if !ok {
			return "", notAsked("There is no libxpc here that has them (xpc_strerror).")
		}
		p.see(fmt.Sprintf("xpc_strerror(%d)", code), "%s", text)
		texts = append(texts, fmt.Sprintf("%d %q", code, text))
	}
	return strings.Join(texts, ", ") + ".", nil
}

func (p *prober) events(context.Context) (string, error) {
	return "", notAsked("They stand only in launchd's log, /var/log/com.apple.xpc.launchd/launchd.log, which is no request's answer and holds other jobs' doings: look for lines with \"internal event:\".")
}

func (p *prober) threads(ctx context.Context) (string, error) {
	const workers, each = 16, 50
	j, _, err := p.runs(ctx, 0)
	if err != nil {
		return "", err
	}
	var mu sync.Mutex
	answers := make(map[string]int)
	var working sync.WaitGroup
	for n := range workers {
		working.Go(func() {
			if n%2 == 0 { // a thread of its own, which ends with the goroutine
				runtime.LockOSThread()
			}
			for i := range each {
				routine := uint64(routinePrintService) // without memory: 22 for a job that is loaded
				if i%2 == 1 {
					routine = routineEnabled
				}
				_, err := p.fence.Call(ctx, routine, j.about(nil))
				word := fmt.Sprintf("%d: %s", routine, outcome(err, "0"))
				mu.Lock()
				answers[word]++
				mu.Unlock()
			}
		})
	}
	working.Wait()
	for _, word := range slices.Sorted(maps.Keys(answers)) {
		p.see("answers to "+word, "%d times", answers[word])
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if !p.throughLibxpc() {
		return "", notAsked("Requests go through a socket here, not through libxpc, which alone answers 141.")
	}
	all := p.fence.seen()
	if all.reentrancy > 0 {
		return fmt.Sprintf("Yes: %d of the %d answers of this probe.", all.reentrancy, all.answers), nil
	}
	return fmt.Sprintf("Not in the %d answers of this probe, %d of them from %d goroutines at once.", all.answers, workers*each, workers), nil
}
