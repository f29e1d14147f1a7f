package launchdsim

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Every section that a row of the table cites is there, and every wording that it
// quotes stands in it.
func TestConformanceCitations(t *testing.T) {
	page, err := os.ReadFile("launchd-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(conformanceTable)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	heading := regexp.MustCompile(`^#{2,3} (\d+(?:\.\d+[a-z]?)?)\.? `)
	var section string
	for _, line := range strings.Split(string(page), "\n") {
		if m := heading.FindStringSubmatch(line); m != nil {
			section = m[1]
		}
		sections[section] += words(line) + " "
	}
	// "1.3(7): words; 5: \"quoted words\"": each section counts up to the next.
	cite, quote := regexp.MustCompile(`(?:^|; )(\d+(?:\.\d+[a-z]?)?)(?:\(\d\))?: `), regexp.MustCompile(`"([^"]+)"`)
	quotes := 0
	for i, line := range strings.Split(string(table), "\n") {
		columns := strings.Split(line, " | ")
		if strings.HasPrefix(line, "#") || len(columns) != 5 {
			continue
		}
		cited := strings.TrimSpace(columns[4])
		at := cite.FindAllStringSubmatchIndex(cited, -1)
		for k, m := range at {
			end := len(cited)
			if k+1 < len(at) {
				end = at[k+1][0]
			}
			number := strings.TrimSuffix(cited[m[2]:m[3]], ".0")
			text, there := sections[number]
			if !there {
				t.Errorf("line %d: no section %s", i+1, number)
			}
			for _, q := range quote.FindAllStringSubmatch(cited[m[1]:end], -1) {
				quotes++
				if !says(text, words(q[1])) {
					t.Errorf("line %d: section %s does not say %q", i+1, number, q[1])
				}
			}
		}
	}
	if quotes < 50 {
		t.Errorf("only %d quotes were found", quotes)
	}
}

// says looks for a quote, whose omissions are marked by "...".
func says(text, quote string) bool {
	for part := range strings.SplitSeq(quote, "...") {
		_, after, found := strings.Cut(text, strings.TrimSpace(part))
		if !found {
			return false
		}
		text = after
	}
	return true
}

// words leaves out emphasis and the width of spaces.
func words(s string) string {
	return strings.Join(strings.Fields(strings.NewReplacer("`", "", "*", "", `\`, "").Replace(s)), " ")
}
