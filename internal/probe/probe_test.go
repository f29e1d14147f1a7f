package probe

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// bed is an embedded launchd and what a probe of it takes.
type bed struct {
	*launchdtest.Launchd
	t         *testing.T
	transport xpc.Transport
	o         Options
}

func newBed(t *testing.T, options ...launchdtest.Option) *bed {
	t.Helper()
	l := launchdtest.Start(t, options...)
	transport := dial(t, l)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &bed{l, t, transport, Options{
		Transport: transport, UID: os.Geteuid(), Program: []string{self, jobArg},
		StateDir: filepath.Join(t.TempDir(), "state"), Release: "v1.2.3", SSH: true,
	}}
}

// run probes, and checks that nothing is left of it, in launchd and on disk.
func (b *bed) run(ctx context.Context) *Report {
	b.t.Helper()
	r, err := Run(ctx, b.o)
	if err != nil {
		b.t.Fatal(err)
	}
	if !r.Clean() {
		b.t.Errorf("left: %q, %q", r.Left, r.Problems)
	}
	b.untouched()
	for _, e := range b.Trace(0) {
		if e.Kind == launchdtest.Request && e.Routine == routineBootout && !isThrowaway(e.Label) {
			b.t.Errorf("a bootout of %q", e.Label)
		}
	}
	return r
}

// untouched fails the test if a throwaway job is loaded, or a file of one is there.
func (b *bed) untouched() {
	b.t.Helper()
	for _, d := range []launchd.Domain{b.Domain(), b.User(), launchd.System()} {
		list, err := b.Client.List(context.Background(), d)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, e := range list {
			if strings.HasPrefix(e.Label, labelPrefix) {
				b.t.Errorf("%s/%s is still loaded", d, e.Label)
			}
		}
	}
	if files, err := os.ReadDir(b.o.StateDir); err != nil || len(files) > 0 {
		b.t.Errorf("left on disk: %v, %v", files, err)
	}
}

func (r *Report) find(t *testing.T, id string) *Answer {
	t.Helper()
	for _, a := range r.Questions {
		if a.ID == id {
			return a
		}
	}
	t.Fatalf("no question %s", id)
	return nil
}

// verdict fails the test unless a question has the status, and its verdict the words.
func (r *Report) verdict(t *testing.T, id string, status Status, words ...string) {
	t.Helper()
	a := r.find(t, id)
	if a.Status != status {
		t.Errorf("%s: %s, want %s: %s", id, a.Status, status, a.Verdict)
	}
	for _, w := range words {
		if !strings.Contains(a.Verdict, w) {
			t.Errorf("%s: no %q in: %s", id, w, a.Verdict)
		}
	}
}

