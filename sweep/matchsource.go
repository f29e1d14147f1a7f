package sweep

import "strings"

// bootstrapped returns the module or file of Hermes that the source of python -c runs in its
// own process, "" if it runs none.
//
// Source: hermes_cli/_launchers.py (runtime_command, _launcher_script) and hermes_cli/venv_sync.py
// (relaunch_command) of hermes-agent. They end with runpy.run_module('M', ...),
// with runpy.run_path('F', ...), or import main from M and call it; a relaunched launcher has
// that text within exec('...').
func bootstrapped(source string) string {
	source = strings.TrimSpace(source)
	if !strings.HasPrefix(source, "import ") { // print("...") and the like only quote one
		return ""
	}
	last := func(mark string) (string, bool) {
		i := strings.LastIndex(source, mark)
		if i < 0 {
			return "", false
		}
		return source[i+len(mark):], true
	}
	for _, call := range []string{"runpy.run_path(", "runpy.run_module("} {
		// What run_module is given in the launcher is a variable, its switch --run-module.
		if rest, ok := last(call); ok && rest != "" && (rest[0] == '\'' || rest[0] == '"') {
			name, _, ok := pythonString(rest)
			if !ok {
				return ""
			}
			return name
		}
	}
	if rest, ok := last("from hermes_cli.main import main"); ok && strings.Contains(rest, "main()") {
		return "hermes_cli.main"
	}
	return ""
}

// assignedArgs returns what a source assigns to sys.argv, without the first, if it is a list of
// texts: with hermes_cli/venv_sync.py of hermes-agent nothing of it is an argument.
func assignedArgs(source string) ([]string, bool) {
	_, rest, ok := strings.Cut(source, "; sys.argv = [")
	if !ok {
		return nil, false
	}
	args := []string{}
	for first := true; ; first = false {
		word, after, ok := pythonString(rest)
		if !ok {
			return nil, true // computed: nothing is known
		}
		if !first {
			args = append(args, word)
		}
		if rest, ok = strings.CutPrefix(after, ", "); !ok {
			return args, strings.HasPrefix(after, "]")
		}
	}
}

// pythonString reads the text that s begins with, as Python's repr writes it, and returns
// what follows. Escapes other than those of quotes and backslashes stay as they are.
func pythonString(s string) (text, rest string, ok bool) {
	if s == "" || s[0] != '\'' && s[0] != '"' {
		return "", s, false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			if i++; s[i] != '\\' && s[i] != '\'' && s[i] != '"' {
				b.WriteByte('\\')
			}
		}
		b.WriteByte(s[i])
	}
	return "", s, false
}
