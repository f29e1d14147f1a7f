package launchd

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// Trap 61: a launchd that stops answering, to questions too, does not hold a call for ever: what
// the job's times would be is assumed then.
func TestTrap61LaunchdThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newModel(t, 100)
		m.hang = []uint64{routineKickstart, routinePrintService}
		begin := time.Now()
		r, err := c.Restart(context.Background(), target, RestartOptions{})
		if _, unknown := errors.AsType[*xpc.UnknownOutcome](err); !unknown || r.Outcome != OutcomeUnknown {
			t.Errorf("restart: %+v, %v", r, err)
		}
		if took, most := time.Since(begin), 2*margin+assumedExit+assumedMinRun; took > most {
			t.Errorf("restart took %v, more than %v", took, most)
		}
	})
	for name, call := range map[string]func(*Client) error{
		"start": func(c *Client) error { _, err := c.Start(context.Background(), target, ""); return err },
		"stop":  func(c *Client) error { _, err := c.Stop(context.Background(), target); return err },
	} {
		synctest.Test(t, func(t *testing.T) {
			m, c := newModel(t, 100)
			m.hang = []uint64{routinePrintService}
			begin := time.Now()
			if err := call(c); err == nil {
				t.Errorf("%s: no error", name)
			}
			if took := time.Since(begin); took > 2*margin {
				t.Errorf("%s took %v", name, took)
			}
		})
	}
}

// No job is pid 1, whoever says so.
func TestLaunchdsOwnPIDIsNoSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := newModel(t, 100, names(1))
		if r, err := c.Restart(t.Context(), target, RestartOptions{}); err == nil || r.New != 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
