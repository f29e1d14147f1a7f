// Package probe asks the launchd of a machine what public sources leave open
// (launchd-protocol.md section 11), by means of throwaway jobs, and undoes everything.
//
// A throwaway job has a label of its own kind, hermes-gw.probe. and 8 random hex digits, and
// runs the program that probes, in a mode in which it merely waits. Its property list lies in
// a folder that only the user can reach. Nothing but throwaway jobs can be touched: all
// requests pass one fence that looks at the label.
package probe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// Options: all but the last three must be set.
type Options struct {
	Transport xpc.Transport
	// UID is the effective user, in whose domain the throwaway jobs are loaded: gui/UID if it
	// is there, else user/UID, for root else system.
	UID int
	// Program begins the argv of throwaway jobs: the absolute path of an executable and
	// arguments that make it call [JobMain] with what follows.
	Program []string
	// StateDir is a folder that belongs to the user and has mode 0700; it is made if it is
	// missing.
	StateDir string

	Release   string // of hermes-gw
	Sudo, SSH bool
	Secrets   []Secret // what the report must not hold; file names of the probe's own are known

	questions []question    // nil: all
	quick     time.Duration // 0: the constant
}

// Bounds of a probe.
const (
	undoing  = 15 * time.Second // for all that is to be undone in the end
	dropping = 5 * time.Second  // for a question's own jobs
	throttle = 4                // seconds, ThrottleInterval of throwaway jobs
)

// Run asks every question, each within its own time, and undoes everything, also when ctx
// ends before all were asked; undoing takes at most 15 s more. The error says that nothing
// could be asked: [ErrBusy], no domain, no folder.
func Run(ctx context.Context, o Options) (*Report, error) {
	start := time.Now()
	p, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer p.close()
	list := o.questions
	if list == nil {
		list = questions()
	}
	for _, q := range list {
		p.put(ctx, q)
	}
	p.undo(ctx)
	p.report.System = p.system(ctx)
	p.report.Took = milliseconds(time.Since(start))
	p.report.clean(newRedactor(p.secrets()))
	return p.report, nil
}

// open takes the folder, finds the domain for throwaway jobs and removes what earlier probes
// left.
func open(ctx context.Context, o Options) (p *prober, err error) {
	p = &prober{o: o, report: &Report{Questions: []*Answer{}, Removed: []string{}, Left: []string{}, Problems: []string{}}}
	if p.folder, err = openFolder(o.StateDir, o.UID); err != nil {
		return nil, err
	}
	p.fence = &fence{to: o.Transport, dir: p.folder.path}
	p.client = launchd.New(p.fence, nil)
	if err := p.settle(ctx); err != nil {
		p.close()
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, undoing)
	defer cancel()
	p.sweep(bounded)
	return p, nil
}

func (p *prober) close() {
	p.client.Close()
	p.folder.close()
}

// prober is one run.
type prober struct {
	o      Options
	folder *folder
	fence  *fence
	client *launchd.Client
	domain launchd.Domain
	report *Report
	answer *Answer // of the question that is being put
	jobs   []*job  // that may be loaded, or have files
}

// question is one that only this machine can answer.
type question struct {
	id    string
	text  string
	limit time.Duration
	// ask returns the verdict. An error of kind *whyNot says that it cannot be asked here.
	ask func(p *prober, ctx context.Context) (verdict string, err error)
}

// whyNot is why a question was not asked.
type whyNot struct{ why string }

func (e *whyNot) Error() string { return e.why }

func notAsked(format string, args ...any) error { return &whyNot{fmt.Sprintf(format, args...)} }

