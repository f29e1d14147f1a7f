package main

import (
	"encoding/json"
	"fmt"

	hermesgw "github.com/hermes-gw/hermes-gw"
)

// findingResult is one thing that doctor found.
type findingResult struct{ hermesgw.Finding }

func (r *findingResult) exitCode() int      { return exitFailed }
func (r *findingResult) subject() string    { return r.Target.String() }
func (r *findingResult) warnings() []string { return nil }
func (r *findingResult) trouble() *problem  { return nil }

func (r *findingResult) line() string {
	text := fmt.Sprintf("%s: %s [%s]", shown(r.subject()), shown(r.Problem), r.ID)
	if r.Command != "" {
		text += "\n  " + shown(r.Command)
	}
	if r.Advice != "" {
		text += "\n  " + shown(r.Advice)
	}
	return text
}

func (r *findingResult) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Target  string `json:"target"`
		Profile string `json:"profile,omitempty"`
		ID      string `json:"id"`
		Problem string `json:"problem"`
		Command string `json:"command,omitempty"`
		Advice  string `json:"advice,omitempty"`
	}{r.subject(), r.Profile, r.ID, r.Problem, r.Command, r.Advice})
}

// runDoctor looks for what is wrong with the gateways of this installation.
func runDoctor(c *command) report {
	h, err := c.installation()
	if err != nil {
		return report{err: err}
	}
	ctx, cancel := c.within(askTimeout)
	defer cancel()
	findings, fleet, err := h.Diagnose(ctx)
	if err != nil {
		return report{err: err}
	}
	r := report{worst: true}
	r.fields.Warnings = fleet.Warnings
	for _, f := range findings {
		r.results = append(r.results, &findingResult{f})
	}
	switch {
	case len(findings) > 0:
	case len(fleet.Gateways) == 0:
		r.text, r.fields.Note, r.exit = noGateways()
	default:
		r.fields.Note = fmt.Sprintf("nothing is wrong with %s", counted(len(fleet.Gateways), "gateway"))
		r.text = r.fields.Note + "\n"
	}
	return r
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
