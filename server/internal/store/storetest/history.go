package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func historyParts() []part {
	return []part{
		{"AnyHistoryReadsBackAsItWasSaved", anyHistory},
		{"LogShowsWhatAnOverrideReplaced", overriddenResult},
		{"ReopenedStoreHasEverything", reopened},
		{"TurnsAreListed", turns},
		{"TurnsEndOnce", turnEnds},
		{"EventsHaveAuthors", authors},
		{"TasksKnowTheirOwnerAndPlace", places},
		{"LogIsReadInParts", logInParts},
		{"StepsAreReadInParts", stepsInParts},
		{"ReadSeesOneMoment", oneMoment},
	}
}

// anyHistory drives tasks through random commands, several in one commit now
// and then, some of them undone, and compares all that can be read with a
// model that only knows task.Apply.
func anyHistory(e *env) {
	var n atomic.Int64
	rapid.Check(e.t, func(rt *rapid.T) {
		w := newWorld(rt, e, fmt.Sprintf("task-%d", n.Add(1)))
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			e.clock.advance(time.Duration(rapid.IntRange(0, 40_000_000).Draw(rt, "us")) * time.Microsecond)
			w.step()
			if rapid.IntRange(0, 3).Draw(rt, "check") == 0 {
				w.check()
			}
		}
		w.check()
	})
}

// world is the model of one task.
type world struct {
	rt       *rapid.T
	e        *env
	org, id  string
	task     task.Task
	spec     json.RawMessage
	log      []task.Event
	steps    []task.Step
	asked    []task.Approval
	answers  map[string]task.Settled // by the approval
	attempts map[int]task.Attempt
	turns    []turn
}

// turn is a turn as its changes have made it.
type turn struct {
	lifecycle.Turn
	reason task.EndReason
	result *string // its own, whatever is shown
}

func newWorld(rt *rapid.T, e *env, id string) *world {
	return &world{rt: rt, e: e, org: home, id: id, attempts: map[int]task.Attempt{}, answers: map[string]task.Settled{}}
}

func (w *world) born() bool { return w.task.LastSeq > 0 }

// step carries out one commit of one to three changes.
func (w *world) step() {
	next := *w
	next.log, next.attempts, next.turns, next.steps = slices.Clone(w.log), maps.Clone(w.attempts), slices.Clone(w.turns), slices.Clone(w.steps)
	next.asked, next.answers = slices.Clone(w.asked), maps.Clone(w.answers)
	var changes []task.Change
	for range rapid.IntRange(1, 3).Draw(w.rt, "changes") {
		c, err := task.Apply(next.task, next.command(), w.e.clock.stamp())
		if err == nil {
			c.Sign(rapid.SampledFrom([]string{"key é", "node-1"}).Draw(w.rt, "by"))
			next.take(c)
			changes = append(changes, c)
		}
	}
	look := rapid.IntRange(0, 2).Draw(w.rt, "look")
	undo := rapid.IntRange(0, 9).Draw(w.rt, "undo") == 0
	err := w.e.Write(w.e.t.Context(), about(w.org, w.id), func(tx lifecycle.Tx) error { return w.save(tx, changes, look, undo) })
	if undo {
		if !errors.Is(err, errUndo) {
			w.rt.Fatalf("an undone write answered %v", err)
		}
		next = *w
	} else if err != nil {
		w.rt.Fatal(err)
	}
	*w = next
}

func (w *world) take(c task.Change) {
	w.task = c.Task
	w.log = append(w.log, c.Events...)
	w.steps = append(w.steps, c.Steps...)
	w.asked = append(w.asked, c.Asked...)
	for _, s := range c.Settled {
		w.answers[s.ID] = s
	}
	for _, a := range c.Attempts {
		w.attempts[a.Number] = a
	}
	if spec := c.Spec(); spec != nil {
		w.spec = spec
	}
	if c.Turn != nil {
		w.takeTurn(*c.Turn)
	}
}

// takeTurn is the plain reading of a change of a turn.
func (w *world) takeTurn(c task.TurnChange) {
	if c.Begun != nil {
		first := w.log[c.Begun.FirstSeq-1]
		var asked task.Spec
		if err := json.Unmarshal(c.Begun.Spec, &asked); err != nil || first.Type != task.TaskCreated || first.Turn != c.Number {
			w.rt.Fatalf("turn %d begins with %+v (%v)", c.Number, first, err)
		}
		w.turns = append(w.turns, turn{Turn: lifecycle.Turn{Number: c.Number, FirstSeq: c.Begun.FirstSeq, CreatedAt: first.Time, Prompt: asked.Input.Text}})
	}
	x := &w.turns[c.Number-1]
	if c.Result != nil {
		x.result, x.Result = c.Result.Text, c.Result.Text
	}
	if c.Shown != nil {
		x.Result = c.Shown.Text
	}
	if c.Ended != nil {
		x.reason, x.FinishedAt, x.Tokens = c.Ended.Reason, c.Ended.FinishedAt, c.Ended.Tokens
	}
}

