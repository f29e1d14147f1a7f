package launchd

import (
	"fmt"
	"strings"
	"time"
)

// ThrottledError says that the old process has exited, that launchd holds the next start of the
// job back, and that this was not waited for. launchd starts the job all the same.
type ThrottledError struct {
	Target Target
	For    time.Duration // that the start was held back, when that was seen
	Why    string        // why launchd could not be asked to start it at once
	Err    error         // what ended the wait
}

// Error reads "restart gui/501/x: the old process has exited, and launchd holds the next start back
// for up to 8.2s: the time is up", with Why behind it.
func (e *ThrottledError) Error() string {
	text := fmt.Sprintf("restart %s: the old process has exited, and launchd holds the next start back for up to %v: %v",
		e.Target, e.For.Round(time.Second/10), e.Err)
	if e.Why != "" {
		text += "; it could not be asked to start it at once: " + e.Why
	}
	return text
}

// Unwrap returns Err.
func (e *ThrottledError) Unwrap() error { return e.Err }

// Remedy says what to do.
func (e *ThrottledError) Remedy() string {
	return strings.ReplaceAll("launchd starts it by itself by then: look with hermes-gw status TARGET, or give it longer with --timeout.", "TARGET", printable(e.Target.String()))
}
