package sweep

import (
	"slices"
	"testing"
	"time"
)

// tableOf makes a table of pids and their parents; starts fall as pids rise, as if the clock were
// always being set back.
func tableOf(parents map[int]int) *Table {
	t := &Table{all: true}
	for pid, parent := range parents {
		t.rows = append(t.rows, Process{Identity: Identity{PID: pid, Start: int64(1_000_000 - pid)}, Parent: parent, Group: pid % 10})
	}
	slices.SortFunc(t.rows, func(a, b Process) int { return b.PID - a.PID })
	return t
}

func pidsOf(list []*Process) (pids []int) {
	for _, p := range list {
		pids = append(pids, p.PID)
	}
	return pids
}

// Ancestry ends on pid 0 and 1, on a missing parent and on a cycle: trap 10 of hermes.md.
func TestAncestry(t *testing.T) {
	for _, c := range []struct {
		name  string
		table map[int]int
		pid   int
		above []int
		whole bool
		below []int
	}{
		{"chain", map[int]int{1: 0, 5: 1, 7: 5, 9: 7}, 7, []int{5, 1}, true, []int{9}},
		{"pid 1", map[int]int{1: 0, 5: 1}, 1, nil, true, nil},
		{"pid 0", map[int]int{0: 0, 1: 0, 2: 0, 5: 2}, 5, []int{2}, true, nil},
		{"pid 0 itself", map[int]int{0: 0, 1: 0}, 0, nil, true, nil},
		{"pid 1 hidden", map[int]int{5: 1, 7: 5}, 7, []int{5}, true, nil},
		{"parent missing", map[int]int{1: 0, 7: 6, 9: 7}, 9, []int{7}, false, nil},
		{"itself missing", map[int]int{1: 0, 9: 8}, 8, nil, false, nil},
		{"its own parent", map[int]int{1: 0, 9: 9}, 9, nil, false, nil},
		{"cycle of two", map[int]int{1: 0, 8: 9, 9: 8}, 9, []int{8}, false, []int{8}},
		{"cycle above", map[int]int{5: 6, 6: 5, 7: 5}, 7, []int{5, 6}, false, nil},
		{"cycle of three", map[int]int{5: 6, 6: 7, 7: 5, 8: 7}, 7, []int{5, 6}, false, []int{8, 6, 5}},
		{"a negative parent", map[int]int{1: 0, 9: -1}, 9, nil, false, nil},
		{"siblings", map[int]int{1: 0, 5: 1, 6: 5, 7: 5, 8: 6}, 5, []int{1}, true, []int{7, 6, 8}},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := tableOf(c.table)
			above, whole := table.lineage(c.pid)
			if !slices.Equal(pidsOf(above), c.above) || whole != c.whole || !slices.Equal(pidsOf(table.Ancestors(c.pid)), c.above) {
				t.Errorf("above %d: %v, whole %v; want %v, %v", c.pid, pidsOf(above), whole, c.above, c.whole)
			}
			if below := pidsOf(table.Descendants(c.pid)); !slices.Equal(below, c.below) {
				t.Errorf("below %d: %v, want %v", c.pid, below, c.below)
			}
		})
	}
	table := tableOf(map[int]int{1: 0, 15: 1, 25: 15, 5: 1, 10: 1, 11: 1, 21: 1})
	if got := pidsOf(table.Group(5)); !slices.Equal(got, []int{25, 15, 5}) {
		t.Errorf("group 5: %v", got)
	}
	for _, pgid := range []int{1, 0, -5} { // those of the system are not asked for
		if got := table.Group(pgid); got != nil {
			t.Errorf("group %d: %v", pgid, pidsOf(got))
		}
	}
	if p := table.Find(99); p != nil {
		t.Errorf("%+v", p)
	}
}

