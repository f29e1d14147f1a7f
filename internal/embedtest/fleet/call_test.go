package fleet

import (
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/internal/proc"
	"github.com/hermes-gw/hermes-gw/launchd"
)

func TestCall(t *testing.T) {
	t.Parallel()
	f := New(t, Options{Outside: true, Profiles: []Profile{{Name: "work", Plist: Middle}}})
	gateway := f.Running("work", 0)
	if o := f.Call(gateway, Within{}, f.Prepare("restart", "--no-such-flag")).End(); o.Code != 2 || o.Stderr == "" || o.Stdout != "" || o.Took <= 0 {
		t.Errorf("%+v", o)
	}
	sit := func(w Within) (c *Call, above []int, group int) {
		t.Helper()
		cmd := exec.Command(f.Program("hermes"))
		cmd.Env = []string{standin.EnvSit + "=1", standin.EnvLeash + "=" + f.leash.path}
		c = f.Call(gateway, w, cmd)
		list, err := proc.Ancestors(c.PID())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			above = append(above, a.PID)
		}
		if group, err = syscall.Getpgid(c.PID()); err != nil {
			t.Fatal(err)
		}
		return c, above, group
	}
	job := f.JobPID("work")
	child, above, group := sit(Within{})
	if group != job || above[0] != child.Caller().PID || above[1] != gateway.PID || !slices.Contains(above, job) {
		t.Errorf("%d in group %d below %v", child.PID(), group, above)
	}
	deep, above, group := sit(Within{Depth: 3, Session: true})
	if group == job || slices.Index(above, gateway.PID) != 4 {
		t.Errorf("%d in group %d below %v", deep.PID(), group, above)
	}
	alone, above, group := sit(Within{Reparented: true})
	if group != job || slices.Contains(above, gateway.PID) {
		t.Errorf("%d in group %d below %v", alone.PID(), group, above)
	}
	if err := deep.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if o := deep.End(); o.Code != -int(syscall.SIGKILL) {
		t.Errorf("%+v", o)
	}
	// The commands in the job's group end with the job, and those who tell of it do not.
	ctx, cancel := f.soon()
	defer cancel()
	if _, err := f.Client.Restart(ctx, f.Gateway("work").Target, launchd.RestartOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Call{child, alone} {
		if o := c.End(); o.Code != -int(syscall.SIGTERM) {
			t.Errorf("%+v", o)
		}
	}
}
