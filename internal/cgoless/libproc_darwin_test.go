package cgoless

import (
	"os"
	"syscall"
	"testing"
	"unsafe"
)

func TestLibproc(t *testing.T) {
	if n := unsafe.Sizeof(procUniqIdentifierInfo{}); n != 56 {
		t.Errorf("struct proc_uniqidentifierinfo of %d bytes, not 56", n)
	}
	l, err := LoadLibproc()
	if err != nil {
		t.Fatal(err)
	}
	pid := int32(os.Getpid())
	version, ok := l.Version(pid)
	if again, ok2 := l.Version(pid); !ok || !ok2 || again != version {
		t.Errorf("version %d, %t, then %d, %t", version, ok, again, ok2)
	}
	if _, ok := l.Version(-1); ok {
		t.Error("pid -1 has a version")
	}
	if l.Signal == nil {
		t.Skip("this macOS lacks proc_signal_with_audittoken")
	}
	// SIGCONT does nothing to a process that runs.
	if errno := l.Signal(pid, version, syscall.SIGCONT); errno != 0 {
		t.Errorf("own version: %v", errno)
	}
	if errno := l.Signal(pid, version+1, syscall.SIGKILL); errno != syscall.ESRCH {
		t.Errorf("another version: %v, want ESRCH", errno)
	}
}
