package lifecycle_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// grant is a lease that some worker believes to have.
type grant struct {
	id, token string
	number    int
	deleted   bool           // the task, that is: another may have its id by now
	reason    task.EndReason // that its own end was accepted with
}

// world drives a few tasks through random verbs by several workers.
type world struct {
	*bench
	r       *rapid.T
	ids     []string // of tasks that exist
	leases  []grant
	python  []string
	copies  []fields                      // what Python workers and users remember of tasks
	turns   map[string]map[int]task.Stamp // ended turns by task
	last    map[string]task.Task          // as it was checked last
	clients int
}

func (w *world) pick(what string, n int) int { return rapid.IntRange(0, n-1).Draw(w.r, what) }

// step carries out one random verb on a random task. What the verb answers is
// checked against what is known of the task before.
func (w *world) step() {
	verb := rapid.SampledFrom([]string{
		"submit", "submit", "claim", "claim", "heartbeat", "append", "append", "finish", "finish", "patch", "patch", "patch", "sparse",
		"stop", "pause", "resume", "delete", "sweep", "sweep", "register", "assign", "assign", "heard", "disconnect", "push", "forge", "release", "update", "wait",
	}).Draw(w.r, "verb")
	switch verb {
	case "submit":
		id := fmt.Sprintf("t%d", w.pick("task", 3))
		_, _, err := w.Submit(w.ctx(), who(), submission(id, func(s *lifecycle.Submission) {
			s.Spec.Timeout = 600 // also ends what executes without a worker (L8)
			s.Spec.MaxAttempts = 1 + w.pick("attempts", 3)
			if w.pick("expires", 4) == 0 {
				s.Spec.ExpiresIn = 50
			}
		}))
		w.answered(err)
		if err == nil && !slices.Contains(w.ids, id) {
			w.ids = append(w.ids, id)
		}
	case "claim":
		for _, c := range w.claim(fmt.Sprintf("w%d", w.pick("worker", 2)), 1+w.pick("slots", 2)) {
			w.leases = append(w.leases, grant{id: c.Task.ID, token: c.Token, number: c.Task.Run.Number})
		}
	case "register":
		w.python = append(w.python, w.registerFrom(fmt.Sprint("host", w.pick("host", 2))))
	case "sweep":
		w.later(time.Duration(w.pick("seconds", 45)) * time.Second)
	case "assign", "heard", "disconnect":
		w.pythonWorker(verb)
	case "heartbeat", "append", "finish", "release", "wait":
		if len(w.leases) > 0 {
			w.fenced(verb, &w.leases[w.pick("lease", len(w.leases))])
		}
	default:
		if len(w.ids) > 0 {
			w.onTask(verb, w.ids[w.pick("task", len(w.ids))])
		}
	}
}

func (w *world) pythonWorker(verb string) {
	if len(w.python) == 0 {
		return
	}
	id := w.python[w.pick("python", len(w.python))]
	switch verb {
	case "assign":
		for _, given := range w.assign(id) {
			w.copies = append(w.copies, w.body(given, nil))
		}
	case "heard":
		w.must(w.Heard(w.ctx(), org, bot, id, lifecycle.Sign{
			ID: fmt.Sprint("post", w.pick("post", 20)), Beat: rapid.Bool().Draw(w.r, "beat"),
			Busy: rapid.SampledFrom([]*bool{nil, new(true), new(false)}).Draw(w.r, "busy"),
		}))
	case "disconnect":
		w.must(w.Disconnect(w.ctx(), org, bot, id))
	}
}

// answered checks that an answer is one that callers may see.
func (w *world) answered(err error) {
	if code := fault.CodeOf(err); !slices.Contains([]fault.Code{"", fault.Conflict, fault.NotFound, fault.Invalid}, code) {
		w.r.Fatalf("answered %q: %v", code, err)
	}
}

