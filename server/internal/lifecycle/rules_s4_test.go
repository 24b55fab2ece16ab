package lifecycle_test

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// lapse lets an assignment of the task t to a Python worker run out; it
// returns that worker, and its full body from before.
func (b *bench) lapse() (worker string, stale fields) {
	b.t.Helper()
	b.submit("t", nil)
	worker = b.register()
	b.assign(worker)
	stale = b.body("t", nil)
	b.later(lease)
	b.shows("t", task.Pending, "")
	return worker, stale
}

func (f fields) with(change fields) fields {
	all := maps.Clone(f)
	maps.Copy(all, change)
	return all
}

func TestS4FullBodyStaleExecutingIsConflict(t *testing.T) {
	t.Parallel()
	b := open(t)
	_, stale := b.lapse()
	b.unchanged("t", func() {
		_, err := b.tryPatch("t", stale.with(fields{"status": "executing", "title": "x"}))
		b.refused(err, fault.Conflict)
	})
}

func TestS4FullBodyStaleTakesOnlyTitle(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"pending", "paused", "stopped", "completed", "failed", "error"} {
		t.Run("S4 "+status, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			_, stale := b.lapse()
			before := b.state("t")
			b.patch("t", stale.with(fields{
				"status": status, "title": "new title", "result": "stale", "internal_status": "x", "duration": 5,
				"used_tools": []string{"y"}, "tokens": fields{"prompt_tokens": 1, "completion_tokens": 1},
			}))
			before.Title = new("new title")
			if diff := cmp.Diff(before, b.state("t")); diff != "" {
				t.Errorf("S4: a stale body changed more than the title:\n%s", diff)
			}
			refused := b.of("t", task.LateWriteRefused)
			if carried := task.Status(status).Ends(); carried != (len(refused) == 1) || len(refused) > 1 {
				t.Errorf("S4: %d late_write_refused after a stale %s", len(refused), status)
			}
		})
	}
}

func TestS4FullBodyPendingMeansFieldsOnly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given func(*bench)
		stays task.Status
	}{
		"on pending":   {func(b *bench) { b.submit("t", nil) }, task.Pending},
		"on executing": {func(b *bench) { b.runPython("t", nil) }, task.Executing},
		"on paused": {func(b *bench) {
			b.submit("t", nil)
			_, err := b.Pause(b.ctx(), who(), "t")
			b.must(err)
		}, task.Paused},
		"on completed": {func(b *bench) { b.end("t", task.EndCompleted) }, task.Completed},
		"on stopped":   {func(b *bench) { b.end("t", task.EndStopped) }, task.Stopped},
	} {
		t.Run("S4 "+name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			c.given(b)
			if s := b.patch("t", b.body("t", fields{"status": "pending", "title": "kept"})); s.Status != c.stays || text(s.Title) != "kept" {
				t.Errorf("S4: status pending made it %s, title %s", s.Status, text(s.Title))
			}
		})
	}
}

func TestS4FullBodyExecuting(t *testing.T) {
	t.Parallel()
	executing := fields{"status": "executing"}
	t.Run("S4 on pending starts", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.submit("t", nil)
		if s := b.patch("t", b.body("t", executing)); s.Status != task.Executing || s.StartedAt == 0 {
			t.Errorf("S4: %s, started at %v", s.Status, s.StartedAt)
		}
	})
	t.Run("S4 on executing is 200", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.runPython("t", nil)
		if s := b.patch("t", b.body("t", executing)); s.Status != task.Executing {
			t.Errorf("S4: %s", s.Status)
		}
	})
	t.Run("S4 on ended is 409 and its echo changes nothing", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.submit("t", nil)
		w := b.register()
		b.assign(w)
		mine := b.body("t", nil)
		b.stop("t")
		b.unchanged("t", func() {
			_, err := b.tryPatch("t", mine.with(executing))
			b.refused(err, fault.Conflict)
			b.patch("t", mine.with(fields{"status": "error", "result": "[409] the task has ended"}))
		})
	})
	t.Run("S4 on paused before this attempt started is 409", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.submit("t", nil)
		w := b.register()
		b.assign(w)
		mine := b.body("t", nil)
		_, err := b.Pause(b.ctx(), who(), "t")
		b.must(err)
		b.unchanged("t", func() {
			_, err := b.tryPatch("t", mine.with(executing))
			b.refused(err, fault.Conflict)
			b.patch("t", mine.with(fields{"status": "error", "result": "[409] the task is paused"}))
		})
	})
	t.Run("S4 on paused after this attempt started is 200, still paused, shown executing", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.runPython("t", nil)
		mine := b.body("t", nil)
		_, err := b.Pause(b.ctx(), who(), "t")
		b.must(err)
		if s := b.patch("t", mine.with(executing)); s.Status != task.Executing {
			t.Errorf("S4: the answer says %s, the client would report that as its end", s.Status)
		}
		b.shows("t", task.Paused, "")
	})
}