// put puts one question. Whatever becomes of it, the next one is put, too.
func (p *prober) put(ctx context.Context, q question) {
	start := time.Now()
	a := &Answer{ID: q.id, Question: q.text, Status: NotAsked, Raw: []Raw{}}
	p.report.Questions = append(p.report.Questions, a)
	if ctx.Err() != nil {
		a.Verdict = "The probe was over before: " + over(ctx)
		return
	}
	p.answer = a
	asking, cancel := context.WithTimeout(ctx, q.limit)
	defer cancel()
	verdict, err := q.ask(p, asking)
	if not, ok := errors.AsType[*whyNot](err); ok {
		a.Verdict = not.why
	} else if err == nil {
		a.Status, a.Verdict = Answered, verdict
	} else {
		a.Status, a.Verdict = Failed, err.Error()
		if asking.Err() != nil && ctx.Err() == nil {
			a.Verdict = fmt.Sprintf("Not answered within %v: %v", q.limit, err)
		} else if ctx.Err() != nil {
			a.Verdict = "The probe was over meanwhile: " + over(ctx)
		}
	}
	a.Took = milliseconds(time.Since(start))
	if ctx.Err() == nil {
		dropping, cancel := context.WithTimeout(ctx, dropping)
		defer cancel()
		p.drop(dropping)
	}
}

func over(ctx context.Context) string {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "its time was up."
	}
	return "it was interrupted."
}

// settle finds the domain for throwaway jobs: one that is there does not know the label
// (113, or an answer without an error to whether it is enabled).
func (p *prober) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	domains := []launchd.Domain{launchd.GUI(p.o.UID), launchd.User(p.o.UID)}
	if p.o.UID == 0 {
		domains = append(domains, launchd.System())
	}
	label := newLabel()
	var last error
	for _, d := range domains {
		for _, routine := range []uint64{routinePrintService, routineAttributes, routineEnabled} {
			msg := placed(d).dict()
			msg["name"] = label
			_, err := p.fence.Call(ctx, routine, msg)
			if err == xpc.NoSuchService || err == nil && routine == routineEnabled {
				p.domain = d
				return nil
			}
			last = err
			if code, refused := codeOf(err); refused {
				last = &launchd.Error{Op: "probe", Target: d.String(), Code: code}
			}
			if errors.Is(last, launchd.ErrNoDomain) || ctx.Err() != nil {
				break
			}
		}
	}
	return fmt.Errorf("find a domain for throwaway jobs: %w", last)
}

func newLabel() string {
	// That two probes draw the same is unlikely enough; nobody is kept from guessing it.
	return fmt.Sprintf("%s%08x", labelPrefix, rand.Uint32())
}

// undo unloads what is left, whatever became of ctx, and removes the files.
func (p *prober) undo(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoing)
	defer cancel()
	p.drop(ctx)
	for _, j := range p.jobs {
		p.report.Left = append(p.report.Left, j.target.Label)
	}
}

// system says where this runs, at the end: launchd's name for itself is the least.
func (p *prober) system(ctx context.Context) System {
	s := System{
		OS: osName(), Arch: runtime.GOARCH, Go: runtime.Version(), Release: p.o.Release,
		Through: "a socket", Caller: "user", Sudo: p.o.Sudo, SSH: p.o.SSH, Domain: kindOf(p.domain),
	}
	if p.throughLibxpc() {
		s.Through = "libxpc"
	}
	if p.o.UID == 0 {
		s.Caller = "root"
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	var err error
	if s.Launchd, err = p.client.Version(ctx); err != nil {
		s.Launchd = "(does not say: " + err.Error() + ")"
	}
	return s
}

func (p *prober) throughLibxpc() bool {
	_, ok := p.o.Transport.(*xpc.Pipe)
	return ok
}

// secrets are the caller's and what only this run knows.
func (p *prober) secrets() []Secret {
	uid := strconv.Itoa(p.o.UID)
	list := append([]Secret{
		{p.folder.path, "(probe's folder)"}, {p.o.StateDir, "(state folder)"},
		{"gui/" + uid, "gui/UID"}, {"user/" + uid, "user/UID"},
	}, p.o.Secrets...)
	if len(p.o.Program) > 0 {
		list = append(list, Secret{p.o.Program[0], "(hermes-gw)"})
	}
	return list
}
