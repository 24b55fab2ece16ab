package dispatch_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// nothing is what a Python worker reports of what it has not finished when it
// is told to terminate.
func nothing() map[string]json.RawMessage {
	return map[string]json.RawMessage{
		"id": json.RawMessage(`"t"`), "status": json.RawMessage(`"completed"`), "result": json.RawMessage("null"),
	}
}

// claimed lets a worker start a task and claim that it is completed. over is
// closed when that is answered, with after; leave ends the caller's request.
func claimed(b *bench) (p *pipe, hangUp, leave context.CancelFunc, over <-chan struct{}, after *lifecycle.Snapshot) {
	b.t.Helper()
	p, hangUp = b.serve()
	ctx, leave := context.WithCancel(b.ctx)
	b.submit("t", bot)
	synctest.Wait()
	b.start("t")
	b.must(b.Heard(b.ctx, org, bot, p.worker.ID, lifecycle.Sign{Beat: true}))
	done := make(chan struct{})
	after = &lifecycle.Snapshot{}
	b.parts.Go(func() {
		defer close(done)
		var err error
		if *after, err = b.workers.Patch(ctx, who(), "t", nothing()); err != nil {
			b.t.Errorf("patch: %v", err)
		}
	})
	synctest.Wait()
	return p, hangUp, leave, done, after
}

func TestL7CompletionWithoutAResultWaitsForASignOfLife(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		p, _, leave, over, after := claimed(b)
		defer leave()
		pass(1900 * time.Millisecond)
		b.shows("t", task.Executing)
		begin := time.Now()
		b.must(b.Heard(b.ctx, org, bot, p.worker.ID, lifecycle.Sign{Beat: true}))
		<-over
		if waited := time.Since(begin); waited > 100*time.Millisecond {
			t.Errorf("L7: answered %s after the proof", waited)
		}
		if s := after.Task.State(); s.Status != task.Completed || s.Result != nil {
			t.Errorf("L7: proven, and %s", s.Status)
		}
	})
}

func TestL7NotHeardAgainIsALoss(t *testing.T) {
	t.Parallel()
	for name, hangsUp := range map[string]bool{"stream open": false, "stream closed": true} {
		t.Run("L7 "+name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(b *bench) {
				begin := time.Now()
				_, hangUp, leave, over, after := claimed(b)
				defer leave()
				if hangsUp {
					hangUp()
				}
				<-over
				if waited := time.Since(begin); waited < 5*time.Second || waited > 5200*time.Millisecond {
					t.Errorf("L7: decided after %s, want 5s", waited)
				}
				if s := after.Task.State(); s.Status != task.Error || s.EndReason != task.EndWorkerLost {
					t.Errorf("L7: %s (%s)", s.Status, s.EndReason)
				}
			})
		})
	}
}

// The caller is gone by then: that is what a worker does that terminates.
func TestL7TheCallerNeedNotWait(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		_, _, leave, over, _ := claimed(b)
		leave()
		<-over
		b.shows("t", task.Error)
	})
}

// … and it may be gone before anything was looked up.
func TestL7TheCallerMayHangUpAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		p, hangUp := b.serve()
		defer hangUp()
		b.submit("t", bot)
		synctest.Wait()
		b.start("t")
		b.must(b.Heard(b.ctx, org, bot, p.worker.ID, lifecycle.Sign{Beat: true}))
		gone, leave := context.WithCancel(b.ctx)
		leave()
		if _, err := b.workers.Patch(gone, who(), "t", nothing()); err != nil {
			t.Errorf("L7: %v", err)
		}
		b.shows("t", task.Error)
	})
}

func TestL7AClosingServerDecidesAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		_, _, leave, over, _ := claimed(b)
		defer leave()
		begin := time.Now()
		close(b.closing)
		<-over
		if time.Since(begin) > 0 {
			t.Errorf("L7: the server waited %s", time.Since(begin))
		}
		b.shows("t", task.Error)
	})
}

// A worker that never heartbeats is believed while its stream is open.
func TestL7AWorkerWithoutHeartbeats(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		b.serve()
		b.submit("t", bot)
		synctest.Wait()
		b.start("t")
		begin := time.Now()
		after, err := b.workers.Patch(b.ctx, who(), "t", nothing())
		b.must(err)
		if s, waited := after.Task.State(), time.Since(begin); s.Status != task.Completed || waited < 2*time.Second || waited > 2200*time.Millisecond {
			t.Errorf("L7: %s after %s", s.Status, waited)
		}
	})
}
