package crash

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// onlooker follows a stream and keeps no more of it than a hash.
type onlooker struct {
	*client
	path string
	// deaf, if set, is waited for before the first connection is read.
	deaf <-chan struct{}
	seen atomic.Int64
	hash uint64
	cuts int
	// ended says that the last event is the task's end.
	ended bool
}

// follow reads to the clean end of the stream, over every cut.
func (o *onlooker) follow(ctx context.Context) error {
	sum := fnv.New64a()
	for {
		ended, err := o.once(ctx, sum.Write)
		if ended || err != nil {
			o.hash = sum.Sum64()
			return err
		}
		o.cuts++
	}
}

// once reads one connection; only a gap is an error.
func (o *onlooker) once(ctx context.Context, keep func([]byte) (int, error)) (ended bool, err error) {
	last := o.seen.Load()
	s, err := o.open(ctx, o.path, strconv.FormatInt(last, 10))
	if err != nil {
		return false, err
	}
	defer s.close()
	if o.deaf != nil && last == 0 {
		select {
		case <-o.deaf:
		case <-ctx.Done():
		}
	}
	for {
		m, err := s.next()
		if err != nil {
			return o.ended && errors.Is(err, io.EOF), ctx.Err()
		}
		if last++; m.id != strconv.FormatInt(last, 10) {
			return false, fmt.Errorf("%w: event %s in the place of %d", errOdd, m.id, last)
		}
		_, _ = keep([]byte(m.data + "\n")) // a hash takes everything
		o.seen.Store(last)
		o.ended = m.name == "task_finished"
	}
}

// TestDeafViewers lets many look at one task while ten of them read nothing. Nobody
// else may wait for those, and they find all that they missed once they read.
func TestDeafViewers(t *testing.T) {
	t.Parallel()
	// limit is far more than the feed takes, and less than what one deaf viewer
	// could hold it up with.
	viewers, limit := 60, 30*time.Second
	if os.Getenv(soakEnv) != "" {
		viewers, limit = 1000, 5*time.Minute
	}
	const (
		deaf   = 10
		events = 700 // of 8 KB: more than the buffers between two programs hold
	)
	s := newServer(t, "--write-timeout", (2 * limit).String())
	f := newFed(t, s.client())
	ctx, cancel := context.WithTimeout(t.Context(), 3*limit)
	defer cancel()
	heard := make(chan struct{})
	var all sync.WaitGroup
	onlookers := make([]*onlooker, viewers)
	for i := range onlookers {
		onlookers[i] = &onlooker{client: s.client(), path: "/v1/tasks/" + f.id + "/events"}
		if i < deaf {
			onlookers[i].deaf = heard
			onlookers[i].slowly()
		}
		all.Go(func() {
			if err := onlookers[i].follow(ctx); err != nil {
				t.Errorf("viewer %d, after %d events: %v", i, onlookers[i].seen.Load(), err)
			}
		})
	}
	eventually(t, 30*time.Second, "all streams are open", func() bool { return openStreams(t, s) >= viewers })

	begun := time.Now()
	f.feed(ctx, t, events, 8<<10)
	fed := time.Since(begun)
	sent := int64(events + 3) // task_created, attempt_started, task_updated
	eventually(t, limit, "all who read have seen all", func() bool {
		for _, o := range onlookers[deaf:] {
			if o.seen.Load() < sent {
				return false
			}
		}
		return true
	})
	took := time.Since(begun)
	if fed > limit {
		t.Errorf("%d appends beside %d viewers that read nothing took %v", events, deaf, fed)
	}
	for i, o := range onlookers[:deaf] {
		if o.seen.Load() != 0 {
			t.Errorf("viewer %d should not have read", i)
		}
	}
	close(heard)
	f.finish(ctx, t)
	all.Wait()
	for i, o := range onlookers {
		if o.hash != onlookers[viewers-1].hash || o.seen.Load() != sent+1 {
			t.Errorf("viewer %d has seen %d of %d events, or others (%d cuts)", i, o.seen.Load(), sent+1, o.cuts)
		}
	}
	t.Logf("%d events to %d viewers, %d of which read nothing: fed in %v, seen by all others in %v",
		events, viewers, deaf, fed.Round(time.Millisecond), took.Round(time.Millisecond))
	s.quiet(t)
}
