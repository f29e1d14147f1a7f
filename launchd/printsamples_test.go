package launchd

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func sample(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/print/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What each text means. testdata/print/README.md says which were printed by a launchd and
// which were put together from parts.
func TestParsePrintSamples(t *testing.T) {
	const agents = "/Library/LaunchAgents/"
	agent := func(label string, j Job) Job {
		j.Target = Target{GUI(501), label}
		j.Type = "LaunchAgent"
		if j.Path == "" {
			j.Path = "/Users/example" + agents + label + ".plist"
			j.Program = "/opt/example/bin/agent"
			j.Arguments = []string{j.Program}
			j.MinimumRuntime = ptr(10 * time.Second)
			if j.RunAtLoad == nil {
				j.KeepAlive, j.RunAtLoad = ptr(true), ptr(true)
			}
		}
		j.ExitTimeout = ptr(5 * time.Second)
		return j
	}
	want := map[string]Job{
		"service-wazuh": {
			Target: Target{Label: "com.wazuh.agent"}, PID: 1486, State: StateRunning, Path: "/Library/LaunchDaemons/com.wazuh.agent.plist",
			Program: "/Library/StartupItems/WAZUH/Wazuh-launcher", Arguments: []string{"/Library/StartupItems/WAZUH/Wazuh-launcher"},
			Runs: ptr(3), LastExit: Exit{Kind: ExitCode}, MinimumRuntime: ptr(10 * time.Second), ExitTimeout: ptr(5 * time.Second), Reason: "one-shot",
		},
		"service-keepalive-conditions": agent("com.example.queue-worker", Job{
			PID: 3438, State: StateRunning, Path: agents + "com.example.queue-worker.plist", Program: "/opt/example/bin/queue-worker",
			Arguments: []string{"/opt/example/bin/queue-worker", "--concurrency", "4"}, Runs: ptr(371), Reason: "semaphore",
			LastExit: Exit{Kind: ExitSignaled, Signal: 15}, MinimumRuntime: ptr(30 * time.Second), RunAtLoad: ptr(true),
			KeepAlive: ptr(true), KeepAliveIf: map[string]bool{"successful exit": false, "after crash": true},
			Environment: map[string]string{"OSLogRateLimit": "64", "PATH": "/usr/bin:/bin"},
		}),
		"service-interval": agent("com.example.hourly-sweep", Job{
			State: StateNotRunning, Path: agents + "com.example.hourly-sweep.plist", Program: "/bin/zsh",
			Arguments: []string{"/bin/zsh", "-lc", "set -eu; exec /opt/example/bin/python /opt/example/sweep.py"},
			Runs:      ptr(7), LastExit: Exit{Kind: ExitCode}, MinimumRuntime: ptr(10 * time.Second), RunAtLoad: ptr(true),
			Environment: map[string]string{"OSLogRateLimit": "64"},
		}),
		"service-never-run": agent("com.example.on-demand", Job{
			State: StateNotRunning, Path: agents + "com.example.on-demand.plist", Program: "/opt/example/bin/on-demand",
			Runs: ptr(0), LastExit: Exit{Kind: ExitNever}, MinimumRuntime: ptr(10 * time.Second), RunAtLoad: ptr(false),
			Environment: map[string]string{"OSLogRateLimit": "64"},
		}),
		"service-jetsam": {
			Target: Target{System(), "com.example.accessory.daemon"}, State: StateNotRunning, Type: "LaunchDaemon",
			Path:      "/System/Library/LaunchDaemons/com.example.accessory.daemon.plist",
			Program:   "/System/Library/PrivateFrameworks/CoreAccessories.framework/Support/accessoryd",
			Arguments: []string{"/System/Library/PrivateFrameworks/CoreAccessories.framework/Support/accessoryd"},
			Runs:      ptr(1), LastExit: Exit{Words: "JETSAM_REASON_MEMORY_IDLE_EXIT"}, MinimumRuntime: ptr(10 * time.Second), ExitTimeout: ptr(5 * time.Second),
			Environment: map[string]string{"MallocSpaceEfficient": "1", "OSLogRateLimit": "64"},
		},
		"service-xpcproxy": agent("com.example.agent", Job{
			PID: 51725, State: StateXPCProxy, Runs: ptr(2), Reason: "non-ipc demand", LastExit: Exit{Kind: ExitSignaled, Signal: 15},
		}),
		"service-spawn-scheduled": agent("com.example.crashing", Job{
			State: StateSpawnScheduled, Runs: ptr(5), LastExit: Exit{Kind: ExitCode, Code: 5},
		}),
		"service-pended": agent("com.example.pended", Job{
			State: StateNotRunning, Runs: ptr(1), Pended: "inefficient", LastExit: Exit{Kind: ExitSignaled, Signal: 9},
		}),
		"service-tahoe-false": agent("com.example.tahoe", Job{
			State: StateNotRunning, Runs: ptr(1), LastExit: Exit{Kind: ExitCode, Code: 78, Words: "78: EX_CONFIG"}, RunAtLoad: ptr(false),
		}),
	}
	for name, j := range want {
		got, err := ParsePrint(sample(t, name))
		if err != nil || !reflect.DeepEqual(got, j) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", name, err, got, j)
		}
	}
	files, err := filepath.Glob("testdata/print/service-*.txt")
	if err != nil || len(files) != len(want) {
		t.Errorf("%d samples, %v", len(files), err)
	}
}

