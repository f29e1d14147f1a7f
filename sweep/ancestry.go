package sweep

import "slices"

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

// parent returns the row of p's parent, nil if there is none: p is pid 1, it has exited, is pid 0, or
// began after p and so is another process that got its pid.
func (t *Table) parent(p *Process) *Process {
	i, ok := t.index.byPID[p.Parent]
	if !ok || p.PID <= 1 || p.Parent <= 0 || p.Parent == p.PID {
		return nil
	}
	if parent := &t.rows[i]; parent.Start <= p.Start || parent.PID == 1 {
		return parent
	}
	return nil
}

// Ancestors returns the ancestors of the process with that pid, the nearest first, without
// itself. The list ends with pid 1, before pid 0, before a parent that is not in the table,
// and before one that it already holds.
func (t *Table) Ancestors(pid int) (list []*Process) {
	t.indexed()
	seen := map[int]bool{pid: true}
	for p := t.Find(pid); p != nil && p.PID != 1; {
		if p = t.parent(p); p == nil || seen[p.PID] {
			break
		}
		seen[p.PID] = true
		list = append(list, p)
	}
	return list
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