// What the model does is what launchd-protocol.md says of launchd, and the report says it
// back.
func TestProbe(t *testing.T) {
	t.Parallel()
	b := newBed(t, launchdtest.TimeScale(0.25))
	other := b.Job("other", "/bin/sleep", "1000") // somebody else's
	pid, err := b.Client.Job(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	r := b.run(t.Context())
	t.Log(r.Markdown())
	if now, err := b.Client.Job(t.Context(), other); err != nil || now.PID != pid.PID {
		t.Errorf("another job: %+v, then %+v, %v", pid, now, err)
	}
	if len(r.Questions) != len(questions()) || r.Unanswered() != 0 {
		t.Errorf("%d questions, %d not answered", len(r.Questions), r.Unanswered())
	}
	r.verdict(t, "entitlement", Answered, "Yes, for 703, 713;")
	r.verdict(t, "unthrottle", Answered, "Yes: ")
	r.verdict(t, "full-exit", Answered, "Yes: ", "the old process was gone")
	r.verdict(t, "spawn-state", Answered, "running")
	r.verdict(t, "no-session", Answered, "702: 125, 708: 125, 815: 125, 800: 125")
	r.verdict(t, "bootstrap-twice", Answered, "37 (")
	r.verdict(t, "bootout", Answered, "neither: 36, answered at once", "wait: 0 with a monitor, (mach send), answered at once", "no-einprogress: 0, answered at once", "both: 0, answered at once")
	r.verdict(t, "order", Answered, "5", "of 5 rounds", "was not asked")
	r.verdict(t, "constraint", Answered, "Not when the new file has the same code", "was not asked")
	r.verdict(t, "attributes", Answered, "keep-alive, label, path, pid, program, run-at-load.")
	r.verdict(t, "list-types", Answered, "3 (login): all 125, one 125", "5 (pid): all 112, one 112", "8 (gui): all 125, one 125", "7 (own): all 2 jobs, one answered")
	r.verdict(t, "print", Answered, "Every name in it is known.")
	r.verdict(t, "events", NotAsked, "launchd.log")
	r.verdict(t, "threads", NotAsked, "through a socket")
	r.verdict(t, "pid-zero", Answered, "Not in the ")
	for _, raw := range r.find(t, "full-exit").Raw {
		if strings.HasPrefix(raw.Asked, "a second one") && (raw.Code == nil || *raw.Code != int32(xpc.EALREADY)) {
			t.Errorf("%s", raw.line())
		}
	}
	if text := r.find(t, "print").Text; !strings.Contains(text, "state = running") || !strings.Contains(text, "\t\t(hermes-gw)\n\t\t"+jobArg+"\n") {
		t.Errorf("%s", text)
	}
	if s := r.System; s.Through != "a socket" || !s.SSH || s.Sudo || s.Release != "v1.2.3" || s.Domain != "gui" {
		t.Errorf("%+v", s)
	}
}

// A launchd that demands an entitlement: the report shows 144, and all that does not take
// these requests still works.
func TestProbeDenied(t *testing.T) {
	t.Parallel()
	denied := []uint64{702, 703, 711, 712, 713, 714, 811, 812, 813, 814}
	b := newBed(t, launchdtest.TimeScale(0.25), launchdtest.Deny(denied...))
	r := b.run(t.Context())
	r.verdict(t, "entitlement", Answered, "Yes, for 702, 703, 711, 712, 713, 714, 811, 812, 813, 814; not for any other.")
	seen := map[uint64]bool{}
	for _, raw := range r.find(t, "entitlement").Raw {
		if raw.Code == nil || *raw.Code != 144 || raw.Words != xpc.NotEntitled.Error() {
			t.Errorf("%s", raw.line())
		}
		seen[raw.Routine] = true
	}
	for _, routine := range denied {
		if !seen[routine] {
			t.Errorf("%d was not asked", routine)
		}
	}
	for _, id := range []string{"unthrottle", "full-exit", "spawn-state", "constraint", "pid-zero"} {
		r.verdict(t, id, NotAsked, "refuses the kickstart", "144")
	}
	r.verdict(t, "attributes", Answered, "refused with 144")
	for _, id := range []string{"bootstrap-twice", "bootout", "order", "list-types", "print"} {
		r.verdict(t, id, Answered)
	}
	if r.Unanswered() != 0 {
		t.Errorf("%d not answered", r.Unanswered())
	}
}

// Questions that hang take their time, and no more; the others are answered, and
// everything is undone.
func TestProbeHangs(t *testing.T) {
	t.Parallel()
	b := newBed(t, launchdtest.TimeScale(0.25), launchdtest.Faults(
		launchdtest.Fault{Kind: launchdtest.Never, Routine: routineAttach},
		launchdtest.Fault{Kind: launchdtest.Never, Routine: routineAttributes, Label: "", Times: 3},
		launchdtest.Fault{Kind: launchdtest.Never, Routine: routineList},
	))
	b.only("entitlement", "list-types", "attributes", "bootstrap-twice", "pid-zero")
	b.o.quick = 200 * time.Millisecond
	b.limit("list-types", 100*time.Millisecond)
	b.limit("attributes", time.Second) // a job is loaded first
	r := b.run(t.Context())
	r.verdict(t, "entitlement", Answered, "No answer within", "703", "712")
	r.verdict(t, "list-types", Failed, "Not answered within 100ms")
	r.verdict(t, "attributes", Failed, "Not answered within 1s")
	r.verdict(t, "bootstrap-twice", Answered, "37")
	r.verdict(t, "pid-zero", Answered)
	if raw := r.find(t, "attributes").Raw; len(raw) != 1 || raw[0].Code != nil || !strings.HasPrefix(raw[0].Words, "no answer: ") {
		t.Errorf("%+v", raw)
	}
}

// only leaves these questions; limit changes the time of one.
func (b *bed) only(ids ...string) {
	b.o.questions = slices.DeleteFunc(questions(), func(q question) bool { return !slices.Contains(ids, q.id) })
}

func (b *bed) limit(id string, d time.Duration) {
	for i := range b.o.questions {
		if b.o.questions[i].id == id {
			b.o.questions[i].limit = d
		}
	}
}

// However early a probe is interrupted, everything is undone, and what was asked until then
// is told.
func TestProbeInterrupted(t *testing.T) {
	t.Parallel()
	b := newBed(t, launchdtest.TimeScale(0.25))
	for _, routine := range []uint64{routineBootstrap, routineKickstart, routineEnabled, routineBootout} {
		ctx, cancel := context.WithCancel(t.Context())
		b.o.Transport = before{b.transport, routine, cancel}
		r := b.run(ctx)
		cancel()
		if r.Complete() {
			continue // it was a request of the end
		}
		if last := r.find(t, "pid-zero"); last.Status != NotAsked || !strings.Contains(last.Verdict, "interrupted") {
			t.Errorf("%d: %+v", routine, last)
		}
	}
}

// before cancels when a routine is first sent, and lets it pass.
type before struct {
	xpc.Transport
	routine uint64
	cancel  func()
}

func (c before) Call(ctx context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
	if routine == c.routine {
		c.cancel()
		// It was handed over all the same: launchd carries it out, nobody hears the answer.
		c.Transport.Call(context.WithoutCancel(ctx), routine, msg)
		return nil, &xpc.UnknownOutcome{Routine: routine, Err: context.Canceled}
	}
	return c.Transport.Call(ctx, routine, msg)
}

// What a killed probe left is removed by the next; what only looks like it is not.
func TestProbeLeftovers(t *testing.T) {
	t.Parallel()
	b := newBed(t, launchdtest.TimeScale(0.25))
	b.only()
	folder := filepath.Join(b.o.StateDir, "probe")
	for _, dir := range []string{b.o.StateDir, folder} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := t.TempDir()
	load := func(dir, label, file string, d launchd.Domain) launchd.Target {
		t.Helper()
		list := &launchd.Plist{Label: label, ProgramArguments: []string{"/bin/sleep", "1000"}, RunAtLoad: true}
		path := filepath.Join(dir, file)
		if err := list.WriteFile(path); err != nil {
			t.Fatal(err)
		}
		if err := b.Client.Bootstrap(t.Context(), d, path); err != nil {
			t.Fatal(err)
		}
		return launchd.Target{Domain: d, Label: label}
	}
	const a, c, d, e, f = labelPrefix + "0000000a", labelPrefix + "0000000b", labelPrefix + "0000000c", labelPrefix + "0000000d", labelPrefix + "nothex00"
	gone := []launchd.Target{
		load(folder, a, a+".plist", b.GUI()),
		load(folder, c, c+".plist", b.User()),
	}
	// Loaded, with its list removed already.
	gone = append(gone, load(folder, d, d+".plist", b.GUI()))
	os.Remove(filepath.Join(folder, d+".plist"))
	kept := []launchd.Target{
		load(elsewhere, e, e+".plist", b.GUI()),       // not our folder
		load(folder, f, f+".plist", b.GUI()),          // not our label
		load(folder, "other", "other.plist", b.GUI()), // likewise
	}
	os.WriteFile(filepath.Join(folder, e+".pid"), []byte("1\n"), 0o600) // a file of ours, a job that is not
	os.WriteFile(filepath.Join(folder, unfinished+"123"), nil, 0o600)
	r, err := Run(t.Context(), b.o)
	if err != nil || !slices.Equal(r.Removed, []string{a, d, c}) || !r.Clean() {
		t.Errorf("%+v, %v", r, err)
	}
	for _, target := range gone {
		if _, err := b.Client.Job(t.Context(), target); !errors.Is(err, launchd.ErrNotLoaded) {
			t.Errorf("%s: %v", target, err)
		}
	}
	for _, target := range kept {
		if j, err := b.Client.Job(t.Context(), target); err != nil || !j.Running() {
			t.Errorf("%s: %+v, %v", target, j, err)
		}
	}
	files, _ := filepath.Glob(folder + "/*")
	hidden, _ := filepath.Glob(folder + "/.*")
	files = append(files, hidden...)
	if want := []string{filepath.Join(folder, f+".plist"), filepath.Join(folder, "other.plist")}; !slices.Equal(files, want) {
		t.Errorf("files %q", files)
	}
}

// Two probes at once would take each other's jobs for leftovers.
func TestProbeBusy(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	held, err := openFolder(b.o.StateDir, b.o.UID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), b.o); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	held.close()
	b.only()
	b.run(t.Context())
}

