package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

func read(pid int) (entry, error) {
	if err := checkPID(pid); err != nil {
		return entry{}, err
	}
	path := "/proc/" + strconv.Itoa(pid) + "/stat"
	var buf [2048]byte
	b, err := readStat(path, buf[:])
	if errors.Is(err, fs.ErrNotExist) && !noProcess(pid) {
		b, err = readStat(path, buf[:]) // it has come into being in between, unless it is hidden
	}
	switch {
	case errors.Is(err, syscall.ESRCH), errors.Is(err, fs.ErrNotExist) && noProcess(pid):
		return entry{}, goneError(pid)
	case err != nil:
		return entry{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	s, err := parseStat(b)
	if err != nil {
		return entry{}, fmt.Errorf("%s: %w", path, err)
	}
	if s.thread || s.dead {
		return entry{}, goneError(pid)
	}
	return entry{Identity{PID: pid, Start: s.start}, s.parent}, nil
}

// readStat reads a file of /proc that is far shorter than buf. os.ReadFile takes twice
// the time, most of it for what such a file is not, and a restart reads several.
func readStat(path string, buf []byte) ([]byte, error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	n, err := retry(func() (int, error) { return unix.Read(fd, buf) })
	return buf[:max(n, 0)], err
}

func retry(call func() (int, error)) (n int, err error) {
	for n, err = call(); err == unix.EINTR; n, err = call() {
	}
	return n, err
}

// noProcess keeps a /proc that is not mounted, or hides other users' processes,
// from making them look gone.
func noProcess(pid int) bool { return syscall.Kill(pid, 0) == syscall.ESRCH }

// tick is the unit of times in /proc, in microseconds. It is USER_HZ, which is 100
// on every system that Go runs on, whatever the kernel's own clock rate.
const tick = 1_000_000 / 100

type stat struct {
	parent int
	start  int64 // microseconds since boot
	dead   bool  // only its exit status is left
	thread bool  // a thread that is not its process's first; /proc shows it if asked
}

// The fields of /proc/PID/stat that are needed, numbered as in proc(5).
const (
	fieldState      = 3
	fieldParent     = 4
	fieldThreads    = 20
	fieldStart      = 22
	fieldExitSignal = 38
)

var errStat = errors.New("not in the form of proc(5)")

// parseStat reads /proc/PID/stat. The second field is the command name in
// parentheses, which may hold anything, parentheses, spaces and newlines too;
// no later field has a parenthesis.
func parseStat(b []byte) (s stat, err error) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return stat{}, errStat
	}
	fields := bytes.Fields(b[end+1:])
	if len(fields) <= fieldExitSignal-fieldState {
		return stat{}, errStat
	}
	number := func(field int) int64 {
		n, perr := strconv.ParseInt(string(fields[field-fieldState]), 10, 64)
		if perr != nil {
			err = errStat
		}
		return n
	}
	s.parent = int(number(fieldParent))
	s.start = number(fieldStart)
	if s.start < 0 || s.start > (1<<63-1)/tick {
		return stat{}, errStat
	}
	s.start *= tick
	// While other threads live, a process whose first thread has ended shows as a
	// zombie, too.
	state := fields[0][0]
	s.dead = (state == 'Z' || state == 'X' || state == 'x') && number(fieldThreads) <= 1
	// Only threads are created without a signal for the parent on exit.
	s.thread = number(fieldExitSignal) < 0
	if err != nil {
		return stat{}, err
	}
	return s, nil
}
