package hermesgw

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hermes-gw/hermes-gw/sweep"
)

// Log is a file that a gateway writes to.
type Log struct {
	Name string // "gateway.log"
	Path string

	is   fs.FileInfo // the file that Tail read; nil: none was there, or Tail was not called
	at   int64       // how far it read it
	read bool        // Tail was called
}

// Logs returns where the gateway of a home writes: its output, then its errors. Neither need be
// there.
func Logs(home string) []Log {
	list := []Log{{Name: "gateway.log"}, {Name: "gateway.error.log"}}
	for i := range list {
		list[i].Path = filepath.Join(home, "logs", list[i].Name)
	}
	return list
}

// Tail returns the last lines of a log, as [LogTail] shows them. A file that is not there has
// none; one that cannot be read, a link or another user's, is an error. [Follow] goes on where it ended.
func (l *Log) Tail(in Install, lines int) ([]string, error) {
	f, info, err := openFile(in, l.Path)
	l.read, l.is, l.at = true, nil, 0
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l.is, l.at = info, info.Size()
	return tailOfFile(f, info.Size(), lines), nil
}

// There reports whether Tail found the file.
func (l *Log) There() bool { return l.is != nil }

// Written reports whether Tail found anything in it, however many lines it was asked for.
func (l *Log) Written() bool { return l.at > 0 }

// followEvery is how often a log is looked at for more: neither kqueue nor inotify tell of a file
// that is not there yet, or that another takes the place of.
const followEvery = 200 * time.Millisecond

// Follow calls show with each line that is written to one of the logs from now on, or since its
// Tail, until ctx ends. A log that is replaced or emptied is read from its new beginning; a line without an end is shown
// when it has one. show is never called concurrently.
func Follow(ctx context.Context, in Install, logs []Log, show func(l Log, line string)) {
	var one sync.Mutex
	var all sync.WaitGroup
	for _, l := range logs {
		all.Go(func() {
			follow(ctx, in, l, func(line string) {
				one.Lock()
				defer one.Unlock()
				show(l, line)
			})
		})
	}
	all.Wait()
}

// follow keeps the end of one log.
func follow(ctx context.Context, in Install, l Log, show func(string)) {
	is, at := l.is, l.at // the file that was read last, and how far
	var rest string      // of a line without an end
	now := !l.read
	for {
		f, info, err := openFile(in, l.Path)
		if err == nil {
			switch {
			case now:
				at = info.Size()
			case is == nil || !os.SameFile(is, info) || info.Size() < at:
				at, rest = 0, ""
			}
			is = info
			at, rest = more(f, at, rest, show)
			f.Close()
		}
		now = false
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			return
		}
	}
}

// more shows the whole lines from at on. What has no end yet is rest.
func more(f *os.File, at int64, rest string, show func(string)) (int64, string) {
	r := bufio.NewReader(io.NewSectionReader(f, at, 1<<62-at))
	for {
		line, err := r.ReadString('\n')
		at += int64(len(line))
		line = rest + line
		if err != nil {
			// A line that never ends is shown in pieces.
			if len(line) < maxTail {
				return at, line
			}
			return at, ""
		}
		rest = ""
		line = strings.ReplaceAll(strings.TrimRight(line, "\r\n"), "\t", "    ")
		show(shown(sweep.RedactText(line), maxShownText))
	}
}
