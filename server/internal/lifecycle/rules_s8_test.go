package lifecycle_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// asking is a task whose result is to be an object with a number.
func asking(s *lifecycle.Submission) {
	s.Spec.OutputSchema = json.RawMessage(`{"type":"object","required":["n"],"properties":{"n":{"type":"number"}}}`)
}

const (
	follows = `{"n":1}`
	fails   = `{"n":"one"}`
)

func (b *bench) checked(want task.CheckState, rounds int) {
	b.t.Helper()
	check := b.state("t").ResultCheck
	if want == "" {
		if check != nil {
			b.t.Fatalf("S8: there is a check: %+v", *check)
		}
		return
	}
	if check == nil || check.State != want || check.Rounds != rounds || (len(check.Errors) > 0) != (want == task.CheckInvalid) {
		b.t.Fatalf("S8: the check is %+v, want %s after %d rounds", check, want, rounds)
	}
}

// repair ends an attempt with a result, and lets it be sent back.
func (b *bench) repair(token, result string) error {
	_, err := b.Finish(b.ctx(), org, "t", token, lifecycle.Outcome{Reason: task.EndCompleted, Result: &result, Repair: true})
	return err
}

func TestS8AResultIsHeldAgainstItsSchema(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end   func(b *bench) // of a task that asks for a schema
		shows task.EndReason
		check task.CheckState
	}{
		"S8 a worker's that follows": {func(b *bench) {
			_, err := b.finish("t", b.run("t", asking), task.EndCompleted, follows)
			b.must(err)
		}, task.EndCompleted, task.CheckValid},
		"S8 a worker's that does not": {func(b *bench) {
			_, err := b.finish("t", b.run("t", asking), task.EndCompleted, fails)
			b.must(err)
		}, task.EndSchemaMismatch, task.CheckInvalid},
		"S8 a failure": {func(b *bench) {
			_, err := b.finish("t", b.run("t", asking), task.EndFailed, "no numbers found")
			b.must(err)
		}, task.EndFailed, ""},
		"S8 a Python worker's is never refused": {func(b *bench) {
			b.runPython("t", asking)
			b.patch("t", b.body("t", fields{"status": "completed", "result": fails}))
		}, task.EndCompleted, task.CheckInvalid},
		"S8 a Python worker's that follows": {func(b *bench) {
			b.runPython("t", asking)
			b.patch("t", b.body("t", fields{"status": "completed", "result": follows}))
		}, task.EndCompleted, task.CheckValid},
		"S8 a person's": {func(b *bench) {
			b.run("t", asking)
			status, result := task.Completed, fails
			_, err := b.Update(b.ctx(), who(), "t", lifecycle.Edit{Status: &status, Result: &result})
			b.must(err)
		}, task.EndCompleted, task.CheckInvalid},
		"S8 an override": {func(b *bench) {
			_, err := b.finish("t", b.run("t", asking), task.EndCompleted, fails)
			b.must(err)
			status, result := task.Completed, follows
			_, err = b.Update(b.ctx(), who(), "t", lifecycle.Edit{Status: &status, Result: &result, Override: true})
			b.must(err)
		}, task.EndCompleted, task.CheckValid},
		"S8 a sparse correction": {func(b *bench) {
			_, err := b.finish("t", b.run("t", asking), task.EndCompleted, follows)
			b.must(err)
			b.patch("t", fields{"result": fails})
		}, task.EndCompleted, task.CheckInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			c.end(b)
			b.shows("t", c.shows.Status(), c.shows)
			b.checked(c.check, 0)
			var told task.State // the fold of the log says the same (T4)
			for _, e := range b.log("t") {
				if strings.HasPrefix(string(e.Type), "task_") || e.Type == task.Override {
					b.must(told.Fold(e.Own))
				}
			}
			if (told.ResultCheck == nil) != (c.check == "") || told.ResultCheck != nil && told.ResultCheck.State != c.check {
				t.Errorf("S8: the log says %+v", told.ResultCheck)
			}
		})
	}
}

