package launchd

import (
	"context"
	"fmt"
	"strings"

	"github.com/hermes-gw/hermes-gw/xpc"
)

const (
	printSize    = 1 << 20  // launchctl's: Procursus launchctl, print.c (0x100000)
	printMaxSize = 16 << 20 // ours; launchctl's dumpstate takes 20 MiB for everything there is
)

// Print returns launchd's text about a job (708), of which launchctl print says that it
// is no API. It holds the job's environment.
//
// The request holds type, handle, name and shmem, memory that launchd writes to; the
// reply bytes-written (uint64). If the text does not fit into 1 MiB, the request is sent
// again with more, up to 16 MiB.
//
// Errors: [ErrNotLoaded], [ErrNoDomain], 1.
// Sources: Procursus launchctl, print.c and xpc_helper.c; xspawn (708 on macOS 26.6.1).
func (c *Client) Print(ctx context.Context, t Target) (string, error) {
	if err := t.check(); err != nil {
		return "", err
	}
	return c.text(ctx, t, routinePrintService, t.dict())
}

// PrintDomain returns launchd's text about a domain, its jobs and overrides (828). For
// the rest it is [Client.Print] without a name.
//
// Sources: Procursus launchctl, print.c; launchk.
func (c *Client) PrintDomain(ctx context.Context, d Domain) (string, error) {
	if err := d.check(); err != nil {
		return "", err
	}
	return c.text(ctx, d, routinePrintDomain, d.dict())
}

func (c *Client) text(ctx context.Context, what fmt.Stringer, routine uint64, msg xpc.Dict) (string, error) {
	const op = "print"
	for size := printSize; ; size *= 4 {
		shmem, err := xpc.NewShmem(size)
		if err != nil {
			return "", fmt.Errorf("%s %s: %w", op, what, err)
		}
		msg["shmem"] = shmem
		reply, err := c.call(ctx, op, what, routine, msg)
		var text string
		written, ok := reply.Uint64("bytes-written")
		// A full buffer may hold only the beginning.
		fits := written < uint64(len(shmem.Bytes()))
		if ok && fits {
			text = string(shmem.Bytes()[:written])
		}
		if closed := shmem.Close(); err == nil {
			err = closed
		}
		switch {
		case err != nil:
			return "", err
		case !ok:
			return "", &Error{Op: op, Target: what.String(), Code: xpc.BadResponse}
		case fits:
			return strings.TrimRight(text, "\x00"), nil
		case size >= printMaxSize:
			return "", fmt.Errorf("%s %s: launchd's text is longer than %d MiB", op, what, printMaxSize>>20)
		}
	}
}
