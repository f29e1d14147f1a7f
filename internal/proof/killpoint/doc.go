// Package killpoint runs a program and kills it (SIGKILL) right before its k-th system
// call, so that a test can ask of every point between two effects what a program leaves
// behind that dies there. It needs Linux 5.3 or later on amd64 or arm64, and ptrace(2).
//
//	trace, err := killpoint.Count(ctx, command())
//	for k := 1; k <= len(trace.Calls); k++ {
//		result, err := killpoint.Kill(ctx, command(), k)
//		// result.Killed: calls 1 to k-1 were made, no other; result.Next was not.
//	}
//
// # What is counted
//
// The system calls of the program's own process, of all its threads, from its exec on,
// in the order in which they are entered. Each thread is stopped at the entry of a call
// until its number was given, so a kill before call k lets in exactly k-1.
//
// Not counted is what a runtime does for itself and what nobody outside can see: locks,
// sleeps, clocks, waits for readiness, signal masks and handlers, memory, scheduling,
// threads that begin and end. The list, with a reason for each group, is in
// noise_linux.go. A call that both a runtime and a program make is counted.
//
// Child processes are followed, and told apart: what they call is not numbered. They do
// not outlive the run, whichever session or group they have moved to: what is left of them
// is killed once the program has ended.
//
// A call that writes a request frame of the embedded launchd is known as such, by the
// frame's own form: see [Call].Routine.
//
// # What is not claimed
//
// Two runs of a program with several threads seldom make the same calls in the same
// order, nor the same number of them. So k is a place in this run only; [Result] says what
// the run did before it was killed. A k beyond the last call is no error: the program
// ran to completion, and [Result].Killed is false.
//
// A kill is at a call's entry, not within one: a call that another thread has entered
// before may be anywhere in it. What happens without calls (memory that is shared, a page
// written to a mapped file) has no number. A program is slower under ptrace, by a few
// microseconds a call, and a set-user-ID program does not get its privileges. A program
// of another architecture than the kernel's native one (32 bits) is counted in full,
// without names and without leaving anything out.
package killpoint