func TestParseDomainSamples(t *testing.T) {
	want := map[string]DomainInfo{
		"domain-gui": {
			Domain: GUI(501), Type: "login", Session: "Aqua", Handle: 100017, Creator: "loginwindow[536]", ActiveCount: ptr(425), ServiceCount: ptr(424),
			Services: []ListEntry{
				{"net.jwpconsulting.postgresql", 887, Exit{Kind: ExitNever}},
				{"com.example.broken", 0, Exit{Kind: ExitCode, Code: 78}},
				{"com.example.killed", 0, Exit{Kind: ExitSignaled, Signal: 9}},
				{"com.example.clean-exit", 0, Exit{Kind: ExitCode}},
				{"com.example.helperd", 4242, Exit{Words: "(pe)"}},
				{"com.example.constructiond", 0, Exit{Words: "(jt)"}},
				{"application.com.apple.RemoteDesktop.53958277.53958923", 97811, Exit{Kind: ExitNever}},
			},
			Overrides: []Override{{"com.apple.rcd", false}, {"com.bjango.istatmenus.agent", true}},
		},
		"domain-system": {
			Domain: System(), Type: "system", Creator: "launchd[1]", ActiveCount: ptr(1043), ServiceCount: ptr(408),
			Services: []ListEntry{{"com.apple.runningboardd", 382, Exit{Kind: ExitNever}}, {"com.apple.lskdd", 0, Exit{Kind: ExitNever}}},
		},
		"domain-user-old": {
			Domain: User(501), Type: "user", Handle: 501, ActiveCount: ptr(418), ServiceCount: ptr(603),
			Services:  []ListEntry{{"com.example.agent", 0, Exit{Kind: ExitCode}}},
			Overrides: []Override{{"com.example.off", false}, {"com.example.on", true}},
		},
	}
	for name, d := range want {
		got, err := ParseDomain(sample(t, name))
		if err != nil || !reflect.DeepEqual(got, d) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", name, err, got, d)
		}
	}
	files, err := filepath.Glob("testdata/print/domain-*.txt")
	if err != nil || len(files) != len(want) {
		t.Errorf("%d samples, %v", len(files), err)
	}
}

// A pid is a job's or it is none: 1 is launchd itself, as in the attributes.
func TestParsePrintPID(t *testing.T) {
	for s, want := range map[string]int{"0": 0, "1": 0, "2": 2, "-1": 0, "2147483647": 1<<31 - 1, "2147483648": 0} {
		j, err := ParsePrint("gui/501/x = {\n\tstate = spawning\n\tpid = " + s + "\n}")
		if err != nil || j.PID != want {
			t.Errorf("%s: %d, %v", s, j.PID, err)
		}
	}
}

