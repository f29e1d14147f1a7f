package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/shellwords"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// completeVerb answers the scripts of completion: `hermes-gw complete -- WORD...` prints what the
// last word may become, one a line, with a tab and what it is. The line ":files" stands for the
// names of files. It is no verb for people. It only asks, says nothing about what fails, and
// takes at most completeFor.
const completeVerb = "complete"

const completeFor = time.Second

// completes is what a word can be completed by.
type completes int

const (
	completesNothing completes = iota
	completesProfile
	completesFile
	completesDomain
	completesJob // a label or target
	completesTarget
	completesPlace // a domain, or a target
)

const filesFollow = ":files"

// completion is one run of completeVerb.
type completion struct {
	*command
	verb   *verb           // nil before it was given
	given  map[string]bool // flags so far
	args   []string        // of the verb, so far
	ended  bool            // "--" was there
	prefix string          // "--wait=" of the word to complete, kept in each candidate
}

func runComplete(c *command) report {
	c.printed = true // there is no report
	ctx, cancel := context.WithTimeout(c.ctx, completeFor)
	defer cancel()
	c.ctx = ctx
	x := &completion{command: c, given: map[string]bool{}}
	if len(c.args) == 0 {
		return report{}
	}
	last := len(c.args) - 1
	x.complete(c.args[:last], c.args[last])
	return report{}
}

// complete reads the words so far, and offers what the last can become.
func (x *completion) complete(words []string, last string) {
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case x.verb != nil && x.verb.opaque && len(x.args) > 0: // launchctl's own
			x.args = append(x.args, w)
		case w == "--" && !x.ended:
			x.ended = true
		case x.ended || !strings.HasPrefix(w, "-") || w == "-":
			x.argument(w)
		default:
			row, value, has := x.flag(w)
			x.given[row.name] = true
			if row.value == "" || row.name == flagGraceful {
				continue
			}
			if !has {
				if i++; i == len(words) {
					x.value(row, last)
					return
				}
				value = words[i]
			}
			x.set(row.name, value)
		}
	}
	opaque := x.verb != nil && x.verb.opaque && len(x.args) > 0
	if strings.HasPrefix(last, "-") && !x.ended && !opaque {
		if row, value, has := x.flag(last); has {
			x.prefix = strings.TrimSuffix(last, value)
			x.value(row, value)
			return
		}
		x.flags(last)
		return
	}
	x.arguments(last)
}

// argument takes a word that is no flag.
func (x *completion) argument(w string) {
	if x.verb == nil {
		x.verb = &verb{} // an unknown one has nothing
		if v, err := findVerb(w); err == nil {
			x.verb = &v
		}
		return
	}
	x.args = append(x.args, w)
}

// flag reads --name, --name=value, -n.
func (x *completion) flag(w string) (row flagRow, value string, has bool) {
	name, value, has := strings.Cut(strings.TrimLeft(w, "-"), "=")
	for _, r := range flagTable() {
		if r.name == name && strings.HasPrefix(w, "--") || r.short == name && r.short != "" && !strings.HasPrefix(w, "--") {
			return r, value, has
		}
	}
	return flagRow{}, "", false
}

// set notes the values that say whom to ask.
func (x *completion) set(flag, value string) {
	switch flag {
	case flagLaunchd:
		x.opts.launchd = value
	case flagUID:
		x.opts.uid.Set(value)
	}
}

// flags offers those of the verb that were not given yet.
func (x *completion) flags(last string) {
	names := globalFlags
	if x.verb != nil {
		names = x.verb.flags
	}
	for _, r := range flagTable() {
		if !slices.Contains(names, r.name) || x.given[r.name] && r.name != flagProfile {
			continue
		}
		x.offer(last, "--"+r.name, r.does)
		if len(last) == 2 && r.short == last[1:] {
			x.offer(last, last, r.does)
		}
	}
}

// value offers what a flag can have.
func (x *completion) value(r flagRow, last string) {
	for _, w := range r.words {
		x.offer(last, w, "")
	}
	x.live(r.completes, last)
}

// arguments offers what stands at the place of the last word.
func (x *completion) arguments(last string) {
	switch {
	case x.verb == nil:
		for _, v := range verbs() {
			x.offer(last, v.name, v.summary)
		}
	case x.verb.max >= 0 && len(x.args) >= x.verb.max && !x.verb.opaque:
	case x.verb.name == "help":
		for _, v := range verbs() {
			x.offer(last, v.name, v.summary)
		}
		for _, t := range topics() {
			x.offer(last, t.name, t.summary)
		}
	case x.verb.name == "completion":
		for _, s := range shellNames {
			x.offer(last, s, "")
		}
	case x.verb.name == "lint" && !x.given[flagRules]:
		x.live(completesFile, last)
	case x.verb.opaque:
		x.ctl(last)
	case strings.Contains(x.verb.args, "TARGET") && !x.given[flagAll]:
		x.live(completesJob, last)
	}
}

