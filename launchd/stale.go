package launchd

import (
	"strings"
	"time"
)

// Differs returns the keys of p that say something else than the job as launchd has it, in
// alphabetical order: what a reload would change. Only what both tell is compared, so no key is
// no proof that they are the same; sockets, Mach services and calendar times, for instance, are
// not in the print text in a form that can be compared.
//
// launchd raises and lowers some times itself (in a gui domain an ExitTimeOut is 60 s at
// most), and adds variables of its own to the environment: neither is a difference. Nor is the
// value of PATH, which the writer's own environment decides.
func (j Job) Differs(p *Plist) (keys []string) {
	differs := func(key string, is bool) {
		if is {
			keys = append(keys, key)
		}
	}
	differs("EnvironmentVariables", j.Type != "" && environmentDiffers(j.Environment, p.EnvironmentVariables))
	if p.ExitTimeOut != nil && j.ExitTimeout != nil {
		want := time.Duration(*p.ExitTimeOut) * time.Second
		clamped := j.Target.Domain.kind == kindGUI && want > maxExitTimeout && *j.ExitTimeout == maxExitTimeout
		differs("ExitTimeOut", want != *j.ExitTimeout && !clamped)
	}
	if j.KeepAlive != nil || j.KeepAliveIf != nil {
		differs("KeepAlive", keepAliveDiffers(j, p.KeepAlive))
	}
	if p.Program != "" && j.Program != "" {
		differs("Program", p.Program != j.Program)
	}
	if len(p.ProgramArguments) > 0 && len(j.Arguments) > 0 {
		differs("ProgramArguments", argumentsDiffer(j.Arguments, p.ProgramArguments))
	}
	if j.RunAtLoad != nil && j.KeepAlive == nil { // KeepAlive implies it
		differs("RunAtLoad", p.RunAtLoad != *j.RunAtLoad)
	}
	if p.ThrottleInterval != nil && j.MinimumRuntime != nil {
		differs("ThrottleInterval", time.Duration(*p.ThrottleInterval)*time.Second != *j.MinimumRuntime)
	}
	return keys
}

// maxExitTimeout is what launchd takes for more in a gui domain: hermes.md 1.2, measured.
const maxExitTimeout = 60 * time.Second

func environmentDiffers(loaded, file map[string]string) bool {
	for name, value := range file {
		have, ok := loaded[name]
		first, _, _ := strings.Cut(value, "\n") // print has no more of it
		if !ok || name != "PATH" && strings.TrimSpace(have) != strings.TrimSpace(first) {
			return true
		}
	}
	return false
}

// keepAliveDiffers compares what can be compared: whether there is a KeepAlive, and the two
// conditions that print shows.
func keepAliveDiffers(j Job, k *KeepAlive) bool {
	loaded := j.KeepAlive != nil && *j.KeepAlive || len(j.KeepAliveIf) > 0
	if k == nil {
		return loaded
	}
	if j.Type == "" { // from the attributes, which have no conditions
		return !loaded
	}
	if k.Always {
		return !loaded || len(j.KeepAliveIf) > 0
	}
	for name, want := range map[string]*bool{"successful exit": k.SuccessfulExit, "after crash": k.Crashed} {
		if have, ok := j.KeepAliveIf[name]; ok != (want != nil) || want != nil && have != *want {
			return true
		}
	}
	return false
}

// argumentsDiffer compares argv as far as print can be read: launchd does not escape line
// breaks, so that what follows the first one cannot be told apart.
func argumentsDiffer(loaded, file []string) bool {
	for i, arg := range file {
		first, _, cut := strings.Cut(arg, "\n")
		if i >= len(loaded) || strings.TrimSpace(loaded[i]) != strings.TrimSpace(first) {
			return true
		}
		if cut {
			return len(loaded) < len(file)
		}
	}
	return len(loaded) != len(file)
}