func TestParseDomainBroken(t *testing.T) {
	for _, text := range []string{"", "gui/501/label = {\n}\n", "gui = {\n}\n", "services = {\n}\n",
		"gui/501 = {\n\tdisabled services = {\n\t\tx => disabled\n\t}\n}\n", "gui/501 = {\n\tdisabled services = {\n\t\t\"x\" => maybe\n\t}\n}\n",
		"gui/501 = {\n\tdisabled services = {\n\t\t\"x\" => enabled\n}\n"} {
		if d, err := ParseDomain(text); err == nil || !reflect.DeepEqual(d, DomainInfo{}) {
			t.Errorf("%q: %+v, %v", text, d, err)
		}
	}
	// Labels may hold anything but a line break.
	for _, label := range []string{"a b", `"`, `" => disabled`, "ä", "a\tb", "=>"} {
		text := "gui/501 = {\n\tdisabled services = {\n\t\t\"" + label + "\" => enabled\n\t}\n}\n"
		d, err := ParseDomain(text)
		if err != nil || !reflect.DeepEqual(d.Overrides, []Override{{label, true}}) {
			t.Errorf("%q: %+v, %v", label, d, err)
		}
		for _, block := range []string{"\tdisabled services = {\n\t\t\"" + label + "\" => disabled\n\t}\n\tlogin item associations = {\n\t}\n",
			"disabled services = {\n\t\"" + label + "\" => disabled\n}\n"} {
			list, err := parseDisabled(block)
			if err != nil || !reflect.DeepEqual(list, []Override{{label, false}}) {
				t.Errorf("%q: %+v, %v", block, list, err)
			}
		}
	}
	for _, text := range []string{"", "nothing", "disabled services = {\n\t\"x\" => enabled\n", "disabled services = {\n\tx\n}\n", "disabled services = {\n\"x\" => enabled\n}\n"} {
		if list, err := parseDisabled(text); err == nil {
			t.Errorf("%q: %+v", text, list)
		}
	}
}

// A scheduled spawn's seconds, should a launchd print them.
func TestStateWords(t *testing.T) {
	for words, want := range map[string]*time.Duration{
		"spawn scheduled": nil, "spawn scheduled in 7 s": ptr(7 * time.Second), "spawn scheduled (in 7 seconds)": ptr(7 * time.Second),
		"spawn scheduled in": nil, "spawn scheduled in -1 s": nil, "spawn scheduled in x s": nil,
	} {
		j, err := ParsePrint("gui/501/x = {\n\tstate = " + words + "\n}")
		if err != nil || !reflect.DeepEqual(j.SpawnIn, want) || !strings.HasPrefix(string(j.State), "spawn scheduled") {
			t.Errorf("%s: %+v, %v", words, j, err)
		}
	}
}

func FuzzParsePrint(f *testing.F) {
	files, err := filepath.Glob("testdata/print/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, text string) {
		j, err := ParsePrint(text)
		if j.PID < 0 || err != nil && j.PID != 0 || err == nil && labelProblem(j.Target.Label) != "" {
			t.Errorf("%+v, %v", j, err)
		}
		for _, d := range []*time.Duration{j.MinimumRuntime, j.ExitTimeout, j.SpawnIn} {
			if d != nil && *d < 0 {
				t.Errorf("%v", *d)
			}
		}
		if e := j.LastExit; e.Code != 0 && e.Kind != ExitCode || (e.Signal != 0) != (e.Kind == ExitSignaled) {
			t.Errorf("%+v", e)
		}
		d, err := ParseDomain(text)
		if err == nil && d.Domain.IsZero() || err != nil && !reflect.DeepEqual(d, DomainInfo{}) {
			t.Errorf("%+v, %v", d, err)
		}
		for _, e := range d.Services {
			if e.Label == "" || e.PID < 0 {
				t.Errorf("%+v", e)
			}
		}
		parseDisabled(text)
	})
}
