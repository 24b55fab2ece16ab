package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/store/sqlite"
	"github.com/errand-dev/errand/server/internal/task"
)

// stock writes a data folder with n tasks, in commits of 1,000.
func (b *bench) stock(ctx context.Context, n int, one func(tx lifecycle.Tx, i int, now task.Stamp) error) (string, error) {
	dir, err := os.MkdirTemp(b.dir, "stock-")
	if err != nil {
		return "", err
	}
	moment := time.Now().Add(-time.Duration(n) * time.Second)
	store, err := sqlite.Open(ctx, sqlite.Options{Dir: dir, Now: func() time.Time { return moment }})
	if err != nil {
		return "", err
	}
	const commit = 1000
	for from := 0; from < n && err == nil; from += commit {
		err = store.Write(ctx, nil, func(tx lifecycle.Tx) error {
			if from == 0 {
				for i := range 10 {
					if err := tx.PutAgent(agent.Agent{
						OrganizationID: auth.DefaultOrganization, ID: fmt.Sprint("agent-", i), Version: 1,
						Record: agent.Record{Name: "bench", Runtime: agent.Worker},
					}); err != nil {
						return err
					}
				}
			}
			for i := from; i < min(from+commit, n); i++ {
				if err := one(tx, i, task.StampOf(moment.Add(time.Duration(i)*time.Second))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return dir, errors.Join(err, store.Close())
}

// stockOne writes tasks of every kind that a filter tells apart. Nine of ten have ended.
func stockOne(tx lifecycle.Tx, i int, now task.Stamp) error {
	text, title, result := prompt()[:200], fmt.Sprint("task ", i), "done"
	note, trigger, parent := fmt.Sprint("note-", i%10), fmt.Sprint("agent-", i%10), fmt.Sprint("task-", i-i%1000)
	begin := task.Begin{Spec: task.Spec{
		OrganizationID: auth.DefaultOrganization, ID: fmt.Sprint("task-", i), AgentID: fmt.Sprint("agent-", i/7%10), MaxAttempts: 3,
	}}
	begin.Spec.Input.Text = &text
	begin.Spec.Input.User = json.RawMessage(fmt.Sprintf(`{"id":"user-%d","email":"a@example.org"}`, i%100))
	begin.State = task.State{Title: &title, InternalStatus: &note, TriggeringAgentID: &trigger, Source: "sdk"}
	if i%1000 != 0 {
		begin.Spec.ParentExecution = &parent
		begin.Parent = &task.Task{ID: parent, RootID: parent}
	}
	made, err := task.Apply(task.Task{}, begin, now)
	if err != nil {
		return err
	}
	if err := tx.Save(made); err != nil || i%10 == 0 {
		return err
	}
	ran, err := task.Apply(made.Task, task.Claim{Worker: "w", TokenHash: "h", Lease: time.Hour}, now)
	if err != nil {
		return err
	}
	ended, err := task.Apply(ran.Task, task.Finish{
		By: task.Writer{Fenced: true, Attempt: ran.Task.Run}, Reason: task.EndCompleted, Result: &result,
	}, now.Add(time.Second))
	if err != nil {
		return err
	}
	return errors.Join(tx.Save(ran), tx.Save(ended))
}

// lists reads the first page of 50, and one behind a cursor, by every filter.
func lists(ctx context.Context, b *bench) error {
	dir, err := b.stock(ctx, b.stored, stockOne)
	if err != nil {
		return err
	}
	s, err := b.start(ctx, dir)
	if err != nil {
		return err
	}
	c, err := s.dial(ctx)
	if err != nil {
		return errors.Join(err, s.stop())
	}
	middle := time.Now().Add(-time.Duration(b.stored/2) * time.Second).UTC().Format(time.RFC3339)
	for _, filter := range []struct{ name, query string }{
		{"no filter", ""},
		{"agent_id", "agent_id=agent-3"},
		{"user_id", "user_id=user-7"},
		{"parent_task_id", "parent_task_id=task-1000"},
		{"triggering_agent_id", "triggering_agent_id=agent-4"},
		{"status, one of many", "status=completed"},
		{"status, none", "status=paused"},
		{"internal_status", "internal_status=note-5"},
		{"from_date", "from_date=" + url.QueryEscape(middle)},
		{"to_date", "to_date=" + url.QueryEscape(middle)},
	} {
		if err := b.list(c, filter.name, filter.query); err != nil {
			return errors.Join(err, s.stop())
		}
	}
	return errors.Join(s.stop(), os.RemoveAll(dir))
}

func (b *bench) list(c *conn, name, query string) error {
	first, next, err := b.page(c, query)
	if err != nil {
		return err
	}
	value := milliseconds(first)
	if next != "" {
		behind, _, err := b.page(c, query+"&cursor="+url.QueryEscape(next))
		if err != nil {
			return err
		}
		value += ", behind a cursor " + milliseconds(behind)
	}
	b.report(figure{section: fmt.Sprintf("A page of 50 in %d tasks", b.stored), name: name, value: value, bar: "5 ms"})
	return nil
}

// page is the median time of one page, and the cursor ten pages behind it.
func (b *bench) page(c *conn, query string) (took time.Duration, next string, err error) {
	var page struct {
		Next *string `json:"next_cursor"`
	}
	read := func(query string) error {
		content, err := c.call(http.MethodGet, "/v1/tasks?per_page=50&"+query, nil)
		if err != nil {
			return err
		}
		page.Next = nil
		return json.Unmarshal(content, &page)
	}
	times := make([]time.Duration, 0, 20*b.runs)
	for range cap(times) {
		begun := time.Now()
		if err := read(query); err != nil {
			return 0, "", err
		}
		times = append(times, time.Since(begun))
	}
	filter, _, _ := strings.Cut(query, "&cursor=")
	for range 10 {
		if page.Next == nil {
			break
		}
		next = *page.Next
		if err := read(filter + "&cursor=" + url.QueryEscape(next)); err != nil {
			return 0, "", err
		}
	}
	return quantile(times, 0.5), next, nil
}

// starts is how soon a server answers that has much to look after, and what an
// idle one costs.
func starts(ctx context.Context, b *bench) error {
	dir, err := b.stock(ctx, b.waiting, stockOne)
	if err != nil {
		return err
	}
	var took []time.Duration
	for range b.runs {
		begun := time.Now()
		s, err := b.start(ctx, dir)
		if err != nil {
			return err
		}
		took = append(took, time.Since(begun))
		if err := s.stop(); err != nil {
			return err
		}
	}
	b.report(figure{
		section: "The process", name: fmt.Sprintf("from start to ready with %d tasks", b.waiting),
		value: milliseconds(quantile(took, 0.5)), bar: "200 ms", amount: quantile(took, 0.5).Seconds(), less: true,
	})
	return errors.Join(b.restingCost(ctx), os.RemoveAll(dir))
}

func (b *bench) restingCost(ctx context.Context) (err error) {
	s, end, err := b.fresh(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	before, err := s.processor()
	if err != nil {
		return err
	}
	rest := 5 * b.lasting
	select {
	case <-time.After(rest):
	case <-ctx.Done():
		return ctx.Err()
	}
	after, err := s.processor()
	if err != nil {
		return err
	}
	memory, err := s.memory()
	b.report(figure{section: "The process", name: "memory of an idle server", value: megabytes(memory), bar: "50 MB", amount: memory, less: true})
	b.report(figure{
		section: "The process", name: "processor of an idle server, of one core",
		value: strconv.FormatFloat(100*(after-before).Seconds()/rest.Seconds(), 'f', 1, 64) + " %",
	})
	return err
}
