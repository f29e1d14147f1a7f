package launchd

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// chaosWorld is a small model of launchd and of a machine's processes, in fake time. The
// embedded launchd supervises real processes, which know no fake time.
//
// Whatever happens in it happens at a moment of its own: every delay has some nanoseconds of its
// own, which are drawn from the schedule's seed and from who waits for what the how manieth
// time. So nothing depends on which goroutine the scheduler lets run first, and a seed brings
// the same schedule about again.
type chaosWorld struct {
	seed  uint64
	dir   string // state folder of reloads, and property lists
	began time.Time

	mu         sync.Mutex
	jobs       map[string]*chaosJob // that are loaded
	procs      map[int]*chaosProc   // pids that are taken, those of zombies too
	instances  map[string][]*chaosProc
	unloads    map[string][]string // who unloaded a label
	stepped    time.Duration       // of the wall clock
	faults     bool
	denied     bool // 702 demands an entitlement
	over       bool
	log        []string
	violations []string
	did        map[string]int // what was met, for the sums of all schedules
	running    sync.WaitGroup // workers
}

// chaosJob is a job that is loaded.
type chaosJob struct {
	label    string
	path     string
	program  []string
	worker   bool
	revives  string // true, failure or ""
	exit     time.Duration
	throttle time.Duration

	state     State
	proc      *chaosProc
	removing  bool
	restart   bool // start the next one once this has gone
	waiting   []chan chaosAnswer
	lastSpawn time.Time
	scheduled int // counts what makes a scheduled start void
}

type chaosAnswer struct {
	reply xpc.Dict
	code  xpc.Errno
}

// chaosProc is a process. It is a held one, too: what holds it knows its identity.
type chaosProc struct {
	w       *chaosWorld
	id      proc.Identity
	label   string // of the job; "" is a process that has nothing to do with any
	began   time.Time
	ended   time.Time // zero while it lives
	gone    chan struct{}
	draw    *rand.Rand
	stopped bool   // it was told to end already
	die     func() // ends what runs in it
}

func newChaosWorld(seed uint64, dir string) *chaosWorld {
	return &chaosWorld{
		seed: seed, dir: dir, began: time.Now(), jobs: map[string]*chaosJob{}, procs: map[int]*chaosProc{},
		instances: map[string][]*chaosProc{}, unloads: map[string][]string{}, did: map[string]int{},
	}
}

// draw gives random numbers that depend on the seed and on what they are for, and on nothing
// else.
func (w *chaosWorld) draw(what ...any) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintln(h, what...)
	return rand.New(rand.NewPCG(w.seed, h.Sum64()))
}

// between is a time from lo to hi, and some nanoseconds.
func between(r *rand.Rand, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(r.Int64N(int64(hi-lo)+1)) + time.Duration(r.Int64N(1e6)+1)
}

func (w *chaosWorld) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%12v ", time.Since(w.began))+fmt.Sprintf(format, args...))
}

func (w *chaosWorld) violated(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.note("VIOLATION: %s", text)
	w.violations = append(w.violations, text)
}

// after runs f some time from now, unless the schedule is over by then.
func (w *chaosWorld) after(d time.Duration, f func()) {
	time.AfterFunc(d, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.over {
			f()
		}
	})
}

// wall is the wall clock, which start times are told by on macOS. Package launchd reads it in two
// places: the age of a process is counted from its start time ([chaosLink.age]), and results of reloads that
// nobody came for are told by the times of their files ([chaosWorld.step]). All else goes by the monotonic
// clock: time.Since and contexts by their own, the deadline in a reload's note by CLOCK_MONOTONIC.
func (w *chaosWorld) wall() time.Time { return time.Now().Add(w.stepped) }

// step steps the wall clock. The time in a bubble cannot be stepped, so the files of reloads are
// made older by as much; the system has dated them by its own time, far from that of the bubble.
func (w *chaosWorld) step(by time.Duration) {
	w.stepped += by
	results, _ := filepath.Glob(filepath.Join(w.dir, "state", "*"+resultSuffix))
	for _, path := range results {
		at := time.Now()
		if info, err := os.Stat(path); err == nil && info.ModTime().Sub(w.began) < 24*time.Hour {
			at = info.ModTime() // by an earlier step
		}
		if err := os.Chtimes(path, at, at.Add(-by)); err == nil {
			w.did["results dated by a clock step"]++
		}
	}
}