// save is the store's side of a step; what it has written must be seen at once.
// It looks in some way at what it has written: not at all, as far as the commit
// remembers it, or by a question for which it has to be sent.
func (w *world) save(tx lifecycle.Tx, changes []task.Change, look int, undo bool) error {
	if w.born() {
		s, err := tx.Snapshot(w.org, w.id)
		if err := errors.Join(err, differs("task in a write", lifecycle.Snapshot{Task: w.task, Spec: w.spec}, s)); err != nil {
			return err
		}
	}
	for _, c := range changes {
		if err := tx.Save(c); err != nil {
			return err
		}
		if look == 0 {
			continue
		}
		t, err := tx.Task(w.org, w.id)
		if err := errors.Join(err, differs("task after its Save", c.Task, t)); err != nil {
			return err
		}
		if look == 1 || c.Task.Run == nil {
			continue
		}
		run, err := tx.Attempt(w.org, w.id, c.Task.Run.Number)
		if err := errors.Join(err, differs("attempt after its Save", c.Task.Run, run)); err != nil {
			return err
		}
	}
	if undo {
		return errUndo
	}
	return nil
}

// someTypes are up to two types of the log, and what it has of them behind its first
// event.
func (w *world) someTypes() (some []task.Event, only []task.Type) {
	only = []task.Type{w.log[len(w.log)-1].Type, w.log[len(w.log)/2].Type}
	for _, e := range w.log[1:] {
		if slices.Contains(only, e.Type) {
			some = append(some, e)
		}
	}
	return some, only
}

// check compares everything that can be read of the task.
func (w *world) check() {
	ctx, rt := w.e.t.Context(), w.rt
	s, err := w.e.Task(ctx, auth.All(w.org), w.id)
	if !w.born() {
		if err == nil {
			rt.Fatal("a task that was never saved is there")
		}
		return
	}
	w.equal("task", err, lifecycle.Snapshot{Task: w.task, Spec: w.spec}, s)
	events, err := w.e.Events(ctx, w.org, w.id, 0, 1000)
	w.equal("log", err, w.log, events)
	for i, e := range events {
		if e.Seq != int64(i+1) {
			rt.Fatalf("seq %d at place %d: not gapless", e.Seq, i)
		}
	}
	some, only := w.someTypes()
	events, err = w.e.Events(ctx, w.org, w.id, 1, len(some)+1, only...)
	w.equal("log of some types", err, some, events)
	w.equal("log as told", nil, w.log, w.e.told.events(w.org, w.id))
	w.checkTurns()
	w.checkSteps()
	w.checkApprovals()
	err = w.e.Write(ctx, nil, func(tx lifecycle.Tx) error {
		for n := range w.task.State().ExecutionAttempts + 2 {
			var want *task.Attempt
			if a, ok := w.attempts[n]; ok {
				want = &a
			}
			got, err := tx.Attempt(w.org, w.id, n)
			if err := errors.Join(err, differs("attempt", want, got)); err != nil {
				return err
			}
			if want == nil || want.TokenHash == "" {
				want = nil
			}
			got, err = tx.AttemptByToken(w.org, w.id, token(n))
			if err := errors.Join(err, differs("attempt by token", want, got)); err != nil {
				return err
			}
		}
		for _, e := range w.log {
			if e.ClientID == "" {
				continue
			}
			seqs, err := tx.SeqsOfClients(w.org, w.id, e.Turn, []string{"never used", e.ClientID, "neither"})
			if err := errors.Join(err, differs("seq of client_id", map[string]int64{e.ClientID: e.Seq}, seqs)); err != nil {
				return err
			}
		}
		seqs, err := tx.SeqsOfClients(w.org, w.id, 1, []string{"never used"})
		return errors.Join(err, differs("seq of an unknown client_id", 0, len(seqs)))
	})
	if err != nil {
		rt.Fatal(err)
	}
}

