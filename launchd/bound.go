package launchd

import (
	"context"
	"sync"
	"time"
)

// jobBound is a context that ends when a job's own times are over: exit timeout +
// minimum runtime + margin. Reading these takes a request, so they are read only when a
// call has already taken as long as margin, which most do not.
type jobBound struct {
	context.Context // the caller's
	cancel          context.CancelFunc

	done chan struct{}
	mu   sync.Mutex
	err  error
}

// boundByJob begins such a context. A job with an ExitTimeOut of 0 has all the time it
// wants; then only ctx ends it.
func (c *Client) boundByJob(ctx context.Context, t Target) *jobBound {
	b := &jobBound{Context: ctx, done: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { b.end(ctx.Err()) })
	timer := time.AfterFunc(margin, func() {
		asking, cancel := context.WithTimeout(b, lastLook)
		defer cancel()
		j, err := c.look(asking, t)
		if err != nil {
			j = Job{} // the assumed times have to do
		}
		x := change{job: j}
		if exit, ends := x.exitTimeout(); ends {
			pause(b, exit+x.minimumRuntime())
			b.end(context.DeadlineExceeded)
		}
	})
	b.cancel = func() {
		timer.Stop()
		stop()
		b.end(context.Canceled)
	}
	return b
}

func (b *jobBound) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
		close(b.done)
	}
}

// Done and Err are those of the bound, which ends no later than the caller's context.
func (b *jobBound) Done() <-chan struct{} { return b.done }

func (b *jobBound) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}
