package lifecycle_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// used is what an attempt tells to have used.
func used(tokens int64, seconds float64, tool string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"tokens": {"prompt_tokens": %d}, "duration": %g, "used_tools": [%q]}`, tokens, seconds, tool))
}

// B1: what an attempt has used counts however it ends, beside that of the turn's other
// attempts; what is said again counts once.
func TestB1WhatAnAttemptUsedCountsHoweverItEnds(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]func(b *bench, token string){
		"it waits for a moment": func(b *bench, token string) {
			w := lifecycle.WaitFor{Until: b.store.Now().Add(time.Minute), Side: used(100, 2, "a")}
			for range 2 { // the first answer was lost
				if done, err := b.Wait(b.ctx(), org, "t", token, w); err != nil || !done.Waiting {
					b.t.Fatalf("%+v %v", done, err)
				}
			}
		},
		"it asks": func(b *bench, token string) {
			asked := b.asks("t", token, question("n", func(a *lifecycle.Asking) { a.Side = used(100, 2, "a") }))
			b.reply(asked.ID, "7")
		},
		"it is given back": func(b *bench, token string) {
			for range 2 {
				_, err := b.GiveBack(b.ctx(), org, "t", token, lifecycle.GivenBack{Side: used(100, 2, "a")})
				b.must(err)
			}
		},
		"its lease runs out": func(b *bench, token string) {
			_, err := b.HeartbeatWith(b.ctx(), org, "t", token, used(60, 1, "a"))
			b.must(err)
			_, err = b.HeartbeatWith(b.ctx(), org, "t", token, used(100, 2, "a"))
			b.must(err)
			b.later(lease)
		},
		"its step tells it": func(b *bench, token string) {
			_, _, err := b.CommitStep(b.ctx(), org, "t", token, lifecycle.NewStep{ID: "s", Body: []byte(`1`), Side: used(100, 2, "a")})
			b.must(err)
			b.later(lease)
		},
		"its word comes late": func(b *bench, token string) {
			b.later(lease)
			for range 2 {
				_, err := b.HeartbeatWith(b.ctx(), org, "t", token, used(100, 2, "a"))
				b.refused(err, fault.Conflict)
			}
		},
		"its end comes late": func(b *bench, token string) {
			b.later(lease)
			_, err := b.Finish(b.ctx(), org, "t", token, lifecycle.Outcome{Reason: task.EndCompleted, Side: used(100, 2, "a")})
			b.refused(err, fault.Conflict)
		},
		"it is paused": func(b *bench, token string) {
			_, err := b.Pause(b.ctx(), who(), "t")
			b.must(err)
			beat, err := b.HeartbeatWith(b.ctx(), org, "t", token, used(100, 2, "a"))
			if b.must(err); beat.Do != task.PauseWork {
				b.t.Fatalf("it is told to %s", beat.Do)
			}
			_, err = b.Resume(b.ctx(), who(), "t")
			b.must(err)
		},
		"it fails and is tried again": func(b *bench, token string) {
			o := lifecycle.Outcome{Reason: task.EndFailed, Retry: true, Result: new("no"), Side: used(100, 2, "a")}
			_, err := b.Finish(b.ctx(), org, "t", token, o)
			b.must(err)
		},
	} {
		t.Run("B1 "+name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			over(b, b.run("t", nil))
			b.later(time.Hour)
			token := b.take("t")
			b.usedIs(100, 2, "a")
			_, err := b.Finish(b.ctx(), org, "t", token, lifecycle.Outcome{Reason: task.EndCompleted, Result: new("r"), Side: used(50, 3, "b")})
			b.must(err)
			b.usedIs(150, 5, "a", "b")
		})
	}
}

// usedIs tests what the task t shows to have used.
func (b *bench) usedIs(tokens int64, seconds float64, tools ...string) {
	b.t.Helper()
	s := b.state("t")
	if s.Tokens == nil || s.Tokens.Prompt != tokens || s.Duration != seconds || !cmp.Equal(s.UsedTools, tools) {
		b.t.Fatalf("B1: the task has used %+v, %g s and %v, want %d, %g s and %v", s.Tokens, s.Duration, s.UsedTools, tokens, seconds, tools)
	}
}

// B1: a worker that confirms a stop tells what it has used.
func TestB1AStoppedAttemptTellsWhatItUsed(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", budgeted(task.Budget{Tokens: 1000}))
	b.stop("t")
	for range 2 {
		_, err := b.Finish(b.ctx(), org, "t", token, lifecycle.Outcome{Reason: task.EndStopped, Side: used(100, 2, "a")})
		b.must(err)
	}
	b.usedIs(100, 2, "a")
	b.shows("t", task.Stopped, task.EndStopped)
	if got := b.types("t"); got[len(got)-1] != task.StopConfirmed {
		t.Errorf("B1: the log is %v", got)
	}
	if got := b.spent("t"); got.Tokens != 100 {
		t.Errorf("B1: counted %+v", got)
	}
}

// B1: what the server has counted for an attempt and what its worker tells may be the
// same: the larger counts, of each attempt by itself.
func TestB1WhatIsCountedTwiceCountsOnce(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", budgeted(task.Budget{Tokens: 10_000}))
	b.uses("t", "a", 100)
	_, err := b.Wait(b.ctx(), org, "t", token, lifecycle.WaitFor{Until: b.store.Now().Add(time.Minute), Side: used(120, 1, "a")})
	b.must(err)
	b.later(time.Hour)
	token = b.take("t")
	_, err = b.HeartbeatWith(b.ctx(), org, "t", token, used(30, 1, "a"))
	b.must(err)
	b.uses("t", "b", 50)
	b.usedIs(170, 2, "a")
	_, err = b.Update(b.ctx(), who(), "t", lifecycle.Edit{Tokens: &task.Tokens{Prompt: 200}}) // somebody knows better, of all
	b.must(err)
	_, err = b.Finish(b.ctx(), org, "t", token, lifecycle.Outcome{Reason: task.EndCompleted, Result: new("r"), Side: used(90, 1, "a")})
	b.must(err)
	b.usedIs(210, 2, "a")
	if got := b.spent("t"); got.Tokens != 210 {
		t.Errorf("B1: counted %+v", got)
	}
}
