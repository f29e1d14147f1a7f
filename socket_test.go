package hermesgw

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serve answers each connection at path with a function, until the test ends.
func serve(t *testing.T, path string, answer func(net.Conn)) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	l, err := net.Listen("unix", path)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				answer(conn)
			}()
		}
	}()
}

// listen takes connections at path, in the kernel, and never answers.
func listen(t *testing.T, path string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	l, err := net.Listen("unix", path)
	must(t, err)
	t.Cleanup(func() { l.Close() })
}

// speak is a gateway's control socket that gives one text to the verb that it is asked.
func speak(verb, text string) func(net.Conn) {
	return func(conn net.Conn) {
		line, err := bufio.NewReader(conn).ReadString('\n')
		if want := `{"verb":"` + verb + `","id":1,"protocol":1}` + "\n"; err == nil && line != want {
			text = `{"ok":false,"error":"it was asked ` + fmt.Sprintf("%x", line) + `"}`
		}
		io.WriteString(conn, text)
	}
}

func identity(home string, pid int) string {
	return fmt.Sprintf(`{"ok":true,"protocol":1,"result":{"protocol":1,"kind":"hermes-gateway","pid":%d,"start_time":179000000012,"hermes_home":%q,`+
		`"profile":"default","supervisor":"external","code_sha":"0123abc","served_profiles":["default","work"]},"id":1}`+"\n", pid, home)
}

func TestIdentify(t *testing.T) {
	home := tempDir(t)
	in := Install{UID: os.Getuid(), AccountHome: home}
	if _, err := identify(t.Context(), in, home); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a socket: %v", err)
	}
	serve(t, filepath.Join(home, "gateway.sock"), speak("identify", identity(home, 4711)))
	got, err := identify(t.Context(), in, home)
	if want := "{4711 179000000012 " + home + " default external 0123abc [default work]}"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("got %v, %v, want %s", got, err, want)
	}
}

func TestStatus(t *testing.T) {
	home := tempDir(t)
	in := Install{UID: os.Getuid(), AccountHome: home}
	text := `{"ok":true,"result":{"pid":4711,"start_time":5,"gateway_state":"running","hermes_home":"` + home + `","answering_pid":4711,"platforms":{"telegram":{"state":"connected"}}},"id":1}`
	serve(t, filepath.Join(home, "gateway.sock"), speak("status", text)) // and hangs up without a newline
	got, err := status(t.Context(), in, home)
	if err != nil || got.PID != 4711 || got.State != "running" || got.Platforms["telegram"].State != "connected" {
		t.Errorf("%+v, %v", got, err)
	}
	other := tempDir(t)
	serve(t, filepath.Join(other, "gateway.sock"), speak("status", strings.ReplaceAll(strings.Replace(text, home, other, 1), `"answering_pid":4711`, `"answering_pid":4712`)))
	if got, err := status(t.Context(), in, other); err == nil {
		t.Errorf("another's state is believed: %+v", got)
	}
}

// Trap 64: where the path of a home is too long for a socket, a file says where it is.
func TestIdentifyByPointer(t *testing.T) {
	base := tempDir(t)
	home := filepath.Join(base, strings.Repeat("a folder with \"quotes\", ünd more/", 4))
	in := Install{UID: os.Getuid(), AccountHome: base}
	must(t, os.MkdirAll(home, 0o700))
	short := filepath.Join(base, "hermes-gw-0123456789abcdef.sock")
	serve(t, short, speak("identify", identity(home, 4711)))
	pointer := filepath.Join(home, "gateway.sock.path")

	write(t, pointer, "\ufeff"+short+"\n")
	if got, err := identify(t.Context(), in, home); err != nil || got.PID != 4711 {
		t.Errorf("%+v, %v", got, err)
	}
	must(t, os.Symlink(short, filepath.Join(base, "link.sock")))
	for _, text := range []string{"", "relative.sock", base, filepath.Join(base, "nowhere.sock"), filepath.Join(base, "link.sock"), pointer,
		short + "\x00", "/" + strings.Repeat("x", 5000), short + "\n" + short} {
		write(t, pointer, text)
		if got, err := identify(t.Context(), in, home); err == nil {
			t.Errorf("%.50q: %+v", text, got)
		}
	}
	write(t, pointer, short)
	if got, err := identify(t.Context(), foreign(t, in, short), home); err == nil {
		t.Errorf("a socket of another's: %+v", got)
	}
}

