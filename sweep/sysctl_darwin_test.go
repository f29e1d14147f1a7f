package sweep

import (
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/cgoless"
)

// On macOS a scan costs one sysctl for the table and one for each candidate: counted in the real
// function table.
func TestRealSysctlCalls(t *testing.T) {
	real, err := cgoless.LoadSysctl()
	if err != nil {
		t.Fatal(err)
	}
	calls := map[int32][]int32{} // by the second number of the variable: the third ones
	counting := &cgoless.Sysctl{}
	*counting = *real
	get := counting.Get
	counting.Get = func(mib []int32, buf []byte) (n int, errno syscall.Errno) {
		calls[mib[1]] = append(calls[mib[1]], mib[2])
		return get(mib, buf)
	}
	loadSysctl = func() (*cgoless.Sysctl, error) { return counting, nil }
	t.Cleanup(func() { loadSysctl = cgoless.LoadSysctl })

	stray := standIn(t, "willing", gatewayArgv...)
	crowded := standIn(t, "willing", "sleep", "5")
	var table Table
	if err := table.Read(t.Context(), -1); err != nil {
		t.Fatal(err)
	}
	if len(calls[kernProc]) != 1 || calls[kernProc][0] != kernProcAll || len(calls) != 1 {
		t.Errorf("the table took %v", calls)
	}
	plan, err := NewPlan(t.Context(), &table, os.Geteuid(), Options{})
	if err != nil || len(only(plan, stray.Process.Pid).Signal) != 1 {
		t.Fatalf("%+v, %v", plan, err)
	}
	candidates := []int32{}
	for p := range table.All() {
		if p.PID > 1 && int(p.UID) == os.Geteuid() && int(p.RealUID) == os.Geteuid() && p.State != StateZombie && Candidate(p.Comm()) {
			candidates = append(candidates, int32(p.PID))
		}
	}
	asked := calls[kernProcargs2]
	slices.Sort(candidates)
	slices.Sort(asked)
	if !slices.Equal(asked, candidates) || len(calls) != 2 || len(calls[kernProc]) != 1 || !slices.Contains(asked, int32(crowded.Process.Pid)) {
		t.Errorf("arguments were asked for of %v, the candidates are %v; %d calls for tables", asked, candidates, len(calls[kernProc]))
	}
	// By user it is one, too.
	clear(calls)
	if err := table.Read(t.Context(), os.Geteuid()); err != nil || len(calls) != 1 || !slices.Equal(calls[kernProc], []int32{kernProcUID}) {
		t.Errorf("%v, %v", calls, err)
	}
}
