package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// Throwaways loads throwaway jobs for something else than a probe's questions, and unloads
// them.
type Throwaways struct{ p *prober }

// Throwaway is a throwaway job that runs.
type Throwaway struct {
	Target launchd.Target
	Plist  string // its property list, for whoever loads it again
}

// OpenThrowaways takes the folder of probes, so that there is none at the same time, and
// removes what earlier ones left. The caller closes what it returns, which may not be used
// concurrently. Only the options that are no report's are looked at.
func OpenThrowaways(ctx context.Context, o Options) (*Throwaways, error) {
	p, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Throwaways{p}, nil
}

// Load loads a job whose property list was changed by change, and waits until it runs.
func (t *Throwaways) Load(ctx context.Context, change ...func(*launchd.Plist)) (Throwaway, error) {
	j, _, err := t.p.runs(ctx, 0, change...)
	if err != nil {
		return Throwaway{}, err
	}
	return Throwaway{Target: j.target, Plist: j.path}, nil
}

// Client asks launchd about throwaway jobs: anything else is an error and is not sent.
func (t *Throwaways) Client() *launchd.Client { return t.p.client }

// Close unloads all jobs and removes their files, whatever became of ctx, within 15 s. The
// error names what is left: the next one to be opened removes it.
func (t *Throwaways) Close(ctx context.Context) error {
	defer t.p.close()
	t.p.undo(ctx)
	errs := make([]error, 0, len(t.p.report.Problems)+1)
	for _, problem := range t.p.report.Problems {
		errs = append(errs, errors.New(problem))
	}
	if left := t.p.report.Left; len(left) > 0 {
		errs = append(errs, fmt.Errorf("throwaway jobs are still loaded: %s", strings.Join(left, ", ")))
	}
	return errors.Join(errs...)
}
