package sweep

import "fmt"

// Variable reads one variable of the environment that a process was started with: HERMES_HOME
// tells whose gateway one is. What the process made of its environment since is not seen.
// (Linux: /proc/PID/environ; macOS: behind the arguments in sysctl KERN_PROCARGS2.)
//
// The error wraps [ErrGone] or [ErrUnreadable]; macOS shows no environment of other users'
// processes, nor of those that System Integrity Protection covers. The value is of the process
// that id names, or there is none.
func Variable(id Identity, name string) (value string, set bool, err error) {
	var t Table
	environ, err := t.readEnvironment(id.PID)
	if gone := same(id); gone != nil { // a kernel gives that of whoever has the pid now
		err = gone
	}
	// Nothing at all is what a system says that shows none: a process has some variable.
	if err == nil && (len(environ) == 0 || environ[0] == 0) {
		err = fmt.Errorf("%w: no environment is shown", ErrUnreadable)
	}
	if err != nil {
		return "", false, fmt.Errorf("process %d: %w", id.PID, err)
	}
	value, set = variable(environ, name)
	return value, set, nil
}
