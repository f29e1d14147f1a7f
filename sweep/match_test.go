package sweep

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// vector is a line of the corpus: an argv, what it is, and why. "trap N" in its source is a trap of
// hermes.md, section 5.
type vector struct {
	Argv       []string
	Want       Kind
	Profile    string
	Supervised bool
	Replace    bool
	Reason     string // what the matcher says
	Why        string // for readers
	Source     string
}

func corpus(t testing.TB) (list []vector) {
	t.Helper()
	b, err := os.ReadFile("testdata/match/corpus.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		d := json.NewDecoder(strings.NewReader(lines.Text()))
		d.DisallowUnknownFields()
		var v vector
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		list = append(list, v)
	}
	return list
}

func TestMatchCorpus(t *testing.T) {
	seen := map[string]bool{}
	kinds := map[Kind]int{}
	traps := map[string]int{} // of hermes.md, section 5
	for _, v := range corpus(t) {
		m := Matcher{}.Match(v.Argv)
		if m.Kind != v.Want || m.Profile != v.Profile || m.Supervised != v.Supervised || m.Replace != v.Replace || m.Reason != v.Reason {
			t.Errorf("%q\ngot  %+v\nwant %+v", v.Argv, m, v)
		}
		if v.Reason == "" || v.Why == "" || v.Source == "" {
			t.Errorf("%q has no reason, or no source", v.Argv)
		}
		for _, trap := range []string{"trap 12", "trap 14", "trap 15", "trap 16", "trap 17", "trap 22"} {
			if strings.Contains(v.Source, trap) {
				traps[trap]++
			}
		}
		key := fmt.Sprintf("%q", v.Argv)
		if seen[key] {
			t.Errorf("%q stands there twice", v.Argv)
		}
		seen[key] = true
		kinds[v.Want]++
	}
	if len(seen) < 120 || kinds[KindGateway] < 40 || kinds[KindOther] < 60 || kinds[KindWrapper] < 10 || kinds[KindRestart] < 3 {
		t.Errorf("%d vectors: %v", len(seen), kinds)
	}
	if len(traps) != 6 {
		t.Errorf("vectors of these traps only: %v", traps)
	}
}

// A profile is equal or it is another: trap 16.
func TestMatchProfiles(t *testing.T) {
	argv := []string{"hermes", "-p", "ops", "gateway", "run"}
	for _, c := range []struct {
		profiles []string
		want     Kind
	}{
		{nil, KindGateway}, {[]string{"ops"}, KindGateway}, {[]string{"ops-2", "ops"}, KindGateway},
		{[]string{"ops-2"}, KindOther}, {[]string{"op"}, KindOther}, {[]string{"OPS"}, KindOther}, {[]string{""}, KindOther}, {[]string{}, KindOther},
	} {
		if m := (Matcher{Profiles: c.profiles}).Match(argv); m.Kind != c.want {
			t.Errorf("%q: %+v", c.profiles, m)
		}
	}
	if m := (Matcher{Profiles: []string{""}}).Match([]string{"hermes", "gateway"}); m.Kind != KindGateway {
		t.Errorf("%+v", m)
	}
}

