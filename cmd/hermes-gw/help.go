package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/hermes-gw/hermes-gw/internal/spell"
)

// flagSet holds the verb's flags, bound to o.
func (v verb) flagSet(o *options) *pflag.FlagSet {
	set := newSet(v.name)
	o.bind(set, v.flags...)
	set.SetInterspersed(!v.opaque)
	return set
}

// runHelp prints the overview, the page of a verb, or a topic.
func runHelp(c *command) report {
	if len(c.args) == 0 {
		return helpReport(overview())
	}
	name := c.args[0]
	for _, t := range topics() {
		if t.name == name {
			return helpReport(t.helpPage())
		}
	}
	for _, v := range verbs() {
		if v.name == name {
			return helpReport(v.helpPage())
		}
	}
	remedy := fmt.Sprintf("There are pages about %s, and about the verbs %s.", strings.Join(topicNames(), ", "), strings.Join(verbNames(), ", "))
	if like := spell.Nearest(name, slices.Concat(verbNames(), topicNames())); like != "" {
		remedy = "Did you mean " + like + "? " + remedy
	}
	return report{err: usage(remedy, "there is no help page %q", name)}
}

func helpReport(page string) report {
	return report{text: page, fields: fields{Help: page}}
}

// helpPage is the page of one verb: examples, usage, text, flags, exit codes.
func (v verb) helpPage() string {
	var b strings.Builder
	fmt.Fprintf(&b, "hermes-gw %s: %s\n\nExamples:\n", v.name, v.summary)
	for _, e := range v.examples {
		fmt.Fprintf(&b, "  %s\n", e.line)
		if e.does != "" {
			fmt.Fprintf(&b, "      %s\n", e.does)
		}
	}
	fmt.Fprintf(&b, "\nUsage:\n  %s\n", strings.TrimSpace("hermes-gw "+v.name+" "+v.args))
	if v.text != "" {
		fmt.Fprintf(&b, "\n%s\n", v.text)
	}
	if v.table != nil {
		b.WriteString(v.table())
	}
	b.WriteString("\nFlags:\n")
	for _, r := range flagTable() {
		if slices.Contains(v.flags, r.name) {
			fmt.Fprintf(&b, "  %s\n      %s\n", r.usage(), r.does)
		}
	}
	b.WriteString("\nExit codes:\n" + exitCodesText())
	return b.String()
}

// overviewExamples are what most people come for.
var overviewExamples = []example{
	{"hermes-gw restart", "the gateway of HERMES_HOME, or the default one"},
	{"hermes-gw restart --all", "every gateway of this installation"},
	{"hermes-gw restart --all --dry-run", "what would be sent, signalled and spared"},
	{"hermes-gw restart -p work --graceful", "a profile's, after it has finished its work"},
	{"hermes-gw restart gui/501/org.example.agent", "any other job of launchd's"},
	{"hermes-gw status --watch", "what runs, since when, by which list"},
	{"hermes-gw doctor", "what is wrong, and the command that mends it"},
	{"hermes-gw logs -p work -f", "what a gateway writes, as it does"},
	{"hermes-gw reload ai.hermes.gateway", "after its property list changed"},
	{"hermes-gw ctl kickstart -k gui/501/my.agent", "launchctl's own words, for scripts"},
}

// whatItIs is what help, the manual and the README begin with.
const whatItIs = `hermes-gw restarts launchd jobs, above all the gateways of Hermes, with one request
to launchd: the job is never unloaded, so it comes back whoever dies meanwhile.`

// exampleLines are examples of which each fits into a line.
func exampleLines(list []example) string {
	var b strings.Builder
	for _, e := range list {
		fmt.Fprintf(&b, "  %-44s %s\n", e.line, e.does)
	}
	return b.String()
}

// overview is what hermes-gw help prints.
func overview() string {
	var b strings.Builder
	b.WriteString(whatItIs + "\n\nExamples:\n" + exampleLines(overviewExamples))
	b.WriteString("\nVerbs (hermes-gw help VERB says more):\n")
	for _, v := range verbs() {
		fmt.Fprintf(&b, "  %-10s %s\n", v.name, v.summary)
	}
	b.WriteString("\nTopics (hermes-gw help TOPIC):\n")
	for _, t := range topics() {
		fmt.Fprintf(&b, "  %-11s %s\n", t.name, t.summary)
	}
	b.WriteString("\nExit codes:\n" + exitCodesText())
	return b.String()
}
