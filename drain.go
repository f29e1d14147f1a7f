package hermesgw

import (
	"context"
	"time"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// workEvery is how often a gateway that finishes its work is asked what it is still at.
const workEvery = 2 * time.Second

// tellWork reports, as events, what a gateway is still at while it is waited for. The function
// that it returns ends that.
func (r *run) tellWork(ctx context.Context, i *item) (stop func()) {
	if r.o.OnEvent == nil || !i.gateway || i.Home == "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		told := ""
		for every := time.NewTicker(workEvery); ; {
			select {
			case <-ctx.Done():
				every.Stop()
				return
			case <-every.C:
			}
			now := r.h.runtime(ctx, &i.Gateway)
			if now == nil {
				continue
			}
			if busy := busyWith(now.Work); busy != "" && busy != told {
				told = busy
				r.event(launchd.Event{Time: time.Now(), Kind: launchd.EventWaiting, Target: i.Target, PID: now.PID, Detail: "the gateway to finish " + busy})
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}