// Nobody can say where the probe's jobs come from but its user.
func TestProbeFolder(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	if err := os.Mkdir(b.o.StateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	os.Chmod(b.o.StateDir, 0o755)
	if _, err := Run(t.Context(), b.o); err == nil || !strings.Contains(err.Error(), "others can reach it") {
		t.Errorf("%v", err)
	}
	if n := len(b.Trace(0)); n != 0 {
		t.Errorf("%d events: something was sent", n)
	}
}

// Without a graphical session the user domain serves, and its absence is asked about.
func TestProbeNoGUI(t *testing.T) {
	t.Parallel()
	b := newBed(t, launchdtest.TimeScale(0.25), launchdtest.NoGUIError(xpc.NoSuchDomain))
	b.only("no-session", "list-types", "print")
	r := b.run(t.Context())
	r.verdict(t, "no-session", Answered, "of the caller, who has none: 702: 112, 708: 112, 815: 125, 800: 112")
	r.verdict(t, "list-types", Answered, "8 (gui): all 125")
	r.verdict(t, "print", Answered)
	if r.System.Domain != "user" {
		t.Errorf("%+v", r.System)
	}
}

// A launchd that tells nothing of jobs but whether they are enabled is enough to load and
// unload some.
func TestProbeBlind(t *testing.T) {
	t.Parallel()
	b := newBed(t, launchdtest.TimeScale(0.25), launchdtest.Deny(routinePrintService, routineAttributes))
	b.only("bootstrap-twice", "bootout", "print", "spawn-state", "full-exit")
	r := b.run(t.Context())
	r.verdict(t, "bootstrap-twice", Answered, "37")
	r.verdict(t, "bootout", Answered, "neither: 36")
	r.verdict(t, "print", Failed, "144")
	r.verdict(t, "spawn-state", Failed, "144")
	r.verdict(t, "full-exit", Answered, "Yes: ")
}

// A program that was replaced is killed where launchd pins it, and the report says so.
func TestProbePinned(t *testing.T) {
	t.Parallel()
	b := newBed(t, launchdtest.TimeScale(0.25), launchdtest.PinCode())
	b.only("constraint")
	// A pin is of the code, and the probe has no other code to put in its place.
	b.run(t.Context()).verdict(t, "constraint", Answered, "Not when the new file has the same code: the job runs")
}

func TestProbeSecrets(t *testing.T) {
	t.Parallel()
	b := newBed(t, launchdtest.TimeScale(0.25))
	b.only("print", "attributes", "list-types", "bootstrap-twice")
	if err := b.Client.Setenv(t.Context(), b.GUI(), map[string]string{"API_TOKEN": "hunter2\nBEGIN => KEY"}); err != nil {
		t.Fatal(err)
	}
	b.o.Secrets = []Secret{{filepath.Dir(b.o.StateDir), "~"}, {"sesame", "USER"}}
	r := b.run(t.Context())
	encoded, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{r.Markdown(), string(encoded)} {
		for _, secret := range []string{b.o.StateDir, filepath.Dir(b.o.StateDir), b.o.Program[0], "hunter2", "BEGIN", "gui/" + uidText()} {
			if strings.Contains(text, secret) {
				t.Errorf("it holds %s:\n%s", secret, text)
			}
		}
		if !strings.Contains(text, "API_TOKEN =") {
			t.Errorf("%s", text)
		}
	}
}

func uidText() string { return strconv.Itoa(os.Geteuid()) }