// Whatever a gateway's process is called, its arguments are read.
func TestCandidate(t *testing.T) {
	for _, comm := range []string{"Python", "python3.12", "python", "osascript", "hermes", "hermes-gateway", "", "x", "MainThread", "pypy3", "desktop-gateway"} {
		if !Candidate(comm) {
			t.Errorf("%q is no candidate", comm)
		}
	}
	for _, comm := range []string{"zsh", "-zsh", "bash", "vim", "tmux", "ssh", "grep", "launchd", "kernel_task", "WindowServer", "Finder", "hermes-gw", "sshd", "mdworker_shared"} {
		if Candidate(comm) {
			t.Errorf("%q is a candidate", comm)
		}
	}
	for _, v := range corpus(t) { // as the kernel would name them
		if v.Want == KindGateway || v.Want == KindRestart {
			name := base(strings.ReplaceAll(v.Argv[0], `\`, "/"))
			for _, limit := range []int{15, 16} {
				if comm := name[:min(len(name), limit)]; !Candidate(comm) {
					t.Errorf("%q would not be looked at", comm)
				}
			}
		}
	}
	for _, name := range systemNames {
		if len(name) > 16 || name != strings.ToLower(name) {
			t.Errorf("%q can be no comm", name)
		}
	}
}

func TestRedact(t *testing.T) {
	const canary = "hunter2hunter2"
	for _, argv := range [][]string{
		{"hermes", "--token", canary}, {"hermes", "--token=" + canary}, {"hermes", "--api-key", canary}, {"hermes", "--apiKey=" + canary}, {"x", "--bot-token", canary},
		{"x", "-H", "Authorization: Bearer " + canary}, {"x", "X-Api-Key: " + canary}, {"x", "TELEGRAM_BOT_TOKEN=" + canary}, {"x", "DB_PASSWORD=" + canary},
		{"x", "https://user:" + canary + "@host/path"}, {"x", "postgres://u:" + canary + "@h:5432/db"}, {"x", "https://host/p?key=" + canary}, {"x", "--client-secret", canary},
		{"x", "Bearer " + canary}, {"x", "sk-" + canary}, {"x", "ghp_" + canary}, {"x", "--password", canary}, {"x", "-p", "ok", "--cookie", canary}, {"x", "xoxb-" + canary},
		{"x", "-HAuthorization: Bearer " + canary}, {"x", "-HX-Api-Key: " + canary}, {"x", "--header", "X-Auth-Token: " + canary}, {"x", "-u", "user:" + canary}, {"x", "--pwd", canary},
		{"x", "123456789:AAH" + canary + "abcdefghijklmnop"}, {"x", "glpat-" + canary}, {"x", "AKIA" + canary}, {"x", "a=1&token=" + canary}, {"x", `{"token":"` + canary + `"}`},
		{"x", "https://h/?a=1&sig=" + canary}, {"x", "get https://h/?a=1&sig=" + canary}, {"x", "https://h/a#" + canary}, {"x", "https://a/ https://u:" + canary + "@h/"}, {"x", "https://" + canary + "@h/"},
		{"x", "https://hooks.slack.com/services/T0/B0/" + canary}, {"x", "https://discord.com/api/webhooks/1/" + canary}, {"x", "https://api.telegram.org/bot1:" + canary + "/getMe"},
		{"sh", "-c", "hermes --token " + canary}, {"sh", "-c", "curl -d X-Api-Key: " + canary}, {"sh", "-c", "true;TOKEN=" + canary + " hermes"}, {"hermes gateway run --token=" + canary}, {"https://u:" + canary + "@h/", "x"},
		{"sh", "-c", `export TOKEN="a ` + canary + `" && hermes`}, {"sh", "-c", "hermes --token 'a " + canary + "'"}, {"sh", "-c", `curl https://h -H "X-Api-Key: ` + canary + `" -v`},
	} {
		if shown := strings.Join(Redact(argv), " "); strings.Contains(shown, canary) {
			t.Errorf("%q is shown as %s", argv, shown)
		}
	}
	long := strings.Repeat("ä", 200)
	for _, c := range []struct{ argv, want []string }{
		{[]string{"python", "-m", "hermes_cli.main", "-p", "work", "gateway", "run"}, []string{"python", "-m", "hermes_cli.main", "-p", "work", "gateway", "run"}},
		{[]string{"x", "--key", "v"}, []string{"x", "--key", "v"}}, // a key alone can be anything
		{[]string{"x", "a\x1b[2Jb\n"}, []string{"x", `a\x1b[2Jb\n`}},
		{[]string{"x", long}, []string{"x", strings.Repeat("ä", 40) + "…"}},
		{[]string{"x", ""}, []string{"x", ""}},
		{[]string{"python", "-u", "a b\tc", "run.py:12"}, []string{"python", "-u", `a b\tc`, "run.py:12"}},
		{[]string{"sh", "-c", "cd /a; exec hermes  gateway run"}, []string{"sh", "-c", "cd /a; exec hermes  gateway run"}},
		{[]string{"--token", "x"}, []string{"--token", "x"}}, // argv[0] is a name
		{nil, []string{}},
	} {
		if got := Redact(c.argv); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.argv, got, c.want)
		}
	}
}

// Words in one argument are one word: what a text says never counts.
func TestMatchNeverReadsText(t *testing.T) {
	for _, v := range corpus(t) {
		if m := (Matcher{}).Match([]string{strings.Join(v.Argv, " ")}); m.Kind == KindGateway && len(v.Argv) > 1 {
			t.Errorf("%q as one word: %+v", v.Argv, m)
		}
		if m := (Matcher{}).Match(append([]string{"/usr/bin/sleep"}, v.Argv...)); m.Kind != KindOther {
			t.Errorf("sleep %q: %+v", v.Argv, m)
		}
	}
}

// A hostile argv costs no more than its length.
func TestMatchIsLinear(t *testing.T) {
	for _, word := range []string{"sudo", "hermes", "python", "-p", "gateway", "-m", "--", "uv", "-", ""} {
		argv := slices.Repeat([]string{word}, 200_000)
		start := time.Now()
		Matcher{}.Match(argv)
		Matcher{}.Match(append([]string{"sudo"}, argv...))
		Matcher{}.Match(append([]string{"python", "-c", "hermes"}, argv...))
		if d := time.Since(start); d > 5*time.Second { // some ms; seconds would be a square
			t.Errorf("%q: %v", word, d)
		}
	}
}

func FuzzMatch(f *testing.F) {
	for _, v := range corpus(f) {
		f.Add(strings.Join(v.Argv, "\x00"))
	}
	f.Fuzz(func(t *testing.T, joined string) {
		argv := strings.Split(joined, "\x00")
		m := Matcher{}.Match(argv)
		if m.Reason == "" {
			t.Errorf("%q: %+v", argv, m)
		}
		if m.Kind == KindGateway && len(argv) == 1 {
			if !isGatewayFile(normal(strings.TrimPrefix(argv[0], "-"))) {
				t.Errorf("%q: %+v", argv, m)
			}
		}
		// The program decides: as somebody else's arguments the same words are nothing.
		if m := (Matcher{}).Match(append([]string{"/bin/sleep"}, argv...)); m.Kind != KindOther {
			t.Errorf("%q: %+v", argv, m)
		}
		for _, s := range Redact(append([]string{"x", "--token", "canary-canary"}, argv...)) {
			if strings.Contains(s, "canary-canary") && !strings.Contains(joined, "canary") || strings.ContainsAny(s, "\x1b\n\r\x00") {
				t.Errorf("%q", s)
			}
		}
	})
}
