package launchdsim

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A launchd that runs as root, for another user: it serves that user's domains and no others, jobs
// run as the user, and own what they write to; a property list may be the user's.
func TestOtherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can run a job as another user")
	}
	const uid = 65534
	f := newFixture(t, Options{UID: uid})
	if err := os.Chmod(f.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	logs := filepath.Join(f.dir, "logs")
	if err := os.Mkdir(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	plist := f.write("a", sh("id -u; echo; exec sleep 1000")+atLoad+`<key>StandardOutPath</key><string>`+logs+`/out</string>`)
	if err := os.Chown(plist, uid, uid); err != nil {
		t.Fatal(err)
	}
	c := f.dial()
	if d := c.call(800, inDomain(domainGUI, uid, dict{"paths": []any{plist}})); len(d) != 0 {
		t.Fatalf("bootstrap: %v", d)
	}
	f.waitState(0, "a", running)
	info, err := os.Stat(filepath.Join(logs, "out"))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != uid {
		t.Errorf("%+v, %v", info, err)
	}
	process, err := os.Stat("/proc/" + strconv.Itoa(f.lastSpawn()))
	if err == nil && process.Sys().(*syscall.Stat_t).Uid != uid {
		t.Errorf("the job runs as %d", process.Sys().(*syscall.Stat_t).Uid)
	}
	if text := c.print(828, inDomain(domainUser, uid, nil)); !strings.Contains(text, "user/65534 = {") {
		t.Errorf("%s", text)
	}
	if d := c.call(708, gui(dict{"name": "a"})); code(d) == 0 || code(d) == 22 {
		t.Errorf("root's own domain: %v", d)
	}
}
