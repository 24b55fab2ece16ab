package dispatch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/dispatch"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

// waiting is a claim under way.
type waiting struct {
	got  []lifecycle.Claimed
	err  error
	took time.Duration
	over chan struct{}
}

func (b *bench) wait(ctx context.Context, d time.Duration) *waiting {
	w := &waiting{over: make(chan struct{})}
	begin := time.Now()
	go func() {
		defer close(w.over)
		w.got, w.err = b.workers.Claim(ctx, who(), lifecycle.ClaimRequest{Agents: []string{bot}, Worker: "w", Slots: 1}, d)
		w.took = time.Since(begin)
	}()
	synctest.Wait()
	return w
}

func TestClaimWakesPromptly(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		w := b.wait(b.ctx, 30*time.Second)
		pass(300 * time.Millisecond)
		b.submit("t", bot)
		<-w.over
		if w.err != nil || len(w.got) != 1 || w.took != 300*time.Millisecond {
			t.Errorf("claimed %d after %s, %v", len(w.got), w.took, w.err)
		}
	})
}

func TestLostWakeCostsOnlyTime(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		w := b.wait(b.ctx, 30*time.Second)
		b.deaf.Store(true)
		b.submit("t", bot)
		<-w.over
		if w.err != nil || len(w.got) != 1 || w.took > 6*time.Second {
			t.Errorf("claimed %d after %s, %v", len(w.got), w.took, w.err)
		}
	})
}

func TestClaimEnds(t *testing.T) {
	t.Parallel()
	t.Run("when its time is over", func(t *testing.T) {
		t.Parallel()
		inBubble(t, func(b *bench) {
			w := b.wait(b.ctx, 10*time.Second)
			<-w.over
			if w.err != nil || w.got != nil || w.took != 10*time.Second {
				t.Errorf("%v after %s, %v", w.got, w.took, w.err)
			}
		})
	})
	t.Run("when the server closes", func(t *testing.T) {
		t.Parallel()
		inBubble(t, func(b *bench) {
			w := b.wait(b.ctx, time.Minute)
			pass(3500 * time.Millisecond)
			close(b.closing)
			<-w.over
			if w.err != nil || w.got != nil || w.took != 3500*time.Millisecond {
				t.Errorf("%v after %s, %v", w.got, w.took, w.err)
			}
			b.submit("t", bot) // nothing is given out any more
			if late := b.wait(b.ctx, 0); late.got != nil {
				t.Errorf("a closing server gave out %v", late.got)
			}
		})
	})
	t.Run("when its caller goes", func(t *testing.T) {
		t.Parallel()
		inBubble(t, func(b *bench) {
			ctx, cancel := context.WithCancel(b.ctx)
			w := b.wait(ctx, time.Minute)
			cancel()
			<-w.over
			if !errors.Is(w.err, context.Canceled) {
				t.Errorf("%v", w.err)
			}
		})
	})
}

func TestL2SweeperFirstWaitsOneLease(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(*bench){
		"after a start": func(b *bench) {
			pass(time.Hour)
			b.sweeper()
		},
		"after an outage of the store": func(b *bench) {
			b.sweeper()
			pass(time.Second)
			b.store.down.Store(true)
			pass(time.Hour)
			b.store.down.Store(false)
			pass(time.Second)
		},
		"after a disk that stood still": func(b *bench) {
			b.sweeper()
			pass(time.Second)
			b.stand(time.Hour)
			pass(time.Second)
		},
		"after a jump of the clock": func(b *bench) {
			b.sweeper()
			pass(time.Second)
			b.jump.Store(int64(time.Hour))
			pass(time.Second)
		},
	} {
		t.Run("L2 "+name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(b *bench) {
				b.submit("t", bot)
				b.claim("t")
				trouble(b)
				synctest.Wait()
				b.shows("t", task.Executing)
				pass(lease - 2*time.Second)
				b.shows("t", task.Executing)
				pass(4 * time.Second)
				b.shows("t", task.Pending)
			})
		})
	}
	t.Run("L2 but not without trouble", func(t *testing.T) {
		t.Parallel()
		inBubble(t, func(b *bench) {
			b.sweeper()
			synctest.Wait()
			b.submit("t", bot)
			b.claim("t")
			pass(lease - time.Second)
			b.shows("t", task.Executing)
			pass(2 * time.Second)
			b.shows("t", task.Pending)
		})
	})
}

