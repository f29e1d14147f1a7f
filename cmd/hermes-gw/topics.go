package main

import (
	"fmt"
	"strings"
)

// topic is a help page that belongs to no verb.
type topic struct {
	name, summary string
	text          func() string
}

// topics is the table of these pages. With verbs, flagTable, exitTable and envTable it is all that
// there is to say about the command, for whoever makes a manual of it.
func topics() []topic {
	return []topic{
		{"targets", "how jobs are named", func() string { return "Examples:\n" + exampleLines(targetExamples) + "\n" + targetsText }},
		{"flags", "every flag, and which verbs have it", flagsText},
		{"exit-codes", "what each exit code means", exitCodesText},
		{"environment", "the variables that are read", environmentText},
	}
}

func topicNames() (names []string) {
	for _, t := range topics() {
		names = append(names, t.name)
	}
	return names
}

func (t topic) helpPage() string {
	return fmt.Sprintf("hermes-gw help %s: %s\n\n%s", t.name, t.summary, t.text())
}

// targetExamples are the ways to name a job.
var targetExamples = []example{
	{"hermes-gw restart", "the gateway of HERMES_HOME, or the default one"},
	{"hermes-gw restart -p work", "the gateway of a profile"},
	{"hermes-gw restart ai.hermes.gateway-work", "a job, by its label"},
	{"hermes-gw restart gui/501/ai.hermes.gateway", "a job, by its target"},
	{"hermes-gw restart system/org.example.daemon", "a job of the system; needs sudo"},
}

const targetsText = `TARGET is DOMAIN/LABEL as launchctl writes it. DOMAIN is one of

  gui/UID     the jobs of a user who is logged in at the screen
  user/UID    the jobs of a user that need no screen; over ssh this is the one
  system      the jobs of the system

A bare LABEL is looked for in gui/UID and user/UID, then in system. One that both
gui/UID and user/UID have names no job: say which. UID is the number that id -u
prints, and hermes-gw status shows every gateway with its target.

The label of a gateway follows from its home: ai.hermes.gateway for ~/.hermes,
ai.hermes.gateway-NAME for the profile NAME, and ai.hermes.gateway-XXXXXXXX (8 hex
digits of SHA-256 of the path) for a home elsewhere. -p finds it.
`

func flagsText() string {
	var b strings.Builder
	for _, r := range flagTable() {
		fmt.Fprintf(&b, "  %s\n      %s\n", r.usage(), r.does)
		if names := verbsWith(r.name); len(names) > 0 {
			fmt.Fprintf(&b, "      of %s\n", strings.Join(names, ", "))
		}
	}
	fmt.Fprintf(&b, "\nThese may stand before the verb, too: --%s.\n", strings.Join(globalFlags, ", --"))
	return b.String()
}

// verbsWith names the verbs that have a flag.
func verbsWith(flag string) (names []string) {
	for _, v := range verbs() {
		for _, f := range v.flags {
			if f == flag {
				names = append(names, v.name)
			}
		}
	}
	return names
}

// havers says of which verbs a flag is, for somebody who gave it to another: "" of none.
func havers(flag string) string {
	names := verbsWith(flag)
	switch len(names) {
	case 0:
		return ""
	case 1:
		return names[0] + " has"
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " have"
}

func exitCodesText() string {
	var b strings.Builder
	for _, row := range exitTable() {
		fmt.Fprintf(&b, "  %3d  %s\n", row.code, row.meaning)
	}
	return b.String()
}

func environmentText() string {
	var b strings.Builder
	for _, row := range envTable() {
		fmt.Fprintf(&b, "  %s\n      %s\n", row.name, row.does)
	}
	return b.String()
}
