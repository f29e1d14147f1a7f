package probe

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// nobody is a user id that no account has: macOS' are far below, those of directories
// too.
const nobody = 2147480001

func (p *prober) noSession(ctx context.Context) (string, error) {
	domains := []launchd.Domain{launchd.GUI(nobody)}
	asked := []string{"of a user who does not exist"}
	if kindOf(p.domain) != "gui" {
		domains, asked = append(domains, launchd.GUI(p.o.UID)), append(asked, "of the caller, who has none")
	}
	var parts []string
	for i, d := range domains {
		j, err := p.make(d, 0)
		if err != nil {
			return "", err
		}
		var codes []string
		add := func(routine int, err error) {
			if code, refused := codeOf(err); refused || err == nil {
				codes = append(codes, fmt.Sprintf("%d: %d", routine, int(code)))
			} else {
				codes = append(codes, fmt.Sprintf("%d: no answer", routine))
			}
		}
		_, err = p.sendQuick(ctx, "kickstart, gui "+asked[i], routineKickstart, j.about(nil))
		add(routineKickstart, err)
		_, err = p.sendQuick(ctx, "print, gui "+asked[i], routinePrintService, j.about(nil))
		add(routinePrintService, err)
		_, err = p.sendQuick(ctx, "list of one, gui "+asked[i], routineList, j.about(nil))
		add(routineList, err)
		code, err := p.load800(ctx, "bootstrap, gui "+asked[i], j)
		if err == nil && code != 0 {
			err = code
		}
		add(routineBootstrap, err)
		parts = append(parts, asked[i]+": "+strings.Join(codes, ", "))
	}
	verdict := "gui " + strings.Join(parts, "; gui ") + "."
	if len(domains) == 1 {
		verdict += " The caller has a session, so his own missing one was not asked about: run it over ssh, logged out."
	}
	return verdict, ctx.Err()
}

func (p *prober) bootstrapTwice(ctx context.Context) (string, error) {
	j, err := p.load(ctx, 0)
	if err != nil {
		return "", err
	}
	code, err := p.load800(ctx, "bootstrap of the loaded job", j)
	if err != nil {
		return "", err
	}
	if code == 0 {
		return "Nothing: it is a success.", nil
	}
	return fmt.Sprintf("%d (%v).", int(code), code), nil
}

func (p *prober) bootout(ctx context.Context) (string, error) {
	var verdicts []string
	for _, c := range []struct {
		name string
		keys xpc.Dict
	}{
		{"neither", nil},
		{"wait", xpc.Dict{"wait": true}},
		{"no-einprogress", xpc.Dict{"no-einprogress": true}},
		{"both", xpc.Dict{"wait": true, "no-einprogress": true}},
	} {
		j, pid, err := p.runs(ctx, lingers)
		if err != nil {
			return "", err
		}
		process, procErr := proc.Open(pid)
		start := time.Now()
		reply, err := p.send(ctx, "bootout with "+c.name+"; the job takes "+lingers.String()+" to exit", routineBootout, j.about(c.keys))
		answered := time.Since(start)
		code, refused := codeOf(err)
		if err != nil && !refused {
			return "", err
		}
		exited := "not seen"
		if procErr == nil {
			if err = process.Wait(ctx); err == nil {
				exited = took(time.Since(start))
			}
			process.Close()
		}
		err = until(ctx, func() (bool, error) {
			loaded, known := p.loaded(ctx, j.target)
			return known && !loaded, nil
		})
		if err != nil {
			return "", fmt.Errorf("the job is not gone: %w", err)
		}
		p.see("then", "exit of the process after %s, job gone after %s", exited, took(time.Since(start)))
		word := fmt.Sprintf("%s: %d", c.name, int(code))
		if monitor, ok := reply["monitor"]; ok {
			word += " with a monitor, " + renderValue(monitor)
		}
		if answered >= lingers {
			word += ", answered after the exit"
		} else {
			word += ", answered at once"
		}
		verdicts = append(verdicts, word)
	}
	return strings.Join(verdicts, "; ") + ". That a monitor's right dies with the job was not asked: the right is released before an answer is handed over.", nil
}