// fenced lets a worker use a lease that may be long superseded.
func (w *world) fenced(verb string, h *grant) {
	before, err := w.Task(w.ctx(), org, h.id)
	if err != nil {
		return // deleted
	}
	owns := before.Ended() == "" && before.Run.Live() && before.Run.Number == h.number && before.Run.Fenced && !h.deleted
	switch verb {
	case "heartbeat":
		beat, heard := w.Heartbeat(w.ctx(), org, h.id, h.token)
		if err = heard; owns != (err == nil && beat.Do == task.Continue) {
			w.r.Fatalf("L3: owner %v of %s is told %q, %v", owns, h.id, beat.Do, err)
		}
	case "append":
		e := chunks("x")
		if w.pick("client_id", 2) == 0 {
			w.clients++
			e[0].ClientID = fmt.Sprint("c", w.clients)
		}
		_, err = w.Append(w.ctx(), org, h.id, h.token, e)
		w.accepted("append", owns, err)
		if e[0].ClientID != "" && err == nil {
			w.unchanged(h.id, func() {
				_, err := w.Append(w.ctx(), org, h.id, h.token, e)
				w.must(err)
			})
		}
	case "wait":
		done, waited := w.Wait(w.ctx(), org, h.id, h.token, lifecycle.WaitFor{Until: w.store.Now().Add(time.Minute)})
		if err = waited; err == nil && !done.Waiting || err == nil && !owns && !before.Waits() || err != nil && owns {
			w.r.Fatalf("S9: owner %v of %s waits: %+v, %v", owns, h.id, done, err)
		}
	case "release":
		_, err = w.Release(w.ctx(), org, h.id, h.token)
	case "finish":
		reason := rapid.SampledFrom([]task.EndReason{task.EndCompleted, task.EndFailed, task.EndWorkerError, task.EndStopped}).Draw(w.r, "reason")
		_, err = w.finish(h.id, h.token, reason, "of "+h.token)
		if owns && err == nil {
			h.reason = reason
		} // afterwards a repeat is answered, and nothing else
		if reason != task.EndStopped && err == nil && !owns && h.reason != reason {
			w.r.Fatalf("L3, T6: an end (%s, after %q) of a superseded attempt of %s was accepted", reason, h.reason, h.id)
		}
	}
	w.answered(err)
	w.kept(before, owns && err == nil)
}

func (w *world) accepted(what string, owns bool, err error) {
	if owns != (err == nil) {
		w.r.Fatalf("L3: %s by the owner %v: %v", what, owns, err)
	}
}

// kept checks that a write that must not count has not changed the task.
func (w *world) kept(before task.Task, mayChange bool) {
	if mayChange {
		return
	}
	if diff := cmp.Diff(before.State(), w.state(before.ID)); diff != "" {
		w.r.Fatalf("S3, L3: a refused write changed %s:\n%s", before.ID, diff)
	}
}

func (w *world) onTask(verb, id string) {
	before := w.get(id)
	var err error
	switch verb {
	case "stop":
		_, err = w.Stop(w.ctx(), who(), id)
		w.must(err)
	case "pause":
		_, err = w.Pause(w.ctx(), who(), id)
	case "resume":
		_, err = w.Resume(w.ctx(), who(), id)
	case "push":
		_, err = w.Append(w.ctx(), org, id, "", said("pushed"))
		w.accepted("push", before.Ended() == "", err)
	case "forge":
		_, err = w.Service.Append(w.ctx(), user("mallory"), id, "", chunks("forged"))
		w.refused(err, fault.Forbidden)
		err = nil
		w.kept(before, false)
	case "update":
		_, err = w.Update(w.ctx(), who(), id, lifecycle.Edit{Status: new(task.Completed), Override: w.pick("override", 2) == 0})
	case "delete":
		w.must(w.Delete(w.ctx(), who(), id))
		w.ids = slices.DeleteFunc(w.ids, func(x string) bool { return x == id })
		delete(w.turns, id)
		delete(w.last, id)
		for i := range w.leases {
			w.leases[i].deleted = w.leases[i].deleted || w.leases[i].id == id
		}
		return
	case "sparse":
		_, err = w.tryPatch(id, fields{"status": w.status(), "result": "sparse"})
	case "patch":
		mine := w.body(id, nil)
		if old := slices.DeleteFunc(slices.Clone(w.copies), func(f fields) bool { return f["id"] != id }); len(old) > 0 {
			mine = old[w.pick("copy", len(old))]
		}
		w.copies = append(w.copies, mine)
		result := rapid.SampledFrom([]any{nil, "done", "[409] no"}).Draw(w.r, "result")
		status := w.status()
		_, err = w.tryPatch(id, mine.with(fields{"status": status, "result": result}))
		if err != nil && status != task.Executing {
			w.r.Fatalf("S4: a full body with %s is answered %v", status, err)
		}
	}
	w.answered(err)
	w.kept(before, err == nil)
}

func (w *world) status() task.Status {
	return rapid.SampledFrom(append(task.Statuses(), task.Executing, task.Completed)).Draw(w.r, "status")
}

