package launchd

import "fmt"

// StateDirError says that the notes of a reload cannot be kept, so that nothing was sent: without
// them nobody could go on with it after a crash.
type StateDirError struct {
	Target Target
	Dir    string // ReloadOptions.StateDir
	Err    error
}

// Error reads "reload gui/501/x: its notes cannot be kept in /dir, and nothing was sent: " and Err.
func (e *StateDirError) Error() string {
	return fmt.Sprintf("reload %s: its notes cannot be kept in %s, and nothing was sent: %v", printable(e.Target.String()), printable(e.Dir), e.Err)
}

// Unwrap returns Err.
func (e *StateDirError) Unwrap() error { return e.Err }

// Remedy says in one sentence what to do about it.
func (e *StateDirError) Remedy() string {
	return "Mend that, or have hermes-gw keep them in another folder of that user's: HERMES_GW_STATE_DIR=PATH, an absolute path."
}

func (r *reload) noNotes(err error) error {
	return &StateDirError{Target: r.t, Dir: r.o.StateDir, Err: err}
}