// stand lets the store stand still for a while.
func (b *bench) stand(d time.Duration) {
	still := make(chan struct{})
	b.store.stall.Store(&still)
	pass(d)
	b.store.stall.Store(nil)
	close(still)
	synctest.Wait()
}

// On a busy machine the store may stand still for a moment again and again: a lease
// has the time that it lost, but not its full length each time, or it would never end.
func TestL2ShortStandstills(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(*bench){
		"again and again": func(b *bench) {
			for range 5 {
				pass(5 * time.Second)
				b.stand(3 * time.Second)
			}
		},
		"without an end": func(b *bench) {
			for range 25 {
				b.stand(2600 * time.Millisecond)
				pass(600 * time.Millisecond)
			}
		},
		"one in which it would have run out": func(b *bench) {
			pass(lease - 4*time.Second)
			b.stand(8 * time.Second)
			pass(7 * time.Second)
			b.shows("t", task.Executing)
			pass(3 * time.Second)
		},
	} {
		t.Run("L2 "+name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(b *bench) {
				b.sweeper()
				synctest.Wait()
				b.submit("t", bot)
				b.claim("t")
				trouble(b)
				b.shows("t", task.Pending)
			})
		})
	}
}

// A jump of the clock takes no time away from anybody: neither does a task wait
// for what has become an hour, nor does an hour pass that never was.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]time.Duration{"back": -time.Hour, "forward": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(b *bench) {
				b.sweeper()
				pass(time.Second)
				_, _, err := b.Submit(b.ctx, who(), lifecycle.Submission{Spec: task.Spec{ID: "limited", AgentID: bot, Timeout: 20}})
				b.must(err)
				b.claim("limited")
				b.submit("retried", bot)
				b.claim("retried")
				pass(5 * time.Second)
				b.submit("waiting", bot)
				b.jump.Store(int64(by))
				pass(time.Second)
				b.claim("waiting")
				b.shows("limited", task.Executing)
				pass(12 * time.Second)
				b.shows("limited", task.Executing)
				pass(10 * time.Second)
				b.shows("limited", task.Error) // at most its 20 s after the jump
				pass(lease)
				b.shows("retried", task.Pending)
				b.jump.Store(0) // the other way, while it waits for its retry
				pass(3 * time.Second)
				b.claim("retried")
			})
		})
	}
}

// job is a runtime that a test holds in its hands.
type job struct {
	started chan struct{}
	ended   chan struct{}
	cause   error
	panics  bool
}

func (j *job) Run(ctx context.Context, _ *runtime.Attempt) (runtime.Outcome, error) {
	close(j.started)
	defer close(j.ended)
	if j.panics {
		panic("boom")
	}
	<-ctx.Done()
	j.cause = context.Cause(ctx)
	return runtime.Outcome{}, ctx.Err()
}

// talker is a runtime that says one thing, when it is told to.
type talker struct {
	started, speak chan struct{}
	took           time.Duration
}

func (r *talker) Run(ctx context.Context, a *runtime.Attempt) (runtime.Outcome, error) {
	close(r.started)
	<-r.speak
	begin := time.Now()
	err := a.Events(ctx, []runtime.Event{{Type: task.Think, Data: json.RawMessage(`1`)}})
	r.took = time.Since(begin)
	return runtime.Completed("said"), err
}

