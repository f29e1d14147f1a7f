package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// contSignal is SIGCONT as Darwin numbers it: it changes nothing.
const contSignal = 19

func (p *prober) entitlement(ctx context.Context) (string, error) {
	j, _, err := p.runs(ctx, 0)
	if err != nil {
		return "", err
	}
	own := xpc.Dict{"type": uint64(kindOwn), "handle": uint64(0), "name": j.target.Label}
	var demanded, silent, answered []string
	for _, r := range []struct {
		routine uint64
		name    string
		msg     xpc.Dict
	}{
		{routineKickstart, "kickstart of a job that runs", j.about(nil)},
		{routineAttributes, "attributes", j.about(nil)},
		{routineRunningPID, "running pid", j.about(nil)},
		{routineEnabled, "enabled?", j.about(nil)},
		{routineUnknown711, "(not known)", j.about(nil)},
		{routineUnknown714, "(not known)", j.about(nil)},
		{routineKill, "kill with SIGCONT", j.about(xpc.Dict{"signal": int64(contSignal)})},
		{routineStop, "stop, type 7", own},
		{routineStart, "start, type 7", own},
		{routineStop, "stop, the job's own domain", j.about(nil)},
		{routineStart, "start, the job's own domain", j.about(nil)},
		{routineAttach, "attach", j.about(nil)}, // last: it may wait for a next process
	} {
		_, err := p.sendQuick(ctx, r.name, r.routine, r.msg)
		number := fmt.Sprint(r.routine)
		list := &answered
		if code, refused := codeOf(err); refused && (code == xpc.NotEntitled || code == xpc.NotPlatformBinary) {
			list = &demanded
		} else if err != nil && !refused {
			list = &silent
		}
		if !slices.Contains(*list, number) {
			*list = append(*list, number)
		}
	}
	slices.Sort(demanded)
	slices.Sort(silent)
	slices.Sort(answered)
	verdict := "No: it demands one for none of " + strings.Join(answered, ", ") + "."
	if len(answered) == 0 {
		verdict = "No answer shows it."
	}
	if len(demanded) > 0 {
		verdict = "Yes, for " + strings.Join(demanded, ", ") + "; not for " + orNone(answered) + "."
	}
	if len(silent) > 0 {
		verdict += fmt.Sprintf(" No answer within %v: %s.", p.quick(), strings.Join(silent, ", "))
	}
	if p.o.UID == 0 {
		verdict += " The caller is root: an ordinary user may be answered otherwise."
	}
	return verdict, ctx.Err()
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "any other"
	}
	return strings.Join(list, ", ")
}

// kickstart sends 702 and waits for the process it led to. A refusal by launchd means that
// the question cannot be asked.
func (p *prober) kickstart(ctx context.Context, asked string, j *job, old int, more xpc.Dict) (pid int, took time.Duration, err error) {
	start := time.Now()
	_, err = p.send(ctx, asked, routineKickstart, j.about(more))
	took = time.Since(start)
	if code, refused := codeOf(err); refused {
		return 0, took, notAsked("launchd refuses the kickstart that it takes: %d (%v).", int(code), code)
	}
	if err == nil {
		pid, err = j.await(ctx, old)
	}
	return pid, took, err
}

func (p *prober) unthrottle(ctx context.Context) (string, error) {
	j, pid, err := p.runs(ctx, 0)
	if err != nil {
		return "", err
	}
	pid, with, err := p.kickstart(ctx, "kill, unthrottle, right after a spawn", j, pid, xpc.Dict{"kill": true, "unthrottle": true})
	if err != nil {
		return "", err
	}
	_, without, err := p.kickstart(ctx, "kill, right after a spawn", j, pid, xpc.Dict{"kill": true})
	if err != nil {
		return "", err
	}
	p.see("ThrottleInterval of the job", "%d s", throttle)
	switch {
	case without > 4*with:
		return fmt.Sprintf("Yes: the answer came after %s, and without it after %s.", took(with), took(without)), nil
	case with > time.Second:
		return fmt.Sprintf("No: the answer came after %s, and without it after %s.", took(with), took(without)), nil
	}
	return fmt.Sprintf("It cannot be told: the answer came after %s, and without it after %s, so nothing was throttled.", took(with), took(without)), nil
}

func took(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }

// lingers is how long a throwaway job takes to exit where that matters.
const lingers = 400 * time.Millisecond