// A handler may fail of a 409 of its own: that is no echo of ours.
func TestS4ErrorOfARunningAttemptIsItsEndWhateverItsText(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.runPython("t", nil)
	b.patch("t", b.body("t", fields{"status": "error", "result": "[409] another task has not ended"}))
	b.shows("t", task.Error, task.EndWorkerError)
}

func TestS4FullBodyPaused(t *testing.T) {
	t.Parallel()
	paused := fields{"status": "paused"}
	t.Run("S4 from pending is not requeued", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.submit("t", nil)
		b.patch("t", b.body("t", paused))
		b.shows("t", task.Paused, "")
		if got := b.claim("w1", 1); len(got) != 0 {
			t.Error("S4: a paused task was handed out")
		}
	})
	t.Run("S4 from executing", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.runPython("t", nil)
		b.patch("t", b.body("t", paused))
		b.shows("t", task.Paused, "")
	})
	t.Run("S4 on stopped it is shown and nothing else", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.runPython("t", nil)
		b.stop("t")
		b.patch("t", b.body("t", paused))
		b.shows("t", task.Paused, task.EndStopped)
		_, err := b.Resume(b.ctx(), who(), "t")
		b.refused(err, fault.Conflict)
		b.patch("t", b.body("t", fields{"status": "completed", "result": "late"}))
		if s := b.state("t"); s.Status != task.Paused || s.Result != nil {
			t.Errorf("S4: a late end made it %s, result %s", s.Status, text(s.Result))
		}
		if n := len(b.of("t", task.LateWriteRefused)); n != 1 {
			t.Errorf("S4: %d late_write_refused", n)
		}
		b.stop("t")
		b.shows("t", task.Stopped, task.EndStopped)
		if n, m := len(b.of("t", task.TaskFinished)), len(b.of("t", task.Override)); n != 1 || m != 2 {
			t.Errorf("S4: %d task_finished and %d override, want 1 and 2", n, m)
		}
	})
	for _, reason := range []task.EndReason{task.EndCompleted, task.EndWorkerError, task.EndFailed} {
		t.Run("S4 unchanged on "+string(reason), func(t *testing.T) {
			t.Parallel()
			b := open(t)
			b.end("t", reason)
			b.unchanged("t", func() { b.patch("t", b.body("t", paused)) })
		})
	}
}

func TestS4FullBodyEndOnARunningTask(t *testing.T) {
	t.Parallel()
	for status, reason := range map[task.Status]task.EndReason{
		task.Completed: task.EndCompleted, task.Failed: task.EndFailed,
		task.Error: task.EndWorkerError, task.Stopped: task.EndStopped,
	} {
		t.Run("S4 "+string(status), func(t *testing.T) {
			t.Parallel()
			b := open(t)
			b.runPython("a", nil)
			b.submit("b", nil)
			for _, id := range []string{"a", "b"} {
				b.patch(id, b.body(id, fields{"status": status, "result": "r"}))
				b.shows(id, status, reason)
				if s := b.state(id); text(s.Result) != "r" {
					t.Errorf("S4: result %s", text(s.Result))
				}
			}
		})
	}
}

