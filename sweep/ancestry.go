package sweep

import (
	"slices"
	"strings"
)

// index finds rows by pid and by parent. It is made when it is first asked for.
type index struct {
	made     bool
	byPID    map[int]int   // to the row
	children map[int][]int // rows, by the pid of their parent
}

func (t *Table) indexed() *index {
	x := &t.index
	if x.made {
		return x
	}
	if x.byPID == nil {
		x.byPID, x.children = map[int]int{}, map[int][]int{}
	}
	clear(x.byPID)
	clear(x.children)
	for i := range t.rows {
		x.byPID[t.rows[i].PID] = i
	}
	for i := range t.rows {
		if p := &t.rows[i]; t.parent(p) != nil {
			x.children[p.Parent] = append(x.children[p.Parent], i)
		}
	}
	x.made = true
	return x
}

// Find returns the process with that pid, or nil.
func (t *Table) Find(pid int) *Process {
	if i, ok := t.indexed().byPID[pid]; ok {
		return &t.rows[i]
	}
	return nil
}

// parent returns the row of p's parent, nil if there is none: p is pid 1 or 0, its parent is
// pid 0, or is not in the table.
//
// Start times do not count: macOS takes them from a clock that can be set back, so a parent
// can seem to have started after its child. A child of a process that exited has another
// parent at once; if the snapshot has the old pid, and another process by that pid, then
// one process more is spared.
func (t *Table) parent(p *Process) *Process {
	i, ok := t.index.byPID[p.Parent]
	if !ok || p.PID <= 1 || p.Parent <= 0 || p.Parent == p.PID {
		return nil
	}
	return &t.rows[i]
}

// Ancestors returns the ancestors of the process with that pid, the nearest first, without
// itself. The list ends with pid 1, before pid 0, before a parent that is not in the table,
// and before one that it already holds.
func (t *Table) Ancestors(pid int) []*Process {
	list, _ := t.lineage(pid)
	return list
}

// lineage is Ancestors, and reports whether they are all: the last one is pid 1, or a child of
// pid 1 or 0 (which a table can lack that the system does not show whole).
func (t *Table) lineage(pid int) (list []*Process, whole bool) {
	p := t.Find(pid)
	if p == nil {
		return nil, false
	}
	seen := map[int]bool{pid: true}
	for {
		parent := t.parent(p)
		if parent == nil {
			return list, p.PID <= 1 || p.Parent == 0 || p.Parent == 1
		}
		if seen[parent.PID] {
			return list, false
		}
		p = parent
		seen[p.PID] = true
		list = append(list, p)
	}
}

// Descendants returns the processes below the one with that pid, without itself, parents
// before their children. Those of pid 1 and 0 are not asked for: that is everybody.
func (t *Table) Descendants(pid int) (list []*Process) {
	if pid <= 1 {
		return nil
	}
	x := t.indexed()
	seen := map[int]bool{pid: true}
	for next := []int{pid}; len(next) > 0; next = next[1:] {
		for _, i := range x.children[next[0]] {
			if p := &t.rows[i]; !seen[p.PID] {
				seen[p.PID] = true
				list = append(list, p)
				next = append(next, p.PID)
			}
		}
	}
	return list
}

// Group returns the processes of a process group: of the one that the process with that pid
// leads, if it does.
func (t *Table) Group(pgid int) (list []*Process) {
	if pgid <= 1 {
		return nil
	}
	for p := range t.All() {
		if p.Group == pgid {
			list = append(list, p)
		}
	}
	return slices.Clip(list)
}

// Managed is the process of one of launchd's jobs.
type Managed struct {
	PID   int // 0 or less: the job has no process
	Label string
}

// OpensSessions reports whether the job is one that people start programs from: an app, such
// as Terminal, one of macOS's own services, sshd or cron. What is below its process is not
// managed by launchd: launchd neither started it nor starts it again. An app of Hermes' is an
// exception: it looks after the gateway that it starts.
//
// LaunchServices names the job of an app application.BUNDLE.N.M; com.openssh.sshd and
// com.vix.cron are the labels of macOS's own property lists in /System/Library/LaunchDaemons.
func (m Managed) OpensSessions() bool {
	label := strings.ToLower(m.Label)
	if strings.Contains(label, "hermes") {
		return false
	}
	for _, prefix := range []string{"application.", "com.apple.", "com.openssh.", "com.vix."} {
		if strings.HasPrefix(label, prefix) {
			return true
		}
	}
	return false
}

// ManagedBy returns the job that the process with that pid belongs to, if there is one: it is
// the job's process, is below it, or is in the process group that it leads. Of several jobs the
// nearest counts; a job that [Managed.OpensSessions] has its own process only.
func (t *Table) ManagedBy(pid int, jobs []Managed) (job Managed, ok bool) {
	if p := t.Find(pid); p != nil {
		var how string
		job, how = t.managedBy(p, jobsByPID(jobs))
		ok = how != ""
	}
	return job, ok
}

// managedBy also says how the process belongs to the job, "" if to none.
func (t *Table) managedBy(p *Process, jobs map[int]Managed) (job Managed, how string) {
	if len(jobs) == 0 {
		return Managed{}, ""
	}
	if job, ok := jobs[p.PID]; ok {
		return job, "launchd manages it as " + job.Label
	}
	for _, above := range t.Ancestors(p.PID) {
		if job, ok := jobs[above.PID]; ok && !job.OpensSessions() {
			return job, "it belongs to " + job.Label
		}
	}
	if job, ok := jobs[p.Group]; ok && !job.OpensSessions() {
		return job, "its process group is that of " + job.Label
	}
	return Managed{}, ""
}

// jobsByPID drops jobs without a process. A pid of two jobs, of two lists then, is that of
// the one that opens no sessions: it spares more.
func jobsByPID(jobs []Managed) map[int]Managed {
	byPID := map[int]Managed{}
	for _, m := range jobs {
		if there, ok := byPID[m.PID]; m.PID > 1 && (!ok || there.OpensSessions()) {
			byPID[m.PID] = m
		}
	}
	return byPID
}
