package probe

import "time"

// questions are those of launchd-protocol.md section 11, in the order in which they are
// put: the one that matters most comes first, the one that counts the answers of all last.
func questions() []question {
	return []question{
		{"entitlement", "Does launchd demand an entitlement (144, 154) of this caller?", 40 * time.Second, (*prober).entitlement},
		{"unthrottle", "Is unthrottle honoured by a kickstart of a job younger than its ThrottleInterval?", 40 * time.Second, (*prober).unthrottle},
		{"full-exit", "Does a kickstart with kill wait for the whole exit, and what does a second one meanwhile get?", 20 * time.Second, (*prober).fullExit},
		{"spawn-state", "What state is a job in right after a kickstart's answer, and is a kill refused then (1)?", 45 * time.Second, (*prober).spawnState},
		{"no-session", "What is the error for a graphical session that does not exist?", 20 * time.Second, (*prober).noSession},
		{"bootstrap-twice", "What does a bootstrap of a loaded label get, 37 or 17?", 20 * time.Second, (*prober).bootstrapTwice},
		{"bootout", "What do wait and no-einprogress do in a bootout, and is there a monitor?", 30 * time.Second, (*prober).bootout},
		{"order", "Can a bootstrap overtake the bootout before it, or what it leaves to be done?", 30 * time.Second, (*prober).order},
		{"constraint", "Is a job killed whose program was replaced (launch constraint)?", 30 * time.Second, (*prober).constraint},
		{"attributes", "Which keys do a job's attributes (712) have?", 20 * time.Second, (*prober).attributes},
		{"list-types", "Which domain types does list (815) answer?", 30 * time.Second, (*prober).listTypes},
		{"print", "What does print (708) say of a job, and which names in it are new?", 20 * time.Second, (*prober).printed},
		{"symbols", "Which symbols does dlsym find?", 10 * time.Second, (*prober).symbols},
		{"error-texts", "What are launchd's texts for 160 to 163?", 10 * time.Second, (*prober).errorTexts},
		{"events", "What are the names of launchd's internal events 3 and 5 to 9?", time.Second, (*prober).events},
		{"threads", "Does a request from a thread of Go's ever get 141 (reentrancy)?", 30 * time.Second, (*prober).threads},
		{"pid-zero", "Is the pid in a kickstart's answer ever 0?", 75 * time.Second, (*prober).pidZero},
	}
}