func TestS4FullBodyOnEndedTaskFreezesStatusAndResult(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.runPython("t", nil)
	b.patch("t", b.body("t", fields{"status": "completed", "result": "first"}))
	for _, status := range []string{"completed", "failed", "error", "stopped", "paused", "pending"} {
		s := b.patch("t", b.body("t", fields{
			"status": status, "result": "second", "title": "T " + status, "internal_status": "I " + status,
			"tokens": fields{"prompt_tokens": 3, "completion_tokens": 4}, "used_tools": []string{status}, "duration": 1.5,
		}))
		if s.Status != task.Completed || text(s.Result) != "first" {
			t.Fatalf("S4: %s made it %s %q", status, s.Status, text(s.Result))
		}
		if text(s.Title) != "T "+status || text(s.InternalStatus) != "I "+status || s.Duration != 1.5 ||
			s.Tokens == nil || s.Tokens.Prompt != 3 || cmp.Diff(s.UsedTools, []string{status}) != "" {
			t.Errorf("S4: side fields were not taken with %s: %+v", status, s)
		}
	}
	if n := len(b.of("t", task.LateWriteRefused)); n != 1 {
		t.Errorf("T6: %d late_write_refused for one attempt, want 1", n)
	}
}

func TestS4LateWorkerAfterWorkerLost(t *testing.T) {
	t.Parallel()
	lost := func(t *testing.T) (*bench, fields) {
		t.Helper()
		b := open(t)
		b.runPython("t", nil)
		mine := b.body("t", nil)
		b.later(lease)
		b.shows("t", task.Error, task.EndWorkerLost)
		return b, mine
	}
	for _, status := range []task.Status{task.Completed, task.Failed} {
		t.Run("S4 "+string(status)+" is applied", func(t *testing.T) {
			t.Parallel()
			b, mine := lost(t)
			b.patch("t", mine.with(fields{"status": status, "result": "after all"}))
			if s := b.state("t"); s.Status != status || text(s.Result) != "after all" {
				t.Errorf("S4: %s %s", s.Status, text(s.Result))
			}
			if o := b.one("t", task.Override); o["by"] != "late worker" {
				t.Errorf("S4: override by %v", o["by"])
			}
			if n := len(b.of("t", task.TaskFinished)); n != 1 {
				t.Errorf("S4: %d task_finished", n)
			}
		})
	}
	for _, status := range []task.Status{task.Error, task.Stopped} {
		t.Run("S4 "+string(status)+" is not", func(t *testing.T) {
			t.Parallel()
			b, mine := lost(t)
			b.patch("t", mine.with(fields{"status": status, "result": "no"}))
			if s := b.state("t"); s.Status != task.Error || s.EndReason != task.EndWorkerLost || text(s.Result) == "no" {
				t.Errorf("S4: %s %s %s", s.Status, s.EndReason, text(s.Result))
			}
		})
	}
	t.Run("S4 not once a later turn exists", func(t *testing.T) {
		t.Parallel()
		b, mine := lost(t)
		b.submit("t", nil)
		b.patch("t", mine.with(fields{"status": "completed", "result": "late"}))
		b.shows("t", task.Pending, "")
	})
}

func TestS4NullResultMeansUnchanged(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.runPython("t", nil)
	b.patch("t", b.body("t", fields{"status": "executing", "result": "so far"}))
	if s := b.patch("t", b.body("t", fields{"status": "executing", "result": nil})); text(s.Result) != "so far" {
		t.Errorf("S4: null wiped the result: %s", text(s.Result))
	}
}

