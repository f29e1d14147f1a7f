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

// MarshalJSON writes the report by schema/report.schema.json.
func (r Report) MarshalJSON() ([]byte, error) {
	results := r.Results
	if results == nil {
		results = []Result{}
	}
	return json.Marshal(struct {
		Version  int      `json:"version"`
		Results  []Result `json:"results"`
		Sweep    *Sweep   `json:"sweep,omitempty"`
		Warnings []string `json:"warnings"`
		Total    float64  `json:"total_ms"`
	}{SchemaVersion, results, r.Sweep, some(r.Warnings), milliseconds(r.Total)})
}

// MarshalJSON writes the result: absent processes are null, phases that were not seen are
// left out. Nothing of what a gateway talks about is in it, and no argument of a process that
// looks like a secret.
func (r Result) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
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
		Phases     phases          `json:"phases_ms"`
		CodeBefore string          `json:"code_before,omitempty"`
		CodeAfter  string          `json:"code_after,omitempty"`
		Work       []work          `json:"active_work,omitempty"`
		Warnings   []string        `json:"warnings"`
		Log        []string        `json:"log,omitempty"`
		Error      *Problem        `json:"error,omitempty"`
	}{
		r.Name(), r.Label, r.Profile, r.Outcome, pid(r.Old), pid(r.New), pid(r.OldGateway), pid(r.NewGateway),
		r.Inside, r.Method, phasesOf(r.Phases), r.CodeBefore, r.CodeAfter, workOf(r.Work), some(r.Warnings), r.Log, r.Problem(),
	})
}

// Problem is Err as programs get it; nil for a success.
func (r *Result) Problem() *Problem { return Explain(r.Err) }

// phases are in milliseconds.
type phases struct {
	Resolve  float64  `json:"resolve"`
	Request  float64  `json:"request"`
	OldExit  *float64 `json:"old_exit,omitempty"`
	NewSpawn *float64 `json:"new_spawn,omitempty"`
	Ready    *float64 `json:"ready,omitempty"`
	Total    float64  `json:"total"`
}

func phasesOf(p Phases) phases {
	seen := func(d time.Duration) *float64 {
		if d <= 0 {
			return nil
		}
		ms := milliseconds(d)
		return &ms
	}
	return phases{milliseconds(p.Resolve), milliseconds(p.Request), seen(p.OldExit), seen(p.NewSpawn), seen(p.Ready), milliseconds(p.Total)}
}

type work struct {
	Kind    string  `json:"kind"`
	Elapsed float64 `json:"elapsed_s"`
}

func workOf(list []Work) (w []work) {
	for _, one := range list {
		w = append(w, work{one.Kind, one.Elapsed.Round(time.Second).Seconds()})
	}
	return w
}

// MarshalJSON writes what the sweep did and what it spared.
func (s Sweep) MarshalJSON() ([]byte, error) {
	type process struct {
		PID     int           `json:"pid"`
		Outcome sweep.Outcome `json:"outcome"`
		Profile string        `json:"profile,omitempty"`
		Reason  string        `json:"reason"`
		Argv    []string      `json:"argv"`
		Error   string        `json:"error,omitempty"`
	}
	list := []process{}
	for _, one := range s.Results {
		p := process{one.PID, one.Outcome, one.Match.Profile, one.Planned.Reason, sweep.Redact(one.Argv), ""}
		if one.Reason != "" {
			p.Reason = one.Reason
		}
		if one.Err != nil {
			p.Error = one.Err.Error()
		}
		list = append(list, p)
	}
	for _, one := range s.Spared {
		list = append(list, process{one.PID, sweep.Spared, one.Match.Profile, one.Reason, sweep.Redact(one.Argv), ""})
	}
	return json.Marshal(struct {
		Processes []process `json:"processes"`
		Error     *Problem  `json:"error,omitempty"`
	}{list, Explain(s.Err)})
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