func TestIdentifyRefuses(t *testing.T) {
	base := tempDir(t)
	in := Install{UID: os.Getuid(), AccountHome: base}
	for name, text := range map[string]string{
		"nothing":         "",
		"newline":         "\n",
		"no JSON":         "hello\n",
		"truncated":       `{"ok":true,"result":{"pid":47`,
		"not ok":          `{"ok":false,"error":"unknown \u001b[2Jverb","id":1}` + "\n",
		"ok text":         strings.Replace(identity("", 4711), "true", `"true"`, 1),
		"no result":       `{"ok":true,"id":1}` + "\n",
		"result list":     `{"ok":true,"result":[],"id":1}` + "\n",
		"no pid":          `{"ok":true,"result":{},"id":1}` + "\n",
		"pid 1":           identity("", 1),
		"another request": strings.Replace(identity("", 4711), `"id":1`, `"id":2`, 1),
		"another home":    identity("/Users/eve/.hermes", 4711),
		"too long":        `{"ok":true,"x":"` + strings.Repeat("x", maxAnswer) + `"}` + "\n",
		"without end":     strings.Repeat("x", 2*maxAnswer),
	} {
		home := filepath.Join(base, strings.ReplaceAll(name, " ", ""))
		serve(t, filepath.Join(home, "gateway.sock"), speak("identify", text))
		if got, err := identify(t.Context(), in, home); err == nil || strings.Contains(err.Error(), "\x1b") || len(err.Error()) > 1000 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// A gateway that takes the connection and says nothing holds nobody up: neither beyond ctx nor,
// without an end to that, beyond the bound of its own. One that dribbles does not, either.
func TestIdentifyEnds(t *testing.T) {
	home := tempDir(t)
	in := Install{UID: os.Getuid(), AccountHome: home}
	listen(t, filepath.Join(home, "gateway.sock"))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := identify(ctx, in, home); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	begin := time.Now()
	if _, err := identify(t.Context(), in, home); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) < controlTimeout {
		t.Errorf("silent: %v after %v", err, time.Since(begin))
	}

	dribbling := tempDir(t)
	serve(t, filepath.Join(dribbling, "gateway.sock"), func(conn net.Conn) {
		for {
			if _, err := conn.Write([]byte("{")); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := identify(ctx, in, dribbling); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dribbling: %v", err)
	}
}

// What is no socket, or another's, is not even connected to.
func TestNoSocket(t *testing.T) {
	for name, place := range map[string]func(in Install, path string) Install{
		"file": func(in Install, path string) Install { write(t, path, "x"); return in },
		"link": func(in Install, path string) Install {
			listen(t, path+".real")
			must(t, os.Symlink(path+".real", path))
			return in
		},
		"another's": func(in Install, path string) Install {
			listen(t, path)
			return foreign(t, in, path)
		},
		"left behind": func(in Install, path string) Install {
			l, err := net.Listen("unix", path)
			must(t, err)
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			l.Close()
			return in
		},
	} {
		home := tempDir(t)
		must(t, os.Mkdir(filepath.Join(home, "state"), 0o700))
		in := Install{UID: os.Getuid()}
		if _, err := identify(t.Context(), place(in, filepath.Join(home, "gateway.sock")), home); err == nil {
			t.Errorf("identify, %s: no error", name)
		}
		if got := tick(t.Context(), place(in, filepath.Join(home, "state", "gateway.loop-tick.4711.sock")), home, 4711); got != tickAbsent {
			t.Errorf("tick, %s: %v", name, got)
		}
	}
}

// A listener of another user's is not believed, whoever the socket's file belongs to.
func TestPeer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start a process as another user")
	}
	home := tempDir(t)
	must(t, os.Chmod(home, 0o777))
	must(t, os.Mkdir(filepath.Join(home, "state"), 0o700))
	must(t, os.Chmod(filepath.Join(home, "state"), 0o777))
	in := Install{UID: stranger + 1, AccountHome: home}
	control := filepath.Join(home, "gateway.sock")
	child := gateway(t, home, &syscall.Credential{Uid: stranger, Gid: stranger, NoSetGroups: true})
	loop := filepath.Join(home, "state", fmt.Sprintf("gateway.loop-tick.%d.sock", child.Process.Pid))
	for _, path := range []string{control, loop} {
		must(t, os.Chown(path, in.UID, -1))
	}
	if got, err := identify(t.Context(), in, home); err == nil || !strings.Contains(err.Error(), fmt.Sprint("user ", stranger)) {
		t.Errorf("identify: %+v, %v", got, err)
	}
	if got := tick(t.Context(), in, home, child.Process.Pid); got != tickAbsent {
		t.Errorf("tick: %v", got)
	}
	// The same process, asked for its own user, is.
	for _, path := range []string{control, loop} {
		must(t, os.Chown(path, stranger, -1))
	}
	in.UID = stranger
	if _, err := identify(t.Context(), in, home); err != nil {
		t.Errorf("identify: %v", err)
	}
	if got := tick(t.Context(), in, home, child.Process.Pid); got != tickAnswered {
		t.Errorf("tick: %v", got)
	}
}

// gateway starts a process that serves both sockets of a home.
func gateway(t *testing.T, home string, as *syscall.Credential) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	must(t, err)
	if as != nil { // the test's own program may lie where only its user may go
		b, err := os.ReadFile(program)
		must(t, err)
		program = filepath.Join(home, "program")
		must(t, os.WriteFile(program, b, 0o755))
	}
	child := exec.Command(program, "-test.run=^TestGatewayProcess$")
	child.Env = append(os.Environ(), "HERMESGW_TEST_HOME="+home)
	child.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	child.Dir = home
	out, err := child.StdoutPipe()
	must(t, err)
	in, err := child.StdinPipe() // it ends when this does
	must(t, err)
	must(t, child.Start())
	t.Cleanup(func() {
		in.Close()
		child.Process.Kill()
		child.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the process said %q: %v", line, err)
	}
	return child
}

// TestGatewayProcess is what gateway starts.
func TestGatewayProcess(t *testing.T) {
	home := os.Getenv("HERMESGW_TEST_HOME")
	if home == "" {
		t.Skip("it is for other tests")
	}
	serve(t, filepath.Join(home, "gateway.sock"), speak("identify", identity(home, os.Getpid())))
	serve(t, filepath.Join(home, "state", fmt.Sprintf("gateway.loop-tick.%d.sock", os.Getpid())), func(conn net.Conn) { conn.Write([]byte("1")) })
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}
