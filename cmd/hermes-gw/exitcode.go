package main

import (
	"slices"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// Exit codes. README and scripts rely on them; a code never changes its meaning.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitSome        = 3
	exitRequested   = 4
	exitNotThere    = 5
	exitRefused     = 6
	exitNotReady    = 7
	exitUnknown     = 8
	exitHungUp      = 129
	exitInterrupted = 130
	exitTerminated  = 143
)

// exitRow says what a code means and which outcomes lead to it.
type exitRow struct {
	code     int
	outcomes []launchd.Outcome
	meaning  string
}

// exitTable is the one table of exit codes: results are judged by it and help
// prints it.
func exitTable() []exitRow {
	return []exitRow{
		{exitOK, []launchd.Outcome{launchd.OutcomeRestarted, launchd.OutcomeStarted, launchd.OutcomeAlreadyRestarting, launchd.OutcomeStopped},
			"done: restarted, started, already-restarting, stopped, or shown by status; probe has asked everything"},
		{exitFailed, []launchd.Outcome{launchd.OutcomeFailed}, "failed"},
		{exitUsage, []launchd.Outcome{outcomeUsage}, "the command line was not understood; nothing was sent"},
		{exitSome, nil, "some of several jobs failed; probe has some questions without an answer"},
		{exitRequested, []launchd.Outcome{launchd.OutcomeRequested}, "requested: this command runs inside the job and ends with it"},
		{exitNotThere, []launchd.Outcome{launchd.OutcomeNotLoaded, launchd.OutcomeDisabled, launchd.OutcomeNoSession},
			"not-loaded, disabled or no-session; status found no job"},
		{exitRefused, []launchd.Outcome{launchd.OutcomeRefused, launchd.OutcomeBusy, launchd.OutcomeProtected, launchd.OutcomeForeign, launchd.OutcomeAmbiguousDomain},
			"refused, busy, protected, foreign or ambiguous-domain"},
		{exitNotReady, []launchd.Outcome{launchd.OutcomeNotReady, launchd.OutcomeFlapping, launchd.OutcomeParked, launchd.OutcomeThrottled},
			"not-ready, flapping, parked or throttled"},
		{exitUnknown, []launchd.Outcome{launchd.OutcomeUnknown}, "unknown: launchd has the request, its answer did not come"},
		{exitHungUp, nil, "ended by SIGHUP: the terminal is gone"},
		{exitInterrupted, nil, "ended by SIGINT"},
		{exitTerminated, nil, "ended by SIGTERM"},
	}
}

// exitOf is the exit code of one job's outcome. One that the table does not name is
// a failure.
func exitOf(o launchd.Outcome) int {
	for _, row := range exitTable() {
		if slices.Contains(row.outcomes, o) {
			return row.code
		}
	}
	return exitFailed
}

// overall joins the exit codes of several jobs: their common code; 4 among
// successes; 3 when some failed; 1 when all failed, not all in one way.
func overall(codes []int) int {
	good := func(c int) bool { return c == exitOK || c == exitRequested }
	some, all, code := false, true, exitOK
	for i, c := range codes {
		switch {
		case good(c):
			all = false
		case some && code != c:
			code = exitFailed
		default:
			some, code = true, c
		}
		if !some {
			code = max(code, codes[i])
		}
	}
	if some && !all {
		return exitSome
	}
	return code
}
