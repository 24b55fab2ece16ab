package lifecycle_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func chunks(texts ...string) []lifecycle.NewEvent {
	var all []lifecycle.NewEvent
	for _, s := range texts {
		all = append(all, lifecycle.NewEvent{Type: "chunk", Data: json.RawMessage(`"` + s + `"`)})
	}
	return all
}

// said is what anybody may write.
func said(text string) []lifecycle.NewEvent {
	return []lifecycle.NewEvent{{Type: "agent_message", Data: json.RawMessage(`"` + text + `"`)}}
}

func TestT6WhatMayBeWritten(t *testing.T) {
	t.Parallel()
	writable := []task.Type{
		"chunk", "auth_event", "tool_call_request", "tool_call_result", "sub_agent_trigger", "think", "analyze",
		"plan_updated", "task_compactization", "step", "agent_message", "context_status", "gateway_steer_applied",
	}
	b := open(t)
	token := b.run("t", nil)
	for _, with := range []string{token, ""} {
		for _, typ := range append(task.Types(), "nonsense", "", "Chunk") {
			before := b.get("t").LastSeq
			_, err := b.Append(b.ctx(), org, "t", with, []lifecycle.NewEvent{
				said("first")[0],
				{Type: string(typ), Data: json.RawMessage(`"x"`)},
			})
			want := fault.Invalid
			switch {
			case slices.Contains(writable, typ) && (with != "" || typ == task.AgentMessage):
				b.must(err)
				continue
			case slices.Contains(writable, typ): // an attempt's events need its lease
				want = fault.Forbidden
			}
			if fault.CodeOf(err) != want || b.get("t").LastSeq != before {
				t.Errorf("T6: %q with token %v: %v, seq %d to %d", typ, with != "", err, before, b.get("t").LastSeq)
			}
		}
	}
}

func TestT6LimitOfAnEvent(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	event := func(size int) []lifecycle.NewEvent { return chunks(strings.Repeat("x", size-2)) }
	b.unchanged("t", func() {
		_, err := b.Append(b.ctx(), org, "t", token, append(chunks("ok"), event(256<<10+1)...))
		b.refused(err, fault.TooLarge)
	})
	_, err := b.Append(b.ctx(), org, "t", token, event(256<<10))
	b.must(err)
}

func TestT6TimeAndNumberAreTheServers(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	b.clock.forward(time.Second)
	seqs, err := b.Append(b.ctx(), org, "t", token, []lifecycle.NewEvent{{
		Type: "step", Data: json.RawMessage(`{"task_id":"x","organization_id":"x","time":"2001-01-01T00:00:00Z"}`),
	}})
	b.must(err)
	log := b.log("t")
	e := log[len(log)-1]
	if e.Seq != seqs[0] || e.Time != task.StampOf(b.clock.Now()) || e.Type != task.StepDone {
		t.Errorf("T6: %d %s at %s", e.Seq, e.Type, e.Time)
	}
}

func TestT6ClientIDMakesARepeatAnswerTheFirstSeq(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	one := lifecycle.NewEvent{Type: "chunk", Data: json.RawMessage(`"1"`), ClientID: "c1"}
	two := lifecycle.NewEvent{Type: "chunk", Data: json.RawMessage(`"2"`), ClientID: "c2"}
	add := func(events ...lifecycle.NewEvent) []int64 {
		t.Helper()
		seqs, err := b.Append(b.ctx(), org, "t", token, events)
		b.must(err)
		return seqs
	}
	first := add(one)
	b.unchanged("t", func() {
		if diff := cmp.Diff(first, add(one)); diff != "" {
			t.Errorf("T6: the repeat:\n%s", diff)
		}
	})
	mixed := add(one, two, chunks("3")[0], two)
	if mixed[0] != first[0] || mixed[1] != first[0]+1 || mixed[2] != first[0]+2 || mixed[3] != mixed[1] {
		t.Errorf("T6: numbers %v after %v", mixed, first)
	}
	if got := len(b.of("t", task.Chunk)); got != 3 {
		t.Errorf("T6: %d chunks in the log, want 3", got)
	}
	b.submit("u", nil) // of another task, the same client_id is another event
	one.Type = "agent_message"
	seqs, err := b.Append(b.ctx(), org, "u", "", []lifecycle.NewEvent{one})
	b.must(err)
	if seqs[0] != b.get("u").LastSeq {
		t.Errorf("T6: a client_id reached into another task: %v", seqs)
	}
	// Its first answer may have been lost on the way while the turn ended.
	b.stop("t")
	b.unchanged("t", func() {
		if diff := cmp.Diff(first, add(one)); diff != "" {
			t.Errorf("T6: the repeat after the end:\n%s", diff)
		}
	})
}

