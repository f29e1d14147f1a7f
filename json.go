package hermesgw

import (
	"encoding/json"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// SchemaVersion is the "version" of the JSON that schema/report.schema.json describes. Fields may
// be added; a change of meaning or a removal raises it.
const SchemaVersion = 1

// StatePlanned is the state of what a [Plan] would do.
const StatePlanned = "planned"

// ResultDocument is a [Result] as JSON has it. Absent processes are null; phases that were
// not seen are left out. Nothing of what a gateway talks about is in it.
type ResultDocument struct {
	Target     string          `json:"target"`
	Label      string          `json:"label,omitempty"`
	Profile    string          `json:"profile,omitempty"`
	State      launchd.Outcome `json:"state"`
	OldPID     *int            `json:"old_pid"`
	NewPID     *int            `json:"new_pid"`
	OldGateway *int            `json:"old_gateway_pid,omitempty"`
	NewGateway *int            `json:"new_gateway_pid,omitempty"`
	Inside     bool            `json:"inside,omitempty"`
	Method     string          `json:"method,omitempty"`
	OldExit    string          `json:"old_exit,omitempty"`
	Throttled  float64         `json:"throttled_s,omitempty"`
	Phases     PhasesDocument  `json:"phases_ms"`
	CodeBefore string          `json:"code_before,omitempty"`
	CodeAfter  string          `json:"code_after,omitempty"`
	Work       []WorkDocument  `json:"active_work,omitempty"`
	Steps      []string        `json:"steps,omitempty"` // of a plan
	Warnings   []string        `json:"warnings"`
	Log        []string        `json:"log,omitempty"`
	Error      *Problem        `json:"error,omitempty"`
}

// PhasesDocument are [Phases] in milliseconds.
type PhasesDocument struct {
	Resolve  float64  `json:"resolve"`
	Drain    *float64 `json:"drain,omitempty"`
	Request  float64  `json:"request"`
	Verify   *float64 `json:"verify,omitempty"`
	OldExit  *float64 `json:"old_exit,omitempty"`
	NewSpawn *float64 `json:"new_spawn,omitempty"`
	Ready    *float64 `json:"ready,omitempty"`
	Total    float64  `json:"total"`
}

// WorkDocument is a piece of [Work].
type WorkDocument struct {
	Kind    string  `json:"kind"`
	Elapsed float64 `json:"elapsed_s"`
}

// Document is the result as JSON has it.
func (r *Result) Document() ResultDocument {
	d := ResultDocument{
		Target: r.Name(), Label: r.Label, Profile: r.Profile, State: r.Outcome,
		OldPID: pid(r.Old), NewPID: pid(r.New), OldGateway: pid(r.OldGateway), NewGateway: pid(r.NewGateway),
		Inside: r.Inside, Method: r.Method, OldExit: r.OldExit.String(), Throttled: r.Throttled.Round(100 * time.Millisecond).Seconds(), Phases: phasesOf(r.Phases), CodeBefore: r.CodeBefore, CodeAfter: r.CodeAfter,
		Warnings: some(r.Warnings), Log: r.Log, Error: Explain(r.Err),
	}
	d.Work = WorkDocuments(r.Work)
	return d
}

// WorkDocuments are pieces of work as JSON has them.
func WorkDocuments(work []Work) (list []WorkDocument) {
	for _, w := range work {
		list = append(list, WorkDocument{w.Kind, w.Elapsed.Round(time.Second).Seconds()})
	}
	return list
}

// MarshalJSON writes Document.
func (r Result) MarshalJSON() ([]byte, error) { return json.Marshal(r.Document()) }

// MarshalJSON writes the report by schema/report.schema.json.
func (r Report) MarshalJSON() ([]byte, error) {
	results := r.Results
	if results == nil {
		results = []Result{}
	}
	var sweep *SweepDocument
	if r.Sweep != nil {
		d := r.Sweep.Document()
		sweep = &d
	}
	return json.Marshal(struct {
		Version  int            `json:"version"`
		Results  []Result       `json:"results"`
		Sweep    *SweepDocument `json:"sweep,omitempty"`
		Excluded []Excluded     `json:"excluded,omitempty"`
		Warnings []string       `json:"warnings"`
		Total    float64        `json:"total_ms"`
	}{SchemaVersion, results, sweep, r.Excluded, some(r.Warnings), milliseconds(r.Total)})
}

// MarshalJSON writes the job as programs name it, and why it is left alone.
func (e Excluded) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Target string `json:"target"`
		Reason string `json:"reason"`
	}{e.Target.String(), e.Reason})
}

// SweepDocument is a [Sweep] as JSON has it.
type SweepDocument struct {
	Processes []SweptProcess `json:"processes"`
	Error     *Problem       `json:"error,omitempty"`
}

// SweptProcess is a process that a sweep was about.
type SweptProcess struct {
	PID     int      `json:"pid"`
	Outcome string   `json:"outcome"` // a [sweep.Outcome], or [StatePlanned]
	Profile string   `json:"profile,omitempty"`
	Reason  string   `json:"reason"`
	Argv    []string `json:"argv"` // by [sweep.Redact]
	Error   string   `json:"error,omitempty"`
}

// Document is the sweep as JSON has it.
func (s *Sweep) Document() SweepDocument { return documentOf(s.Results, s.Spared, s.Err) }

func documentOf(results []sweep.Result, spared []sweep.Planned, err error) SweepDocument {
	d := SweepDocument{Processes: []SweptProcess{}, Error: Explain(err)}
	for _, one := range results {
		p := swept(one.Planned, string(one.Outcome))
		if one.Reason != "" {
			p.Reason = one.Reason
		}
		if one.Err != nil {
			p.Error = one.Err.Error()
		}
		d.Processes = append(d.Processes, p)
	}
	for _, one := range spared {
		d.Processes = append(d.Processes, swept(one, string(sweep.Spared)))
	}
	return d
}

func swept(p sweep.Planned, outcome string) SweptProcess {
	return SweptProcess{PID: p.PID, Outcome: outcome, Profile: p.Match.Profile, Reason: p.Reason, Argv: some(sweep.Redact(p.Argv))}
}

func phasesOf(p Phases) PhasesDocument {
	seen := func(d time.Duration) *float64 {
		if d <= 0 {
			return nil
		}
		ms := milliseconds(d)
		return &ms
	}
	return PhasesDocument{
		milliseconds(p.Resolve), seen(p.Drain), milliseconds(p.Request), seen(p.Verify),
		seen(p.OldExit), seen(p.NewSpawn), seen(p.Ready), milliseconds(p.Total),
	}
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

// pid is null in JSON where there is no process.
func pid(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// some is [] in JSON where there is nothing.
func some(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
