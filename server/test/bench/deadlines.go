package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// lostLease is the length of the leases that are lost, all at once: a server that
	// starts gives each its full length.
	lostLease = 5 * time.Second
	// besides is how many create tasks meanwhile, each some hundred a second.
	besides = 8
)

// stockLeased is a task whose worker is never heard again.
func stockLeased(tx lifecycle.Tx, i int, now task.Stamp) error {
	text := prompt()[:200]
	begin := task.Begin{Spec: task.Spec{
		OrganizationID: auth.DefaultOrganization, ID: fmt.Sprint("task-", i), AgentID: "agent-0", MaxAttempts: 3,
	}, State: task.State{Source: "sdk"}}
	begin.Spec.Input.Text = &text
	made, err := task.Apply(task.Task{}, begin, now)
	if err != nil {
		return err
	}
	ran, err := task.Apply(made.Task, task.Claim{Worker: "w", TokenHash: fmt.Sprint("h", i), Lease: lostLease}, now)
	return errors.Join(err, tx.Save(made), tx.Save(ran))
}

// deadlines is how soon very many lost leases are queued again, and what those who
// create tasks meanwhile see of it.
func deadlines(ctx context.Context, b *bench) error {
	dir, err := b.stock(ctx, b.lost, stockLeased)
	if err != nil {
		return err
	}
	begun := time.Now()
	s, err := b.start(ctx, dir)
	if err != nil {
		return err
	}
	lapse := begun.Add(lostLease)
	used, err := s.processor()
	if err != nil {
		return errors.Join(err, s.stop())
	}
	var before, meanwhile latenciesOf
	group, working := errgroup.WithContext(ctx)
	working, done := context.WithCancel(working)
	defer done()
	for range besides {
		group.Go(func() error { return s.createSlowly(working, lapse, &before, &meanwhile) })
	}
	group.Go(func() error {
		select {
		case <-time.After(time.Until(lapse)):
			return b.profile(ctx, s, "deadlines")()
		case <-working.Done():
			return nil
		}
	})
	group.Go(func() error {
		defer done()
		return s.untilNoneExecutes(working)
	})
	if err := group.Wait(); err != nil {
		return errors.Join(err, s.stop())
	}
	const section = "Deadlines"
	took := time.Since(lapse)
	all, err := s.processor()
	if err != nil {
		return errors.Join(err, s.stop())
	}
	each := (all - used) / time.Duration(b.lost) // what is created meanwhile included
	b.report(figure{
		section: section, name: fmt.Sprintf("%d lost leases are queued again, after the lease", b.lost),
		value: strconv.FormatFloat(took.Seconds(), 'f', 1, 64) + " s", work: microseconds(each), cost: each, bar: "5 s", amount: took.Seconds(), less: true,
	})
	b.report(figure{
		section: section, name: "a create meanwhile, p99 and longest",
		value: milliseconds(meanwhile.quantile(0.99)) + ", " + milliseconds(meanwhile.quantile(1)), bar: "longest 50 ms",
		raw: milliseconds(before.quantile(0.99)) + ", " + milliseconds(before.quantile(1)), ratio: "undisturbed",
	})
	return errors.Join(s.stop(), os.RemoveAll(dir))
}

// latenciesOf are collected by several.
type latenciesOf struct {
	mu   sync.Mutex
	took []time.Duration
}

func (l *latenciesOf) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, d)
}

func (l *latenciesOf) quantile(q float64) time.Duration {
	if len(l.took) == 0 {
		return 0
	}
	return quantile(l.took, q)
}

// createSlowly creates tasks until ctx ends, and notes how long each took.
func (s *server) createSlowly(ctx context.Context, lapse time.Time, before, after *latenciesOf) error {
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	body := []byte(`{"agent_id":"agent-0","input":{"text":"x"}}`)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		begun := time.Now()
		if _, err := c.post("/v1/tasks", body); err != nil {
			return err
		}
		into := before
		if begun.After(lapse) {
			into = after
		}
		into.add(time.Since(begun))
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// untilNoneExecutes waits until no task is executing.
func (s *server) untilNoneExecutes(ctx context.Context) error {
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		content, err := c.call(http.MethodGet, "/v1/tasks?status=executing&per_page=1", nil)
		if err != nil {
			return err
		}
		var page struct {
			Total int `json:"total"`
		}
		if err := json.Unmarshal(content, &page); err != nil || page.Total == 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
