package launchd

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hermes-gw/hermes-gw/internal/plistfile"
)

// fileRules are about the file. What launchd does: launchd-protocol.md 5 (109, 122) and 7.6.
var fileRules = []rule{
	{"file-kind", "the property list is a regular file", true, func(l *lint, report func(key, problem, fix string)) {
		if l.info != nil && !l.info.Mode().IsRegular() {
			report("", "it is not a regular file, and launchd loads nothing else", "Put the property list itself there")
		}
	}},
	{"file-name", "the file's name ends in .plist", true, func(l *lint, report func(key, problem, fix string)) {
		if l.path != "" && filepath.Ext(l.path) != ".plist" {
			report("", "its name does not end in .plist, so launchd does not load it", "Rename it")
		}
	}},
	{"file-owner", "the file belongs to root or, for an agent, to its user", true, func(l *lint, report func(key, problem, fix string)) {
		stat, ok := sysOf(l)
		if !ok || l.domain.IsZero() || stat.Uid == 0 {
			return
		}
		uid, users := l.domain.user()
		switch {
		case !users:
			report("", fmt.Sprintf("it belongs to user %d, and launchd loads into %s only what belongs to root (122)", stat.Uid, l.domain), "Run chown root:wheel on it")
		case int(stat.Uid) != uid:
			report("", fmt.Sprintf("it belongs to user %d, and launchd loads into %s only what belongs to that user or root (122)", stat.Uid, l.domain), fmt.Sprintf("Run chown %d on it", uid))
		}
	}},
	{"file-mode", "nobody but the owner can write the file", true, func(l *lint, report func(key, problem, fix string)) {
		if l.info != nil && l.info.Mode().IsRegular() && l.info.Mode().Perm()&0o022 != 0 {
			report("", fmt.Sprintf("others can write it (mode %04o), and launchd refuses such files (122)", l.info.Mode().Perm()), "Run chmod 0644 on it")
		}
	}},
	// Whoever can write the folder puts another list in the place of this one.
	{"folder-mode", "nobody but the owner can write the file's folder", false, func(l *lint, report func(key, problem, fix string)) {
		if l.path == "" {
			return
		}
		info, err := os.Stat(filepath.Dir(l.path))
		if err == nil && info.Mode().Perm()&0o002 != 0 && info.Mode()&os.ModeSticky == 0 {
			report("", "anybody can write its folder, and so replace it by a job of their own", "Run chmod 0755 on the folder")
		}
	}},
	{"format", "the file is an XML or binary property list", true, func(l *lint, report func(key, problem, fix string)) {
		if l.unread != nil {
			report("", fmt.Sprintf("launchd cannot read it: %v", l.unread), "Correct it; plutil -lint shows where it breaks")
		}
	}},
	// launchd's parser takes one of the two, which one is not documented.
	{"duplicate-key", "no key stands in a dictionary twice", false, func(l *lint, report func(key, problem, fix string)) {
		for _, key := range duplicateKeys(l.text) {
			report(key, "it stands there twice, and only one of the two values counts", "Remove one")
		}
	}},
}

func sysOf(l *lint) (*syscall.Stat_t, bool) {
	if l.info == nil {
		return nil, false
	}
	stat, ok := l.info.Sys().(*syscall.Stat_t)
	return stat, ok
}

// duplicateKeys lists the keys that stand twice in one dictionary of an XML list, each
// once.
func duplicateKeys(text []byte) (keys []string) {
	if bytes.HasPrefix(text, []byte("bplist")) || len(text) > plistfile.MaxSize {
		return nil
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	type dict struct {
		seen map[string]int
		path string
		key  string
	}
	open := []dict{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) || err != nil {
			return keys // what is broken is another rule's
		}
		switch token := token.(type) {
		case xml.StartElement:
			switch token.Name.Local {
			case "dict":
				path := ""
				if n := len(open); n > 0 {
					path = open[n-1].path + open[n-1].key + "."
				}
				open = append(open, dict{map[string]int{}, path, ""})
			case "key":
				var key string
				if d.DecodeElement(&key, &token) != nil || len(open) == 0 {
					return keys
				}
				top := &open[len(open)-1]
				top.key = key
				if top.seen[key]++; top.seen[key] == 2 {
					keys = append(keys, top.path+key)
				}
			}
		case xml.EndElement:
			if token.Name.Local == "dict" && len(open) > 0 {
				open = open[:len(open)-1]
			}
		}
	}
}

// labelRules are about the label.
var labelRules = []rule{
	{"label-missing", "there is a Label", true, func(l *lint, report func(key, problem, fix string)) {
		if l.plist.Label == "" && !l.isWrong("Label") {
			report("Label", "it is missing, and launchd knows a job by nothing else", "Give the job a label, such as com.example.agent")
		}
	}},
	// 140 for "<"; a slash cuts the label off in a service target (Procursus launchctl,
	// xpc_helper.c).
	{"label-characters", "the Label can be addressed", true, func(l *lint, report func(key, problem, fix string)) {
		label := l.plist.Label
		problem := labelProblem(label)
		if problem == "" && strings.Contains(label, "<") {
			problem = "contains <, which launchd reserves (140)"
		}
		if label != "" && problem != "" {
			report("Label", "it "+problem, "Use letters, digits, dots and hyphens")
		}
	}},
	{"label-file-name", "the file is named after the Label", false, func(l *lint, report func(key, problem, fix string)) {
		name := strings.TrimSuffix(filepath.Base(l.path), ".plist")
		if l.path != "" && labelProblem(l.plist.Label) == "" && !strings.Contains(l.plist.Label, "<") && name != l.plist.Label && filepath.Ext(l.path) == ".plist" {
			report("Label", "it is "+quoted(l.plist.Label)+", the file's name is another: tools look for a job's file by its label", "Name the file "+l.plist.Label+".plist")
		}
	}},
}

func (l *lint) isWrong(key string) bool {
	for _, w := range l.wrong {
		if name, _, _ := strings.Cut(strings.ReplaceAll(w.Key, "[", "."), "."); name == key {
			return true
		}
	}
	return false
}
