package launchd

import "fmt"

// timeRules are about seconds, and about the calendar.
var timeRules = []rule{
	// launchd-protocol.md 1.5: the delay is the interval less the time since the last start.
	{"throttle-short", "ThrottleInterval is not below 10 s", false, func(l *lint, report func(key, problem, fix string)) {
		if n := l.plist.ThrottleInterval; n != nil && *n >= 0 && *n < 10 {
			report("ThrottleInterval", fmt.Sprintf("%d s lets a job that fails at once start that often; launchd's own is 10", *n), "Write 10 or more, or remove it")
		}
	}},
	// jdx/mise#12918: 300 s held back a kickstart, too.
	{"throttle-long", "ThrottleInterval is not above 60 s", false, func(l *lint, report func(key, problem, fix string)) {
		if n := l.plist.ThrottleInterval; n != nil && *n > 60 {
			report("ThrottleInterval", fmt.Sprintf("after a failure the job stays down for up to %d s, and a kickstart waits, too, unless it says unthrottle", *n), "Write 60 or less")
		}
	}},
	// NousResearch/hermes-agent#119598: 215 and 90 became 60, 30 stayed.
	{"exit-timeout-clamped", "ExitTimeOut is not above 60 s in a graphical session", false, func(l *lint, report func(key, problem, fix string)) {
		if n := l.plist.ExitTimeOut; n != nil && *n > 60 && l.domain.kind == kindGUI {
			report("ExitTimeOut", fmt.Sprintf("launchd gives a job of a graphical session 60 s at most, not %d: reported of macOS 26", *n), "Write 60 or less, and finish by then")
		}
	}},
	{"exit-timeout-unbounded", "ExitTimeOut is not 0", false, func(l *lint, report func(key, problem, fix string)) {
		if n := l.plist.ExitTimeOut; n != nil && *n == 0 {
			report("ExitTimeOut", "0 is for ever: a process that does not exit is never killed, and blocks every restart", "Write the seconds that a clean end takes")
		}
	}},
	{"negative", "no number of seconds is negative", true, func(l *lint, report func(key, problem, fix string)) {
		for _, n := range []struct {
			key string
			n   *int
		}{{"ThrottleInterval", l.plist.ThrottleInterval}, {"ExitTimeOut", l.plist.ExitTimeOut}, {"StartInterval", &l.plist.StartInterval}} {
			if n.n != nil && *n.n < 0 {
				report(n.key, "it is negative", "Write a number of seconds")
			}
		}
	}},
	{"interval-zero", "StartInterval is not 0", false, func(l *lint, report func(key, problem, fix string)) {
		if n, ok := integer(l.keys["StartInterval"]); ok && n == 0 {
			report("StartInterval", "0 never starts the job", "Write the seconds from one start to the next, or remove it")
		}
	}},
	{"calendar-range", "calendar fields are in range", true, func(l *lint, report func(key, problem, fix string)) {
		for i, c := range l.plist.StartCalendarInterval {
			for _, f := range []struct {
				name      string
				n         *int
				low, high int
			}{{"Minute", c.Minute, 0, 59}, {"Hour", c.Hour, 0, 23}, {"Day", c.Day, 1, 31}, {"Weekday", c.Weekday, 0, 7}, {"Month", c.Month, 1, 12}} {
				if f.n != nil && (*f.n < f.low || *f.n > f.high) {
					report(l.calendarKey(i)+"."+f.name, fmt.Sprintf("%d is no %s, so this time never comes", *f.n, f.name), fmt.Sprintf("Write %d to %d", f.low, f.high))
				}
			}
		}
	}},
	{"calendar-every-minute", "a calendar interval says when", false, func(l *lint, report func(key, problem, fix string)) {
		for i, c := range l.plist.StartCalendarInterval {
			if c.Minute == nil {
				report(l.calendarKey(i), "without a Minute it comes every minute of what the other fields say", "Write a Minute")
			}
		}
	}},
}

func (l *lint) calendarKey(i int) string {
	if _, one := l.keys["StartCalendarInterval"].(map[string]any); one {
		return "StartCalendarInterval"
	}
	return fmt.Sprintf("StartCalendarInterval[%d]", i)
}