// spawn gives a job its next process. Pids are few, so that they are soon used again; often the
// last one is.
func (w *chaosWorld) spawn(j *chaosJob) *chaosProc {
	n := len(w.instances[j.label])
	draw := w.draw("process", j.label, n)
	pid := 100 + draw.IntN(30)
	if n > 0 && draw.IntN(2) == 0 {
		pid = w.instances[j.label][n-1].id.PID
	}
	for w.procs[pid] != nil {
		pid = 100 + (pid-99)%30
	}
	p := &chaosProc{
		w: w, id: proc.Identity{PID: pid, Start: w.wall().UnixMicro()}, label: j.label, began: time.Now(),
		gone: make(chan struct{}), draw: draw, die: func() {},
	}
	// By the processes, not by what the job knows of them: one may be left of the job that was unloaded.
	for _, q := range w.procs {
		if q.label == j.label && q.ended.IsZero() {
			w.violated("%s gets process %v while %v lives", j.label, p.id, q.id)
		}
	}
	w.procs[pid], w.instances[j.label] = p, append(w.instances[j.label], p)
	j.proc, j.state, j.lastSpawn, j.restart = p, StateRunning, time.Now(), false
	j.scheduled++
	w.note("%s runs as %v", j.label, p.id)
	switch {
	case j.worker:
		w.work(j, p)
	case draw.IntN(20) == 0:
		w.after(between(draw, 0, 2*time.Second), func() { w.exit(p, 1) })
	}
	for _, answer := range j.waiting {
		answer <- chaosAnswer{reply: xpc.Dict{"pid": int64(pid)}}
	}
	j.waiting = nil
	return p
}

// tell sends a signal to a process.
func (w *chaosWorld) tell(p *chaosProc, sig syscall.Signal) {
	if !p.ended.IsZero() {
		return
	}
	w.note("%v gets %v", p.id, sig)
	worker := strings.HasPrefix(p.label, reloadPrefix)
	switch {
	case sig == syscall.SIGKILL || worker:
		w.after(between(p.draw, 0, time.Millisecond), func() { w.exit(p, 1) })
	case sig == syscall.SIGTERM && !p.stopped:
		p.stopped = true
		if p.draw.IntN(8) > 0 {
			w.after(between(p.draw, 0, 3*time.Second), func() { w.exit(p, p.draw.IntN(2)) })
		}
	case sig == syscall.SIGUSR1 && !p.stopped:
		if p.draw.IntN(4) > 0 {
			w.after(between(p.draw, 0, 6*time.Second), func() { w.exit(p, 75) })
		}
	}
}

// exit ends a process. launchd notices a little later; until then nobody else gets the pid.
func (w *chaosWorld) exit(p *chaosProc, status int) {
	if !p.ended.IsZero() {
		return
	}
	w.note("%v of %q exits with %d", p.id, p.label, status)
	p.ended = time.Now()
	close(p.gone)
	p.die()
	w.after(between(p.draw, 0, 10*time.Millisecond), func() { w.reaped(p, status) })
}

func (w *chaosWorld) reaped(p *chaosProc, status int) {
	delete(w.procs, p.id.PID)
	if p.draw.IntN(4) == 0 { // somebody else's process gets the pid at once
		q := &chaosProc{
			w: w, id: proc.Identity{PID: p.id.PID, Start: w.wall().UnixMicro()}, began: time.Now(),
			gone: make(chan struct{}), draw: w.draw("foreign", p.label, p.id), die: func() {},
		}
		w.procs[q.id.PID] = q
		w.did["pids that others got"]++
		w.after(between(q.draw, 0, 5*time.Second), func() { w.exit(q, 0) })
	}
	j := w.jobs[p.label]
	if j == nil || j.proc != p {
		return
	}
	j.proc, j.state = nil, StateNotRunning
	switch {
	case j.removing:
		w.unload(j)
	case j.restart:
		w.spawn(j)
	case j.revives == "true", j.revives == "failure" && status != 0:
		w.schedule(j)
	}
}

func (w *chaosWorld) unload(j *chaosJob) {
	delete(w.jobs, j.label)
	w.note("%s is unloaded", j.label)
	for _, answer := range j.waiting {
		answer <- chaosAnswer{code: xpc.NoSuchService}
	}
	j.waiting = nil
}

// schedule starts a job once its minimum runtime is over.
func (w *chaosWorld) schedule(j *chaosJob) {
	j.state = StateSpawnScheduled
	j.scheduled++
	turn := j.scheduled
	w.after(max(0, j.throttle-time.Since(j.lastSpawn))+between(w.draw("throttle", j.label, len(w.instances[j.label])), 0, 0), func() {
		if w.jobs[j.label] == j && j.proc == nil && j.scheduled == turn {
			w.spawn(j)
		}
	})
}

