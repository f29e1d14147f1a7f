package launchd

import (
	"fmt"
	"os/user"
	"slices"
	"strings"
)

// sessionTypes are the words of LimitLoadToSessionType, and which domain takes them: TN2083,
// launchd-protocol.md 7.6 (134).
var sessionTypes = []sessionType{{"Aqua", kindGUI}, {"Background", kindUser}, {"LoginWindow", kindLogin}, {"StandardIO", 0}, {"System", kindSystem}}

type sessionType struct {
	word string
	kind kind // 0: of none that has a name here
}

func sessionTypeOf(word string) (sessionType, bool) {
	i := slices.IndexFunc(sessionTypes, func(s sessionType) bool { return s.word == word })
	if i < 0 {
		return sessionType{}, false
	}
	return sessionTypes[i], true
}

// placeRules are about the domain that the list is for.
var placeRules = []rule{
	{"session-unknown", "LimitLoadToSessionType names sessions that there are", true, func(l *lint, report func(key, problem, fix string)) {
		for _, s := range l.plist.LimitLoadToSessionType {
			if _, known := sessionTypeOf(s); !known {
				report("LimitLoadToSessionType", quoted(s)+" is no kind of session, so that the job loads nowhere", "Write one of Aqua, Background, LoginWindow, StandardIO, System")
			}
		}
	}},
	{"session-domain", "LimitLoadToSessionType admits the domain", true, func(l *lint, report func(key, problem, fix string)) {
		types := l.plist.LimitLoadToSessionType
		if len(types) == 0 || l.domain.IsZero() {
			return
		}
		for _, s := range types {
			if k, known := sessionTypeOf(s); !known || k.kind == l.domain.kind {
				return // of an unknown one the rule above tells
			}
		}
		report("LimitLoadToSessionType", fmt.Sprintf("%s does not admit %s (134, or 5)", strings.Join(types, ", "), l.domain), "Add the kind of session of that domain: Aqua for gui, Background for user, System for system")
	}},
	// NousResearch/hermes-agent#42376, PR 44385: 5 over ssh.
	{"session-array", "LimitLoadToSessionType of a background job is one string", false, func(l *lint, report func(key, problem, fix string)) {
		if _, array := l.keys["LimitLoadToSessionType"].([]any); array && l.domain.kind == kindUser {
			report("LimitLoadToSessionType", "an array is reported to be refused with 5 in a user domain, over ssh for instance", "Write Background as a string")
		}
	}},
	// launchd.plist(5): "only applicable for services that are loaded into the privileged
	// system domain".
	{"agent-user", "an agent does not name its user", false, func(l *lint, report func(key, problem, fix string)) {
		if !l.agent {
			return
		}
		for _, key := range []string{"UserName", "GroupName", "InitGroups", "RootDirectory"} {
			if _, set := l.keys[key]; set {
				report(key, "launchd reads it for daemons only: an agent runs as the user whose domain it is in", "Remove it, or load the job into system")
			}
		}
	}},
	{"user-unknown", "the daemon's user is there", true, func(l *lint, report func(key, problem, fix string)) {
		if name := l.plist.UserName; name != "" && !l.agent {
			if _, err := user.Lookup(name); err != nil {
				report("UserName", "there is no user "+quoted(name)+" (114)", "Make the user, or name another")
			}
		}
	}},
	{"group-unknown", "the daemon's group is there", true, func(l *lint, report func(key, problem, fix string)) {
		if name := l.plist.GroupName; name != "" && !l.agent {
			if _, err := user.LookupGroup(name); err != nil {
				report("GroupName", "there is no group "+quoted(name)+" (115)", "Make the group, or name another")
			}
		}
	}},
}

// otherRules are about single keys.
var otherRules = []rule{
	// launchd.plist(5): "this value is not modified by enable, disable"; the override
	// database decides.
	{"disabled-key", "Disabled is not set", false, func(l *lint, report func(key, problem, fix string)) {
		if l.plist.Disabled {
			report("Disabled", "launchd asks its own database first, where enable and disable write: this counts only as long as neither was used", "Remove it, and use launchctl disable")
		}
	}},
	{"umask-decimal", "Umask is not an octal number in decimal", false, func(l *lint, report func(key, problem, fix string)) {
		n, ok := integer(l.keys["Umask"])
		if ok && (n == 22 || n == 27 || n == 77) {
			report("Umask", fmt.Sprintf("an integer is decimal: %d is %04o", n, n), fmt.Sprintf("Write the string 0%d if that is meant", n))
		}
	}},
	{"nice-range", "Nice is from -20 to 20", false, func(l *lint, report func(key, problem, fix string)) {
		if n := l.plist.Nice; n != nil && (*n < -20 || *n > 20) {
			report("Nice", fmt.Sprintf("%d is out of range", *n), "Write -20 to 20")
		}
	}},
	{"process-type", "ProcessType is a known word", false, func(l *lint, report func(key, problem, fix string)) {
		switch s := l.plist.ProcessType; s {
		case "", "Background", "Standard", "Adaptive", "Interactive", "App", "SystemApp", "Driver":
		default:
			report("ProcessType", quoted(s)+" is no kind of process, so that launchd uses Standard", "Write Background, Standard, Adaptive or Interactive")
		}
	}},
	{"socket-empty", "each socket says where it listens", true, func(l *lint, report func(key, problem, fix string)) {
		for _, name := range sortedKeys(l.plist.Sockets) {
			for i, s := range l.plist.Sockets[name] {
				if s.SockServiceName == nil && s.SockPathName == "" && s.SecureSocketWithKey == "" {
					report(fmt.Sprintf("Sockets.%s[%d]", name, i), "it has no port and no path", "Write SockServiceName or SockPathName")
				}
			}
		}
	}},
	{"inetd-sockets", "inetdCompatibility has sockets", false, func(l *lint, report func(key, problem, fix string)) {
		if l.plist.InetdCompatibility != nil && len(l.plist.Sockets) == 0 {
			report("inetdCompatibility", "without Sockets there is nothing to accept", "Write Sockets, or remove it")
		}
	}},
}
