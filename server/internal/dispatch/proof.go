package dispatch

import (
	"context"
	"encoding/json"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
)

const (
	// proofWithin is how long a completion without a result waits to be proven.
	proofWithin = 5 * time.Second
	// proofLook is how often it is looked for.
	proofLook = 100 * time.Millisecond
)

// Patch carries out a Python client's PATCH as Service.Patch does. A worker that
// is told to terminate reports what it had not finished as completed with
// nothing; so a completion without a result waits until its worker is known to
// live on, and is taken for a loss when it does not (rule L7). The caller waits:
// for about 2 s with a worker that lives, for 5 s with one that does not.
func (d *Workers) Patch(ctx context.Context, who lifecycle.Caller, id string, fields map[string]json.RawMessage) (lifecycle.Snapshot, error) {
	// Who reports an end may be gone before it is stored: that is what a dying worker does.
	ctx = context.WithoutCancel(ctx)
	claim, err := d.service.EmptyEndOf(ctx, who, id, fields)
	if err != nil {
		return lifecycle.Snapshot{}, err
	}
	if claim == nil {
		return d.service.Patch(ctx, who, id, fields)
	}
	proven, err := d.proven(ctx, *claim)
	if err != nil {
		return lifecycle.Snapshot{}, err
	}
	if proven {
		return d.service.Patch(ctx, who, id, fields)
	}
	return d.service.Unproven(ctx, who, id, *claim)
}

// proven waits until the claim's worker has shown that it lives on. When the
// server closes, what has not been shown by then is not.
func (d *Workers) proven(ctx context.Context, claim lifecycle.EmptyEnd) (bool, error) {
	over := time.NewTimer(proofWithin)
	defer over.Stop()
	tick := time.NewTicker(proofLook)
	defer tick.Stop()
	for {
		proven, err := d.service.LivesOn(ctx, claim)
		if proven || err != nil {
			return proven, err
		}
		select {
		case <-d.closing:
			return false, nil
		case <-over.C:
			return false, nil
		case <-tick.C:
		}
	}
}
