package launchdsim

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
)

// long says that the tests whose long form takes minutes run in it. It asks within
// the test, so that go test knows and does not give a cached answer.
func long() bool { return os.Getenv("HERMES_GW_LONG") != "" }

// ask is client.call for goroutines, which cannot end a test.
func (c *client) ask(number uint64, d dict) (dict, error) {
	frame, fds, err := xpcwire.AppendRequest(nil, xpcwire.Request{Routine: number, Magic: xpcwire.Magic}, d)
	if err == nil {
		err = c.c.WriteFrame(frame, fds)
	}
	if err != nil {
		return nil, err
	}
	c.c.SetReadDeadline(time.Now().Add(3 * patience))
	body, fds, err := c.c.ReadFrame()
	xpcwire.CloseAll(fds)
	if err != nil {
		return nil, err
	}
	_, reply, _, err := xpcwire.DecodeReply[dict](body, nil)
	return reply, err
}

func dialSocket(path string) (*client, error) {
	raw, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	return &client{c: xpcwire.NewConn(raw)}, nil
}

// memory is an unlinked file to print into.
func memory(size int64) (*os.File, error) {
	f, err := os.CreateTemp("", "shmem")
	if err != nil {
		return nil, err
	}
	os.Remove(f.Name())
	return f, f.Truncate(size)
}

// Thousands of jobs, hundreds of processes and clients; and a job that lets launchd
// wait for its end delays nobody else.
func TestScale(t *testing.T) {
	jobs, running, clients, rounds := 500, 50, 50, 4
	if long() {
		jobs, running, clients, rounds = 5000, 500, 200, 10
	}
	f := newFixture(t, Options{})
	folder := filepath.Join(f.dir, "jobs")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	label := func(i int) string { return fmt.Sprintf("job%05d", i) }
	for i := range jobs {
		keys := sleeper
		if i < running {
			keys += atLoad
		}
		if err := os.Rename(f.write(label(i), keys), filepath.Join(folder, label(i)+".plist")); err != nil {
			t.Fatal(err)
		}
	}
	c := f.dial()
	begin := time.Now()
	c.load(folder)
	loaded := time.Since(begin)
	up := 0
	for from := 0; up < running; up++ {
		_, from = f.wait(from, "one more job that runs", func(e Event) bool { return e.Kind == "state" && e.To == "running" })
	}
	t.Logf("%d jobs loaded in %v, %d of them running after %v", jobs, loaded, running, time.Since(begin))

	// From here on a request waits for a job that does not end.
	ready, gate := f.fifo("ready"), f.fifo("gate")
	c.load(f.write("stubborn", sh(`trap "" TERM; echo ready > `+ready+`; read x < `+gate)+atLoad+`<key>ExitTimeOut</key><integer>60</integer>`))
	f.read(ready)
	old := c.kick("stubborn", nil)
	mark := f.seen()
	slow := f.dial()
	slow.send(702, gui(dict{"name": "stubborn", "kill": true, "unthrottle": true}))
	f.waitState(mark, "stubborn", sigtermed)
	waiting, _ := f.wait(mark, "the request", func(e Event) bool { return e.Kind == "request" && e.Label == "stubborn" })

	begin = time.Now()
	var connected, done sync.WaitGroup
	connected.Add(clients)
	for n := range clients {
		done.Go(func() {
			err := func() error {
				c, err := dialSocket(f.socket)
				if err == nil {
					defer c.c.Close()
					_, err = c.ask(811, gui(dict{"name": label(n)}))
				}
				connected.Done()
				connected.Wait() // all of them are connected at once
				for round := 0; err == nil && round < rounds; round++ {
					err = customer(c, label(n%running), label(jobs-1-n), label((n*rounds+round)%jobs))
				}
				return err
			}()
			if err != nil {
				t.Errorf("client %d: %v", n, err)
			}
		})
	}
	done.Wait()
	took := time.Since(begin)

	// All of that came to pass between the SIGTERM to the stubborn job and its end.
	if text := c.print(708, gui(dict{"name": "stubborn"})); !strings.Contains(text, "\n\tstate = SIGTERMed\n") || !strings.Contains(text, fmt.Sprintf("\n\tpid = %d\n", old)) {
		t.Errorf("the stubborn job did not last:\n%s", text)
	}
	replies := 0
	spawns := f.count(func(e Event) bool { return e.Kind == "spawn" }) - running - 1
	f.mu.Lock()
	for _, e := range f.events[mark:] {
		switch {
		case e.Kind == "reply" && e.ID == waiting.ID:
			t.Errorf("the request that waits was answered: %+v", e)
		case e.Kind == "reply":
			replies++
		}
	}
	f.mu.Unlock()
	t.Logf("%d clients: %d requests, %d of them with a new process, in %v: %.0f/s", clients, replies, spawns, took, float64(replies)/took.Seconds())
	f.tell(gate)
	if pid, _ := slow.receive()["pid"].(int64); pid == 0 || pid == int64(old) {
		t.Errorf("the restart that had to wait: pid %d after %d", pid, old)
	}

	// The gate holds the new process back as well; it has to go before the end.
	f.tell(gate)
	begin = time.Now()
	f.Close()
	t.Logf("ended in %v", time.Since(begin))
	if exits, spawns := f.count(func(e Event) bool { return e.Kind == "exit" }), f.count(func(e Event) bool { return e.Kind == "spawn" }); exits != spawns {
		t.Errorf("%d processes were made, %d reaped", spawns, exits)
	}
}

// customer is one round of a client's requests: about a job that runs, one that does
// not, and any one.
func customer(c *client, busy, idle, any string) error {
	restart := dict{"name": busy, "kill": true, "unthrottle": true}
	switch d, err := c.ask(702, gui(restart)); {
	case err != nil:
		return fmt.Errorf("restart: %w", err)
	case code(d) == 37, code(d) == 89: // another client is at it
	case d["pid"] == nil || d["pid"] == int64(0):
		return fmt.Errorf("restart %s: %v", busy, d)
	}
	if d, err := c.ask(702, gui(dict{"name": idle})); err != nil || d["pid"] == nil {
		return fmt.Errorf("start %s: %v, %v", idle, d, err)
	}
	if d, err := c.ask(815, inDomain(domainRequestor, 0, dict{"name": any})); err != nil || d["service"].(dict)["Label"] != any {
		return fmt.Errorf("list %s: %v, %v", any, d, err)
	}
	if d, err := c.ask(712, gui(dict{"name": any})); err != nil || d["attrs"] == nil {
		return fmt.Errorf("attributes of %s: %v, %v", any, d, err)
	}
	m, err := memory(1 << 16)
	if err != nil {
		return err
	}
	defer m.Close()
	d, err := c.ask(708, gui(dict{"name": any, "shmem": xpcwire.Shmem{FD: int(m.Fd()), Size: 1 << 16}}))
	if err != nil {
		return fmt.Errorf("print %s: %w", any, err)
	}
	n, _ := d["bytes-written"].(uint64)
	text := make([]byte, n)
	if _, err := m.ReadAt(text, 0); err != nil || !strings.Contains(string(text), "/"+any+" = {\n") {
		return fmt.Errorf("print %s: %v, %w, %q", any, d, err, text)
	}
	return nil
}
