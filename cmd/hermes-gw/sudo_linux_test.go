package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Under sudo the jobs are those of the user who called it, and nothing that root leaves behind
// belongs to root: a lock or a folder of root's would shut that user out (trap 55).
func TestSudo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can act for another user")
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("no unshare(1) here: ", err)
	}
	const uid = 65534
	dir, err := os.MkdirTemp("", "sudo") // short, and not within a folder of root's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	run, err := os.MkdirTemp("", "run")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	for _, folder := range []string{dir, run} { // neither is the other's
		if err := os.Chmod(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	home, hermes := filepath.Join(dir, "home"), filepath.Join(dir, "hermes")
	gw, sim := filepath.Join(dir, "hermes-gw"), filepath.Join(dir, "launchdsim")
	for from, to := range map[string]string{built.gw: gw, built.sim: sim} {
		program, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, program, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	agents := filepath.Join(home, "Library", "LaunchAgents")
	for _, folder := range []string{agents, hermes} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const label = "ai.hermes.gateway.sudo"
	plist := filepath.Join(agents, label+".plist")
	text := xmlHead + label + `</string><key>ProgramArguments</key><array><string>/bin/sleep</string><string>1000</string></array>
<key>RunAtLoad</key><true/><key>KeepAlive</key><true/><key>EnvironmentVariables</key><dict><key>HERMES_HOME</key><string>` + hermes + `</string></dict></dict></plist>`
	text = strings.Replace(text, xmlHead+label, xmlHead+"<string>"+label, 1)
	passwd := filepath.Join(dir, "passwd")
	for path, text := range map[string]string{plist: text, passwd: fmt.Sprintf("root:x:0:0::/root:/bin/sh\ntester:x:%d:%d::%s:/bin/sh\n", uid, uid, home)} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Chown(path, uid, uid)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	owned := func(when string) {
		t.Helper()
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil && info.Sys().(*syscall.Stat_t).Uid != uid {
				t.Errorf("%s: %s belongs to %d", when, path, info.Sys().(*syscall.Stat_t).Uid)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}

	// The system's launchd is root's and serves the user's domains. The embedded one serves those of
	// its own user, so it is root's in a user namespace in which root is that user. Its folder is
	// its own.
	socket := filepath.Join(run, "s")
	server := exec.Command(sim, "--socket", socket, "--load", plist)
	one := []syscall.SysProcIDMap{{ContainerID: uid, HostID: 0, Size: 1}}
	server.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: one, GidMappings: one}
	server.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + home}
	server.Dir = dir
	var complaints bytes.Buffer
	server.Stderr = &complaints
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
		t.Skip("no user namespace here: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGTERM)
		io.Copy(io.Discard, stdout)
		server.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready "+socket+"\n" {
		t.Fatalf("the embedded launchd says %q, %v: %s", line, err, &complaints)
	}
	if err := os.Chown(socket, uid, uid); err != nil {
		t.Fatal(err)
	}
	owned("before")

	sudo := func(args ...string) (string, int) {
		t.Helper()
		p := processOn(t, socket, args...)
		script := `mount --bind "$0" /etc/passwd && exec "$@"`
		p.Cmd = exec.Command(unshare, append([]string{"--mount", "/bin/sh", "-c", script, passwd, gw}, args...)...)
		p.Stdout, p.Stderr = &p.stdout, &p.stderr
		p.Dir = dir
		p.Env = []string{"PATH=/usr/bin:/bin", "HOME=/root", "USER=root", "LOGNAME=root", "SUDO_UID=" + fmt.Sprint(uid), "SUDO_GID=" + fmt.Sprint(uid),
			"SUDO_USER=tester", "HERMES_HOME=" + hermes, envLaunchd + "=unix:" + socket}
		code := p.start().end()
		if strings.Contains(p.stderr.String(), "mount:") {
			t.Skip(p.stderr.String())
		}
		return p.stdout.String() + p.stderr.String(), code
	}
	target := fmt.Sprintf("gui/%d/%s", uid, label)
	for _, args := range [][]string{{"restart", label}, {"restart", "--all"}, {"restart", "--all", "--dry-run"}, {"status"}, {"restart", target}} {
		text, code := sudo(args...)
		if code != 0 || !strings.Contains(text, target) || strings.Contains(text, "No lock") {
			t.Errorf("%q: %d, %s", args, code, text)
		}
		owned(fmt.Sprintf("%q", args))
	}
	locks := filepath.Join(home, ".cache", "hermes-gw")
	if info, err := os.Stat(locks); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of the locks: %v, %v", info, err)
	}
	// The user's own command uses the same lock afterwards: it counts what root did.
	p := processOn(t, socket, "restart", target, "--json")
	p.Path, p.Args[0], p.Dir = gw, gw, dir
	p.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + home, "HERMES_HOME=" + hermes, envLaunchd + "=unix:" + socket, envState + "=" + locks}
	p.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	code := p.start().end()
	var doc struct {
		Results []struct {
			State    string
			Warnings []string
		}
	}
	if err := json.Unmarshal(p.stdout.Bytes(), &doc); err != nil || code != exitRefused || doc.Results[0].State != "refused" || len(doc.Results[0].Warnings) > 0 {
		t.Errorf("%d, %s%s", code, &p.stdout, &p.stderr)
	}
}