// check is what must hold of every task after any step.
func (w *world) check() {
	for _, id := range w.ids {
		now := w.get(id)
		if last, known := w.last[id]; known && last.LastSeq == now.LastSeq && last.CreatedAt == now.CreatedAt {
			if diff := cmp.Diff(last.State(), now.State(), byValue()); diff != "" {
				w.r.Fatalf("T4: %s has changed without a word in its log:\n%s", id, diff)
			}
			continue
		}
		w.last[id] = now
		w.checkLog(id)
		w.checkHistory(id)
		live := w.live(now)
		if len(live) > 1 || len(live) == 1 && (now.Run == nil || now.Run.Number != live[0]) {
			w.r.Fatalf("L3: %s has live attempts %v", id, live)
		}
		if now.Ended() != "" {
			if w.turns[id] == nil {
				w.turns[id] = map[int]task.Stamp{}
			}
			w.turns[id][now.Terms.Turn] = now.UpdatedAt
		} else if _, over := w.turns[id][now.Terms.Turn]; over {
			w.r.Fatalf("S1: turn %d of %s had ended and is %s", now.Terms.Turn, id, now.Status())
		}
	}
}

func (w *world) live(t task.Task) (numbers []int) {
	w.must(w.store.Write(w.ctx(), nil, func(tx lifecycle.Tx) error {
		numbers = nil
		for n := range t.State().ExecutionAttempts + 1 {
			a, err := tx.Attempt(org, t.ID, n)
			if err != nil {
				return err
			}
			if a.Live() {
				numbers = append(numbers, n)
			}
		}
		return nil
	}))
	return numbers
}

// checkHistory checks each step of the statuses that the log tells (S3, S4).
func (w *world) checkHistory(id string) {
	next := map[task.Status][]task.Status{
		task.Pending:   {task.Executing, task.Paused, task.Stopped, task.Error, task.Completed, task.Failed},
		task.Executing: {task.Completed, task.Failed, task.Error, task.Stopped, task.Paused, task.Pending},
		task.Paused:    {task.Pending, task.Executing, task.Stopped, task.Completed, task.Failed, task.Error},
	}
	var s task.State
	for _, e := range w.log(id) {
		if (e.Author.Attempt == 0) == (e.Author.By == "") || e.Author.Attempt < 0 {
			w.r.Fatalf("T5: event %d (%s) of %s is by %+v: just one of both must be named", e.Seq, e.Type, id, e.Author)
		}
		if !e.Type.ChangesState() {
			continue
		}
		last := s
		if e.Type == task.TaskCreated {
			s = task.State{}
		}
		w.must(s.Fold(e.Data()))
		over := last.EndReason != "" && e.Type != task.TaskCreated
		switch {
		case e.Type == task.TaskCreated && s.Status != task.Pending,
			over && s.Status != last.Status && e.Type != task.Override,
			over && !s.Status.Ends() && (s.Status != task.Paused || s.EndReason != task.EndStopped),
			!over && e.Type != task.TaskCreated && s.Status != last.Status && !slices.Contains(next[last.Status], s.Status),
			(e.Type == task.TaskFinished) != (s.EndReason != "" && !over):
			w.r.Fatalf("S1, S3: event %d (%s) of %s leads from %s (%s) to %s (%s)", e.Seq, e.Type, id, last.Status, last.EndReason, s.Status, s.EndReason)
		}
		if s.EndReason != "" && s.Status != s.EndReason.Status() && s.Status != task.Paused {
			w.r.Fatalf("S2: event %d of %s shows %s with reason %s", e.Seq, id, s.Status, s.EndReason)
		}
	}
}

// drain gives everything its chance to end.
func (w *world) drain() {
	for _, p := range w.python {
		w.must(w.Disconnect(w.ctx(), org, bot, p))
	}
	for range 4 {
		w.later(time.Hour)
		for _, id := range w.ids {
			if t := w.get(id); t.Ended() == "" && t.Status() == task.Paused {
				_, err := w.Resume(w.ctx(), who(), id)
				w.must(err)
			}
		}
		for _, c := range w.claim("last", 10) {
			_, err := w.finish(c.Task.ID, c.Token, task.EndCompleted, "at last")
			w.must(err)
		}
		w.check()
	}
	for _, id := range w.ids {
		if t := w.get(id); !t.Done() || len(w.live(t)) > 0 {
			w.r.Fatalf("%s is stuck: %s, ended %q, stop %+v, attempt %+v", id, t.Status(), t.Ended(), t.Stop, t.Run)
		}
	}
}

// Rules S1 to S4, T3, T4, T6, L3 and L4 together: whatever the verbs do in
// whatever order, histories are legal and nothing stays stuck.
func TestAnyOrderOfVerbsIsLegalAndEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		w := &world{bench: &bench{t: r, tb: t, dir: t.TempDir()}, r: r, turns: map[string]map[int]task.Stamp{}, last: map[string]task.Task{}}
		stop := w.start()
		defer stop()
		for range rapid.IntRange(5, 40).Draw(r, "steps") {
			w.step()
			w.check()
		}
		w.drain()
	})
}
