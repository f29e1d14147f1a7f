package launchd

import "context"

// StartResult is what [Client.Start] saw, filled in as far as is known when there is
// an error too.
type StartResult struct {
	Target     Target
	Outcome    Outcome // OutcomeStarted, or why not
	PID        int     // the job's process
	Loaded     bool    // this call loaded the job
	WasRunning bool    // PID ran before
	Warnings   []string
}

// StopResult is what [Client.Stop] saw, filled in as far as is known when there is
// an error too.
type StopResult struct {
	Target  Target
	Outcome Outcome // OutcomeStopped, or why not
	Old     int     // the process that was stopped; 0 when there was none
}

// Start makes sure that a job is loaded and runs; path is its plist, used only if it
// is not loaded.
func (c *Client) Start(ctx context.Context, t Target, path string) (StartResult, error) {
	return StartResult{Target: t, Outcome: OutcomeFailed}, errTODO
}

// Stop unloads a job and waits until it is gone.
func (c *Client) Stop(ctx context.Context, t Target) (StopResult, error) {
	return StopResult{Target: t, Outcome: OutcomeFailed}, errTODO
}
