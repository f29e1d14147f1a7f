package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// flagSet holds the verb's flags, bound to o.
func (v verb) flagSet(o *options) *pflag.FlagSet {
	set := newSet(v.name)
	o.bind(set, v.flags...)
	set.SetInterspersed(!v.opaque)
	return set
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
	v.flagSet(&options{}).VisitAll(func(f *pflag.Flag) { writeFlag(&b, f) })
	writeExitCodes(&b)
	return b.String()
}

func writeFlag(b *strings.Builder, f *pflag.Flag) {
	value, does := pflag.UnquoteUsage(f)
	short := ""
	if f.Shorthand != "" {
		short = "-" + f.Shorthand + ", "
	}
	fmt.Fprintf(b, "  %s\n      %s\n", strings.TrimSpace(short+"--"+f.Name+" "+value), does)
}

// overview is what hermes-gw help prints.
func overview() string {
	var b strings.Builder
	b.WriteString("hermes-gw restarts launchd jobs with one request, so that they are never unloaded.\n\nExamples:\n")
	for _, v := range verbs() {
		if len(v.examples) > 0 {
			fmt.Fprintf(&b, "  %s\n", v.examples[0].line)
		}
	}
	b.WriteString("\nVerbs (hermes-gw help VERB says more):\n")
	for _, v := range verbs() {
		fmt.Fprintf(&b, "  %-8s %-26s %s\n", v.name, v.args, v.summary)
	}
	b.WriteString("\nEnvironment:\n  HERMES_GW_LAUNCHD   the launchd to talk to, unix:PATH; --launchd wins\n")
	writeExitCodes(&b)
	return b.String()
}

func writeExitCodes(b *strings.Builder) {
	b.WriteString("\nExit codes:\n")
	for _, row := range exitTable() {
		fmt.Fprintf(b, "  %3d  %s\n", row.code, row.meaning)
	}
}