func TestT6AfterTheEndOneRefusalPerAttempt(t *testing.T) {
	t.Parallel()
	t.Run("T6 of a fenced attempt", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		token := b.run("t", nil)
		_, err := b.Update(b.ctx(), who(), "t", lifecycle.Edit{Status: new(task.Failed), Result: new("enough")})
		b.must(err)
		long := strings.Repeat("ä", 40<<10)
		_, err = b.finish("t", token, task.EndCompleted, long)
		b.refused(err, fault.Conflict)
		for range 2 {
			_, err = b.finish("t", token, task.EndWorkerError, "again")
			b.refused(err, fault.Conflict)
			_, err = b.Append(b.ctx(), org, "t", token, chunks("x"))
			b.refused(err, fault.Conflict)
			b.refused(b.Progress(b.ctx(), org, "t", token, "x"), fault.Conflict)
		}
		r := b.one("t", task.LateWriteRefused)
		shown, ok := r["refused_result"].(string)
		if r["refused_status"] != "completed" || !ok || len(shown) > 64<<10 || !strings.HasPrefix(long, shown) || len(shown) < 64<<10-4 {
			t.Errorf("T6: refused %v with %d bytes", r["refused_status"], len(shown))
		}
		b.shows("t", task.Failed, task.EndFailed)
	})
	t.Run("T6 of pushes", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.runPython("t", nil)
		b.patch("t", b.body("t", fields{"status": "completed", "result": "r"}))
		for range 2 {
			_, err := b.Append(b.ctx(), org, "t", "", chunks("x"))
			b.refused(err, fault.Conflict) // the push route answers 200 all the same
		}
		b.one("t", task.LateWriteRefused)
		if n := len(b.of("t", task.Chunk)); n != 0 {
			t.Errorf("T6: %d chunks were not dropped", n)
		}
	})
	t.Run("T6 of each superseded attempt one", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		first := b.run("t", nil)
		b.later(lease)
		b.clock.forward(time.Minute)
		second := b.take("t")
		for range 2 {
			_, err := b.finish("t", first, task.EndCompleted, "mine")
			b.refused(err, fault.Conflict)
		}
		b.one("t", task.LateWriteRefused)
		b.shows("t", task.Executing, "")
		_, err := b.finish("t", second, task.EndCompleted, "ours")
		b.must(err)
		if s := b.state("t"); text(s.Result) != "ours" {
			t.Errorf("L3: result %s", text(s.Result))
		}
	})
}

// A worker that repeats its report did not hear the first answer.
func TestT6RepeatedEndIsAnsweredLikeTheFirst(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	_, err := b.finish("t", token, task.EndCompleted, "r")
	b.must(err)
	b.unchanged("t", func() {
		after, err := b.finish("t", token, task.EndCompleted, "r")
		b.must(err)
		if s := after.Task.State(); s.Status != task.Completed || text(s.Result) != "r" {
			t.Errorf("T6: %s %s", s.Status, text(s.Result))
		}
	})
}

func TestT6EndOfAnEarlierTurnsAttempt(t *testing.T) {
	t.Parallel()
	next := func(t *testing.T) (b *bench, first, second string) {
		t.Helper()
		b = open(t)
		first = b.run("t", nil)
		_, err := b.finish("t", first, task.EndCompleted, "r")
		b.must(err)
		return b, first, b.run("t", nil)
	}
	t.Run("T6 a repeat is answered and changes nothing", func(t *testing.T) {
		t.Parallel()
		b, first, second := next(t)
		b.unchanged("t", func() {
			_, err := b.finish("t", first, task.EndCompleted, "r")
			b.must(err)
		})
		_, err := b.finish("t", second, task.EndFailed, "r2")
		b.must(err)
		b.unchanged("t", func() {
			_, err := b.finish("t", first, task.EndCompleted, "r")
			b.must(err)
		})
	})
	for name, end := range map[string]struct {
		reason task.EndReason
		result string
	}{"another status": {task.EndFailed, "r"}, "another result": {task.EndCompleted, "changed my mind"}} {
		t.Run("T6 "+name+" is refused", func(t *testing.T) {
			t.Parallel()
			b, first, _ := next(t)
			_, err := b.finish("t", first, end.reason, end.result)
			b.refused(err, fault.Conflict)
			r := b.one("t", task.LateWriteRefused)
			if r["refused_status"] != string(end.reason.Status()) || r["refused_result"] != end.result {
				t.Errorf("T6: %v", r)
			}
			b.shows("t", task.Executing, "")
		})
	}
}
