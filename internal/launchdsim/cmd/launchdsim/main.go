// Launchdsim serves the embedded launchd on a Unix socket, in the foreground. It
// prints "ready PATH" when it serves. SIGTERM, SIGINT and SIGHUP stop every job
// and then the program.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/hermes-gw/hermes-gw/internal/launchdsim"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "launchdsim: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("launchdsim", flag.ContinueOnError)
	var (
		socket = flags.String("socket", "", "serve on this Unix `PATH`, in a folder that nobody else can write to (best 0700)")
		logTo  = flags.String("log", "", "append log lines in launchd.log's style to `FILE`")
		trace  = flags.String("trace", "", "append one JSON object per event to `FILE`")
		deny   = flags.String("deny", "", "answer these `ROUTINES` (comma-separated numbers) with 144")
		scale  = flags.Float64("time-scale", 1, "multiply every timer by `F`")
		noGUI  = flags.Bool("no-gui", false, "leave the gui domain out, as for a user without a graphical session")
		pin    = flags.Bool("pin-code", false, "kill a job's process at every spawn once its program is another one than when the job was loaded, as a launch constraint does")
		uid    = flags.Int("uid", 0, "as root, serve the domains of user `N`, whose jobs run as that user; else of this program's own")
		load   []string
	)
	flags.Func("load", "load this property list into gui/UID (may be repeated)", func(path string) error {
		load = append(load, path)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *socket == "" || flags.NArg() > 0 {
		return fmt.Errorf("usage: launchdsim --socket PATH [--load PLIST]... [--log FILE] [--trace FILE] [--deny ROUTINE,...] [--time-scale F] [--no-gui] [--pin-code] [--uid N]")
	}
	if !(*scale > 0 && *scale <= 1000) {
		return fmt.Errorf("--time-scale %v: give a number above 0 and at most 1000", *scale)
	}
	if *uid < 0 || *uid != 0 && *uid != os.Geteuid() && os.Geteuid() != 0 {
		return fmt.Errorf("--uid %d: only root can serve another user's domains", *uid)
	}
	options := launchdsim.Options{UID: *uid, NoGUI: *noGUI, TimeScale: *scale, PinCode: *pin}
	for _, word := range strings.FieldsFunc(*deny, func(r rune) bool { return r == ',' }) {
		n, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return fmt.Errorf("--deny %s: %q is not a routine number", *deny, word)
		}
		options.Deny = append(options.Deny, n)
	}
	for _, out := range []struct {
		path string
		to   *io.Writer
	}{{*logTo, &options.Log}, {*trace, &options.Trace}} {
		if out.path == "" {
			continue
		}
		f, err := os.OpenFile(out.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		*out.to = f
	}

	// From here on a signal ends the jobs first.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)

	listener, err := listen(*socket)
	if err != nil {
		return err
	}
	if *uid != 0 {
		if err := os.Chown(*socket, *uid, -1); err != nil {
			return err
		}
	}
	server := launchdsim.New(options)
	var failure error
	served := make(chan struct{})
	go func() {
		defer close(served)
		failure = server.Serve(listener)
	}()
	defer func() {
		server.Close()
		<-served // the socket goes with it
	}()
	for _, path := range load {
		if path, err = filepath.Abs(path); err != nil {
			return err
		}
		if err := server.Load(path); err != nil {
			return err
		}
	}
	// A reader that is gone by now is no reason to leave jobs behind.
	signal.Ignore(syscall.SIGPIPE)
	fmt.Fprintf(stdout, "ready %s\n", *socket)
	select {
	case <-signals:
		return nil
	case <-served:
		return failure
	}
}

// listen makes the socket, for its owner alone, and its folder if that is
// missing. In a folder that others can write to they could put a socket of their
// own in its place. A socket that nobody serves any more is replaced, anything
// else at that path is left alone.
func listen(path string) (*net.UnixListener, error) {
	dir := filepath.Dir(path)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	if info.Mode().Perm()&0o022 != 0 || !known || (int(owner.Uid) != os.Geteuid() && owner.Uid != 0) {
		return nil, fmt.Errorf("--socket %s: others can write to its folder (mode %04o); use one of your own of mode 0700", path, info.Mode().Perm())
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		c, err := net.Dial("unix", path)
		if err == nil {
			c.Close()
			return nil, fmt.Errorf("--socket %s: another server answers there", path)
		}
		os.Remove(path)
	}
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("--socket %s: %w", path, err)
	}
	return l, nil
}