func TestLocalRuntimeWaitsForTheStore(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		r := &talker{started: make(chan struct{}), speak: make(chan struct{})}
		b.runs(r)
		<-r.started
		b.store.down.Store(true)
		close(r.speak)
		pass(5 * time.Second)
		b.store.down.Store(false)
		pass(5 * time.Second)
		b.shows("t", task.Completed)
		if r.took < 5*time.Second {
			t.Errorf("it has said it after %v, without a store", r.took)
		}
		log, err := b.Events(b.ctx, org, "t", 0, 100)
		b.must(err)
		if len(log) < 4 || log[len(log)-2].Type != task.Think {
			t.Errorf("the log is %v", log)
		}
	})
}

// runner is a runtime that is one function.
type runner func(context.Context, *runtime.Attempt) (runtime.Outcome, error)

func (r runner) Run(ctx context.Context, a *runtime.Attempt) (runtime.Outcome, error) {
	return r(ctx, a)
}

// What an attempt has committed the next one finds, and the turn after it what came of
// it all.
func TestLocalRuntimeGoesOnFromItsSteps(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		var told []string
		b.runs(runner(func(ctx context.Context, a *runtime.Attempt) (runtime.Outcome, error) {
			record, err := a.Agent(ctx)
			steps, failed := a.Steps(ctx)
			line := fmt.Sprintf("%s turn %d attempt %d:", record.Record.Name, a.Turn, a.Number)
			for _, s := range steps {
				line += fmt.Sprintf(" %s=%s", s.ID, s.Body)
			}
			for x, lost := range a.Earlier(ctx) {
				line += fmt.Sprintf(" (%d %s: %s)", x.Number, x.Prompt, x.Result)
				err = errors.Join(err, lost)
			}
			told = append(told, line)
			first, lost := a.Commit(ctx, task.Step{ID: "one", Body: json.RawMessage(strconv.Itoa(a.Number))})
			if err := errors.Join(err, failed, lost); err != nil {
				return runtime.Outcome{}, err
			}
			if a.Turn == 1 && a.Number == 1 {
				return runtime.Outcome{}, &runtime.Later{Reason: "not now", Delay: time.Second}
			}
			done := runtime.Completed(a.Prompt() + string(first.Body))
			done.Usage = runtime.Usage{Tokens: &task.Tokens{Prompt: 5}, Tools: []string{"tool"}}
			return done, nil
		}))
		pass(5 * time.Second)
		b.shows("t", task.Completed)
		now, err := b.Seen(b.ctx, org, "t")
		b.must(err)
		if s := now.State(); s.Tokens == nil || s.Tokens.Prompt != 5 || !slices.Equal(s.UsedTools, []string{"tool"}) {
			t.Errorf("it used %+v, %v", s.Tokens, s.UsedTools)
		}
		_, _, err = b.Submit(b.ctx, who(), lifecycle.Submission{Spec: task.Spec{ID: "t", AgentID: "local", Input: task.Input{Text: new("more")}}})
		b.must(err)
		pass(5 * time.Second)
		want := []string{"local turn 1 attempt 1:", "local turn 1 attempt 2: one=1", "local turn 2 attempt 1: (1 : 1)"}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

type noFiles struct{}

func (noFiles) Files(string, string, []string) []runtime.File { return nil }

func (noFiles) Written(string, []task.Output) []runtime.File { return nil }

func (noFiles) Give(context.Context, string, string, string, []runtime.Given) error { return nil }

func (noFiles) Given(context.Context, string, string, int) ([]runtime.Given, error) { return nil, nil }

func (noFiles) Output(context.Context, string, string, string, string, io.Reader) (task.Output, error) {
	return task.Output{}, errors.New("nothing is kept")
}

// pool starts the server's own workers on one task; it answers what ends them.
func (b *bench) pool(panics bool) (j *job, stopWork context.CancelFunc) {
	b.t.Helper()
	j = &job{started: make(chan struct{}), ended: make(chan struct{}), panics: panics}
	stopWork = b.runs(j)
	<-j.started
	synctest.Wait()
	if !panics {
		b.shows("t", task.Executing)
	}
	return j, stopWork
}

// runs gives one task to a runtime of the server's.
func (b *bench) runs(runner runtime.Runner) (stopWork context.CancelFunc) {
	b.t.Helper()
	_, err := b.PutAgent(b.ctx, org, "local", agent.Record{Name: "local", Runtime: agent.Profile})
	b.must(err)
	claim, stopClaim := context.WithCancel(b.ctx)
	work, stop := context.WithCancel(b.ctx)
	p := dispatch.NewPool(dispatch.PoolOptions{
		Service: b.Service, Line: b.line, Watcher: b.hub, Files: noFiles{}, Slots: 2,
		Runner: func(r agent.Record) runtime.Runner {
			if r.Runtime == agent.Profile {
				return runner
			}
			return nil
		},
		Log: slog.New(slog.DiscardHandler),
	})
	b.parts.Go(func() { p.Run(claim, work) })
	b.submit("t", "local")
	return func() { stopClaim(); stop() }
}

func TestL3LocalRuntimeStopsBeforeItsLeaseRunsOut(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		j, _ := b.pool(false)
		pass(10 * time.Minute) // its lease is renewed as long as the store answers
		select {
		case <-j.ended:
			t.Fatal("L3: it was stopped although its lease held")
		default:
		}
		now, err := b.Seen(b.ctx, org, "t")
		b.must(err)
		b.store.down.Store(true)
		<-j.ended
		if left := now.Run.LeaseUntil.Time().Sub(b.now()); left <= 0 {
			t.Errorf("L3: it stopped %s after its lease had run out", -left)
		}
		synctest.Wait()
		b.end() // its slot must not claim the task again
	})
}