// checkTurns compares the turns, and what the log shows of them.
func (w *world) checkTurns() {
	got, err := w.e.Turns(w.e.t.Context(), w.org, w.id, 0, 1000)
	want := make([]lifecycle.Turn, 0, len(w.turns))
	for _, x := range w.turns {
		want = append(want, x.Turn)
	}
	w.equal("turns", err, want, got)
	for _, e := range w.log {
		if e.Type == task.TaskFinished {
			kept, err := task.KeptResult(w.turns[e.Turn-1].result)
			w.equal("result of a turn in its log", err, kept, e.Kept)
		}
	}
	if err := w.e.Write(w.e.t.Context(), nil, func(tx lifecycle.Tx) error {
		for _, x := range w.turns {
			reason, result, err := tx.TurnEnd(w.org, w.id, x.Number)
			if err := errors.Join(err, differs("end of a turn", x.reason, reason), differs("its result", x.result, result)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		w.rt.Fatal(err)
	}
}

// checkSteps compares the steps of each turn.
func (w *world) checkSteps() {
	for _, x := range w.turns {
		var want []task.Step
		for _, s := range w.steps {
			if s.Turn == x.Number {
				want = append(want, s)
			}
		}
		got, err := w.e.Steps(w.e.t.Context(), w.org, w.id, x.Number, 0, 1000)
		w.equal("steps", err, want, got)
		if len(want) > 1 {
			got, err = w.e.Steps(w.e.t.Context(), w.org, w.id, x.Number, want[0].Seq, 1)
			w.equal("the second step", err, want[1:2], got)
		}
		for _, s := range append(want, task.Step{ID: "never committed"}) {
			found := read(w.e, func(tx lifecycle.Tx) (*task.Step, error) { return tx.Step(w.org, w.id, x.Number, s.ID) })
			if s.Seq == 0 {
				w.equal("no step", nil, (*task.Step)(nil), found)
			} else {
				w.equal("step by its id", nil, &s, found)
			}
		}
	}
}

// checkApprovals compares what was asked, which the log has, with what has become of it.
func (w *world) checkApprovals() {
	for _, a := range w.asked {
		var answer *task.Event
		s, settled := w.answers[a.ID]
		if s.Seq > 0 {
			answer = &w.log[s.Seq-1]
		}
		want, err := task.ApprovalOf(w.log[a.Seq-1], answer)
		if want.TaskID, want.AgentID = w.id, w.task.AgentID; settled {
			want.State = s.State
		}
		found, err2 := w.e.Approval(w.e.t.Context(), auth.All(w.org), a.ID)
		w.equal("approval", errors.Join(err, err2), want, found)
	}
}

// asks draws what people are asked, or what becomes of that.
func (w *world) asks(by task.Writer) task.Command {
	if len(w.asked) == 0 || len(w.task.Open) == 0 && rapid.Bool().Draw(w.rt, "ask") {
		name := fmt.Sprintf("%s at %d", w.id, w.task.LastSeq)
		asked := task.Asked{Key: name, Kind: task.KindQuestion, Message: "é <?>"}
		if rapid.Bool().Draw(w.rt, "default") {
			asked.Default = &task.Reply{Answer: task.Decline, Note: "nobody"}
		}
		return task.Ask{By: by, ID: name, Asked: asked}
	}
	of := rapid.SampledFrom(w.asked).Draw(w.rt, "approval")
	if i := slices.IndexFunc(w.asked, func(a task.Approval) bool { return len(w.task.Open) > 0 && a.ID == w.task.Open[0].ID }); i >= 0 {
		of = w.asked[i]
	}
	r := task.Respond{To: of, By: "p"}
	if rapid.Bool().Draw(w.rt, "answered") {
		r.Reply = &task.Reply{Answer: task.Approve, Value: json.RawMessage(`{"n" : 12345678901234567890}`), ClientID: fmt.Sprintf("answer-%d", w.task.LastSeq)}
	}
	return r
}

// commits draws a step, now and then one that the turn has already.
func (w *world) commits(by task.Writer) task.CommitStep {
	s := task.Step{
		ID:   rapid.SampledFrom([]string{"one", "two", "é <&>\"", fmt.Sprintf("at-%d", w.task.LastSeq)}).Draw(w.rt, "step id"),
		Kind: rapid.SampledFrom([]string{"", "model"}).Draw(w.rt, "kind"),
		Body: json.RawMessage(rapid.SampledFrom([]string{`null`, `{"a" : 1.50, "<b>": "\u003c"}`, `"é\u2028"`, `12345678901234567890`}).Draw(w.rt, "body")),
	}
	known := slices.ContainsFunc(w.steps, func(o task.Step) bool { return o.Turn == w.task.Terms.Turn && o.ID == s.ID })
	return task.CommitStep{By: by, Step: s, Known: known}
}

func (w *world) equal(what string, err error, want, got any) {
	w.rt.Helper()
	if err := errors.Join(err, differs(what, want, got)); err != nil {
		w.rt.Fatal(err)
	}
}

func token(number int) string { return fmt.Sprintf("hash-%d", number) }

func (w *world) writer(number int) task.Writer {
	a, ok := w.attempts[number]
	if !ok || !a.Fenced {
		return task.Writer{Fenced: true}
	}
	return task.Writer{Fenced: true, Attempt: &a}
}

// command draws anything that may happen to a task, sensible or not.
func (w *world) command() task.Command {
	t := w.rt
	if !w.born() {
		return w.begin()
	}
	current := w.task.State().ExecutionAttempts
	number := rapid.SampledFrom([]int{current, current, current, current - 1, 0, current + 1}).Draw(t, "number")
	result := rapid.SampledFrom([]*string{nil, new("r1"), new("r2"), new(""), new("[409] no"), new("é <b>&\u2028\"\\")}).Draw(t, "result")
	ends := []task.EndReason{task.EndCompleted, task.EndFailed, task.EndBudget, task.EndWorkerError}
	side := json.RawMessage(rapid.SampledFrom([]string{
		`{}`, `{"title":"a"}`, `{"title":null,"duration":2.125}`, `{"title":"","internal_status":""}`,
		`{"internal_status":"x","tokens":{"prompt_tokens":9007199254740993}}`,
		`{"used_tools":["t","u"],"deep_planning":{"a":[1,{"b":null}]},"last_executed_node_id":"n"}`,
		`{"used_tools":[],"hitl_request":{"q":"<?>"},"pending_eca_request":[1.50],"voice_id":"v"}`,
		`{"additional_context":"c","test_run_node_id":"n","disable_attachment_injection":true,"return_metrics":true}`,
		`{"triggering_agent_id":"agent-2","hitl_request":null}`,
		`{"llm_model_provider":"p","llm_model_name":"m","llm_reasoning_effort":"low","tool_call_limit":3,"harness_cli":"c"}`,
		`{"llm_model_name":"","tool_call_limit":0,"permission_mode":"gated"}`,
	}).Draw(t, "side"))
	switch rapid.IntRange(0, 18).Draw(t, "command") {
	case 0:
		return w.begin()
	case 1, 2:
		return task.Assign{Worker: "py", Lease: 30 * time.Second, MayRetry: rapid.Bool().Draw(t, "retry")}
	case 3, 4:
		return task.Claim{Worker: "w", TokenHash: token(current), Lease: 12_345_678 * time.Microsecond}
	case 5:
		return task.Finish{By: w.writer(number), Reason: rapid.SampledFrom(append(ends, task.EndStopped)).Draw(t, "end"), Result: result, Side: side}
	case 6:
		return task.Lose{Number: number, Over: rapid.Bool().Draw(t, "over"), Reason: "lease expired"}
	case 7:
		return rapid.SampledFrom([]task.Command{task.Pause{By: "p"}, task.Tick{}, task.Tick{Renewed: w.e.clock.stamp()}}).Draw(t, "pause or tick")
	case 8:
		return task.Resume{By: "p"}
	case 9:
		return task.RequestStop{By: "p"}
	case 10:
		return task.Settle{By: "p", Reason: rapid.SampledFrom(ends).Draw(t, "end"), Result: result, Correct: true, FromPending: true, Side: side}
	case 11:
		events := []task.Event{{Type: task.Chunk, Own: json.RawMessage(`"é\u0000"`)}, {Type: task.StepDone, Own: json.RawMessage(`{"n":12345678901234567890}`)}}
		if rapid.Bool().Draw(t, "anybody's") {
			events[0].Type, events[1].Type = task.AgentMessage, task.AgentMessage
		}
		if rapid.Bool().Draw(t, "named") {
			events[0].ClientID = fmt.Sprintf("client-%d", w.task.LastSeq)
		}
		return task.Append{By: rapid.SampledFrom([]task.Writer{{}, {Stands: true}, w.writer(number)}).Draw(t, "holder"), Events: events}
	case 12:
		edit := task.Edit{Who: "p", Side: side}
		if rapid.Bool().Draw(t, "move") {
			edit.Priority, edit.RunAt = new(rapid.IntRange(-100, 100).Draw(t, "priority")), new(w.e.clock.stamp().Add(time.Minute))
		}
		return edit
	case 13:
		return w.commits(w.writer(number))
	case 17, 18:
		return w.asks(w.writer(number))
	case 14:
		return rapid.SampledFrom([]task.Command{
			task.Renew{By: w.writer(number)},
			task.AddChild{},
			task.Hear{Number: number, Until: w.e.clock.stamp().Add(time.Minute)},
			task.FollowClock{},
			task.FollowClock{Jump: time.Hour},
			task.FollowClock{Jump: -time.Hour},
			task.Release{Reason: "r"},
		}).Draw(t, "quiet")
	default:
		p := task.Patch{
			Full: rapid.Bool().Draw(t, "full"), Number: number, Result: result, Side: side, By: "p",
			Status:    rapid.SampledFrom(append(task.Statuses(), "", task.Executing)).Draw(t, "status"),
			Extension: rapid.SampledFrom([]json.RawMessage{nil, json.RawMessage(`{"k":{"n":1.0}}`)}).Draw(t, "extension"),
		}
		if a, ok := w.attempts[number]; ok {
			p.From = &a
		}
		return p
	}
}

func (w *world) begin() task.Begin {
	t := w.rt
	b := beginning(w.org, w.id)
	b.Spec.Input.Text = new("Analyze the <sales> data")
	b.Spec.Tags = []string{"a", "é"}
	b.Priority = rapid.IntRange(-100, 100).Draw(t, "priority")
	b.Spec.RunLocally = rapid.IntRange(0, 5).Draw(t, "locally") == 0
	if rapid.Bool().Draw(t, "limits") {
		b.Spec.Timeout, b.Spec.ExpiresIn = 60.5, 90.25
	}
	if rapid.Bool().Draw(t, "related") {
		b.Spec.ParentExecution, b.Spec.Input.User = new("parent"), json.RawMessage(`{"id":"user-1","email":"u@example.org"}`)
		b.Parent = &task.Task{Owner: "user:é", Group: "g", Scoped: true, RootID: "root", Depth: 3}
		b.State.TriggeringAgentID, b.State.AdditionalContext = new("agent-9"), new("more")
	}
	if rapid.Bool().Draw(t, "owned") {
		b.Owner, b.Group, b.Scoped = "key:1", "a group", rapid.Bool().Draw(t, "scoped")
		b.Sealed = rapid.Bool().Draw(t, "sealed")
	}
	if rapid.IntRange(0, 3).Draw(t, "pinned") == 0 {
		b.Spec.PinnedWorkerID = new("py")
	}
	if rapid.IntRange(0, 3).Draw(t, "later") == 0 {
		b.RunAt = w.e.clock.stamp().Add(20 * time.Second)
	}
	return b
}

// overriddenResult: task_finished goes on showing the first result, each
// turn's own, while the task shows the corrected one.
func overriddenResult(e *env) {
	e.begin("t")
	e.do(home, "t", settle(task.EndFailed, "first"), settle(task.EndCompleted, "second"))
	e.same("shown result", new("second"), e.state("t").Result)
	e.do(home, "t", beginning(home, "t", func(b *task.Begin) { b.Spec.Tags = []string{"turn two"} }))
	e.do(home, "t", settle(task.EndFailed, "third"), settle(task.EndCompleted, "fourth"))
	var results, specs []string
	for _, ev := range e.log("t") {
		switch ev.Type { //nolint:exhaustive // the other types keep nothing in the turn
		case task.TaskFinished:
			results = append(results, string(ev.Kept))
		case task.TaskCreated:
			specs = append(specs, string(ev.Kept))
		default:
			if ev.Kept != nil {
				e.t.Errorf("%s keeps %s", ev.Type, ev.Kept)
			}
		}
	}
	e.same("results in the log", []string{`{"result":"first"}`, `{"result":"third"}`}, results)
	if len(specs) != 2 || strings.Contains(specs[0], "turn two") || !strings.Contains(specs[1], "turn two") {
		e.t.Errorf("specs in the log: %q", specs)
	}
}

// reopened: what was acknowledged is there after a Close.
func reopened(e *env) {
	e.begin("t")
	e.do(home, "t", claim("w"), chunk("one"), settle(task.EndCompleted, "done"))
	e.begin("waiting")
	before, log := e.task(home, "t"), e.log("t")
	e.ok(e.Close())
	e.open()
	e.same("task", before, e.task(home, "t"))
	e.same("log", log, e.log("t"))
	e.same("queue", []string{"waiting"}, e.take(lifecycle.Want{Worker: "w"}))
	orgs, err := e.Organizations(e.t.Context())
	e.ok(err)
	slices.Sort(orgs)
	e.same("organizations", []string{away, home}, orgs)
}

// logInParts: after a number, at most so many, at most about 1 MiB but one.
func logInParts(e *env) {
	e.begin("t")
	for i := range 9 {
		e.do(home, "t", chunk(strconv.Itoa(i)))
	}
	all := e.log("t")
	for _, c := range []struct {
		after, limit, from, to int
	}{
		{0, 1, 0, 1}, {0, 100, 0, 10}, {3, 2, 3, 5}, {9, 5, 9, 10}, {10, 5, 10, 10}, {99, 5, 10, 10},
	} {
		got, err := e.Events(e.t.Context(), home, "t", int64(c.after), c.limit)
		e.ok(err)
		e.same(fmt.Sprintf("%d events after %d", c.limit, c.after), all[c.from:c.to], all[c.from:c.from+len(got)])
		e.same("part of the log", len(got), c.to-c.from)
		for i, ev := range got {
			e.same("event", all[c.from+i], ev)
		}
	}
	none, err := e.Events(e.t.Context(), home, "no such task", 0, 10)
	e.ok(err)
	e.same("events of nothing", 0, len(none))

	e.begin("large")
	e.do(home, "large", chunk(strings.Repeat("x", 5<<20)), chunk("y"))
	seen := int64(0)
	for range 10 {
		got, err := e.Events(e.t.Context(), home, "large", seen, 100)
		e.ok(err)
		if len(got) == 0 {
			break
		}
		size := 0
		for _, ev := range got[:len(got)-1] {
			size += len(ev.Own) + len(ev.Kept)
		}
		if size > 1<<20 {
			e.t.Errorf("%d bytes before the last event of a read", size)
		}
		seen = got[len(got)-1].Seq
	}
	e.same("last event of a large log", int64(3), seen)
}

// stepsInParts: behind an event, at most so many, at most about 1 MiB but one, their
// bytes as they were committed; and none of another turn, task or organization.
func stepsInParts(e *env) {
	commit := func(org, id, step, body string) {
		by := task.Writer{Fenced: true, Attempt: e.task(org, id).Task.Run}
		e.do(org, id, task.CommitStep{By: by, Step: task.Step{ID: step, Kind: "k", Body: json.RawMessage(body)}})
	}
	for _, org := range []string{home, away} {
		e.begin("t", func(b *task.Begin) { b.Spec.OrganizationID = org })
		e.do(org, "t", claim("w"))
		commit(org, "t", "of the first turn", `"in `+org+`"`)
		e.do(org, "t", settle(task.EndFailed, ""), beginning(org, "t"), claim("w"))
	}
	e.begin("other")
	e.do(home, "other", claim("w"))
	commit(home, "other", "a", "1")
	bodies := []string{"{ \"a\" :\n1.0 }", `"` + strings.Repeat("x", 700<<10) + `"`, `"` + strings.Repeat("y", 700<<10) + `"`, "null"}
	for i, body := range bodies {
		e.do(home, "t", chunk("between"))
		commit(home, "t", strconv.Itoa(i), body)
	}
	after, seen := int64(0), []task.Step{}
	for _, size := range []int{3, 1, 0} {
		got, err := e.Steps(e.t.Context(), home, "t", 2, after, 100)
		e.ok(err)
		e.same("steps of one read", size, len(got))
		if seen = append(seen, got...); size > 0 {
			after = got[size-1].Seq
		}
	}
	log := e.log("t")
	for i, s := range seen {
		own := log[s.Seq-1]
		read, err := task.StepOf(own)
		e.ok(err)
		e.same("the step in its event", s, read)
		e.same("step", []any{task.StepDone, 2, i + 1, strconv.Itoa(i), bodies[i], 2}, []any{own.Type, s.Turn, s.N, s.ID, string(s.Body), s.Attempt})
	}
	one, err := e.Steps(e.t.Context(), home, "t", 2, seen[0].Seq, 1)
	e.ok(err)
	e.same("one step", seen[1:2], one)
	first, err := e.Steps(e.t.Context(), away, "t", 1, 0, 100)
	e.ok(err)
	e.same("the first turn's", []string{`"in ` + away + `"`}, []string{string(first[0].Body)})
	e.same("of no step", (*task.Step)(nil), read(e, func(tx lifecycle.Tx) (*task.Step, error) { return tx.Step(home, "t", 2, "of the first turn") }))
}

// oneMoment: a task is read as it stood after some commit, its attempt
// included, never as a mixture of two.
func oneMoment(e *env) {
	e.begin("t")
	done := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			for _, c := range []task.Command{claim("w"), task.Pause{By: "p"}, task.Resume{By: "p"}} {
				if err := e.Write(e.t.Context(), about(home, "t"), func(tx lifecycle.Tx) error { return change(tx, home, "t", c, e.clock.stamp()) }); err != nil {
					done <- err
					return
				}
			}
		}
	}()
	var mixed error
	for range 3000 {
		s, err := e.Task(e.t.Context(), auth.All(home), "t")
		if err != nil {
			mixed = err
			break
		}
		if status, live := s.Task.Status(), s.Task.Run.Live(); live != (status == task.Executing) {
			mixed = fmt.Errorf("status %s with a live attempt: %v", status, live)
			break
		}
	}
	close(stop)
	e.ok(errors.Join(mixed, <-done))
}

// turns lists what each turn was asked and what is shown of its end.
func turns(e *env) {
	none, err := e.Turns(e.t.Context(), home, "t", 0, 1000)
	e.ok(err)
	e.same("turns of nothing", 0, len(none))
	begun := e.clock.stamp()
	e.begin("t", func(b *task.Begin) { b.Spec.Input.Text = new("é <b>") })
	e.clock.advance(time.Second)
	side := settle(task.EndCompleted, "first")
	side.Side = json.RawMessage(`{"tokens": {"prompt_tokens": 3, "completion_tokens": 4}}`)
	e.do(home, "t", side, settle(task.EndFailed, "corrected"))
	e.clock.advance(time.Second)
	e.do(home, "t", beginning(home, "t", func(b *task.Begin) { b.Spec.ToolResults = []task.ToolResult{{CallID: "c", Content: "x"}} }))
	now, err := e.Task(e.t.Context(), auth.All(home), "t")
	e.ok(err)
	got, err := e.Turns(e.t.Context(), home, "t", 0, 1000)
	e.ok(err)
	e.same("turns", []lifecycle.Turn{
		{
			Number: 1, FirstSeq: 1, CreatedAt: begun, FinishedAt: begun.Add(time.Second), Prompt: new("é <b>"), Result: new("corrected"),
			Tokens: &task.Tokens{Prompt: 3, Completion: 4},
		},
		{Number: 2, FirstSeq: now.Task.FirstSeq, CreatedAt: begun.Add(2 * time.Second), Answers: true},
	}, got)
	foreign, err := e.Turns(e.t.Context(), away, "t", 0, 1000)
	e.ok(err)
	e.same("turns elsewhere", 0, len(foreign))
	for after, want := range [][]lifecycle.Turn{got[:1], got[1:], {}} {
		part, err := e.Turns(e.t.Context(), home, "t", after, 1)
		e.ok(err)
		e.same(fmt.Sprintf("a turn after %d", after), want, append([]lifecycle.Turn{}, part...))
	}
	for turn, at := range []task.Stamp{begun.Add(time.Second), begun, begun.Add(2 * time.Second)} {
		n, first, err := e.BeganAt(e.t.Context(), home, "t", at)
		e.ok(err)
		e.same("turn that began then", turn, n)
		e.same("its first event", turn > 0, first > 0)
	}
	some, err := e.Events(e.t.Context(), home, "t", 0, 10, task.TaskCreated, task.Override)
	e.ok(err)
	types := []task.Type{}
	for _, ev := range some {
		types = append(types, ev.Type)
	}
	e.same("events of two types", []task.Type{task.TaskCreated, task.Override, task.TaskCreated}, types)
	long := settle(task.EndCompleted, strings.Repeat("r", 2<<20))
	e.do(home, "t", long)
	e.do(home, "t", beginning(home, "t"))
	part, err := e.Turns(e.t.Context(), home, "t", 0, 1000)
	e.ok(err)
	e.same("turns up to one that is long", 2, len(part))
	outline, err := e.Outline(e.t.Context(), home, "t", 0, 1000, task.TaskFinished)
	e.ok(err)
	var lengths []int
	for _, ev := range outline {
		var kept struct {
			Result string `json:"result"`
		}
		e.ok(json.Unmarshal(ev.Kept, &kept))
		lengths = append(lengths, len(kept.Result))
	}
	e.same("results in an outline", lifecycle.OutlineResult, lengths[len(lengths)-1])
	bare, err := e.Bare(e.t.Context(), home, "t", 0, 1000, task.TaskCreated, task.TaskFinished)
	e.ok(err)
	kept := map[string]bool{}
	for _, ev := range bare {
		kept[string(ev.Kept)] = true
	}
	e.same("what is kept, bare", map[string]bool{"": true, `{"result":null}`: true}, kept)
}

// turnEnds: how a turn ended is kept for good, whatever an override shows instead
// and whatever turns follow.
func turnEnds(e *env) {
	end := func(n int) [2]string {
		return read(e, func(tx lifecycle.Tx) ([2]string, error) {
			reason, result, err := tx.TurnEnd(home, "t", n)
			if result == nil {
				result = new("none")
			}
			return [2]string{string(reason), *result}, err
		})
	}
	e.begin("t")
	e.same("at first", [2]string{"", "none"}, end(1))
	e.do(home, "t", task.Patch{Status: task.Executing}, task.Patch{Result: new("so far")})
	e.same("a result before the end", [2]string{"", "so far"}, end(1))
	e.do(home, "t", settle(task.EndFailed, "first"))
	e.same("ended", [2]string{"failed", "first"}, end(1))
	e.do(home, "t", settle(task.EndCompleted, "corrected"))
	e.same("corrected", [2]string{"failed", "first"}, end(1))
	e.do(home, "t", beginning(home, "t"), task.RequestStop{By: "somebody"})
	e.same("of the first turn", [2]string{"failed", "first"}, end(1))
	e.same("of the second", [2]string{"stopped", "none"}, end(2))
	e.same("of the third", [2]string{"", "none"}, end(3))
	e.write(func(tx lifecycle.Tx) error { // as the commit itself sees it
		if err := change(tx, home, "t", beginning(home, "t"), e.clock.stamp()); err != nil {
			return err
		}
		if err := change(tx, home, "t", settle(task.EndCompleted, "third"), e.clock.stamp()); err != nil {
			return err
		}
		reason, result, err := tx.TurnEnd(home, "t", 3)
		return errors.Join(err, differs("end in its commit", task.EndCompleted, reason), differs("its result", new("third"), result))
	}, about(home, "t")...)
}

// authors: an event names the attempt that wrote it, or else who did.
func authors(e *env) {
	e.begin("t")
	e.do(home, "t", claim("w"))
	run := e.task(home, "t").Task.Run
	mine := chunk("mine")
	mine.By = task.Writer{Fenced: true, Attempt: run}
	e.do(home, "t", chunk("somebody's"), mine, task.Finish{By: mine.By, Reason: task.EndCompleted, Result: new("r")}, settle(task.EndFailed, "s"))
	var got []task.Author
	for _, ev := range e.log("t") {
		got = append(got, ev.Author)
	}
	by, attempt := task.Author{By: signature}, task.Author{Attempt: 1}
	e.same("authors", []task.Author{by, by, by, by, attempt, attempt, by}, got)
	e.same("log as told", e.log("t"), e.told.events(home, "t"))
}

// places: whose a task is, where it stands in its tree and how many sub-tasks it
// has had, also after the store was opened again.
func places(e *env) {
	root := e.begin("root", func(b *task.Begin) { b.Owner, b.Group, b.Scoped = "user:é", "group", true })
	child := e.begin("child", func(b *task.Begin) { b.Spec.ParentExecution, b.Parent, b.Owner = new("root"), &root, "key:ignored" })
	e.begin("grandchild", func(b *task.Begin) { b.Spec.ParentExecution, b.Parent = new("child"), &child })
	e.begin("alone")
	e.do(home, "root", task.AddChild{}, task.AddChild{})
	e.do(home, "child", task.AddChild{})
	type place struct {
		Owner, Group, Root string
		Scoped             bool
		Depth, Subtasks    int
	}
	look := func() {
		e.t.Helper()
		for id, want := range map[string]place{
			"root":       {"user:é", "group", "root", true, 0, 2},
			"child":      {"user:é", "group", "root", true, 1, 1},
			"grandchild": {"user:é", "group", "root", true, 2, 0},
			"alone":      {"", "", "alone", false, 0, 0},
		} {
			for what, t := range map[string]task.Task{
				"read":    e.task(home, id).Task,
				"written": read(e, func(tx lifecycle.Tx) (task.Task, error) { return tx.Task(home, id) }),
			} {
				e.same(what+" "+id, want, place{t.Owner, t.Group, t.RootID, t.Scoped, t.Depth, t.Subtasks})
			}
		}
	}
	look()
	e.same("events of a task that has sub-tasks", 1, len(e.log("root")))
	e.ok(e.Close())
	e.open()
	look()
}
