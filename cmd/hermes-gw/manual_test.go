package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// manualDate is when what the manual says last changed its meaning.
const manualDate = "November 25, 2026"

// manual is the page of section 1, in mdoc.
func manual() string {
	var m mdoc
	m.macro(`\" Made by: go test ./cmd/hermes-gw -run Docs -update`)
	m.macro("Dd " + manualDate)
	m.macro("Dt HERMES-GW 1")
	m.macro("Os")
	m.section("NAME")
	m.macro("Nm hermes-gw")
	m.macro("Nd restart launchd jobs with one request")
	m.section("SYNOPSIS")
	m.macro("Nm")
	m.macro("Ar verb")
	m.macro("Op Ar flag ...")
	m.macro("Op Ar argument ...")
	m.section("DESCRIPTION")
	m.text(whatItIs)
	m.macro("Pp")
	m.text("The verbs are:")
	m.macro("Bl -tag -width Ds")
	for _, v := range verbs() {
		m.macro("It Ic " + quoted(v.name) + arguments(v.args))
		m.text(v.summary)
	}
	m.macro("El")

	m.section("TARGETS")
	m.text(targetsText)
	m.macro("Pp")
	m.text("Examples:")
	m.examples(targetExamples)
	m.section("VERBS")
	for _, v := range verbs() {
		m.macro("Ss " + v.name)
		m.text(begun(v.summary) + ".")
		if v.text != "" {
			m.macro("Pp")
			m.text(v.text)
		}
		m.macro("Pp")
		m.text("Examples:")
		m.examples(v.examples)
		m.macro("Pp")
		var flags []string
		for _, r := range flagTable() {
			if slices.Contains(v.flags, r.name) {
				flags = append(flags, "--"+r.name)
			}
		}
		m.text("Flags: " + strings.Join(flags, ", ") + ".")
	}

	m.section("FLAGS")
	m.macro("Bl -tag -width Ds")
	for _, r := range flagTable() {
		m.macro("It " + spelled(r))
		m.text(r.does)
	}
	m.macro("El")
	m.macro("Pp")
	m.text("These may stand before the verb, too: --" + strings.Join(globalFlags, ", --") + ".")

	m.section("ENVIRONMENT")
	m.macro("Bl -tag -width Ds")
	for _, row := range envTable() {
		m.macro("It Ev " + row.name)
		m.text(row.does)
	}
	m.macro("El")

	m.section("EXIT STATUS")
	m.macro("Bl -tag -width Ds")
	for _, row := range exitTable() {
		m.macro(fmt.Sprintf("It %d", row.code))
		m.text(row.meaning)
	}
	m.macro("El")

	m.section("EXAMPLES")
	m.examples(overviewExamples)
	m.section("SEE ALSO")
	m.macro("Xr launchctl 1 ,")
	m.macro("Xr launchd.plist 5 ,")
	m.macro("Xr launchd 8")
	return m.String()
}

// mdoc is a page that is being written.
type mdoc struct{ strings.Builder }

func (m *mdoc) macro(line string)   { m.WriteString("." + line + "\n") }
func (m *mdoc) section(name string) { m.macro("Sh " + name) }

// line writes a line that is not a macro.
func (m *mdoc) line(s string) {
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		m.WriteString(`\&`)
	}
	m.WriteString(escaped(s) + "\n")
}

// escaped writes characters that roff would read, and hyphens and quotes that are to be
// typed as they are.
func escaped(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(s)
}

// wrapped writes a sentence in lines that are short enough for mandoc.
func (m *mdoc) wrapped(s string) {
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && len(escaped(line+" "+word)) > 78 {
			m.line(line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	m.line(line)
}

// text writes paragraphs as help has them: indented lines stay as they are, others are
// filled, each sentence beginning a line of its own, as mdoc wants it.
func (m *mdoc) text(s string) {
	var filled, shown []string
	said := false // a paragraph before this one
	flush := func() {
		if len(filled) > 0 {
			for _, line := range strings.Split(sentence.ReplaceAllString(strings.Join(filled, " "), "$1\n"), "\n") {
				m.wrapped(line)
			}
			said = true
		}
		if len(shown) > 0 {
			m.literal(shown)
			said = true
		}
		filled, shown = nil, nil
	}
	apart := false
	for _, line := range strings.Split(strings.TrimSpace(s), "\n") {
		switch indented := strings.HasPrefix(line, "  "); {
		case strings.TrimSpace(line) == "":
			flush()
			apart = true
			continue
		case indented && len(filled) > 0, !indented && len(shown) > 0:
			flush()
		}
		if strings.HasPrefix(line, "  ") {
			shown = append(shown, strings.TrimPrefix(line, "  "))
		} else {
			if len(filled) == 0 && apart && said {
				m.macro("Pp")
			}
			filled = append(filled, line)
		}
		apart = false
	}
	flush()
}

var sentence = regexp.MustCompile(`([A-Za-z0-9)"][.!?]) `)

// literal shows lines as they are.
func (m *mdoc) literal(lines []string) {
	m.macro("Bd -literal -offset indent")
	for _, line := range lines {
		m.line(line)
	}
	m.macro("Ed")
}

// examples are shown with what each does above it.
func (m *mdoc) examples(list []example) {
	var lines []string
	for _, e := range list {
		if e.does != "" {
			lines = append(lines, "# "+e.does)
		}
		lines = append(lines, e.line)
	}
	m.literal(lines)
}

// begun writes what begins a sentence; launchctl is a name.
func begun(s string) string {
	if strings.HasPrefix(s, "launchctl") {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func quoted(s string) string { return strings.ReplaceAll(s, "-", `\-`) }

// arguments are what follows a verb: words that mdoc marks as arguments.
func arguments(s string) string {
	if s == "" {
		return ""
	}
	return ` Ar "` + escaped(s) + `"`
}

// spelled is a flag with its value.
func spelled(r flagRow) string {
	var b strings.Builder
	if r.short != "" {
		b.WriteString("Fl " + r.short + " , ")
	}
	b.WriteString(`Fl \-` + quoted(r.name))
	switch {
	case strings.Contains(r.usage(), "[="):
		b.WriteString(" Ns Op = Ns Ar " + r.value)
	case r.value != "":
		b.WriteString(" Ar " + r.value)
	}
	return b.String()
}

// mandoc finds nothing to complain about, where it is installed; .ci/run installs it.
func TestManualLint(t *testing.T) {
	path, err := exec.LookPath("mandoc")
	if err != nil {
		t.Skip("mandoc is not installed")
	}
	out, _ := exec.Command(path, "-T", "lint", manualPath).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if !macPages.MatchString(strings.TrimSpace(line)) {
			t.Errorf("mandoc -T lint: %s", line)
		}
	}
	page, err := exec.Command(path, "-T", "markdown", manualPath).Output()
	if err != nil || !strings.Contains(string(page), "# EXIT STATUS") {
		t.Errorf("mandoc shows no page: %v\n%.2000s", err, page)
	}
}

// macPages are pages that only a Mac has.
var macPages = regexp.MustCompile(`STYLE: referenced manual not found: Xr (launchctl 1|launchd\.plist 5|launchd 8)$`)
