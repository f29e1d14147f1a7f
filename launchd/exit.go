package launchd

import (
	"strconv"
	"strings"
)

// ExitKind says which kind of [Exit] it is.
type ExitKind uint8

// The kinds of Exit.
const (
	ExitUnknown  ExitKind = iota // launchd did not say, or in words of unknown meaning
	ExitNever                    // no process of the job has ended since it was loaded
	ExitCode                     // the process called exit
	ExitSignaled                 // a signal ended the process
)

// Exit is how the last process of a job ended. The zero Exit says that launchd did not
// tell.
type Exit struct {
	Kind   ExitKind // which of the fields below counts
	Code   int      // with ExitCode: 0 to 255
	Signal Signal   // with ExitSignaled
	// Words are launchd's own, where they say more than the fields above:
	// "78: EX_CONFIG", "(abandoned)", "(pe)".
	Words string
}

// Failed reports whether the process ended in any way but exit 0; false if that is not
// known.
func (e Exit) Failed() bool { return e.Kind == ExitSignaled || e.Kind == ExitCode && e.Code != 0 }

// String returns what launchctl print shows: "0", "78: EX_CONFIG", "Terminated: 15",
// "(never exited)"; "" if nothing is known.
func (e Exit) String() string {
	switch {
	case e.Words != "":
		return e.Words
	case e.Kind == ExitNever:
		return neverExited
	case e.Kind == ExitCode:
		return strconv.Itoa(e.Code)
	case e.Kind == ExitSignaled:
		return e.Signal.describe()
	}
	return ""
}

const neverExited = "(never exited)"

// exitCodeWords reads the value of print's "last exit code" (launchd-protocol.md 6.2):
// a number, a number with its name from sysexits.h, or words in parentheses.
func exitCodeWords(s string) Exit {
	digits, _, named := strings.Cut(s, ": ")
	code, err := strconv.Atoi(digits)
	switch {
	case s == neverExited:
		return Exit{Kind: ExitNever}
	case err != nil || code < 0 || code > 0xff:
		return Exit{Words: s}
	case named:
		return Exit{Kind: ExitCode, Code: code, Words: s}
	}
	return Exit{Kind: ExitCode, Code: code}
}

// exitSignalWords reads the value of print's "last terminating signal": "Terminated: 15".
func exitSignalWords(s string) Exit {
	n, err := strconv.Atoi(s[strings.LastIndex(s, " ")+1:])
	if err != nil || n < 1 || n > maxSignal {
		return Exit{Words: s}
	}
	e := Exit{Kind: ExitSignaled, Signal: Signal(n)}
	if e.String() != s {
		e.Words = s
	}
	return e
}

// exitStatus takes a status of wait(2) apart, by Darwin's layout (sys/wait.h), which is
// Linux's too: the signal in the low 7 bits, else the exit code in the next 8.
func exitStatus(raw int64) Exit {
	signal := int(raw & 0x7f)
	switch {
	case raw < 0 || raw > 0xffff || signal == 0x7f:
		return Exit{Words: "?"} // launchd has special values above these, of unknown meaning
	case signal != 0:
		return Exit{Kind: ExitSignaled, Signal: Signal(signal)}
	}
	return Exit{Kind: ExitCode, Code: int(raw >> 8)}
}

// rowStatus reads the status of a row of a domain's list (launchd-protocol.md 6.3a): "-"
// for a job that never exited, its exit code, a negative signal number, or words.
func rowStatus(s string) Exit {
	if s == "-" {
		return Exit{Kind: ExitNever}
	}
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		return Exit{Words: s}
	case n < 0 && n >= -maxSignal:
		return Exit{Kind: ExitSignaled, Signal: Signal(-n)}
	case n < 0 || n > 0xff:
		return Exit{Words: s}
	}
	return Exit{Kind: ExitCode, Code: n}
}
