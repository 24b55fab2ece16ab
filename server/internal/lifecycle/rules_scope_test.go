package lifecycle_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/plan"
	"github.com/errand-dev/errand/server/internal/task"
)

// user is a user's key that sees all, someone one that sees its own.
func user(name string) lifecycle.Caller {
	return lifecycle.Caller{Scope: auth.All(org), Owner: "key:" + name, By: "key " + name}
}

func someone(name string) lifecycle.Caller {
	c := user(name)
	c.Scope.Owner = c.Owner
	return c
}

// Nobody knows whose a deleted task was: that its worker has let go of it is for
// those to say who see all.
func TestA3LastWordOfADeletedTask(t *testing.T) {
	t.Parallel()
	b := open(t)
	worker := b.runPython("t", nil)
	body := b.body("t", fields{"status": "completed", "result": "r"})
	b.must(b.Delete(b.ctx(), who(), "t"))
	_, err := b.Patch(b.ctx(), someone("mallory"), "t", raw(b.t, body))
	b.refused(err, fault.NotFound)
	_, _, err = b.Submit(b.ctx(), who(), submission("t", nil))
	b.refused(err, fault.Conflict) // the worker still holds it
	_, err = b.Patch(b.ctx(), who(), "t", raw(b.t, body))
	b.refused(err, fault.NotFound)
	b.submit("t", nil)
	b.cut(worker)
}

// A turn goes below a parent of its task's owner only: who sees the parent may
// stop and delete what is below it.
func TestA3ATreeHasOneOwner(t *testing.T) {
	t.Parallel()
	b := open(t)
	make := func(by lifecycle.Caller, id, parent string) (lifecycle.Snapshot, error) {
		made, _, err := b.Submit(b.ctx(), by, submission(id, func(s *lifecycle.Submission) {
			if parent != "" {
				s.Spec.ParentExecution = &parent
			}
		}))
		return made, err
	}
	for _, x := range []struct {
		by         lifecycle.Caller
		id, parent string
		owner      string
	}{
		{someone("alice"), "alices", "", "key:alice"},
		{someone("alice"), "hers", "", "key:alice"},
		{someone("bob"), "bobs", "", "key:bob"},
		{user("carl"), "below", "alices", "key:alice"},
		{user("carl"), "deeper", "below", "key:alice"},
	} {
		made, err := make(x.by, x.id, x.parent)
		b.must(err)
		if made.Task.Owner != x.owner {
			t.Errorf("A3: %s is %s's, want %s", x.id, made.Task.Owner, x.owner)
		}
	}
	b.stop("below")
	_, err := make(user("carl"), "below", "bobs")
	b.refused(err, fault.Conflict)
	_, err = make(someone("alice"), "below", "bobs")
	b.refused(err, fault.Invalid) // for her there is no such parent
	again, err := make(user("carl"), "below", "hers")
	b.must(err)
	if again.Task.Owner != "key:alice" {
		t.Errorf("A3: the next turn is %s's", again.Task.Owner)
	}
}

// A key of which it is not clear that it sees more sees its own.
func TestA3AnUnclearKeySeesItsOwn(t *testing.T) {
	t.Parallel()
	own := auth.Scope{Organization: org, Owner: "key:k"}
	for _, c := range []struct {
		sees  auth.Sees
		group string
		want  auth.Scope
	}{
		{auth.SeesAll, "g", auth.All(org)},
		{auth.SeesGroup, "g", auth.Scope{Organization: org, Group: "g"}},
		{auth.SeesGroup, "", own},
		{auth.SeesOwn, "g", own},
		{"", "g", own},
		{"everything", "", own},
	} {
		p := auth.Principal{Organization: org, KeyID: "k", Sees: c.sees, Group: c.group}
		if got := p.Scope(); got != c.want {
			t.Errorf("A3: %q of group %q sees %+v, want %+v", c.sees, c.group, got, c.want)
		}
	}
}

