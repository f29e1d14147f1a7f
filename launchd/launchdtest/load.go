package launchdtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"howett.net/plist"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// Keys are the keys of a job's property list (launchd.plist(5)): strings, bools,
// integers, []string, map[string]any and so on. Times are whole seconds.
type Keys map[string]any

// Job loads a job into [Launchd.Domain] that runs argv at once (RunAtLoad), and
// returns its target. A first element without a slash is looked for in launchd's
// default PATH, not in this process's.
//
// The process need not be there yet when Job returns; a request about the job waits
// for it, as in launchd.
func (l *Launchd) Job(label string, argv ...string) launchd.Target {
	l.helper()
	return l.LoadKeys(Keys{"Label": label, "ProgramArguments": argv, "RunAtLoad": true})
}

// LoadKeys loads a job with these keys into [Launchd.Domain].
func (l *Launchd) LoadKeys(keys Keys) launchd.Target {
	l.helper()
	return l.Load(l.Plist(keys))
}

// Load loads a job into [Launchd.Domain] and returns its target. plist is the path of
// a property list, or the XML text of one.
func (l *Launchd) Load(plist string) launchd.Target {
	l.helper()
	target, err := l.load(plist)
	if err != nil {
		l.fail(err)
	}
	return target
}

// Plist writes a property list and returns its path, for [launchd.Client.Bootstrap]
// and whoever else takes one. The same label has the same path, and what was there is
// overwritten.
func (l *Launchd) Plist(keys Keys) string {
	l.helper()
	text, err := plist.MarshalIndent(keys, plist.XMLFormat, "\t")
	if err != nil {
		l.fail(fmt.Errorf("launchdtest: property list: %w", err))
	}
	path, err := l.write(labelOf(text), text)
	if err != nil {
		l.fail(err)
	}
	return path
}

func (l *Launchd) load(plist string) (launchd.Target, error) {
	path := plist
	if strings.HasPrefix(strings.TrimSpace(plist), "<") {
		var err error
		if path, err = l.write(labelOf([]byte(plist)), []byte(plist)); err != nil {
			return launchd.Target{}, err
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return launchd.Target{}, fmt.Errorf("launchdtest: %w", err)
	}
	const patience = 30 * time.Second // a fault may keep the answer back
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := l.Client.Bootstrap(ctx, l.Domain(), path); err != nil {
		return launchd.Target{}, fmt.Errorf("launchdtest: %w", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return launchd.Target{}, fmt.Errorf("launchdtest: %w", err)
	}
	return launchd.Target{Domain: l.Domain(), Label: labelOf(text)}, nil
}

// write stores a property list under its label. What launchd thinks of the label is
// launchd's to say, so any will do here.
func (l *Launchd) write(label string, text []byte) (path string, err error) {
	path = filepath.Join(l.dir, url.PathEscape(label)+".plist")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("launchdtest: %w", err)
	}
	return path, nil
}

// labelOf gives the Label of a property list, "" without one.
func labelOf(text []byte) string {
	var keys map[string]any
	if _, err := plist.Unmarshal(text, &keys); err != nil {
		return ""
	}
	label, _ := keys["Label"].(string)
	return label
}