// stop has launchd stop a job's process: SIGTERM, and SIGKILL after the exit timeout.
func (w *chaosWorld) stop(j *chaosJob) {
	p := j.proc
	j.state = StateSIGTERMed
	w.tell(p, syscall.SIGTERM)
	w.after(j.exit+between(p.draw, 0, 0), func() {
		if p.ended.IsZero() {
			if j.proc == p {
				j.state = StateSIGKILLed
			}
			w.tell(p, syscall.SIGKILL)
		}
	})
}

// load loads a property list, as bootstrap does.
func (w *chaosWorld) load(path string) xpc.Errno {
	keys, err := readKeys(path)
	if err != nil {
		return xpc.EIO
	}
	label, _ := keys["Label"].(string)
	if j := w.jobs[label]; j != nil {
		if j.removing {
			return xpc.EIO
		}
		return xpc.EALREADY
	}
	number := func(key string, otherwise int) time.Duration {
		switch n := keys[key].(type) {
		case uint64:
			return time.Duration(n) * time.Second
		case int64:
			return time.Duration(n) * time.Second
		}
		return time.Duration(otherwise) * time.Second
	}
	j := &chaosJob{
		label: label, path: path, worker: strings.HasPrefix(label, reloadPrefix),
		exit: number("ExitTimeOut", 20), throttle: number("ThrottleInterval", 10),
	}
	if argv, ok := keys["ProgramArguments"].([]any); ok {
		for _, a := range argv {
			s, _ := a.(string)
			j.program = append(j.program, s)
		}
	}
	switch k := keys["KeepAlive"].(type) {
	case bool:
		if k {
			j.revives = "true"
		}
	case map[string]any:
		j.revives = "failure"
	}
	w.jobs[label] = j
	w.note("%s is loaded from %s", label, filepath.Base(path))
	w.spawn(j)
	return 0
}

