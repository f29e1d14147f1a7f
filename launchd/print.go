package launchd

import (
	"context"
	"errors"
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
// Errors: [ErrNotLoaded], [ErrNoDomain], 1 (not allowed).
// Sources: Procursus launchctl, print.c and xpc_helper.c; xspawn (708 on macOS 26.6.1).
func (c *Client) Print(ctx context.Context, t Target) (string, error) {
	if err := t.check(); err != nil {
		return "", err
	}
	return c.text(ctx, t, routinePrintService, t.dict())
}

// PrintDomain returns launchd's text about a domain, its jobs and overrides (828).
//
// The request holds type, handle and shmem, the reply bytes-written (uint64), as those of
// [Client.Print].
// Errors: [ErrNoDomain], 1 (not allowed).
// Sources: Procursus launchctl, print.c; launchk.
func (c *Client) PrintDomain(ctx context.Context, d Domain) (string, error) {
	return c.printDomain(ctx, d, "")
}

// PrintDisabled returns the block of [Client.PrintDomain] that tells which labels are
// enabled or disabled (828). [Client.Overrides] reads it.
//
// The request is that of PrintDomain with disabled (bool, true), the reply is the same.
// Errors: as [Client.PrintDomain].
// Sources: Procursus launchctl, print.c (print-disabled).
func (c *Client) PrintDisabled(ctx context.Context, d Domain) (string, error) {
	return c.printDomain(ctx, d, "disabled")
}

// Version returns the line in which launchd names itself (828).
//
// The request is that of [Client.PrintDomain] about the system domain with version (bool,
// true), the reply is the same.
// Errors: as [Client.PrintDomain].
// Sources: Procursus launchctl, version.c.
func (c *Client) Version(ctx context.Context) (string, error) {
	text, err := c.printDomain(ctx, System(), "version")
	return strings.TrimSpace(text), err
}

func (c *Client) printDomain(ctx context.Context, d Domain, part string) (string, error) {
	if err := d.check(); err != nil {
		return "", err
	}
	msg := d.dict()
	if part != "" {
		msg[part] = true
	}
	return c.text(ctx, d, routinePrintDomain, msg)
}

func (c *Client) text(ctx context.Context, what fmt.Stringer, routine uint64, msg xpc.Dict) (string, error) {
	for size := printSize; ; size *= 4 {
		text, fits, err := c.textWithin(ctx, size, what, routine, msg)
		switch {
		case err != nil || fits:
			return text, err
		case size >= printMaxSize:
			return "", fmt.Errorf("print %s: launchd's text is longer than %d MiB", what, printMaxSize>>20)
		}
	}
}

// ErrUnshared: there is no memory that launchd could write its text to, so it was not asked. A limit
// on the size of files (RLIMIT_FSIZE) does that on Linux.
var ErrUnshared = errors.New("no memory to share")

// textWithin asks once, with memory of the given size.
func (c *Client) textWithin(ctx context.Context, size int, what fmt.Stringer, routine uint64, msg xpc.Dict) (text string, fits bool, err error) {
	const op = "print"
	shmem, err := c.memory(size)
	if err != nil {
		return "", false, fmt.Errorf("%s %s: %w: %w", op, what, ErrUnshared, err)
	}
	msg["shmem"] = shmem
	reply, err := c.call(ctx, op, what, routine, msg)
	if err != nil {
		// launchd may still write to the memory of a request that was given up.
		shmem.Close()
		return "", false, err
	}
	defer c.recycle(size, shmem)
	written, ok := reply.Uint64("bytes-written")
	if !ok {
		return "", false, &Error{Op: op, Target: what.String(), Code: xpc.BadResponse}
	}
	// Full memory may hold only the beginning.
	if written >= uint64(len(shmem.Bytes())) {
		return "", false, nil
	}
	return strings.TrimRight(string(shmem.Bytes()[:written]), "\x00"), true, nil
}

// memory returns shared memory of at least size bytes: what a request before left, or
// new.
func (c *Client) memory(size int) (*xpc.Shmem, error) {
	if size == printSize {
		if spare := c.spare.Swap(nil); spare != nil {
			return spare, nil
		}
	}
	return xpc.NewShmem(size)
}

// recycle keeps memory for the next request.
func (c *Client) recycle(size int, shmem *xpc.Shmem) {
	if size != printSize || c.closed.Load() || !c.spare.CompareAndSwap(nil, shmem) {
		shmem.Close()
		return
	}
	if c.closed.Load() { // meanwhile
		c.drop()
	}
}

func (c *Client) drop() {
	if spare := c.spare.Swap(nil); spare != nil {
		spare.Close()
	}
}
