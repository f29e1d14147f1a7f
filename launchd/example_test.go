package launchd_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/launchd/launchdtest"
)

// started is an embedded launchd with one job; on a Mac, launchd.Open(ctx,
// launchd.Options{}) gives a Client of the real one.
func started() (client *launchd.Client, job launchd.Target, done func()) {
	l, err := launchdtest.New()
	if err != nil {
		log.Fatal(err)
	}
	return l.Client, l.Job("org.example.agent", "/bin/sleep", "1000"), func() { l.Close() }
}

func ExampleClient_List() {
	client, job, done := started()
	defer done()
	jobs, err := client.List(context.Background(), job.Domain)
	if err != nil {
		log.Fatal(err)
	}
	for _, j := range jobs {
		fmt.Println(j.Label, j.LastExit)
	}
	// Output: org.example.agent (never exited)
}

func ExampleClient_Job() {
	client, job, done := started()
	defer done()
	j, err := client.Job(context.Background(), job)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(j.Running(), j.Program)

	job.Label = "org.example.other"
	_, err = client.Job(context.Background(), job)
	fmt.Println(errors.Is(err, launchd.ErrNotLoaded))
	// Output:
	// true /bin/sleep
	// true
}

// A property list is written, looked at and loaded; a second load says what is wrong.
func ExampleClient_Bootstrap() {
	client, job, done := started()
	defer done()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	path := filepath.Join(dir, "org.example.second.plist")
	p := &launchd.Plist{
		Label:            "org.example.second",
		ProgramArguments: []string{"/bin/sleep", "1000"},
		RunAtLoad:        true,
		KeepAlive:        &launchd.KeepAlive{Always: true},
	}
	if err := p.WriteFile(path); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	fmt.Println(client.Bootstrap(ctx, job.Domain, path))

	err = client.Bootstrap(ctx, job.Domain, path)
	fmt.Println(errors.Is(err, launchd.ErrAlreadyLoaded))
	if e, ok := errors.AsType[*launchd.Error](err); ok {
		fmt.Println(e.Remedy())
	}
	// Output:
	// <nil>
	// true
	// The job is loaded already: restart it, or unload it first if its property list changed.
}

func ExampleLint() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "org.example.agent.plist")
	const text = `<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict>
	<key>Label</key><string>org.example.agent</string>
	<key>ProgramArguments</key><array><string>/bin/sh</string></array>
	<key>Keepalive</key><true/>
	<key>RunAtLoad</key><string>yes</string>
</dict></plist>`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		log.Fatal(err)
	}
	found, err := launchd.Lint(path, launchd.LintOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range found {
		fmt.Println(f)
	}
	// Output:
	// warning: Keepalive: launchd does not know this key and ignores it. Write KeepAlive if that is meant. [unknown-key]
	// error: RunAtLoad: it is a string, so launchd does not take it. Write a boolean. [wrong-type]
}

func ExampleParsePrint() {
	const text = `gui/501/org.example.agent = {
	path = /Users/u/Library/LaunchAgents/org.example.agent.plist
	state = spawn scheduled

	program = /opt/example/bin/agent
	minimum runtime = 10
	runs = 5
	last exit code = 78: EX_CONFIG

	resource coalition = {
		state = active
	}
}
`
	j, err := launchd.ParsePrint(text)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(j.Target, j.State, *j.Runs, j.LastExit, j.LastExit.Code, *j.MinimumRuntime)
	// Output: gui/501/org.example.agent spawn scheduled 5 78: EX_CONFIG 78 10s
}

// A list that is read and written again keeps what this package does not know.
func ExampleReadPlist() {
	p, err := launchd.ParsePlist([]byte(`<plist version="1.0"><dict>
	<key>Label</key><string>org.example.agent</string>
	<key>com.example.Note</key><string>kept</string>
</dict></plist>`))
	if err != nil {
		log.Fatal(err)
	}
	seconds := 30
	p.ThrottleInterval = &seconds
	b, err := p.Encode()
	fmt.Println(err, strings.Contains(string(b), "<key>com.example.Note</key>"), p.Extra["com.example.Note"])
	// Output: <nil> true kept
}

// Watch tells what happens to a job, exits by event.
func ExampleClient_Watch() {
	client, job, done := started()
	defer done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for e, err := range client.Watch(ctx, job) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Kind)
		switch e.Kind {
		case launchd.EventSpawned:
			if _, err := client.Stop(ctx, job); err != nil {
				log.Fatal(err)
			}
		case launchd.EventUnloaded:
			return
		}
	}
	// Output:
	// loaded
	// spawned
	// exited
	// unloaded
}