// A hostile tree costs time in proportion to its size: 200,000 processes in a chain (more than
// trap 10's 64), and as many children of one.
func TestAncestryIsLinear(t *testing.T) {
	const n = 200_000
	chain, star := &Table{all: true}, &Table{all: true}
	for pid := 2; pid < n; pid++ {
		chain.rows = append(chain.rows, Process{Identity: Identity{PID: pid}, Parent: pid - 1})
		star.rows = append(star.rows, Process{Identity: Identity{PID: pid}, Parent: min(2, pid-1)})
	}
	start := time.Now()
	if got := len(chain.Ancestors(n - 1)); got != n-3 {
		t.Errorf("%d ancestors", got)
	}
	if got := len(chain.Descendants(2)); got != n-3 {
		t.Errorf("%d descendants in the chain", got)
	}
	if got := len(star.Descendants(2)); got != n-3 {
		t.Errorf("%d children", got)
	}
	if d := time.Since(start); d > 10*time.Second { // some tenths of a second; minutes would be a square
		t.Error(d)
	}
}

// Traps 18 to 20: whatever belongs to a job is managed, whatever the job is called; only what
// people start from an app, over ssh or from cron is not.
func TestManagedBy(t *testing.T) {
	table := tableOf(map[int]int{1: 0, 10: 1, 20: 10, 30: 20, 40: 30, 50: 1, 54: 50})
	for _, c := range []struct {
		name string
		pid  int
		jobs []Managed
		want string
	}{
		{"itself", 40, []Managed{{40, "ai.hermes.gateway-work"}}, "ai.hermes.gateway-work"},
		{"its wrapper", 40, []Managed{{20, "ai.hermes.gateway-work"}}, "ai.hermes.gateway-work"},
		{"the nearest", 40, []Managed{{10, "a"}, {30, "b"}, {20, "c"}}, "b"},
		{"any label", 40, []Managed{{20, "com.example.mine"}}, "com.example.mine"},
		{"a dot", 40, []Managed{{20, "ai.hermes.gateway.work"}}, "ai.hermes.gateway.work"},
		{"a reload under way", 40, []Managed{{20, "ai.hermes.gateway.reload.4711.1764000000"}}, "ai.hermes.gateway.reload.4711.1764000000"},
		{"a sibling's", 54, []Managed{{10, "a"}}, ""},
		{"below", 20, []Managed{{30, "a"}}, ""},
		{"its group's", 54, []Managed{{4, "a"}}, "a"},
		{"Terminal", 40, []Managed{{20, "application.com.apple.Terminal.1152921500311880.1152921500311885"}}, ""},
		{"Terminal itself", 20, []Managed{{20, "application.com.apple.Terminal.1.2"}}, "application.com.apple.Terminal.1.2"},
		{"a job around Terminal", 40, []Managed{{20, "application.com.apple.Terminal.1.2"}, {10, "a"}}, "a"},
		{"Terminal around a job", 40, []Managed{{10, "application.com.apple.Terminal.1.2"}, {20, "a"}}, "a"},
		{"ssh", 40, []Managed{{10, "com.openssh.sshd.8A3F"}}, ""},
		{"cron", 40, []Managed{{10, "com.vix.cron"}}, ""},
		{"the desktop app", 40, []Managed{{10, "application.com.nousresearch.Hermes.1.2"}}, "application.com.nousresearch.Hermes.1.2"},
		{"an idle job", 40, []Managed{{0, "a"}, {-1, "b"}, {1, "c"}}, ""},
		{"one pid in two lists", 40, []Managed{{20, "a"}, {20, "com.apple.x"}}, "a"},
		{"one pid in two lists, the other way", 40, []Managed{{20, "com.apple.x"}, {20, "a"}}, "a"},
		{"nobody", 99, []Managed{{20, "a"}}, ""},
	} {
		job, ok := table.ManagedBy(c.pid, c.jobs)
		if job.Label != c.want || ok != (c.want != "") {
			t.Errorf("%s: %+v, %v; want %q", c.name, job, ok, c.want)
		}
	}
}
