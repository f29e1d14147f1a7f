package fleet

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// asAccount has cmd run with a user database in which the account's home is the fleet's: in
// a mount namespace of its own, with its own /etc/passwd. It stays the same process.
func (f *Fleet) asAccount(cmd *exec.Cmd) {
	f.t.Helper()
	namespace, err := namespaces()
	if err != nil {
		f.t.Skip("this system lets no test give a command another user database: ", err)
	}
	hermes, err := builtHermes()
	f.must(err)
	file := filepath.Join(f.Dir, "passwd")
	user := func(name string, uid int, home string) string {
		return fmt.Sprintf("%s:x:%d:%d::%s:/bin/sh\n", name, uid, os.Getegid(), home)
	}
	users := user("tester", f.UID, f.AccountHome)
	if f.UID != os.Geteuid() {
		users += user("root", os.Geteuid(), filepath.Join(f.Dir, "root"))
	}
	f.must(os.WriteFile(file, []byte(users), 0o644))
	cmd.Args = append([]string{hermes, "standin-account", file}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
	cmd.Path = hermes
	cmd.SysProcAttr = namespace()
}

// namespaces finds out how to get a mount namespace: as root, or in a user namespace.
var namespaces = sync.OnceValues(func() (attr func() *syscall.SysProcAttr, err error) {
	hermes, err := builtHermes()
	if err != nil {
		return nil, err
	}
	own := func() *syscall.SysProcAttr { return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS} }
	users := func() *syscall.SysProcAttr {
		one := func(id int) []syscall.SysProcIDMap {
			return []syscall.SysProcIDMap{{ContainerID: id, HostID: id, Size: 1}}
		}
		return &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
			UidMappings: one(os.Geteuid()), GidMappings: one(os.Getegid()),
			AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN}, // to keep it over the exec
		}
	}
	for _, attr := range []func() *syscall.SysProcAttr{own, users} {
		cmd := exec.Command(hermes, "standin-account", "/etc/passwd", hermes, "standin-probe")
		cmd.SysProcAttr = attr()
		var text []byte
		if text, err = cmd.CombinedOutput(); err == nil {
			return attr, nil
		}
		err = fmt.Errorf("%w: %s", err, text)
	}
	return nil, err
})
