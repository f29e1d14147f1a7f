package hermesgw

import (
	"bytes"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// The sizes up to which files of Hermes' are read, each many times that of a real one.
const (
	maxRecord    = 64 << 10
	maxState     = 4 << 20
	maxHeartbeat = 64 << 10
	maxStarts    = 64 << 10
)

// record is what a gateway writes about itself to gateway.pid and gateway.lock, and at the top
// of gateway_state.json. It outlives the gateway.
type record struct {
	PID   int
	Start int64 // when the process started, in centiseconds on the clock of launchd.Identity; 0: not known
	Kind  string
	Home  string // as it was written; "" in old ones
	Argv  []string
}

// gatewayKind is the kind of a gateway's record. Source: gateway/status.py.
const gatewayKind = "hermes-gateway"

// names reports whether the record is about that very process: the pids are equal, and the
// start times within the centisecond that rounding can make. Without a start time it is not
// known, which is no.
func (r record) names(id launchd.Identity) bool {
	const perCentisecond = 10_000 // Identity.Start is in microseconds
	start := (id.Start + perCentisecond/2) / perCentisecond
	return r.PID == id.PID && r.Start > 0 && id.Start > 0 && max(r.Start-start, start-r.Start) <= 1
}

// readRecord reads the record in gateway.pid or gateway.lock of a home. What is missing, damaged,
// another user's or about another home is no record, and the error says why.
func readRecord(in Install, home, name string) (record, error) {
	path := filepath.Join(home, name)
	b, _, err := readFile(in, path, maxRecord)
	if err != nil {
		return record{}, err
	}
	r, err := parseRecord(b)
	if err == nil {
		err = r.of(in, home)
	}
	if err != nil {
		return record{}, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return r, nil
}

// parseRecord reads a JSON object or, from long ago, a pid alone.
func parseRecord(b []byte) (record, error) {
	if bare := bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\ufeff"))); len(bare) > 0 && bare[0] != '{' {
		pid, err := parsePID(string(bare))
		return record{PID: pid}, err
	}
	f, err := parseFields(b)
	if err != nil {
		return record{}, err
	}
	return f.record()
}

func (f fields) record() (record, error) {
	pid, err := f.pid("pid")
	if err != nil {
		return record{}, err
	}
	start, err := f.start("start_time")
	if err != nil {
		return record{}, err
	}
	r := record{PID: pid, Start: start, Kind: f.text("kind"), Home: f.text("hermes_home"), Argv: f.texts("argv")}
	if r.Kind != "" && r.Kind != gatewayKind {
		return record{}, fmt.Errorf("it is about a %s, not a gateway", shown(r.Kind, maxShownWord))
	}
	return r, nil
}

// of returns an error if the record says that it is of another home. Old ones do not say.
func (r record) of(in Install, home string) error {
	if r.Home == "" {
		return nil
	}
	theirs, err := in.expand(r.Home)
	if err == nil {
		theirs, err = resolve(theirs)
	}
	if err != nil {
		return fmt.Errorf("its home: %w", err)
	}
	if ours, err := resolve(home); err != nil {
		return err
	} else if !sameFolder(theirs, ours) {
		return fmt.Errorf("it is about another home, %s", shown(theirs, maxShownPath))
	}
	return nil
}
