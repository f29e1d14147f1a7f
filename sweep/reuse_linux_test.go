package sweep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hermes-gw/hermes-gw/internal/proc"
)

// Trap 26 of hermes.md: a pid that is used again between the plan and the signal, within the
// same second. In a pid namespace of its own a process can be given the pid of another that
// has exited. The successor is a gateway, too, with the same arguments, or those of a sibling
// profile, or something else.
func TestPIDReuse(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, successor := range [][]string{gatewayArgv, {"hermes", "-p", "other", "gateway", "run"}, {"sleep", "5"}} {
		cmd := &exec.Cmd{Path: self, Args: append([]string{"reuse"}, successor...), Env: append(os.Environ(), standInVar+"=reuse"),
			SysProcAttr: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}}
		if os.Geteuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || strings.Contains(string(out), "cannot mount") {
			t.Skipf("no pid namespace can be made here: %v %s", err, out)
		}
		if err != nil || !strings.HasSuffix(string(out), "the successor lives\n") {
			t.Errorf("%q: %v\n%s", successor, err, out)
		}
	}
}

// reuse is pid 1 of the namespace.
func reuse(successor []string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot mount: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("cannot mount: %w", err)
	}
	first, err := stand(gatewayArgv)
	if err != nil {
		return err
	}
	pid := first.Process.Pid
	id, err := proc.Read(pid)
	if err != nil {
		return err
	}
	plan := Plan{Signal: []Planned{{Identity: id, Argv: gatewayArgv}}}
	first.Process.Kill()
	first.Wait()
	// Start times are counted in ticks of 10 ms: the successor starts in another one.
	for {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
			return err
		}
		if now.Nano()/1000 > id.Start+2*tick {
			break
		}
	}
	for try := 0; ; try++ {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0o644); err != nil {
			return fmt.Errorf("cannot mount: %w", err)
		}
		second, err := stand(successor)
		if err != nil {
			return err
		}
		if second.Process.Pid != pid { // a thread of this process was faster
			second.Process.Kill()
			second.Wait()
			if try == 100 {
				return errors.New("the pid is not used again")
			}
			continue
		}
		report, err := Run(context.Background(), plan, RunOptions{Grace: time.Second})
		if err != nil || report.Results[0].Outcome != Gone {
			return fmt.Errorf("%+v, %v", report.Results, err)
		}
		now, err := proc.Read(pid)
		if err != nil || now == id {
			return fmt.Errorf("the successor is %v, %w; the first was %v", now, err, id)
		}
		var table Table
		if err := table.Read(context.Background(), -1); err != nil {
			return err
		}
		if argv, err := table.Args(table.Find(pid)); err != nil || !slices.Equal(argv, successor) {
			return fmt.Errorf("%q, %w", argv, err)
		}
		// Nor are its arguments given out as those of the first.
		if argv, err := table.Args(&Process{Identity: id}); !errors.Is(err, ErrGone) {
			return fmt.Errorf("%q, %w", argv, err)
		}
		fmt.Println("the successor lives")
		return nil
	}
}

// stand starts a process with these arguments that has executed its program.
func stand(argv []string) (*exec.Cmd, error) {
	cmd := &exec.Cmd{Path: "/proc/self/exe", Args: argv, Env: []string{standInVar + "=willing"}}
	if _, err := cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	_, err = io.ReadFull(out, make([]byte, 6))
	return cmd, err
}

func init() {
	becomes["reuse"] = func() {
		if err := reuse(os.Args[1:]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
}
