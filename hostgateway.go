package hermesgw

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// dirs are the variables that move the folder of the user's locks and of the host's gateway.
// Empty is unset.
type dirs struct {
	GatewayLockDir string // HERMES_GATEWAY_LOCK_DIR
	StateHome      string // XDG_STATE_HOME
}

// hostRecord is host-gateway.json: the one gateway of the user that serves several profiles.
type hostRecord struct {
	PID      int
	Start    float64 // in seconds since the epoch; 0: not known
	Home     string  // it was started for; "" in old ones
	Profiles []string
}

// hostGateway reads the record of the user's multiplexing gateway. The folder and the file must
// be the user's own, and nobody else may write there: what stands in it decides who is asked.
// Source: gateway/host_rendezvous.py.
func hostGateway(in Install, env dirs) (hostRecord, error) {
	folder := env.GatewayLockDir
	if folder == "" {
		state := env.StateHome
		if state == "" {
			state = filepath.Join(in.AccountHome, ".local", "state")
		}
		folder = filepath.Join(state, "hermes", "gateway-locks")
	}
	path := filepath.Join(folder, "host-gateway.json")
	refuse := func(err error) (hostRecord, error) {
		return hostRecord{}, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	if !filepath.IsAbs(folder) {
		return refuse(errors.New("its folder is not an absolute path"))
	}
	info, err := os.Stat(folder)
	if err != nil {
		return hostRecord{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return refuse(errors.ErrUnsupported)
	case int(st.Uid) != in.UID:
		return refuse(fmt.Errorf("its folder belongs to user %d, not to %d", st.Uid, in.UID))
	case info.Mode().Perm()&0o022 != 0:
		return refuse(errors.New("others may write to its folder"))
	}
	b, info, err := readFile(in, path, maxRecord)
	if err != nil {
		return hostRecord{}, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != in.UID {
		return refuse(fmt.Errorf("it does not belong to user %d", in.UID))
	}
	r, err := parseHost(b)
	if err != nil {
		return refuse(err)
	}
	return r, nil
}

func parseHost(b []byte) (hostRecord, error) {
	f, err := parseFields(b)
	if err != nil {
		return hostRecord{}, err
	}
	pid, err := f.pid("pid")
	if err != nil {
		return hostRecord{}, err
	}
	if role := f.text("role"); role != "gateway" {
		return hostRecord{}, fmt.Errorf("its role is %q, not gateway", shown(role, maxShownWord))
	}
	if version := string(f["protocolVersion"]); version != "1" {
		return hostRecord{}, fmt.Errorf("its protocol is %q, not 1", shown(version, maxShownWord))
	}
	return hostRecord{PID: pid, Start: f.epoch("createTime"), Home: f.text("home"), Profiles: f.profiles("profiles")}, nil
}

// names reports whether the record is about that very process; see record.names.
func (r hostRecord) names(id launchd.Identity) bool {
	return r.PID == id.PID && r.Start > 0 && math.Abs(r.Start-startEpoch(id)) <= startSlack
}