func TestS8Repair(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", asking)
	for round := range 2 {
		b.clock.forward(lease * 2 / 3) // what is sent back has renewed the lease
		err := b.repair(token, fails)
		b.refused(err, fault.Invalid)
		if !strings.Contains(err.Error(), "/n: ") {
			t.Errorf("S8: the refusal does not say what to repair: %v", err)
		}
		b.shows("t", task.Executing, "")
		b.checked(task.CheckInvalid, round+1)
		if s := b.state("t"); s.Result != nil {
			t.Errorf("S8: what was sent back is the result: %q", *s.Result)
		}
	}
	b.clock.forward(lease * 2 / 3)
	b.must(b.repair(token, follows))
	b.shows("t", task.Completed, task.EndCompleted)
	b.checked(task.CheckRepaired, 2)
	b.must(b.repair(token, follows)) // its answer was lost

	b.submit("t", asking) // the next turn begins anew
	b.checked("", 0)
	token = b.take("t")
	b.refused(b.repair(token, fails), fault.Invalid)
	b.refused(b.repair(token, "not even JSON"), fault.Invalid)
	b.must(b.repair(token, fails))
	b.shows("t", task.Failed, task.EndSchemaMismatch)
	b.checked(task.CheckInvalid, 2)
	if s := b.state("t"); text(s.Result) != fails {
		t.Errorf("S8: the last result is %q", text(s.Result))
	}
}

// An attempt may ask before it ends.
func TestS8Offer(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", asking)
	for round := range 2 {
		wrong, err := b.Offer(b.ctx(), org, "t", token, fails)
		b.must(err)
		if len(wrong) != 1 || !strings.HasPrefix(wrong[0], "/n: ") {
			t.Errorf("S8: found %q", wrong)
		}
		b.checked(task.CheckInvalid, round+1)
	}
	for _, result := range []string{fails, follows} { // as often as it may; and one that follows
		b.unchanged("t", func() {
			wrong, err := b.Offer(b.ctx(), org, "t", token, result)
			b.must(err)
			if len(wrong) > 0 {
				t.Errorf("S8: sent back once more: %q", wrong)
			}
		})
	}
	_, err := b.finish("t", token, task.EndCompleted, follows)
	b.must(err)
	b.checked(task.CheckRepaired, 2)
	_, err = b.Offer(b.ctx(), org, "t", token, fails)
	b.refused(err, fault.Conflict)
	_, err = b.Offer(b.ctx(), org, "t", "nobody's", fails)
	b.refused(err, fault.Conflict)
}

func TestS8RoundsAreTheAgents(t *testing.T) {
	t.Parallel()
	b := open(t)
	_, err := b.PutAgent(b.ctx(), org, bot, agent.Record{Name: bot, Runtime: agent.Worker, Repairs: new(int), OutputFormat: new("json"), OutputSchema: json.RawMessage(`{"type":"null"}`)})
	b.must(err)
	token := b.run("t", nil) // the schema is the agent's
	b.must(b.repair(token, "1"))
	b.shows("t", task.Failed, task.EndSchemaMismatch)
	for _, rounds := range []int{-1, 21} {
		_, err = b.PutAgent(b.ctx(), org, bot, agent.Record{Name: bot, Repairs: &rounds})
		b.refused(err, fault.Invalid)
	}
}

// A schema that cannot be used is refused when it is given.
func TestS8BadSchemas(t *testing.T) {
	t.Parallel()
	b := open(t)
	for _, bad := range []string{`{"type":"strnig"}`, `{"$ref":"https://example.com/x.json"}`, `{"pattern":"(?=x)"}`} {
		_, _, err := b.Submit(b.ctx(), who(), lifecycle.Submission{Spec: task.Spec{AgentID: bot, ID: "bad", OutputSchema: json.RawMessage(bad)}})
		b.refused(err, fault.Invalid)
		_, err = b.PutAgent(b.ctx(), org, "other", agent.Record{Name: "other", OutputSchema: json.RawMessage(bad)})
		b.refused(err, fault.Invalid)
	}
	if !slices.Equal(task.CheckStates(), []task.CheckState{"valid", "repaired", "invalid"}) {
		t.Error("S8: the verdicts are a closed list")
	}
}
