package launchd

import (
	"context"
	"syscall"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// ListEntry is one row of a list of jobs.
type ListEntry struct {
	Label string
	PID   int // 0 when it is not running
	// Status is how the last process ended: its exit code, or the number of the signal
	// (Darwin's) as a negative number. 0 when StatusWord is set.
	Status int
	// StatusWord stands where launchd had no number: "-" (never exited), "(pe)", ...
	StatusWord string
}

// Bootstrap loads property lists into a domain (800).
func (c *Client) Bootstrap(ctx context.Context, d Domain, paths ...string) error { return errTODO }

// Bootout unloads a job (801).
func (c *Client) Bootout(ctx context.Context, t Target) error { return errTODO }

// List lists the jobs of a domain, from its print text (828).
func (c *Client) List(ctx context.Context, d Domain) ([]ListEntry, error) { return nil, errTODO }

// ListOwn lists the jobs of the caller's own domain (815).
func (c *Client) ListOwn(ctx context.Context) ([]ListEntry, error) { return nil, errTODO }

// Print returns launchd's text about a job (708).
func (c *Client) Print(ctx context.Context, t Target) (string, error) { return "", errTODO }

// PrintDomain returns launchd's text about a domain (828).
func (c *Client) PrintDomain(ctx context.Context, d Domain) (string, error) { return "", errTODO }

// SetEnabled enables or disables a label (808, 809).
func (c *Client) SetEnabled(ctx context.Context, t Target, on bool) error { return errTODO }

// Enabled asks whether a label is loaded and whether it is enabled (811).
func (c *Client) Enabled(ctx context.Context, t Target) (loaded, enabled bool, err error) {
	return false, false, errTODO
}

// Kill sends a signal to a job's process (812).
func (c *Client) Kill(ctx context.Context, t Target, sig syscall.Signal) error { return errTODO }

// Find looks for a label in gui/uid, user/uid and system, in this order.
func (c *Client) Find(ctx context.Context, label string, uid int) (Target, error) {
	return Target{}, errTODO
}

func pidOf(reply xpc.Dict) int {
	pid, _ := reply.Int64("pid")
	if pid < 0 || pid > 1<<31-1 {
		return 0
	}
	return int(pid)
}
