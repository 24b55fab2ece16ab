package lifecycle_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// capAgent gives bot caps, nil for none.
func (b *bench) capAgent(caps *task.Caps) {
	b.t.Helper()
	_, err := b.PutAgent(b.ctx(), org, bot, agent.Record{Name: bot, Caps: caps})
	b.must(err)
}

func perDay(tokens int64) *task.Caps {
	return &task.Caps{Day: &task.Allowance{Tokens: tokens}}
}

// mayAsk asks as a model runtime does before each call.
func (b *bench) mayAsk(id string) error {
	return b.MaySpend(b.ctx(), org, id, b.get(id).Run.Number, true)
}

// cappedBy checks that a cap holds a task, and that it says which.
func (b *bench) cappedBy(id string, of task.CapOf, spender string) *lifecycle.Waiting {
	b.t.Helper()
	b.exhausted(id)
	snap, err := b.Get(b.ctx(), org, id)
	b.must(err)
	w, err := b.WhyWaiting(b.ctx(), snap)
	b.must(err)
	if w.Cap == nil || w.Cap.Of != of || w.Cap.ID != spender || !strings.Contains(w.Message, spender) {
		b.t.Fatalf("task %s waits for %+v, want the cap of %s %s", id, w, of, spender)
	}
	return w
}

// B1: a cap warns once, then pauses what spends and what begins; it holds no slot, and all
// goes on by itself on the next day.
func TestB1ACapPerDay(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.capAgent(perDay(1000))
	b.run("a", nil)
	b.run("b", nil)
	b.uses("a", "1", 700)
	if got := b.of("a", task.BudgetWarning); len(got) != 0 {
		t.Fatalf("warned at 700 of 1000: %s", got[0].Own)
	}
	b.uses("b", "1", 150)
	b.uses("b", "2", 50)
	warned := b.one("b", task.BudgetWarning)
	if of, _ := warned["cap"].(map[string]any); warned["limit"] != "tokens" || warned["used"] != 850.0 || warned["reached"] != false || of["id"] != bot {
		t.Fatalf("the warning says %v", warned)
	}
	b.must(b.mayAsk("a"))
	b.uses("b", "3", 200)
	w := b.cappedBy("b", task.CapAgent, bot)
	if want := "2026-03-22T00:00:00Z"; w.Until.String() != want {
		t.Fatalf("held until %s, want %s", w.Until, want)
	}
	b.shows("a", task.Executing, "") // it has spent nothing since
	b.refused(b.mayAsk("a"), fault.Conflict)
	b.cappedBy("a", task.CapAgent, bot)
	b.submit("late", nil)
	b.cappedBy("late", task.CapAgent, bot)
	_, err := b.Resume(b.ctx(), who(), "late")
	b.refused(err, fault.Conflict)
	if got := b.claim("w2", 5); len(got) != 0 {
		t.Fatalf("claimed %d tasks", len(got))
	}
	b.submit("tomorrow", func(s *lifecycle.Submission) { s.RunAt = b.store.Now().Add(24 * time.Hour) })
	b.shows("tomorrow", task.Pending, "")
	b.later(12 * time.Hour)
	for _, id := range []string{"a", "b", "late"} {
		b.shows(id, task.Pending, "")
	}
	if got := b.claim("w2", 5); len(got) != 3 {
		t.Fatalf("%d tasks go on, want 3", len(got))
	}
	b.must(b.mayAsk("a"))
}

// B1: raising a cap, or taking it away, lets what it held go on; what a person has paused
// as well stays paused. Over a restart all of it is as it was.
func TestB1ACapIsRaised(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.capAgent(&task.Caps{Month: &task.Allowance{Tokens: 100}, Day: &task.Allowance{Tokens: 100}})
	b.run("a", nil)
	b.uses("a", "1", 100)
	if w := b.cappedBy("a", task.CapAgent, bot); w.Cap.Period != task.PerMonth {
		t.Fatalf("held by %+v, want the month's, which ends later", w.Cap)
	}
	b.submit("b", nil)
	_, err := b.Pause(b.ctx(), who(), "b")
	b.must(err)
	b.Service = b.service(b.store) // as after a restart
	b.must(b.Uncap(b.ctx()))
	b.cappedBy("a", task.CapAgent, bot)
	b.capAgent(&task.Caps{Month: &task.Allowance{Tokens: 200}, Day: &task.Allowance{Tokens: 100}})
	b.must(b.Uncap(b.ctx()))
	if w := b.cappedBy("a", task.CapAgent, bot); w.Cap.Period != task.PerDay {
		t.Fatalf("held by %+v, want the day's", w.Cap)
	}
	b.capAgent(nil)
	b.must(b.Uncap(b.ctx()))
	b.shows("a", task.Pending, "")
	b.shows("b", task.Paused, "")
	_, err = b.Resume(b.ctx(), who(), "b")
	b.must(err)
	if got := b.claim("w2", 5); len(got) != 2 {
		t.Fatalf("%d tasks go on, want 2", len(got))
	}
}

