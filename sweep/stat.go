package sweep

import (
	"bytes"
	"errors"
)

// tick is the unit of times in /proc, in microseconds: USER_HZ is 100 on every system that
// Go runs on.
const tick = 1_000_000 / 100

// kernelThread is PF_KTHREAD of Linux's include/linux/sched.h.
const kernelThread = 0x00200000

var errStat = errors.New("not in the form of proc(5)")

// parseStat reads /proc/PID/stat: pid, the command name in parentheses, which may hold
// anything, and then numbers, of which no later one has a parenthesis. The fields are
// numbered as in proc(5): 3 state, 4 parent, 5 group, 7 terminal, 9 flags, 20 threads, 22 start
// in ticks since boot.
func parseStat(b []byte) (p Process, err error) {
	begin, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if begin < 0 || end < begin {
		return Process{}, errStat
	}
	p.setComm(b[begin+1 : end])
	rest := b[end+1:]
	var state byte
	var threads int64
	for field := 3; field <= 22; field++ {
		rest = bytes.TrimLeft(rest, " ")
		word := rest
		if i := bytes.IndexByte(rest, ' '); i >= 0 {
			word = rest[:i]
		} else if field < 22 {
			return Process{}, errStat
		}
		rest = rest[len(word):]
		if field == 3 {
			if len(word) != 1 {
				return Process{}, errStat
			}
			state = word[0]
			continue
		}
		n, ok := integer(bytes.TrimRight(word, "\n"))
		switch field {
		case 4:
			p.Parent = int(n)
		case 5:
			p.Group = int(n)
		case 7:
			p.TTY = uint64(uint32(n))
		case 9:
			p.kernel = n&kernelThread != 0
		case 20:
			threads = n
		case 22:
			if ok = ok && n >= 0 && n <= (1<<63-1)/tick; ok {
				p.Start = n * tick
			}
		default:
			ok = true // of no interest
		}
		if !ok {
			return Process{}, errStat
		}
	}
	switch {
	case (state == 'Z' || state == 'X' || state == 'x') && threads <= 1: // else other threads live
		p.State = StateZombie
	case state == 'T' || state == 't':
		p.State = StateStopped
	}
	return p, nil
}

// parseStatus reads the users of /proc/PID/status: the line "Uid:" has the real and the
// effective one first. The name of the process, which may hold anything, stands in a line
// before it with its line breaks escaped (proc(5)).
func parseStatus(b []byte) (realUID, uid uint32, err error) {
	_, line, ok := bytes.Cut(b, []byte("\nUid:"))
	line, _, whole := bytes.Cut(line, []byte("\n"))
	fields := bytes.Fields(line)
	if !ok || !whole || len(fields) < 2 {
		return 0, 0, errStat
	}
	var uids [2]uint32
	for i := range uids {
		n, ok := integer(fields[i])
		if !ok || n < 0 || n > 1<<32-1 {
			return 0, 0, errStat
		}
		uids[i] = uint32(n)
	}
	return uids[0], uids[1], nil
}

// integer reads a decimal number of at most 18 digits.
func integer(b []byte) (n int64, ok bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}
