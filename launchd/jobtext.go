package launchd

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// parseJob reads a job's print text. Its fields are lines of exactly one tab, name,
// " = ", value; deeper lines belong to blocks, which have fields named state and pid of
// their own (launchd-protocol.md 6.2).
//
// launchd does not escape what it prints, so an argument or a name with a line break
// can forge any line. A field that stands there twice with different values is
// therefore left out, and so is the pid of a job that is said not to run; sound is
// false when the pid was.
func parseJob(t Target, text string) (j Job, sound bool) {
	fields := make(map[string]string)
	forged := make(map[string]bool)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		name, value, ok := ownField(line)
		if !ok {
			continue
		}
		if value == "{" {
			if name == "arguments" && j.Arguments == nil {
				j.Arguments = block(lines[i+1:])
			}
			continue
		}
		if old, twice := fields[name]; twice && old != value {
			forged[name] = true
		}
		fields[name] = value
	}
	for name := range forged {
		delete(fields, name)
	}

	j.Target = t
	if j.State = State(fields["state"]); j.State == "spawned" {
		j.State = StateXPCProxy
	}
	j.Type = fields["type"]
	j.Path = fields["path"]
	j.Program = fields["program"]
	if s := fields["last exit code"]; s != "" {
		j.LastExit = exitCodeWords(s)
	} else if s := fields["last terminating signal"]; s != "" {
		j.LastExit = exitSignalWords(s)
	}
	if n, ok := count(fields["runs"]); ok {
		j.Runs = &n
	}
	j.MinimumRuntime = seconds(fields["minimum runtime"])
	j.ExitTimeout = seconds(fields["exit timeout"])
	if p, ok := fields["properties"]; ok {
		words := strings.Split(p, " | ")
		runAtLoad := slices.Contains(words, "runatload")
		j.RunAtLoad = &runAtLoad
		// A KeepAlive with conditions does not have the word.
		if slices.Contains(words, "keepalive") {
			always := true
			j.KeepAlive = &always
		}
	}
	pid, _ := count(fields["pid"])
	contradiction := forged["pid"] || forged["state"] || pid > 0 && (j.State == StateNotRunning || j.State == StateSpawnScheduled)
	if !contradiction {
		j.PID = pid
	}
	return j, !contradiction
}

// ownField splits a line of exactly one tab.
func ownField(line string) (name, value string, ok bool) {
	line, ok = strings.CutPrefix(line, "\t")
	if !ok || strings.HasPrefix(line, "\t") {
		return "", "", false
	}
	return strings.Cut(line, " = ")
}

// block returns the lines of a block, up to its closing brace.
func block(lines []string) []string {
	items := []string{}
	for _, line := range lines {
		item, ok := strings.CutPrefix(line, "\t\t")
		if !ok {
			break
		}
		items = append(items, item)
	}
	return items
}

func count(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, false // n is the largest number then
	}
	return int(n), true
}

// seconds reads a whole number of seconds, nil if s is none.
func seconds(s string) *time.Duration {
	n, ok := count(s)
	if !ok {
		return nil
	}
	d := time.Duration(n) * time.Second
	return &d
}
