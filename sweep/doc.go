// Package sweep finds processes by what they are, says what it would do about them,
// signals exactly those and proves that they are gone.
//
// A [Table] is one look at the system's processes; arguments are read one by one, and only
// for what is left after [Candidate]. A [Matcher] tells what a process is by its argv, token
// by token, never by text. [Plan] then says which are to be signalled and which are spared,
// and why; [Run] carries a plan out.
//
// Every signal is bound to an [Identity]: a process that got the pid of another in between is
// never hit. The caller, its ancestors and its process group, pids 0 and 1, other users'
// processes and whatever launchd manages are never signalled.
//
// Linux and macOS are served; elsewhere errors are [errors.ErrUnsupported].
package sweep
