package privatedir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMake(t *testing.T) {
	dir := t.TempDir()
	fresh := filepath.Join(dir, "deep", "fresh")
	for range 2 { // made, then found
		if err := Make(fresh, os.Geteuid()); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(fresh); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
	os.Symlink(fresh, filepath.Join(dir, "link"))
	os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)
	os.Mkdir(filepath.Join(dir, "open"), 0o700)
	os.Chmod(filepath.Join(dir, "open"), 0o710)
	for name, want := range map[string]string{"link": "not a folder", "file": "not a folder", "open": "chmod 0700"} {
		if err := Make(filepath.Join(dir, name), os.Geteuid()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Make(fresh, os.Geteuid()+1); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Errorf("%v", err)
	}
	if err := Make("relative", os.Geteuid()); err == nil || !strings.Contains(err.Error(), "absolute") {
		t.Errorf("%v", err)
	}
}
