package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// large is what others see while a long task is deleted and a wide tree is stopped,
// and what each child costs its parent.
func large(ctx context.Context, b *bench) (err error) {
	s, end, err := b.fresh(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	if _, err := c.call(http.MethodPut, "/v1/agents/agent-0", []byte(`{"name":"bench","runtime":"worker"}`)); err != nil {
		return err
	}
	const commit = 1000
	run, err := s.running(ctx, 1)
	if err != nil {
		return err
	}
	events := run[0].chunks(commit, "a few words ")
	for range b.long / commit {
		if _, err := c.post("/v1/tasks/"+run[0].task+"/events", events); err != nil {
			return err
		}
	}
	if err := b.meanwhile(ctx, s, fmt.Sprintf("a task with %d events is deleted", b.long), func() error {
		_, err := c.call(http.MethodDelete, "/v1/tasks/"+run[0].task, nil)
		return err
	}); err != nil {
		return err
	}

	if _, err := c.post("/v1/tasks", []byte(`{"agent_id":"`+agentID+`","id":"top","input":{"text":"x"}}`)); err != nil {
		return err
	}
	before, err := logBytes(c, "top")
	if err != nil {
		return err
	}
	child := `{"agent_id":"` + agentID + `","parent_execution":"top","input":{"text":"x"}}`
	for range b.wide / commit {
		if _, err := c.post("/v1/tasks/batch", []byte(`{"all":true,"tasks":`+many(commit, child)+`}`)); err != nil {
			return err
		}
	}
	after, err := logBytes(c, "top")
	if err != nil {
		return err
	}
	each := float64(after-before) / float64(b.wide)
	b.report(figure{
		section: "Much at once", name: fmt.Sprintf("%d children, the parent's log for each", b.wide),
		value: strconv.FormatFloat(each, 'f', 0, 64) + " B", bar: "1 KB", amount: each, less: true,
	})
	return b.meanwhile(ctx, s, fmt.Sprintf("a tree of %d is stopped", b.wide), func() error {
		_, err := c.post("/v1/tasks/top/stop", nil)
		return err
	})
}

// logBytes is how much a task's log is when it is read.
func logBytes(c *conn, id string) (n int, err error) {
	var page struct {
		Items []json.RawMessage `json:"items"`
	}
	content, err := c.call(http.MethodGet, "/v1/tasks/"+id+"/events?limit=1000", nil)
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(content, &page); err != nil || len(page.Items) == 0 {
		return 0, errors.Join(fmt.Errorf("the log of %s is %s", id, content), err)
	}
	for _, item := range page.Items {
		n += len(item)
	}
	return n, nil
}

// meanwhile does something beside callers who create tasks, and tells how long they
// waited before and then.
func (b *bench) meanwhile(ctx context.Context, s *server, what string, do func() error) error {
	var before, during latenciesOf
	begin := time.Now().Add(b.lasting)
	group, working := errgroup.WithContext(ctx)
	working, done := context.WithCancel(working)
	defer done()
	for range besides {
		group.Go(func() error { return s.createSlowly(working, begin, &before, &during) })
	}
	var took time.Duration
	group.Go(func() error {
		defer done()
		select {
		case <-time.After(time.Until(begin)):
		case <-working.Done():
			return working.Err()
		}
		profiled := b.profile(ctx, s, strings.ReplaceAll(what, " ", "-"))
		err := do()
		took = time.Since(begin)
		return errors.Join(err, profiled())
	})
	if err := group.Wait(); err != nil {
		return err
	}
	const section = "Much at once"
	b.report(figure{section: section, name: what, value: strconv.FormatFloat(took.Seconds(), 'f', 2, 64) + " s", amount: took.Seconds(), less: true})
	b.report(figure{
		section: section, name: "a create while " + what + ", p99 and longest",
		value: milliseconds(during.quantile(0.99)) + ", " + milliseconds(during.quantile(1)), bar: "longest 50 ms, or 3 times undisturbed",
		raw: milliseconds(before.quantile(0.99)) + ", " + milliseconds(before.quantile(1)), ratio: "undisturbed",
	})
	return nil
}
