package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// lifetime ends a throwaway job whose probe was killed. KeepAlive is not set, so launchd
// does not start it again.
const lifetime = 10 * time.Minute

// JobMain is what a throwaway job does, with the arguments that the probe gave it after
// [Options].Program: it says that it runs, and waits for SIGTERM. It returns the exit
// status.
func JobMain(args []string) int {
	err := jobMain(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "throwaway job:", err)
		return 1
	}
	return 0
}

// jobMain takes the file to write the pid to, and how long it takes from SIGTERM to the exit.
func jobMain(args []string) error {
	if len(args) != 2 {
		return errors.New("it is started by a probe, not by hand")
	}
	linger, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	if err := writePID(args[0]); err != nil {
		return err
	}
	select {
	case <-term:
		time.Sleep(linger)
	case <-time.After(lifetime):
	}
	return nil
}

// writePID replaces the file of the process before. The line's end tells that it is whole.
func writePID(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	return errors.Join(err, f.Close())
}