func TestX2LocalRuntimeIsToldToStop(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		j, _ := b.pool(false)
		begin := time.Now()
		_, err := b.Stop(b.ctx, who(), "t")
		b.must(err)
		<-j.ended
		synctest.Wait()
		now, err := b.Seen(b.ctx, org, "t")
		b.must(err)
		if took := time.Since(begin); now.Stop.ConfirmedAt == 0 || took > time.Second {
			t.Errorf("X2: %+v after %s", now.Stop, took)
		}
	})
}

func TestLocalRuntimeGivesBackItsWorkOnShutdown(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		j, stop := b.pool(false)
		stop()
		<-j.ended
		synctest.Wait()
		b.shows("t", task.Pending)
	})
}

func TestCrashOfALocalRuntimeEndsItsAttemptOnly(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		j, _ := b.pool(true)
		<-j.ended
		synctest.Wait()
		b.shows("t", task.Error)
	})
}

// pipe is the sending side of a Python worker's stream.
type pipe struct {
	mu     sync.Mutex
	worker lifecycle.Worker
	given  []string
}

func (p *pipe) Registered(w lifecycle.Worker) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.worker = w
	return nil
}

func (p *pipe) Assigned(s lifecycle.Snapshot) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.given = append(p.given, s.Task.ID)
	return nil
}

func (p *pipe) has() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.given)
}

func (b *bench) serve() (p *pipe, hangUp context.CancelFunc) {
	b.t.Helper()
	p = &pipe{}
	ctx, hangUp := context.WithCancel(b.ctx)
	b.parts.Go(func() {
		if err := b.workers.Serve(ctx, lifecycle.Registration{Organization: org, Agent: bot}, p); err != nil && b.ctx.Err() == nil {
			b.t.Errorf("serve: %v", err)
		}
	})
	synctest.Wait()
	return p, hangUp
}

func (b *bench) start(id string) {
	b.t.Helper()
	_, err := b.Patch(b.ctx, who(), id, map[string]json.RawMessage{"id": json.RawMessage(`"x"`), "status": json.RawMessage(`"executing"`)})
	b.must(err)
}