// T6 and T5: who is the holder, and who is named. What executes the task is
// written by its lease's holder; others leave messages.
func TestT6WhoHoldsATask(t *testing.T) {
	t.Parallel()
	const nobody, token = "", "token"
	worker := lifecycle.Caller{Scope: auth.All(org), Owner: "key:w", Worker: true, By: "key w"}
	attempt := func(n int) task.Author { return task.Author{Attempt: n} }
	by := func(name string) task.Author { return task.Author{By: "key " + name} }
	locally := func(s *lifecycle.Submission) { s.Spec.RunLocally = true }
	for _, c := range []struct {
		name  string
		begin func(b *bench) (token string)
		who   lifecycle.Caller
		shows string      // which token
		want  task.Author // of what executes it; zero for a refusal
	}{
		{"fenced, a user", func(b *bench) string { return b.run("t", nil) }, user("u"), nobody, task.Author{}},
		{"fenced, its creator", func(b *bench) string { return b.run("t", nil) }, lifecycle.Caller{Scope: auth.All(org), Owner: alice, By: alice}, nobody, task.Author{}},
		{"fenced, a worker", func(b *bench) string { return b.run("t", nil) }, worker, nobody, task.Author{}},
		{"fenced, whoever shows the token", func(b *bench) string { return b.run("t", nil) }, user("u"), token, attempt(1)},
		{"Python, a user", func(b *bench) string { b.runPython("t", nil); return "" }, user("u"), nobody, task.Author{}},
		{"Python, a worker", func(b *bench) string { b.runPython("t", nil); return "" }, worker, nobody, attempt(1)},
		{"pending, a user", func(b *bench) string { b.submit("t", nil); return "" }, user("u"), nobody, task.Author{}},
		{"pending, a worker", func(b *bench) string { b.submit("t", nil); return "" }, worker, nobody, by("w")},
		{"local, a user", func(b *bench) string { b.submit("t", locally); return "" }, user("u"), nobody, task.Author{}},
		{"local, a worker", func(b *bench) string { b.submit("t", locally); return "" }, worker, nobody, by("w")},
		{"local, its owner", func(b *bench) string {
			_, _, err := b.Submit(b.ctx(), user("u"), submission("t", locally))
			b.must(err)
			return ""
		}, user("u"), nobody, by("u")},
		{"executing without a worker, a user", func(b *bench) string {
			b.submit("t", nil)
			b.patch("t", fields{"status": "executing"})
			return ""
		}, user("u"), nobody, task.Author{}},
		{"executing without a worker, a worker", func(b *bench) string {
			b.submit("t", nil)
			b.patch("t", fields{"status": "executing"})
			return ""
		}, worker, nobody, by("w")},
	} {
		t.Run("T6 "+c.name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			_, err := b.PutAgent(b.ctx(), org, bot, agent.Record{Name: bot, DeepPlanning: true})
			b.must(err)
			lease := c.begin(b)
			if c.shows == nobody {
				lease = ""
			}
			last := func() task.Event {
				log := b.log("t")
				return log[len(log)-1]
			}
			result := lifecycle.NewEvent{Type: "tool_call_result", Data: json.RawMessage(`{"request_id": "r", "result": "forged"}`)}
			_, err = b.Service.Append(b.ctx(), c.who, "t", lease, []lifecycle.NewEvent{result, said("with it")[0]})
			create, _ := plan.Find("xpcreate_agent_plan")
			call := lifecycle.PlanCall{Tool: create, Arguments: json.RawMessage(`{"tasks": [{"title": "x"}]}`)}
			if c.want == (task.Author{}) {
				b.refused(err, fault.Forbidden)
				b.unchanged("t", func() { // nor in another way
					b.refused(b.ReportToolCall(b.ctx(), c.who, "t", lifecycle.ToolCall{RequestID: "r", Tool: "f"}), fault.Forbidden)
					_, err := b.CallPlan(b.ctx(), c.who, "t", call)
					b.refused(err, fault.Forbidden)
				})
			} else {
				b.must(err)
				if got := b.of("t", task.ToolCallResult); len(got) != 1 || got[0].Author != c.want {
					t.Errorf("T5: written by %+v, want %+v", got, c.want)
				}
				if c.shows == nobody {
					b.must(b.ReportToolCall(b.ctx(), c.who, "t", lifecycle.ToolCall{RequestID: "other", Tool: "f"}))
					if got := last(); got.Type != task.ToolCallResult || got.Author != c.want {
						t.Errorf("T5: %s by %+v, want %+v", got.Type, got.Author, c.want)
					}
					_, err := b.CallPlan(b.ctx(), c.who, "t", call)
					b.must(err)
					for _, typ := range []task.Type{task.PlanUpdated, task.TaskUpdated} {
						if got := b.of("t", typ); got[len(got)-1].Author != c.want {
							t.Errorf("T5: %s by %+v, want %+v", typ, got[len(got)-1].Author, c.want)
						}
					}
				}
			}
			// Everybody who sees the task may say something.
			_, err = b.Service.Append(b.ctx(), c.who, "t", "", said("hello"))
			b.must(err)
			if got := last(); got.Type != task.AgentMessage || got.Author != (task.Author{By: c.who.By}) {
				t.Errorf("T5: %s by %+v", got.Type, got.Author)
			}
			// When it is over, nobody's forgery is even noted.
			b.stop("t")
			if c.want == (task.Author{}) {
				b.unchanged("t", func() {
					_, err := b.Service.Append(b.ctx(), user("u"), "t", "", []lifecycle.NewEvent{result})
					b.refused(err, fault.Forbidden)
				})
			}
		})
	}
}

// T5: a full body is its attempt's only if a worker's key sends it.
func TestT5WhoPatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		who  lifecycle.Caller
		want task.Author
	}{{who(), task.Author{Attempt: 1}}, {user("u"), task.Author{By: "key u"}}} {
		b := open(t)
		b.runPython("t", nil)
		body := b.body("t", fields{"status": "completed", "result": "r"})
		_, err := b.Patch(b.ctx(), c.who, "t", raw(b.t, body))
		b.must(err)
		for _, e := range b.log("t") {
			if e.Type == task.TaskFinished && e.Author != c.want {
				t.Errorf("T5: %s by %+v, want %+v", e.Type, e.Author, c.want)
			}
		}
	}
}

// T5: the server is the author of what it does by itself.
func TestT5TheServersOwnEvents(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.run("t", nil)
	b.later(2 * lease)
	log := b.log("t")
	at := slices.IndexFunc(log, func(e task.Event) bool { return e.Type == task.AttemptLost })
	if at < 0 || log[at].Author != (task.Author{By: lifecycle.DefaultNode}) {
		t.Fatalf("T5: %+v", log)
	}
}