// ctl offers launchctl's words.
func (x *completion) ctl(last string) {
	if len(x.args) == 0 {
		for _, v := range ctlVerbs() {
			x.offer(last, v.name, v.summary)
		}
		return
	}
	switch args := x.args[1:]; x.args[0] {
	case "help":
		for _, v := range ctlVerbs() {
			x.offer(last, v.name, v.summary)
		}
	case "bootstrap":
		if len(args) == 0 {
			x.live(completesDomain, last)
		} else {
			x.live(completesFile, last)
		}
	case "bootout":
		if len(args) == 0 {
			x.live(completesTarget, last)
		} else {
			x.live(completesFile, last)
		}
	case "print":
		x.live(completesPlace, last)
	case "print-disabled":
		x.live(completesDomain, last)
	case "enable", "disable", "blame", "kickstart":
		x.live(completesTarget, last)
	case "kill":
		if len(args) > 0 {
			x.live(completesTarget, last)
		}
	case "list", "start", "stop", "remove":
		x.live(completesJob, last)
	}
}

// offer prints a candidate. One that does not mean itself to every shell is left out: bash puts it on
// the command line as it is.
func (x *completion) offer(last, word, does string) {
	if strings.HasPrefix(word, last) && shellwords.Plain(x.prefix+word) {
		fmt.Fprintf(x.stdout, "%s%s\t%s\n", x.prefix, word, shown(does))
	}
}

// live offers what there is at this moment.
func (x *completion) live(kind completes, last string) {
	switch kind {
	case completesNothing:
		return
	case completesFile:
		fmt.Fprintln(x.stdout, filesFollow)
		return
	}
	uid, err := x.user()
	if err != nil {
		return
	}
	domains := []launchd.Domain{launchd.GUI(uid), launchd.User(uid), launchd.System()}
	switch kind {
	case completesDomain:
		for _, d := range domains {
			x.offer(last, d.String(), "")
		}
		return
	case completesProfile:
		if in, err := x.install(uid); err == nil {
			profiles, _ := in.Profiles()
			for _, p := range profiles {
				x.offer(last, p.Name, p.Label)
			}
		}
		return
	case completesPlace:
		for _, d := range domains {
			x.offer(last, d.String(), "a domain")
		}
	}
	if x.connect() != nil {
		return
	}
	if strings.Contains(last, "/") || kind == completesTarget || kind == completesPlace {
		x.targets(domains, last)
		return
	}
	x.labels(domains[:2], uid, last)
	if last != "" {
		x.targets(domains, last)
	}
}

// targets offers the jobs of the domain that the word names; without one, the gateways'.
func (x *completion) targets(domains []launchd.Domain, last string) {
	for _, d := range domains {
		name := d.String() + "/"
		within := strings.HasPrefix(last, name)
		if !within && !strings.HasPrefix(name, last) {
			continue
		}
		if !within && last != "" {
			x.offer(last, name, "a domain")
		}
		entries, err := x.launchd.List(x.ctx, d)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if within || hermesgw.IsGatewayLabel(e.Label) {
				x.offer(last, name+e.Label, entryWords(e))
			}
		}
	}
}

// labels offers the gateways' labels; where the word begins none of them, those of any job of the user.
func (x *completion) labels(domains []launchd.Domain, uid int, last string) {
	found := map[string]string{}
	others := map[string]string{}
	in, err := x.install(uid)
	if err == nil {
		profiles, _ := in.Profiles()
		for _, p := range profiles {
			if _, err := os.Stat(in.PlistPath(p.Label)); err == nil {
				found[p.Label] = "profile " + p.Name + ", not loaded"
			}
		}
		files, _ := os.ReadDir(filepath.Dir(in.PlistPath(gatewayPrefix)))
		for _, f := range files {
			label, ok := strings.CutSuffix(f.Name(), ".plist")
			if ok && found[label] == "" && hermesgw.IsGatewayLabel(label) {
				found[label] = "not loaded"
			}
		}
	}
	for _, d := range domains {
		entries, err := x.launchd.List(x.ctx, d)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if hermesgw.IsGatewayLabel(e.Label) {
				found[e.Label] = entryWords(e)
			} else {
				others[e.Label] = entryWords(e)
			}
		}
	}
	labels := slices.Sorted(maps.Keys(found))
	if !slices.ContainsFunc(labels, func(l string) bool { return strings.HasPrefix(l, last) }) {
		found, labels = others, slices.Sorted(maps.Keys(others))
	}
	for _, label := range labels {
		if !slices.Contains(x.args, label) {
			x.offer(last, label, found[label])
		}
	}
}

func entryWords(e launchd.ListEntry) string {
	if e.PID > 0 {
		return fmt.Sprintf("pid %d", e.PID)
	}
	return "no process"
}
