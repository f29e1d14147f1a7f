package proc

import (
	"errors"
	"fmt"
)

// maxAncestors bounds the walk; a chain of parents this long is no accident.
const maxAncestors = 1024

// Ancestors returns the ancestors of pid, the nearest first. The list ends before
// pid 0, so its last element is pid 1 as a rule; it ends earlier at a parent that
// is gone or not to be seen (another pid namespace). The error wraps [ErrGone] if
// pid itself is gone; with another error, an ancestor could not be looked at, there
// are more than 1024, or the parents go round in a circle, as they can seem to while
// pids are reused, and the list holds those before that.
func Ancestors(pid int) ([]Identity, error) { return ancestors(pid, read) }

func ancestors(pid int, read func(pid int) (entry, error)) (list []Identity, err error) {
	child, err := read(pid)
	if err != nil {
		return nil, err
	}
	seen := map[int]bool{child.PID: true}
	moves := 0
	for child.parent > 0 {
		if seen[child.parent] || len(list) == maxAncestors {
			return list, fmt.Errorf("the ancestors of process %d cannot be told: the parent of process %d is %d, after %d others",
				pid, child.PID, child.parent, len(list))
		}
		parent, err := read(child.parent)
		// A parent that exits hands its children to another one. If that happened
		// in between, what was read may be nothing, or a stranger with that pid.
		if now, err := read(child.PID); err == nil && now.Identity == child.Identity &&
			now.parent != child.parent && moves < maxAncestors {
			child = now
			moves++
			continue
		}
		if errors.Is(err, ErrGone) {
			break
		}
		if err != nil {
			return list, err
		}
		list = append(list, parent.Identity)
		seen[parent.PID] = true
		child = parent
	}
	return list, nil
}
