//go:build darwin || linux

package proc

import (
	"errors"
	"os"
	"slices"
	"testing"
)

// table is a process table by hand: pid to parent; an identity's start is 100
// times the pid.
type table map[int]int

func (tab table) read(pid int) (entry, error) {
	parent, ok := tab[pid]
	if !ok {
		return entry{}, goneError(pid)
	}
	return entry{Identity{pid, int64(100 * pid)}, parent}, nil
}

func pids(list []Identity) (pids []int) {
	for _, id := range list {
		pids = append(pids, id.PID)
	}
	return pids
}

func TestAncestorsOfATable(t *testing.T) {
	long := table{}
	for pid := 1; pid <= 3000; pid++ {
		long[pid] = pid - 1
	}
	for _, v := range []struct {
		name string
		tab  table
		pid  int
		want []int
		lost bool // the rest is not known
	}{
		{"chain", table{1: 0, 5: 1, 7: 5, 9: 7}, 9, []int{7, 5, 1}, false},
		{"of pid 1", table{1: 0}, 1, nil, false},
		{"parent missing", table{1: 0, 7: 5, 9: 7}, 9, []int{7}, false},
		{"parent missing at once", table{9: 7}, 9, nil, false},
		{"its own parent", table{9: 9}, 9, nil, true},
		{"cycle through pid", table{9: 7, 7: 5, 5: 9}, 9, []int{7, 5}, true},
		{"cycle above", table{9: 7, 7: 5, 5: 7}, 9, []int{7, 5}, true},
		{"negative parent", table{9: -1}, 9, nil, false},
		{"long", long, 1025, pids(upTo(1024)), false},
		{"too long", long, 1026, pids(upTo(1025))[:1024], true},
	} {
		t.Run(v.name, func(t *testing.T) {
			list, err := ancestors(v.pid, v.tab.read)
			if (err != nil) != v.lost || errors.Is(err, ErrGone) || !slices.Equal(pids(list), v.want) {
				t.Errorf("%v, %v; want %v, the rest not known: %t", pids(list), err, v.want, v.lost)
			}
			for _, id := range list {
				if id.Start != int64(100*id.PID) {
					t.Errorf("identity %+v is of another process", id)
				}
			}
		})
	}
	if list, err := ancestors(9, table{}.read); !errors.Is(err, ErrGone) || list != nil {
		t.Errorf("of a pid that is gone: %v, %v", list, err)
	}
}

// upTo is n, n-1, ... 1.
func upTo(n int) (list []Identity) {
	for ; n > 0; n-- {
		list = append(list, Identity{PID: n})
	}
	return list
}

func TestAncestorsOfAMovingTable(t *testing.T) {
	t.Run("the parent exits before it is read", func(t *testing.T) {
		tab := table{1: 0, 5: 1, 9: 7} // 7 is gone
		read := func(pid int) (entry, error) {
			if pid == 7 {
				tab[9] = 5
			}
			return tab.read(pid)
		}
		if list, err := ancestors(9, read); err != nil || !slices.Equal(pids(list), []int{5, 1}) {
			t.Errorf("%v, %v; want 5 1", pids(list), err)
		}
	})
	t.Run("a stranger gets the parent's pid", func(t *testing.T) {
		tab := table{1: 0, 5: 1, 7: 666, 666: 1, 9: 7}
		read := func(pid int) (entry, error) {
			if pid == 7 { // the stranger; 9 has moved on
				tab[9] = 5
			}
			return tab.read(pid)
		}
		if list, err := ancestors(9, read); err != nil || !slices.Equal(pids(list), []int{5, 1}) {
			t.Errorf("%v, %v; want 5 1", pids(list), err)
		}
	})
	t.Run("the child exits", func(t *testing.T) {
		tab := table{1: 0, 5: 1, 9: 5}
		read := func(pid int) (entry, error) {
			e, err := tab.read(pid)
			if pid == 5 {
				delete(tab, 9)
			}
			return e, err
		}
		if list, err := ancestors(9, read); err != nil || !slices.Equal(pids(list), []int{5, 1}) {
			t.Errorf("%v, %v; want 5 1", pids(list), err)
		}
	})
	t.Run("parents that never hold still", func(t *testing.T) {
		parent := 10
		read := func(pid int) (entry, error) {
			if pid == 9 {
				parent++
				return entry{Identity{9, 900}, parent}, nil
			}
			return table{}.read(pid)
		}
		if list, err := ancestors(9, read); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
	})
	t.Run("an ancestor that cannot be read", func(t *testing.T) {
		tab := table{1: 0, 5: 1, 7: 5, 9: 7}
		read := func(pid int) (entry, error) {
			if pid == 5 {
				return entry{}, os.ErrPermission
			}
			return tab.read(pid)
		}
		if list, err := ancestors(9, read); !errors.Is(err, os.ErrPermission) || !slices.Equal(pids(list), []int{7}) {
			t.Errorf("%v, %v; want 7 and the error", pids(list), err)
		}
	})
}

func TestAncestorsOfARealProcess(t *testing.T) {
	parent, err := Read(os.Getppid())
	if err != nil {
		t.Fatal(err)
	}
	mine, err := Ancestors(os.Getpid())
	if err != nil || len(mine) == 0 || mine[0] != parent {
		t.Fatalf("%v, %v; want %v first", mine, err, parent)
	}
	if slices.Contains(mine, Self()) {
		t.Errorf("%v holds the process itself", mine)
	}
	c := start(t)
	of, err := Ancestors(c.pid)
	if want := append([]Identity{Self()}, mine...); err != nil || !slices.Equal(of, want) {
		t.Errorf("of a child: %v, %v; want %v", of, err, want)
	}
	c.reap(t)
	if of, err := Ancestors(c.pid); !errors.Is(err, ErrGone) || of != nil {
		t.Errorf("of a child that is gone: %v, %v", of, err)
	}
}
