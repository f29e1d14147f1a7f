// Package sweep finds processes by what they are, says what it would do about them,
// signals exactly those and proves that they are gone.
//
// A [Table] is one look at the system's processes; arguments are read one by one, and only
// for what is left after [Candidate]. A [Matcher] tells what a process is by its argv, token
// by token, never by text. A [Plan] says which are to be signalled and which are spared,
// and why; [Run] carries it out. [Survey] makes a plan from a list of launchd's jobs, in the
// order that loses no job; [NewPlan] makes one from a table.
//
// Every signal is bound to an [Identity]: a process that got the pid of another in between is
// never hit. The caller, its ancestors and its process group, pids 0 and 1, other users'
// processes and whatever launchd manages are never signalled; nor is what cannot be known: a
// process whose arguments or ancestors cannot be read, or anything at all if the caller's own
// ancestors cannot. All of that is decided in one place, [Options] is what it is decided
// by, and Run decides once more by the same right before each signal.
//
// Linux and macOS are served; elsewhere it builds, and errors wrap [errors.ErrUnsupported].
package sweep
