package dispatch

import (
	"context"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
)

// registerLook is how often a registration that waits is looked at. After a
// start of the server every worker may wait at once.
const registerLook = 250 * time.Millisecond

// register registers a Python worker as soon as it can be known whose heir it
// is (rule L5): at once as a rule, and after some seconds at most when one that
// it may be was cut off with tasks in its hands. The worker has no limit on that.
func (d *Workers) register(ctx context.Context, r lifecycle.Registration) (lifecycle.Worker, error) {
	tick := time.NewTicker(registerLook)
	defer tick.Stop()
	came, over := d.service.Now(), time.After(lifecycle.HeirsAfterStart) // whatever the wall clock says
	for {
		undecided, err := d.service.Undecided(ctx, r, came)
		if err != nil {
			return lifecycle.Worker{}, err
		}
		if !undecided {
			return d.service.Register(ctx, r)
		}
		select {
		case <-ctx.Done():
			return lifecycle.Worker{}, ctx.Err()
		case <-over:
			return d.service.Register(ctx, r)
		case <-tick.C:
		}
	}
}
