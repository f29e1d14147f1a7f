package launchdsim

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// conformanceTable is the table; its head explains the columns.
const conformanceTable = "testdata/conformance.txt"

// row is one line of the table.
type row struct {
	line     int
	state    string
	traits   []string
	requests []string // the last one is what the row is about
	answer   string
	waiting  string   // the answer to the request that waits already; "" if it does not matter
	next     []string // states, and in parentheses what the test does between them
}

var citation = regexp.MustCompile(`^\d+(\.\d+[a-z]?)?(\(\d\))?: .`)

// readTable returns the rows of the table. A list of numbers before a request
// ("702,707 ...") gives a row for each of them, so cases may be more than lines.
func readTable(t *testing.T) (cases []row, lines int) {
	t.Helper()
	text, err := os.ReadFile(conformanceTable)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		columns := strings.Split(line, " | ")
		for i, column := range columns {
			columns[i] = strings.TrimSpace(column)
		}
		if len(columns) != 5 || !citation.MatchString(columns[4]) {
			t.Fatalf("%s:%d: not five columns, the last one a section of the page", conformanceTable, i+1)
		}
		words := strings.Split(columns[0], " + ")
		r := row{line: i + 1, state: words[0], traits: words[1:], requests: strings.Split(columns[1], " ; "), answer: columns[2]}
		r.answer, r.waiting, _ = strings.Cut(columns[2], " / ")
		if columns[3] != "-" {
			r.next = strings.Split(columns[3], " > ")
		}
		lines++
		last := len(r.requests) - 1
		numbers, rest, _ := strings.Cut(r.requests[last], " ")
		for number := range strings.SplitSeq(numbers, ",") {
			one := r
			one.requests = append(append([]string(nil), r.requests[:last]...), number+" "+rest)
			cases = append(cases, one)
		}
	}
	return cases, lines
}

func (r row) name(style string) string {
	return fmt.Sprintf("%d %s %s %s", r.line, r.state, strings.Fields(r.requests[len(r.requests)-1])[0], style)
}

// word is a bare word where a value stands: a type or, in answers, a process.
type word string

// parser reads the table's notation of XPC values: 8u is a uint64, 8i an int64,
// "x" a string, [..] an array, {"k":v} a dictionary, true, false and null
// themselves, any other word a word.
type parser struct {
	t    testing.TB
	rest string
}

func (p *parser) fail() {
	p.t.Helper()
	p.t.Fatalf("%s: cannot read %q", conformanceTable, p.rest)
}

func (p *parser) eat(s string) bool {
	rest, found := strings.CutPrefix(p.rest, s)
	p.rest = rest
	return found
}

func (p *parser) quoted() string {
	q, err := strconv.QuotedPrefix(p.rest)
	if err != nil {
		p.fail()
	}
	p.rest = p.rest[len(q):]
	s, _ := strconv.Unquote(q)
	return s
}

var bareWord = regexp.MustCompile(`^[a-z0-9-]+`)

func (p *parser) value() any {
	switch {
	case strings.HasPrefix(p.rest, `"`):
		return p.quoted()
	case p.eat("["):
		a := []any{}
		for !p.eat("]") {
			a = append(a, p.value())
			p.eat(",")
		}
		return a
	case p.eat("{"):
		d := dict{}
		for !p.eat("}") {
			key := p.quoted()
			if !p.eat(":") {
				p.fail()
			}
			d[key] = p.value()
			p.eat(",")
		}
		return d
	}
	w := bareWord.FindString(p.rest)
	if w == "" {
		p.fail()
	}
	p.rest = p.rest[len(w):]
	switch w {
	case "true", "false":
		return w == "true"
	case "null":
		return nil
	}
	if n, err := strconv.ParseUint(strings.TrimSuffix(w, "u"), 10, 64); err == nil && strings.HasSuffix(w, "u") {
		return n
	}
	if n, err := strconv.ParseInt(strings.TrimSuffix(w, "i"), 10, 64); err == nil && strings.HasSuffix(w, "i") {
		return n
	}
	return word(w)
}

// terms reads "key=value" and "key" terms, which stand for themselves as true.
// Terms that begin with a mark (one of marks) are handed to marked instead.
func terms(t testing.TB, text, marks string, marked func(mark byte, p *parser)) dict {
	t.Helper()
	d := dict{}
	p := &parser{t, strings.TrimLeft(text, " ")}
	for ; p.rest != ""; p.rest = strings.TrimLeft(p.rest, " ") {
		if strings.IndexByte(marks, p.rest[0]) >= 0 {
			mark := p.rest[0]
			p.rest = p.rest[1:]
			marked(mark, p)
			continue
		}
		end := strings.IndexAny(p.rest, "= ")
		if end < 0 {
			end = len(p.rest)
		}
		key := p.rest[:end]
		if strings.HasPrefix(key, `"`) {
			key = p.quoted()
		} else {
			p.rest = p.rest[end:]
		}
		if p.eat("=") {
			d[key] = p.value()
		} else {
			d[key] = true
		}
	}
	return d
}
