package docs

import (
	"fmt"
	"regexp"
	"strings"
)

// kind is what a document has.
type kind string

const (
	command kind = "a command" // of a block of shell lines
	inline  kind = "a command in a sentence"
	session kind = "a session"
	python  kind = "Python"
)

// item is something in a document that can be run.
type item struct {
	kind kind
	line int    // where it begins
	text string // the command, or the block
	lead string // the paragraph before its block
}

func (i item) String() string { return fmt.Sprintf("line %d: %s %q", i.line, i.kind, i.text) }

// programs are what a command in a sentence begins with. A name alone is a name.
var programs = regexp.MustCompile(`^(hermes-gw|launchdsim|go|launchctl|sudo|brew|git|python3|mandoc|sh) +[^ ]`)

var (
	span    = regexp.MustCompile("`([^`]+)`")
	comment = regexp.MustCompile(`(^| +)# .*$`)
)

// markdown takes out of a document what can be run. A block is of shell lines (sh), a session
// (console), Python, or anything else, in which there must be no prompt.
func markdown(text string) (items []item, err error) {
	var block []string
	var language, lead, paragraph string
	inside, began := false, 0
	for n, line := range strings.Split(text, "\n") {
		n++
		word, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && !inside:
			inside, language, began, block = true, word, n, nil
			if paragraph != "" {
				lead = paragraph
			}
			paragraph = ""
		case fence:
			inside = false
			switch language {
			case "sh":
				items = append(items, shellLines(block, began, lead)...)
			case "console":
				items = append(items, item{session, began, strings.Join(block, "\n"), lead})
			case "python":
				items = append(items, item{python, began, strings.Join(block, "\n"), lead})
			case "go", "json", "text", "diff", "xml":
				for i, l := range block {
					if strings.HasPrefix(l, "$ ") {
						return nil, fmt.Errorf("line %d: a prompt in a block of %s", began+i+1, language)
					}
				}
			default:
				return nil, fmt.Errorf("line %d: a block of %q, which nothing here can run", began, language)
			}
		case inside:
			block = append(block, line)
		case strings.TrimSpace(line) == "":
			if paragraph != "" {
				lead = paragraph
			}
			paragraph = ""
		default:
			if strings.HasPrefix(line, "    ") && paragraph == "" {
				return nil, fmt.Errorf("line %d: an indented block; use a fence that says what is in it", n)
			}
			paragraph += line + "\n"
			for _, m := range span.FindAllStringSubmatch(line, -1) {
				if programs.MatchString(m[1]) {
					items = append(items, item{inline, n, strings.ReplaceAll(m[1], `\|`, "|"), ""})
				}
			}
		}
	}
	if inside {
		return nil, fmt.Errorf("line %d: a block without an end", began)
	}
	return items, nil
}

// shellLines are the commands of a block: lines that go on after a backslash are one, comments
// are none.
func shellLines(block []string, began int, lead string) (items []item) {
	text, first := "", 0
	for i, line := range block {
		if text == "" {
			first = began + i + 1
		}
		if start, more := strings.CutSuffix(line, `\`); more {
			text += start
			continue
		}
		text = strings.TrimSpace(comment.ReplaceAllString(text+line, ""))
		if text != "" {
			items = append(items, item{command, first, text, lead})
		}
		text = ""
	}
	return items
}

// mdoc takes the commands out of a manual page: the lines of its literal blocks that begin
// with a program.
func mdoc(text string) (items []item, err error) {
	plain := strings.NewReplacer(`\&`, "", `\-`, "-", `\(aq`, "'", `\(ga`, "`", `\(ha`, "^", `\(ti`, "~", `\e`, `\`)
	literal := false
	for n, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, ".Bd -literal"):
			literal = true
		case line == ".Ed":
			literal = false
		case strings.HasPrefix(line, ".Dl"), strings.HasPrefix(line, ".D1"), strings.HasPrefix(line, ".Bd"):
			return nil, fmt.Errorf("line %d: %s; commands stand in .Bd -literal", n+1, line)
		case literal:
			s := plain.Replace(line)
			if programs.MatchString(s) || strings.HasPrefix(s, "source ") || s == "hermes-gw" {
				items = append(items, item{command, n + 1, s, ""})
			}
		}
	}
	return items, nil
}