func (p *prober) order(ctx context.Context) (string, error) {
	const rounds = 5
	var codes []string
	waited, unspawned := 0, 0
	for i := range rounds {
		linger := time.Duration(0)
		if i%2 == 1 {
			linger = lingers / 4
		}
		j, pid, err := p.runs(ctx, linger)
		if err != nil {
			return "", err
		}
		_, err = p.send(ctx, fmt.Sprintf("bootout; the job takes %s to exit", linger), routineBootout, j.about(nil))
		if _, refused := codeOf(err); err != nil && !refused {
			return "", err
		}
		start, tries := time.Now(), 0
		err = until(ctx, func() (bool, error) {
			_, err := p.bootstrap(ctx, j)
			code, refused := codeOf(err)
			if err != nil && !refused {
				return false, err
			}
			if tries++; tries == 1 {
				codes = append(codes, fmt.Sprint(int(code)))
			}
			return code == 0, nil
		})
		if err != nil {
			return "", err
		}
		p.see("bootstrap at once after the bootout", "first answer %s, loaded after %d tries and %s", codes[len(codes)-1], tries, took(time.Since(start)))
		if tries > 1 {
			waited++
		}
		spawning, cancel := context.WithTimeout(ctx, 2*time.Second)
		if _, err := j.await(spawning, pid); err != nil {
			unspawned++
		}
		cancel()
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
	}
	slices.Sort(codes)
	return fmt.Sprintf("The first bootstrap after a bootout was answered %s; in %d of %d rounds it had to be repeated; a job with RunAtLoad did not run within 2 s of it %d times. "+
		"Whether the prompts of Background Task Management interfere was not asked: they are shown to whoever sits there, and what keeps them is read by root's tools only. Look if a notification came while this ran.",
		strings.Join(slices.Compact(codes), " or "), waited, rounds, unspawned), nil
}

func (p *prober) constraint(ctx context.Context) (string, error) {
	const rest = " Another build in its place was not asked about: there is none at hand, and to sign one another program would have to be run. " +
		"By hand: load a job, rename another build over its program, hermes-gw restart it, and see if it runs."
	var program, spare string
	j, err := p.make(p.domain, 0, func(l *launchd.Plist) {
		program, spare = p.folder.program(l.Label), p.folder.spare(l.Label)
		l.ProgramArguments = slices.Concat([]string{program}, l.ProgramArguments[1:])
	}, atLoad)
	if err != nil {
		return "", err
	}
	for _, path := range []string{program, spare} {
		if err := copyProgram(p.o.Program[0], path); err != nil {
			return "", notAsked("This program could not be copied: %v", err)
		}
	}
	if _, err := p.bootstrap(ctx, j); err != nil {
		return "", err
	}
	pid, err := j.await(ctx, 0)
	if err != nil {
		return "", err
	}
	if err := os.Rename(spare, program); err != nil {
		return "", err
	}
	p.see("the program's file", "replaced by rename, by a copy of the same bytes")
	_, err = p.send(ctx, "kill, unthrottle", routineKickstart, j.about(xpc.Dict{"kill": true, "unthrottle": true}))
	if code, refused := codeOf(err); refused {
		return "", notAsked("launchd refuses the kickstart that it takes: %d (%v).", int(code), code)
	}
	if err != nil {
		return "", err
	}
	starting, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var last launchd.Exit
	runs := false
	until(starting, func() (bool, error) {
		if now := j.running(); now != pid {
			runs = now != 0
			return runs, nil
		}
		text, err := p.client.Print(ctx, j.target)
		if err != nil {
			return false, nil // then the time decides
		}
		parsed, err := launchd.ParsePrint(text)
		last = parsed.LastExit
		// Nothing revives it: without KeepAlive one process is all that there will be.
		return err == nil && !parsed.Running() && parsed.Runs != nil && *parsed.Runs > 1 && parsed.State == launchd.StateNotRunning, nil
	})
	if runs {
		return "Not when the new file has the same code: the job runs." + rest, nil
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	p.see("last exit", "%s", last)
	return fmt.Sprintf("Yes, even by the same code in another file: the job does not start; its last process ended with: %s.", last) + rest, nil
}
