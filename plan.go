package hermesgw

import (
	"context"
	"encoding/json"
	"fmt"
	"syscall"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/sweep"
)

// Plan is what a restart would do.
type Plan struct {
	Jobs []PlannedJob // in the order of the selection; one that the caller runs in is restarted last
	// Sweep is what the sweep after it would signal and spare, as things are now; nil without
	// Selection.All. SweepErr is why there would be none.
	Sweep    *sweep.Plan
	SweepErr error
	Excluded []Excluded // as [Report].Excluded
	Warnings []string
}

// PlannedJob is what would be done about one job.
type PlannedJob struct {
	Result          // as far as it is known: Target, Profile, Old, Inside, Warnings; Outcome and Err of a job that would be refused
	Steps  []string // requests and signals, in order; none if it would be refused
}

// Plan says what Restart with the same options would do. It sends no request that changes anything,
// no signal, and writes nothing.
func (h *Hermes) Plan(ctx context.Context, o RestartOptions) (Plan, error) {
	r := &run{h: h, o: o}
	if err := r.prepareWithin(ctx); err != nil {
		return Plan{}, err
	}
	plan := Plan{Excluded: r.excluded(), Warnings: r.warnings}
	for n, i := range r.items {
		job := PlannedJob{Result: *r.results[n]}
		job.Phases = Phases{}
		if i.refusal == nil || r.bootstraps(i) {
			job.Outcome, job.Err = "", nil
			if err := h.recently(i.Target); err != nil && !o.Force {
				job.fail(err)
			} else if job.Steps, err = r.steps(ctx, i); err != nil {
				job.fail(err)
			}
		}
		plan.Jobs = append(plan.Jobs, job)
	}
	if o.Select.All {
		s, err := r.strays(ctx, r.fleet.isLoaded)
		plan.Sweep, plan.SweepErr = &s, err
	}
	return plan, nil
}

// steps are the requests and signals for one job, if nothing comes in between.
func (r *run) steps(ctx context.Context, i *item) (steps []string, err error) {
	if !i.Loaded() {
		places := r.places(i)
		if len(places) == 0 {
			return nil, fmt.Errorf("restart %s: user %d has no domain", i.Label, r.h.in.UID)
		}
		return []string{
			fmt.Sprintf("bootstrap %s into %s (800)", i.Plist, places[0]),
			"kickstart with unthrottle (702)",
		}, nil
	}
	if r.o.Graceful && !i.job.IsZero() {
		asked := i.job
		signal := syscall.SIGTERM
		if i.gateway {
			if asked, _, err = r.h.find(ctx, i.job, i.Home); err != nil {
				return nil, &NoGatewayError{Target: i.Target, Err: err}
			}
			signal = syscall.SIGUSR1
		}
		steps = append(steps,
			fmt.Sprintf("%s to process %d, and up to %v for its work", signalName(signal), asked.PID, r.drainFor(i.Job)),
			"kickstart with unthrottle (702) after its exit")
		if r.o.ForceAfter > 0 {
			steps = append(steps, "kickstart with kill and unthrottle (702) if it has not exited by then")
		}
		return steps, nil
	}
	if i.Job.PID == 0 {
		return []string{"kickstart with unthrottle (702)"}, nil
	}
	return []string{"kickstart with kill and unthrottle (702)"}, nil
}

func signalName(s syscall.Signal) string {
	switch s {
	case syscall.SIGUSR1:
		return "SIGUSR1"
	case syscall.SIGTERM:
		return "SIGTERM"
	}
	return s.String()
}

// recently is what the rate guard would say, read without taking the lock.
func (h *Hermes) recently(t launchd.Target) error {
	return (&flight{note: h.flightNote(t), address: h.o.Address}).allowed(t)
}

// MarshalJSON writes the plan by schema/report.schema.json: a report in which nothing has
// happened yet.
func (p Plan) MarshalJSON() ([]byte, error) {
	jobs := []ResultDocument{}
	for i := range p.Jobs {
		jobs = append(jobs, p.Jobs[i].Document())
	}
	return json.Marshal(struct {
		Version  int              `json:"version"`
		DryRun   bool             `json:"dry_run"`
		Results  []ResultDocument `json:"results"`
		Sweep    *SweepDocument   `json:"sweep,omitempty"`
		Excluded []Excluded       `json:"excluded,omitempty"`
		Warnings []string         `json:"warnings"`
	}{SchemaVersion, true, jobs, p.SweepDocument(), p.Excluded, some(p.Warnings)})
}

// Document is the job as JSON has it.
func (j *PlannedJob) Document() ResultDocument {
	d := j.Result.Document()
	if d.State == "" {
		d.State = StatePlanned
	}
	d.Steps = j.Steps
	return d
}

// SweepDocument is the sweep as JSON has it; nil if there would be none.
func (p Plan) SweepDocument() *SweepDocument {
	if p.Sweep == nil {
		return nil
	}
	d := documentOf(nil, p.Sweep.Spared, p.SweepErr)
	var planned []SweptProcess
	for _, one := range p.Sweep.Signal {
		planned = append(planned, swept(one, StatePlanned))
	}
	d.Processes = append(planned, d.Processes...)
	return &d
}