// B1: the last call counts although it is behind a cap, and a cap that ends tasks keeps
// what they have come to.
func TestB1ACapThatEnds(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.capAgent(&task.Caps{Day: &task.Allowance{Tokens: 10}, AtLimit: task.EndAtLimit})
	b.run("a", nil)
	b.child("child", "a")
	part := "the first half"
	b.must(b.Spend(b.ctx(), org, "a", "c", task.Use{Tokens: task.Tokens{Completion: 10}}, &part))
	b.shows("a", task.Failed, task.EndBudget)
	b.shows("child", task.Failed, task.EndBudget)
	if got := b.state("a").Result; got == nil || *got != part {
		t.Fatalf("the result is %v", got)
	}
	b.submit("late", nil)
	b.shows("late", task.Failed, task.EndBudget)
}

// B1: what is spent counts for the owner, the group, the agent and the key, each by its
// own cap; sub-tasks count for those of the task above them.
func TestB1WhoseCapItIs(t *testing.T) {
	t.Parallel()
	caller := lifecycle.Caller{Scope: auth.All(org), Owner: "user:u", Group: "g", Key: "trusted", By: "key k"}
	for _, x := range []struct {
		of task.CapOf
		id string
	}{{task.CapOwner, "user:u"}, {task.CapGroup, "g"}, {task.CapKey, "trusted"}, {task.CapAgent, bot}} {
		t.Run("B1 "+string(x.of), func(t *testing.T) {
			t.Parallel()
			b := open(t)
			switch x.of {
			case task.CapOwner, task.CapGroup:
				b.CapBy([]task.CapRule{
					{Spender: task.Spender{Of: x.of, ID: task.EachOf}, Caps: *perDay(1)},
					{Spender: task.Spender{Of: x.of, ID: x.id}, Caps: *perDay(100)},
				})
			case task.CapAgent:
				b.capAgent(perDay(100))
			case task.CapKey:
				key := auth.NewKey(org, "k", auth.User, auth.Generate(), b.clock.Now())
				key.ID, key.Caps = "trusted", perDay(1)
				b.must(b.store.PutKey(b.ctx(), key))
				_, err := b.store.CapKey(b.ctx(), org, "trusted", perDay(100))
				b.must(err)
			}
			_, _, err := b.Submit(b.ctx(), caller, submission("top", nil))
			b.must(err)
			b.take("top")
			b.child("below", "top")
			b.take("below")
			b.uses("top", "1", 50)
			b.uses("below", "1", 50)
			b.cappedBy("below", x.of, x.id)
			b.refused(b.mayAsk("top"), fault.Conflict)
			b.cappedBy("top", x.of, x.id)
			usage, err := b.Usage(b.ctx(), who(), lifecycle.UsageFilter{Spender: task.Spender{Of: x.of}, Limit: 10})
			b.must(err)
			if len(usage) != 1 || usage[0].ID != x.id || usage[0].Day.Tokens != 100 || usage[0].Month.Tokens != 100 || usage[0].Day.Cap == nil {
				t.Fatalf("usage is %+v", usage)
			}
		})
	}
}

// B1: tokens that a worker reports count, by what they have grown; a next turn counts
// anew, and what is said after the end, too.
func TestB1WhatCountsForCaps(t *testing.T) {
	t.Parallel()
	b := open(t)
	used := func() int64 {
		t.Helper()
		usage, err := b.Usage(b.ctx(), who(), lifecycle.UsageFilter{Spender: task.Spender{Of: task.CapAgent, ID: bot}})
		b.must(err)
		return usage[0].Day.Tokens
	}
	token := b.run("t", nil)
	report := func(side string) {
		t.Helper()
		_, err := b.HeartbeatWith(b.ctx(), org, "t", token, []byte(side))
		b.must(err)
	}
	report(`{"tokens": {"prompt_tokens": 100, "completion_tokens": 50}}`)
	report(`{"tokens": {"prompt_tokens": 20}}`)
	report(`{"tokens": {"prompt_tokens": 100, "completion_tokens": 60}}`)
	if got := used(); got != 160 {
		t.Fatalf("counted %d, want 160", got)
	}
	_, err := b.finish("t", token, task.EndCompleted, "r")
	b.must(err)
	b.uses("t", "late", 200)
	if got := used(); got != 260 {
		t.Fatalf("counted %d, want 260", got)
	}
	b.submit("t", nil)
	token = b.take("t")
	report(`{"tokens": {"prompt_tokens": 40}}`)
	if got := used(); got != 300 {
		t.Fatalf("counted %d, want 300", got)
	}
	b.later(12 * time.Hour)
	usage, err := b.Usage(b.ctx(), who(), lifecycle.UsageFilter{Spender: task.Spender{Of: task.CapAgent, ID: bot}})
	b.must(err)
	if usage[0].Day.Tokens != 0 || usage[0].Month.Tokens != 300 {
		t.Fatalf("on the next day %+v", usage[0])
	}
	if got := b.get("t"); got.ShowSpent() != nil {
		t.Fatalf("a task without a budget shows %+v", got.ShowSpent())
	}
	_, err = b.Update(b.ctx(), who(), "t", lifecycle.Edit{Budget: &task.Budget{Tokens: 1}})
	b.refused(err, fault.Conflict)
}