// work runs the worker of a reload in its process: all that it does through launchd and
// through the processes is this world's. A worker that is killed makes no further request.
func (w *chaosWorld) work(j *chaosJob, p *chaosProc) {
	args := j.program[len(j.program)-3:]
	t, err := ParseTarget(args[1])
	if err != nil {
		w.violated("a worker's target: %v", err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	link := &chaosLink{w: w, id: fmt.Sprint(j.label, " ", len(w.instances[j.label])), op: "worker", label: t.Label, counts: map[uint64]int{}, ctx: ctx}
	p.die = func() { link.dead = true; cancel() }
	c := link.client()
	worker := &reloadWorker{change: change{c: c, op: "reload", t: t}, files: filesOf(args[2], t)}
	w.running.Go(func() {
		defer cancel()
		defer c.Close()
		if pause(ctx, between(w.draw("boots", link.id), 0, 50*time.Millisecond)) != nil {
			return
		}
		err := worker.run(ctx)
		pause(ctx, between(w.draw("ends", link.id), 0, 0))
		w.mu.Lock()
		defer w.mu.Unlock()
		status := 0
		if err != nil {
			status = 1
		}
		w.note("%s is done: %v", j.label, err)
		w.exit(p, status)
	})
}

// serve carries a request out. What is not answered at once is answered through the channel.
func (w *chaosWorld) serve(routine uint64, msg xpc.Dict, by string) (chaosAnswer, chan chaosAnswer) {
	if routine == routineBootstrap {
		for _, path := range msg["paths"].([]any) {
			if code := w.load(path.(string)); code != 0 {
				return chaosAnswer{code: code}, nil
			}
		}
		return chaosAnswer{reply: xpc.Dict{}}, nil
	}
	name, _ := msg.String("name")
	j := w.jobs[name]
	if routine == routineEnabled {
		return chaosAnswer{reply: xpc.Dict{"loaded": j != nil, "enabled": true}}, nil
	}
	if j == nil {
		return chaosAnswer{code: xpc.NoSuchService}, nil
	}
	switch routine {
	case routinePrintService:
		reply, err := writeText(msg, w.text(j))
		code, _ := errors.AsType[xpc.Errno](err)
		return chaosAnswer{reply, code}, nil
	case routineAttributes:
		attrs := xpc.Dict{"path": j.path, "keep-alive": j.revives != ""}
		if j.proc != nil {
			attrs["pid"] = int64(j.proc.id.PID)
		}
		return chaosAnswer{reply: xpc.Dict{"attrs": attrs}}, nil
	case routineBootout:
		w.unloads[j.label] = append(w.unloads[j.label], by)
		if j.proc == nil {
			w.unload(j)
			return chaosAnswer{reply: xpc.Dict{}}, nil
		}
		if !j.removing {
			j.removing = true
			if !j.state.Stopping() {
				w.stop(j)
			}
		}
		return chaosAnswer{code: xpc.EINPROGRESS}, nil
	case routineKickstart:
		if w.denied {
			return chaosAnswer{code: xpc.Errno(144)}, nil
		}
		kill, _ := msg.Bool("kill")
		switch {
		case j.removing, j.state.Stopping():
			return chaosAnswer{code: xpc.EALREADY}, nil
		case j.proc == nil:
			return chaosAnswer{reply: xpc.Dict{"pid": int64(w.spawn(j).id.PID)}}, nil
		case !kill:
			return chaosAnswer{reply: xpc.Dict{"pid": int64(j.proc.id.PID)}}, nil
		case time.Since(j.lastSpawn) < 100*time.Millisecond && j.proc.draw.IntN(2) == 0:
			return chaosAnswer{code: xpc.EPERM}, nil
		}
		j.restart = true
		answer := make(chan chaosAnswer, 1)
		j.waiting = append(j.waiting, answer)
		w.stop(j)
		return chaosAnswer{}, answer
	}
	w.violated("request %d, which nobody should send", routine)
	return chaosAnswer{code: xpc.EDOM}, nil
}

func (w *chaosWorld) text(j *chaosJob) string {
	var b strings.Builder
	fmt.Fprintf(&b, "gui/%d/%s = {\n\tstate = %s\n\tpath = %s\n", chaosUID, j.label, j.state, j.path)
	if len(j.program) > 0 {
		fmt.Fprintf(&b, "\tprogram = %s\n\targuments = {\n\t\t%s\n\t}\n", j.program[0], strings.Join(j.program, "\n\t\t"))
	}
	fmt.Fprintf(&b, "\tminimum runtime = %d\n\texit timeout = %d\n\truns = %d\n", j.throttle/time.Second, j.exit/time.Second, len(w.instances[j.label]))
	if j.proc != nil {
		fmt.Fprintf(&b, "\tpid = %d\n", j.proc.id.PID)
	}
	switch j.revives {
	case "true":
		b.WriteString("\tproperties = keepalive | runatload\n")
	case "failure":
		b.WriteString("\tsemaphores = {\n\t\tsuccessful exit => 0\n\t}\n\tproperties = runatload\n")
	default:
		b.WriteString("\tproperties = runatload\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// chaosLink is what one client reaches the world by, as its transport and its process table.
type chaosLink struct {
	w      *chaosWorld
	id     string
	op     string // what it carries out
	label  string
	inside *proc.Identity // the process that it runs in, if that is a job's
	ctx    context.Context
	dead   bool // its process was killed

	counts map[uint64]int // of requests by routine
}

func (l *chaosLink) client() *Client {
	c := New(l, nil)
	c.procs = l
	return c
}

// pause waits. Whoever was killed meanwhile does nothing more.
func (l *chaosLink) pause(ctx context.Context, d time.Duration, routine ...uint64) error {
	err := pause(ctx, d)
	l.w.mu.Lock()
	dead := l.dead
	l.w.mu.Unlock()
	switch {
	case dead && slices.Contains(routine, routineEnabled):
		return context.Canceled // asked by a goroutine of its own, which another one waits for
	case dead:
		runtime.Goexit()
	}
	return err
}

// Call sends a request: it arrives late, is lost, is answered wrongly, or its answer is lost.
func (l *chaosLink) Call(ctx context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
	w := l.w
	w.mu.Lock()
	l.counts[routine]++
	draw := w.draw("request", l.id, routine, l.counts[routine])
	faults := w.faults
	w.mu.Unlock()
	late := time.Millisecond
	if faults && draw.IntN(20) == 0 {
		late = 2 * time.Second
	}
	if err := l.pause(ctx, between(draw, 0, late), routine); err != nil {
		return nil, err
	}
	fault := 100
	if faults {
		fault = draw.IntN(100)
	}
	lost := &xpc.UnknownOutcome{Routine: routine, Err: xpc.EPIPE}
	w.mu.Lock()
	l.check(routine, msg)
	switch {
	case fault < 2: // lost on its way
		w.did["requests lost"]++
		w.mu.Unlock()
		return nil, l.silence(ctx, draw, lost, routine)
	case fault < 4: // refused for no reason
		w.did["wrong answers"]++
		code := []xpc.Errno{xpc.EPERM, xpc.EINPROGRESS, xpc.EIO, xpc.EALREADY, xpc.Errno(153)}[draw.IntN(5)]
		w.note("%s: %d is refused with %d", l.id, routine, code)
		w.mu.Unlock()
		return nil, code
	}
	answer, waiting := w.serve(routine, msg, l.op)
	w.note("%s: %d %v: %v %d", l.id, routine, msg["kill"], answer.reply["pid"], answer.code)
	w.mu.Unlock()
	if fault < 7 { // its answer is lost
		w.mu.Lock()
		w.did["answers lost"]++
		w.mu.Unlock()
		return nil, l.silence(ctx, draw, lost, routine)
	}
	if waiting != nil {
		select {
		case answer = <-waiting:
		case <-ctx.Done():
			l.pause(context.Background(), between(draw, 0, 0), routine)
			return nil, &xpc.UnknownOutcome{Routine: routine, Err: ctx.Err()}
		}
	}
	late = time.Millisecond
	if faults && draw.IntN(20) == 0 {
		late = 2 * time.Second
		w.mu.Lock()
		w.did["answers delayed"]++
		w.mu.Unlock()
	}
	if err := l.pause(ctx, between(draw, 0, late), routine); err != nil {
		return nil, &xpc.UnknownOutcome{Routine: routine, Err: err}
	}
	if answer.code != 0 {
		return nil, answer.code
	}
	if fault < 9 && len(answer.reply) > 0 { // what belongs to each key is not there
		w.mu.Lock()
		w.did["wrong answers"]++
		w.mu.Unlock()
		wrong := xpc.Dict{}
		for key := range answer.reply {
			wrong[key] = []any{"what is this", int64(0), ""}[draw.IntN(3)]
		}
		return wrong, nil
	}
	return answer.reply, nil
}

// silence is an answer that does not come: for ever, or because the connection breaks. A worker
// has no end but its own, so its connections break.
func (l *chaosLink) silence(ctx context.Context, draw *rand.Rand, lost error, routine uint64) error {
	if draw.IntN(2) == 0 || l.op == "worker" || l.ctx == nil {
		l.pause(ctx, between(draw, 0, time.Second), routine)
		return lost
	}
	<-ctx.Done()
	l.pause(context.Background(), between(draw, 0, 0), routine)
	return &xpc.UnknownOutcome{Routine: routine, Err: ctx.Err()}
}

// check holds requests to what their client may send.
func (l *chaosLink) check(routine uint64, msg xpc.Dict) {
	name, _ := msg.String("name")
	mutates := slices.Contains([]uint64{routineBootstrap, routineBootout, routineRemove}, routine)
	switch {
	case routine == routineBootout && name == "":
		l.w.violated("%s sent 801 without a name", l.id)
	case l.op == "restart" && mutates:
		l.w.violated("%s, a restart, sent %d about %q", l.id, routine, name)
	case mutates && routine == routineBootout && name != l.label && !strings.HasPrefix(name, reloadPrefix):
		l.w.violated("%s sent %d about %q, which is not its job", l.id, routine, name)
	case routine == routineKickstart && name != l.label && !strings.HasPrefix(name, reloadPrefix):
		l.w.violated("%s sent a kickstart about %q, which is not its job", l.id, name)
	case routine == routineKickstart && l.op == "start" && msg["kill"] == true:
		l.w.violated("%s, a start, asked for a kill", l.id)
	}
}

// The process table, as one client sees it.

func (l *chaosLink) open(id proc.Identity) (process, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if p := l.w.procs[id.PID]; p != nil && p.id == id && p.ended.IsZero() {
		return &chaosHold{p, l}, nil
	}
	return nil, proc.ErrGone
}

func (l *chaosLink) read(pid int) (proc.Identity, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if p := l.w.procs[pid]; p != nil && p.ended.IsZero() {
		return p.id, nil
	}
	return proc.Identity{}, proc.ErrGone
}

func (l *chaosLink) ancestors(int) ([]proc.Identity, error) {
	if l.inside != nil {
		return []proc.Identity{*l.inside}, nil
	}
	return nil, nil
}

func (l *chaosLink) age(id proc.Identity) time.Duration {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.wall().Sub(time.UnixMicro(id.Start))
}

// chaosHold is a process that a client holds.
type chaosHold struct {
	*chaosProc
	l *chaosLink
}

func (h *chaosHold) Wait(ctx context.Context) error {
	select {
	case <-h.gone:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Signal is the only way to a signal, so this is where one is seen that hits somebody else.
func (h *chaosHold) Signal(sig syscall.Signal) error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if !h.ended.IsZero() {
		return proc.ErrGone
	}
	if h.label != h.l.label || h.l.op != "restart" {
		h.w.violated("%s signalled %v of %q, it is about %q", h.l.id, h.id, h.label, h.l.label)
	}
	h.w.did["signals sent"]++
	h.w.tell(h.chaosProc, sig)
	return nil
}

func (h *chaosHold) Close() error { return nil }