func (p *prober) fullExit(ctx context.Context) (string, error) {
	j, old, err := p.runs(ctx, lingers)
	if err != nil {
		return "", err
	}
	identity, idErr := proc.Read(old)
	type answer struct {
		reply xpc.Dict
		err   error
		took  time.Duration
	}
	answered := make(chan answer, 1)
	msg := j.about(xpc.Dict{"kill": true, "unthrottle": true})
	start := time.Now()
	go func() {
		reply, err := p.fence.Call(ctx, routineKickstart, msg)
		answered <- answer{reply, err, time.Since(start)}
	}()
	// The second one only once the first is seen to be carried out, or is answered.
	var a answer
	early, stopping := false, false
	until(ctx, func() (bool, error) {
		select {
		case a = <-answered:
			early = true
			return true, nil
		default:
		}
		state, err := p.state(ctx, j)
		if err != nil {
			return true, nil // then there is nothing to see it by
		}
		stopping = state.Stopping()
		return stopping, nil
	})
	if stopping {
		p.sendQuick(ctx, "a second one with kill, while the job is being stopped", routineKickstart, msg)
	}
	if !early {
		a = <-answered // ctx bounds it
	}
	p.note("kill, unthrottle; the job takes "+lingers.String()+" to exit", routineKickstart, a.reply, a.err, a.took)
	if code, refused := codeOf(a.err); refused {
		return "", notAsked("launchd refuses the kickstart that it takes: %d (%v).", int(code), code)
	}
	if a.err != nil {
		return "", a.err
	}
	gone := "it is not known whether the old process was there"
	if now, err := proc.Read(old); idErr == nil && (errors.Is(err, proc.ErrGone) || err == nil && now != identity) {
		gone = "the old process was gone"
	} else if idErr == nil && err == nil {
		gone = "the old process was still there"
	}
	if a.took >= lingers {
		return fmt.Sprintf("Yes: the answer came after %s, and %s.", took(a.took), gone), nil
	}
	return fmt.Sprintf("No: the answer came after %s, before the old process could have exited, and %s.", took(a.took), gone), nil
}

// state is the word in the job's print text.
func (p *prober) state(ctx context.Context, j *job) (launchd.State, error) {
	text, err := p.client.Print(ctx, j.target)
	if err != nil {
		return "", err
	}
	parsed, err := launchd.ParsePrint(text)
	return parsed.State, err
}

func (p *prober) spawnState(ctx context.Context) (string, error) {
	j, err := p.load(ctx, 0)
	if err != nil {
		return "", err
	}
	if _, err := p.send(ctx, "start", routineKickstart, j.about(xpc.Dict{"unthrottle": true})); err != nil {
		if code, refused := codeOf(err); refused {
			return "", notAsked("launchd refuses the kickstart that it takes: %d (%v).", int(code), code)
		}
		return "", err
	}
	first, err := p.state(ctx, j)
	if err != nil {
		return "", err
	}
	p.see("state right after the answer", "%s", first)
	pid, err := j.await(ctx, 0)
	if err != nil {
		return "", err
	}
	later, err := p.state(ctx, j)
	if err != nil {
		return "", err
	}
	p.see("state once the program runs", "%s", later)
	// Two at once: the second meets a job that was just spawned.
	p.send(ctx, "kill, unthrottle", routineKickstart, j.about(xpc.Dict{"kill": true, "unthrottle": true}))
	_, err = p.send(ctx, "kill, unthrottle, at once after that answer", routineKickstart, j.about(xpc.Dict{"kill": true, "unthrottle": true}))
	verdict := fmt.Sprintf("%s, then %s.", first, later)
	switch code, refused := codeOf(err); {
	case refused:
		verdict += fmt.Sprintf(" A kill right after a spawn is refused with %d (%v).", int(code), code)
	case err != nil:
		return "", err
	default:
		verdict += " A kill right after a spawn was carried out this time."
		if _, err := j.await(ctx, pid); err != nil {
			return "", err
		}
	}
	return verdict, nil
}

func (p *prober) pidZero(ctx context.Context) (string, error) {
	j, pid, err := p.runs(ctx, 0)
	if err != nil {
		return "", err
	}
	for range 5 {
		if pid, _, err = p.kickstart(ctx, "kill, unthrottle", j, pid, xpc.Dict{"kill": true, "unthrottle": true}); err != nil {
			return "", err
		}
	}
	all := p.fence.seen()
	if all.zeros > 0 {
		return fmt.Sprintf("Yes: in %d of the %d answers of this probe.", all.zeros, all.pids), nil
	}
	return fmt.Sprintf("Not in the %d answers of this probe.", all.pids), nil
}