// B1: a cap on cost needs prices.
func TestB1ACapOnCost(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.capAgent(&task.Caps{Day: &task.Allowance{Cost: 1}})
	b.run("t", nil)
	number := b.get("t").Run.Number
	b.refused(b.MaySpend(b.ctx(), org, "t", number, false), fault.Invalid)
	b.must(b.MaySpend(b.ctx(), org, "t", number, true))
	b.must(b.Spend(b.ctx(), org, "t", "c", task.Use{Cost: new(1.25)}, nil))
	if w := b.cappedBy("t", task.CapAgent, bot); w.Cap.Limit != "cost" || w.Cap.Used != 1.25 {
		t.Fatalf("held by %+v", w.Cap)
	}
}

// B1: 200 runs of one owner at once overshoot its cap by at most the calls in flight.
func TestB1ManyAtOnce(t *testing.T) {
	t.Parallel()
	const runs, each, flying = 200, 10, 16
	b := open(t)
	b.CapBy([]task.CapRule{{Spender: task.Spender{Of: task.CapOwner, ID: task.EachOf}, Caps: *perDay(1000)}})
	for i := range runs {
		b.submit(fmt.Sprintf("t%d", i), nil)
	}
	for range 4 {
		b.claim("w1", 50)
	}
	room := make(chan struct{}, flying)
	var all sync.WaitGroup
	for i := range runs {
		all.Go(func() {
			id := fmt.Sprintf("t%d", i)
			for call := range runs {
				room <- struct{}{}
				err := b.MaySpend(b.ctx(), org, id, 1, true)
				if err == nil {
					err = b.Spend(b.ctx(), org, id, strconv.Itoa(call), task.Use{Tokens: task.Tokens{Prompt: each}}, nil)
				}
				<-room
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	usage, err := b.Usage(b.ctx(), who(), lifecycle.UsageFilter{Spender: task.Spender{Of: task.CapOwner, ID: alice}})
	b.must(err)
	if got := usage[0].Day.Tokens; got < 1000 || got > 1000+(flying-1)*each {
		t.Fatalf("spent %d of 1000 in calls of %d, %d in flight", got, each, flying)
	}
	for i := range runs {
		b.exhausted(fmt.Sprintf("t%d", i))
	}
}

// B1: a cap holds a Python worker's task; its attempt is not told, and may end it.
func TestB1ACapOnAPythonWorker(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.capAgent(perDay(10))
	b.runPython("t", nil)
	b.uses("t", "1", 10)
	b.cappedBy("t", task.CapAgent, bot)
	b.capAgent(nil)
	b.must(b.Uncap(b.ctx()))
	b.shows("t", task.Executing, "")
	b.capAgent(perDay(10))
	b.uses("t", "2", 10)
	b.cappedBy("t", task.CapAgent, bot)
	b.patch("t", b.body("t", fields{"status": "completed", "result": "r"}))
	b.shows("t", task.Completed, task.EndCompleted)
	if got := b.get("t"); got.Waits() {
		t.Fatalf("an ended task waits for %+v", got.Wait)
	}
}

// T9: agents that hand a task to one another come to an end without a budget, too; a
// budget of depth goes before.
func TestT9DelegatedDepth(t *testing.T) {
	t.Parallel()
	b := open(t)
	deep := func(top string, levels int) error {
		t.Helper()
		token := b.take(top)
		for range levels {
			below, _, err := b.SubTask(b.ctx(), org, top, token, "k", submission("", nil))
			if err != nil {
				return err
			}
			top, token = below.ID, b.take(below.ID)
		}
		return nil
	}
	b.submit("loop", nil)
	b.refused(deep("loop", 9), fault.Conflict)
	b.submit("allowed", budgeted(task.Budget{Depth: new(int64(12))}))
	b.must(deep("allowed", 9))
}
