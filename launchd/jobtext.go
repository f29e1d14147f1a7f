package launchd

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// ErrContradiction: a print text says two things about a job's process. launchd does not
// escape what it prints, so whoever writes a job's arguments can forge lines.
var ErrContradiction = errors.New("the text contradicts itself about the job's process")

// ParsePrint reads what launchctl print says of a job, and [Client.Print] returns (708).
// Only lines of exactly one tab are the job's own: blocks have fields named state and
// pid, too. Fields that are not known are passed over.
//
// The Target is the text's first line; systems before macOS 11 print the label alone,
// then its Domain is zero. The error says that it is no such text, or that its end is
// missing.
//
// A field that stands there twice with different values is left out. If that is the pid
// or the state, or a job that does not run has a pid, the error is [ErrContradiction] and
// the Job has no PID; all else in it is as good as it can be.
//
// Sources: launchd-protocol.md 6.2 and 6.3, testdata/print.
func ParsePrint(text string) (Job, error) {
	p, err := readPrinted(text)
	if err != nil {
		return Job{}, err
	}
	t, err := ParseTarget(p.header)
	if err != nil {
		t = Target{Label: p.header}
		if problem := labelProblem(t.Label); problem != "" {
			return Job{}, fmt.Errorf("%w: it is about %q, a label that %s", errNotPrinted, clip(p.header), problem)
		}
	}
	j, _, err := p.job(t)
	return j, err
}

// definitionText is what a print text tells of a job's definition, and is of no other use.
type definitionText struct {
	fields      map[string]string
	environment map[string]string // nil when there is no such block
	properties  []string          // nil when there is no such line
}

// job reads the lines of a job.
func (p printed) job(t Target) (j Job, d definitionText, err error) {
	fields := make(map[string]string, 32)
	forged := make(map[string]bool)
	j.Target = t
	for {
		name, value, ok := p.field()
		if !ok {
			break
		}
		switch {
		case value != "{":
			if old, twice := fields[name]; twice && old != value {
				forged[name] = true
			}
			fields[name] = value
		case name == "arguments" && j.Arguments == nil:
			j.Arguments = p.items()
		case name == "environment" && d.environment == nil:
			d.environment = p.pairs()
		case name == "semaphores" && j.KeepAliveIf == nil:
			j.KeepAliveIf = conditions(p.pairs())
		}
	}
	for name := range forged {
		delete(fields, name)
	}

	d.fields, j.Environment = fields, own(d.environment)
	j.State, j.SpawnIn = stateWords(fields["state"])
	j.Type = fields["type"]
	j.Path = fields["path"]
	j.Program = fields["program"]
	j.Reason = fields["immediate reason"]
	for _, name := range []string{"pended spawn", "pended nondemand spawn"} {
		if s := fields[name]; s != "" && s != "false" { // some print false, others nothing: testdata/print
			j.Pended = s
		}
	}
	if s := fields["last exit code"]; s != "" {
		j.LastExit = exitCodeWords(s)
	} else if s := fields["last terminating signal"]; s != "" {
		j.LastExit = exitSignalWords(s)
	} else if s := fields["last exit reason"]; s != "" {
		j.LastExit = Exit{Words: s}
	}
	if n, ok := count(fields["runs"]); ok {
		j.Runs = &n
	}
	j.MinimumRuntime = seconds(fields["minimum runtime"])
	j.ExitTimeout = seconds(fields["exit timeout"])
	if s, ok := fields["properties"]; ok {
		d.properties = strings.Split(s, " | ")
		runAtLoad := slices.Contains(d.properties, "runatload")
		j.RunAtLoad = &runAtLoad
		// A KeepAlive with conditions has a block of semaphores instead of the word.
		keepAlive := slices.Contains(d.properties, "keepalive") || len(j.KeepAliveIf) > 0
		if keepAlive {
			j.KeepAlive = &keepAlive
		}
	}
	pid, _ := count(fields["pid"])
	if forged["pid"] || forged["state"] || pid > 0 && (j.State == StateNotRunning || j.State == StateSpawnScheduled) {
		return j, d, ErrContradiction
	}
	if pid > 1 { // 1 is launchd
		j.PID = pid
	}
	return j, d, nil
}

// own are the variables of a job's definition: launchd adds one of its own when it prints
// them. nil if there is no other.
func own(environment map[string]string) map[string]string {
	env := maps.Clone(environment)
	delete(env, "XPC_SERVICE_NAME")
	if len(env) == 0 {
		return nil
	}
	return env
}

// stateWords reads the value of state, with the seconds until a scheduled spawn if it has
// any.
func stateWords(s string) (State, *time.Duration) {
	switch rest, scheduled := strings.CutPrefix(s, string(StateSpawnScheduled)); {
	case s == "spawned": // where no xpcproxy is used
		return StateXPCProxy, nil
	case scheduled && rest != "":
		if words := strings.Fields(strings.Trim(rest, " ()")); len(words) > 1 && words[0] == "in" {
			return StateSpawnScheduled, seconds(words[1])
		}
	}
	return State(s), nil
}

// conditions reads the rows of a semaphores block that are a number, 0 or 1.
func conditions(rows map[string]string) map[string]bool {
	are := map[string]bool{}
	for name, value := range rows {
		if value == "0" || value == "1" {
			are[name] = value == "1"
		}
	}
	return are
}

// items takes the lines of a block.
func (p *printed) items() []string {
	items := []string{}
	for {
		item, ok := p.inside()
		if !ok {
			return items
		}
		items = append(items, item)
	}
}

// pairs takes the lines of a block of "name => value".
func (p *printed) pairs() map[string]string {
	pairs := map[string]string{}
	for {
		item, ok := p.inside()
		if !ok {
			return pairs
		}
		if name, value, ok := strings.Cut(item, " => "); ok {
			pairs[name] = value
		}
	}
}
