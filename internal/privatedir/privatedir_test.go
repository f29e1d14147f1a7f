package privatedir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func mode(t *testing.T, path string) (fs.FileMode, int) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode(), int(info.Sys().(*syscall.Stat_t).Uid)
}

func TestOpenMakesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "state")
	for range 2 { // the second time it is there
		d, err := Open(path, os.Geteuid())
		if err != nil {
			t.Fatal(err)
		}
		f, err := d.OpenFile("x.lock")
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		d.Close()
	}
	if m, _ := mode(t, path); m.Perm() != 0o700 || !m.IsDir() {
		t.Errorf("the folder has mode %v", m)
	}
	if m, _ := mode(t, filepath.Join(path, "x.lock")); m.Perm() != 0o600 || !m.IsRegular() {
		t.Errorf("the file has mode %v", m)
	}
}

func TestOpenRefuses(t *testing.T) {
	me := os.Geteuid()
	for name, c := range map[string]struct {
		make  func(path string) error
		owner int
		want  string
	}{
		"others can read it": {func(p string) error { return errors.Join(os.Mkdir(p, 0o755), os.Chmod(p, 0o755)) }, me, "others can reach it (mode 0755)"},
		"a group can write":  {func(p string) error { return errors.Join(os.Mkdir(p, 0o770), os.Chmod(p, 0o770)) }, me, "others can reach it"},
		"a file":             {func(p string) error { return os.WriteFile(p, nil, 0o600) }, me, "it is not a folder"},
		"a link":             {func(p string) error { return os.Symlink(os.TempDir(), p) }, me, "it is not a folder"},
		"another user's":     {func(p string) error { return os.Mkdir(p, 0o700) }, me + 1, "it belongs to another user"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state")
			if err := c.make(path); err != nil {
				t.Fatal(err)
			}
			_, err := Open(path, c.owner)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	if _, err := Open("state", me); err == nil || !strings.Contains(err.Error(), "must be absolute") {
		t.Errorf("a relative path: %v", err)
	}
}

func TestOpenFileRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	d, err := Open(path, os.Geteuid())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(path, "link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(path, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "fifo", "", ".", "..", "a/b"} {
		if f, err := d.OpenFile(name); err == nil {
			f.Close()
			t.Errorf("%q was opened", name)
		}
	}
}

// What root makes for a user belongs to that user, the folders above included.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	const nobody = 65534
	top := t.TempDir()
	if err := os.Chown(top, nobody, -1); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(top, ".cache", "hermes-gw")
	d, err := Open(path, nobody)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	f, err := d.OpenFile("x.lock")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	for _, p := range []string{filepath.Dir(path), path, filepath.Join(path, "x.lock")} {
		if _, uid := mode(t, p); uid != nobody {
			t.Errorf("%s belongs to user %d", p, uid)
		}
	}
}