func TestS4SparseBody(t *testing.T) {
	t.Parallel()
	t.Run("S4 executing and paused on a task that has not ended", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.submit("t", nil)
		b.patch("t", fields{"status": "executing"})
		b.shows("t", task.Executing, "")
		if s := b.state("t"); s.StartedAt == 0 {
			t.Error("S4: no started_at")
		}
		b.patch("t", fields{"status": "paused"})
		b.shows("t", task.Paused, "")
		b.patch("t", fields{"status": "executing"})
		b.shows("t", task.Executing, "")
	})
	t.Run("S4 paused before it ever ran, then executing", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.submit("t", nil)
		b.patch("t", fields{"status": "paused"})
		b.patch("t", fields{"status": "executing"})
		if s := b.state("t"); s.Status != task.Executing || s.StartedAt == 0 {
			t.Errorf("S4: %s, started at %v", s.Status, s.StartedAt)
		}
	})
	t.Run("S4 executing on an ended one is 409", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.end("t", task.EndCompleted)
		b.unchanged("t", func() {
			_, err := b.tryPatch("t", fields{"status": "executing", "result": "x"})
			b.refused(err, fault.Conflict)
		})
	})
	for _, status := range []task.Status{task.Completed, task.Failed, task.Error} {
		t.Run("S4 ends a pending task as "+string(status), func(t *testing.T) {
			t.Parallel()
			b := open(t)
			b.submit("t", nil)
			b.patch("t", fields{"status": status, "result": "r"})
			if s := b.state("t"); s.Status != status || text(s.Result) != "r" {
				t.Errorf("S4: %s %s", s.Status, text(s.Result))
			}
		})
		t.Run("S4 stopped, then "+string(status), func(t *testing.T) {
			t.Parallel()
			b := open(t)
			b.submit("t", nil)
			b.stop("t")
			b.patch("t", fields{"status": status, "result": "r"})
			if s := b.state("t"); s.Status != status || text(s.Result) != "r" {
				t.Errorf("S4: %s %s", s.Status, text(s.Result))
			}
			if o := b.one("t", task.Override); o["by"] != alice {
				t.Errorf("S4: override by %v", o["by"])
			}
			if n := len(b.of("t", task.TaskFinished)); n != 1 {
				t.Errorf("S4: %d task_finished", n)
			}
		})
	}
	t.Run("S4 an empty body is 200", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.submit("t", nil)
		b.unchanged("t", func() { b.patch("t", fields{}) })
	})
}

func TestS4ServerOwnedFieldsAreIgnored(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("parent", nil)
	b.submit("t", func(s *lifecycle.Submission) {
		s.Spec.ParentExecution = new("parent")
		s.Spec.UserOIDCToken = new("secret")
		s.State.PayloadExtension = json.RawMessage(`{"a":1}`)
	})
	snap, err := b.Get(b.ctx(), org, "t")
	b.must(err)
	before := b.state("t")
	b.patch("t", b.body("t", fields{
		"status": "pending", "id": "other", "agent_id": "other", "organization_id": "other",
		"created_at": "2001-01-01T00:00:00Z", "started_at": "2001-01-01T00:00:00Z", "paused_at": "2001-01-01T00:00:00Z",
		"finished_at": "2001-01-01T00:00:00Z", "is_manually_stopped": true, "events_streaming": true,
		"parent_execution": "x", "sub_executions": []string{"x"}, "is_orchestration": true, "execution_attempts": 7,
		"input": fields{"text": "x"}, "payload_extension": fields{"b": 2}, "output_format": "text",
		"output_schema": fields{"x": 1}, "mcp_servers": []fields{{"name": "x"}}, "user_tokens": fields{"x": "y"},
		"user_oidc_token": "x", "instructions_override": "x", "expected_output": "x", "think_mode": "harder",
		"agent_version": "9", "attempt": 9, "end_reason": "completed", "priority": 99, "worker_id": "x", "run_at": "2001-01-01T00:00:00Z",
		"conversation_id": "x", "conversation_kind": "direct", "should_update_parent": true, "execution_kind": "resident",
		"is_gateway": true, "is_app": true, "background_auth_eligible": true, "must_deep_plan": true,
	}))
	if diff := cmp.Diff(before, b.state("t")); diff != "" {
		t.Errorf("S4: server-owned fields were taken:\n%s", diff)
	}
	after, err := b.Get(b.ctx(), org, "t")
	b.must(err)
	if diff := cmp.Diff(string(snap.Spec), string(after.Spec)); diff != "" {
		t.Errorf("S4: the spec has changed:\n%s", diff)
	}
	if x, err := b.TaskSecrets(b.ctx(), org, "t"); err != nil || text(x.UserOIDCToken) != "secret" {
		t.Errorf("A5: a PATCH changed the secrets: %+v, %v", x, err)
	}
	if s := b.patch("t", fields{"tool_call_payload_extension": fields{"c": fields{"d": 3}}}); string(s.PayloadExtension) != `{"a":1,"c":{"d":3}}` {
		t.Errorf("S4: merged to %s", s.PayloadExtension)
	}
}

// The newest release of the client writes a marker there and needs it back.
func TestS4AdditionalContextIsTakenWhenNotNull(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("t", nil)
	b.patch("t", b.body("t", fields{"additional_context": "marker"}))
	if s := b.patch("t", b.body("t", fields{"additional_context": nil})); text(s.AdditionalContext) != "marker" {
		t.Errorf("got %s", text(s.AdditionalContext))
	}
}