func TestL4OpenStreamHoldsTheLeaseOfWhatItsWorkerStarted(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		b.sweeper()
		p, hangUp := b.serve()
		b.submit("started", bot)
		synctest.Wait()
		if p.has() != 1 {
			t.Fatalf("given %d tasks at once", p.has())
		}
		b.start("started")
		pass(10 * time.Minute) // without a single heartbeat
		b.shows("started", task.Executing)
		b.submit("assigned", bot)
		synctest.Wait()
		if p.has() != 2 {
			t.Fatalf("given %d tasks", p.has())
		}
		hangUp()
		synctest.Wait()
		now, err := b.Seen(b.ctx, org, "assigned")
		b.must(err)
		if !now.Dispatchable() {
			t.Errorf("L4: what was not started waits on: %+v", now.Run)
		}
		pass(lease - 6*time.Second)
		b.shows("started", task.Executing)
		pass(7 * time.Second)
		b.shows("started", task.Error)
	})
}

func TestL4OpenStreamDoesNotHoldAnAssignmentThatIsNotStarted(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		b.sweeper()
		p, _ := b.serve()
		b.submit("t", bot)
		pass(lease + time.Second)
		now, err := b.Seen(b.ctx, org, "t")
		b.must(err)
		if s := now.State(); !now.Dispatchable() || s.ExecutionAttempts != 2 || p.has() != 1 {
			t.Errorf("L4: %s, number %d, given %d times", s.Status, s.ExecutionAttempts, p.has())
		}
	})
}

func TestL9FreeWorkerIsServedAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		p, _ := b.serve()
		b.must(b.Heard(b.ctx, org, bot, p.worker.ID, lifecycle.Sign{ID: "1", Busy: new(true)}))
		b.submit("t", bot)
		pass(5 * time.Second)
		if p.has() != 0 {
			t.Fatal("L9: a busy worker was given a task")
		}
		begin := time.Now()
		b.must(b.Heard(b.ctx, org, bot, p.worker.ID, lifecycle.Sign{ID: "2", Busy: new(false)}))
		synctest.Wait()
		if p.has() != 1 || time.Since(begin) > 0 {
			t.Errorf("L9: given %d after %s", p.has(), time.Since(begin))
		}
	})
}

func TestClosingEndsAWorkersStreamProperly(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		b.serve()
		close(b.closing)
		b.parts.Wait() // without an error
	})
}

// B1: a task behind many that a cap holds is claimed at once, by those who wait and by
// those who come.
func TestClaimPassesOverWhatACapHolds(t *testing.T) {
	t.Parallel()
	for name, early := range map[string]bool{"who comes": false, "who waits": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(b *bench) {
				rule := task.CapRule{Spender: task.Spender{Of: task.CapOwner, ID: "a"}, Caps: task.Caps{Day: &task.Allowance{Tokens: 10}}}
				b.CapBy([]task.CapRule{rule})
				submit := func(owner, id string) {
					of := who()
					of.Owner = owner
					_, _, err := b.Submit(b.ctx, of, lifecycle.Submission{Spec: task.Spec{ID: id, AgentID: bot}})
					b.must(err)
				}
				submit("a", "spends")
				b.claim("spends")
				b.deaf.Store(early)
				var w *waiting
				if early {
					w = b.wait(b.ctx, time.Minute)
				}
				for i := range 500 {
					submit("a", fmt.Sprintf("held-%03d", i))
				}
				b.must(b.Spend(b.ctx, org, "spends", "c", task.Use{Tokens: task.Tokens{Prompt: 10}}, nil))
				submit("b", "last")
				if b.deaf.Store(false); !early {
					w = b.wait(b.ctx, time.Minute)
				}
				<-w.over
				if w.err != nil || len(w.got) != 1 || w.got[0].Task.ID != "last" || w.took > 6*time.Second || !early && w.took > 0 {
					t.Errorf("claimed %d after %s, %v", len(w.got), w.took, w.err)
				}
			})
		})
	}
}
