package model

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/schema"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/tool"
)

// maxSide is how many calls of an answer run side by side.
const maxSide = 16

// call is one call of an answer, on its way to a result.
type call struct {
	model.Call
	step   string // the numbers of the answer's step and of the call, as in 3-0
	id     string // names the call in the task
	tool   tool.Tool
	refuse string // why it is not run, "" if it may be
	result result
	open   bool // it is the caller's to carry out
	known  bool // the result is an earlier attempt's
	err    error
}

// result is what came of a call: the body of its step.
type result struct {
	ID      string `json:"id"`
	Tool    string `json:"tool"`
	Ran     bool   `json:"ran"`
	Text    string `json:"text"`
	IsError bool   `json:"is_error"`
}

// begun is the body of the step that says that a call is under way which must not be
// run twice.
type begun struct {
	ID   string `json:"id"`
	Tool string `json:"tool"`
}

// unknown is the result of a call that was under way when its attempt ended.
const unknown = "It is not known whether this call was carried out: it was under way when the server or the attempt was stopped, and it was not repeated. " +
	"Find out before you call it again, if calling it twice could do harm."

// call runs what an answer calls, side by side, and continues the conversation with it
// and all results, in the order of the calls. Calls of the caller's tools are left open,
// and answered: the turn ends with them. Its error is that of the first call that has
// one, once all of them are over.
func (t *turn) call(ctx context.Context, said answer) (open []task.OpenCall, err error) {
	calls := t.next // they were announced with the answer
	if t.next = nil; calls == nil {
		if calls, err = t.calls(t.heard, said); err != nil {
			return nil, err
		}
		if err := t.announce(ctx, said, calls); err != nil {
			return nil, err
		}
	}
	for _, c := range calls {
		if c.open {
			open = append(open, task.OpenCall{ID: c.id, Name: c.Name, Arguments: json.RawMessage(c.Arguments)})
		}
	}
	if err := t.runAll(ctx, calls); err != nil {
		return nil, err
	}
	for _, c := range calls {
		if c.err != nil {
			return nil, cmp.Or(context.Cause(ctx), c.err)
		}
	}
	t.try(calls)
	if len(open) == 0 {
		t.request.Messages = append(append(slices.Clip(t.request.Messages), said.parts...), model.Message{Role: model.User, Results: resultsOf(calls)})
	}
	return open, nil
}

// try notes the names of tools that were run.
func (t *turn) try(calls []*call) {
	for _, c := range calls {
		if (c.open || c.result.Ran) && !slices.Contains(t.tried, c.Name) {
			t.tried = append(t.tried, c.Name)
		}
	}
}

// calls are those of the nth answer.
func (t *turn) calls(n int, said answer) ([]*call, error) {
	calls, _, err := callsOf(t.Turn, n, said, t.steps)
	for _, c := range calls {
		t.called++
		c.tool, c.refuse = t.find(c.Call)
		c.open = !c.known && c.refuse == "" && t.theirs[c.Name]
	}
	return calls, err
}

// find finds what is called, or says to the model why nothing is.
func (t *turn) find(asked model.Call) (found tool.Tool, refuse string) {
	found, is := t.tools[asked.Name]
	limit := t.State.ToolCallLimit
	switch {
	case !is && len(t.tools) == 0:
		return found, fmt.Sprintf("There is no tool %q, nor any other.", asked.Name)
	case !is:
		return found, fmt.Sprintf("There is no tool %q. There are: %s.", asked.Name, strings.Join(slices.Sorted(maps.Keys(t.tools)), ", "))
	case limit != nil && t.called > *limit:
		return found, fmt.Sprintf("Not carried out: this task may call %d tools, and has. Answer with what you know.", *limit)
	}
	if wrong := schema.CheckInput(found.Input, asked.Arguments); len(wrong) > 0 {
		return found, "Not carried out: the arguments do not follow the tool's schema.\n- " + strings.Join(wrong, "\n- ")
	}
	return found, ""
}

// announced are the events that go with the nth answer, as its step keeps it: of what it
// calls, if there is anything to say of that but what viewers have seen.
func (t *turn) announced(n int, before string, kept json.RawMessage) ([]runtime.Event, error) {
	var said answer
	if err := json.Unmarshal(kept, &said); err != nil || len(said.Calls) == 0 || said.Finish == model.Interrupted {
		return nil, err
	}
	said.Text = before + said.Text
	calls, err := t.calls(n, said)
	if err != nil {
		return nil, err
	}
	events, err := t.announcement(n, said, calls)
	if err != nil || len(events) > maxEvents || ends(calls) && said.Text != "" && !t.shown {
		t.called -= len(calls)
		return nil, err // call does it
	}
	t.next, t.shown = calls, false
	return events, nil
}

// ends reports whether some of the calls are the caller's: the turn ends with them.
func ends(calls []*call) bool {
	return slices.ContainsFunc(calls, func(c *call) bool { return c.open })
}

// announce tells viewers what is called, and what an earlier attempt may not have got
// round to telling them.
func (t *turn) announce(ctx context.Context, said answer, calls []*call) error {
	events, err := t.announcement(t.heard, said, calls)
	if err != nil {
		return err
	}
	if said.Text != "" && !t.shown && ends(calls) {
		v := newVoice(ctx, t, "", func(error) {})
		v.say(task.Chunk, said.Text)
		if _, err := v.end(); err != nil {
			return err
		}
	}
	t.shown = false
	return tellAll(ctx, t, events)
}

// announcement is what is told of the calls of the nth answer. What the model said before
// it called was no answer, and is told as a thought, unless the turn ends with it.
func (t *turn) announcement(n int, said answer, calls []*call) (events []runtime.Event, err error) {
	if said.Text != "" && !ends(calls) {
		if t.shown {
			events = append(events, void())
		}
		e, err := event(task.Think, said.Text)
		if err == nil && len(e.Data) > task.MaxEvent { // of several parts, which were told each by itself
			e, err = event(task.Think, beginningOf(said.Text, maxPiece))
		}
		if err != nil {
			return nil, err
		}
		e.ClientID = fmt.Sprintf("think-%d", n)
		events = append(events, e)
	}
	for _, c := range calls {
		e, err := c.event(task.ToolCallRequest)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	for _, c := range calls {
		if !c.known {
			continue
		}
		e, err := c.event(task.ToolCallResult)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

// event is the call as an event, which the turn's log has once.
func (c *call) event(as task.Type) (runtime.Event, error) {
	told := task.ToolCall{RequestID: c.id, OperationID: c.Name, ToolCallID: c.ID, ToolName: c.Name, Payload: json.RawMessage(c.Arguments)}
	name := "call-" + c.step
	if !json.Valid(told.Payload) {
		told.Payload = quoted(c.Arguments)
	}
	if as == task.ToolCallResult {
		told.Result, told.IsError = quoted(c.result.Text), &c.result.IsError
		name = "result-" + c.step
	}
	data, err := told.Data()
	return runtime.Event{Type: as, Data: data, ClientID: name}, err
}

// quoted is a text as JSON.
func quoted(text string) json.RawMessage {
	raw, err := json.Marshal(text)
	if err != nil {
		return json.RawMessage(`""`) // a text can always be written
	}
	return raw
}

// runAll runs the calls of which no result is known. If some of them wait for what has
// not come, the attempt gives its task up once the others are over.
func (t *turn) runAll(ctx context.Context, calls []*call) error {
	for {
		t.runOnce(ctx, calls)
		t.try(calls)
		w := runtime.Wait{Usage: runtime.Usage{Tools: t.tried}}
		for _, c := range calls {
			pending, is := errors.AsType[*tool.Pending](c.err)
			switch {
			case is:
				w.Approvals, w.SubTasks = append(w.Approvals, pending.Approvals...), append(w.SubTasks, pending.SubTasks...)
			case c.err != nil:
				return nil //nolint:nilerr // the call has it, and it ends the attempt
			}
		}
		if len(w.Approvals)+len(w.SubTasks) == 0 {
			return nil
		}
		w.Any = len(w.Approvals) > 0 || len(w.SubTasks) > task.MaxAwaited // what was approved of is run while the others wait
		w.Approvals, w.SubTasks = w.Approvals[:min(len(w.Approvals), task.MaxAwaited)], w.SubTasks[:min(len(w.SubTasks), task.MaxAwaited)]
		if err := t.Await(ctx, w); err != nil {
			return err
		}
	}
}

// runOnce runs the calls of which no result is known, and notes which have one then.
func (t *turn) runOnce(ctx context.Context, calls []*call) {
	var running sync.WaitGroup
	var crash any
	var once sync.Once
	room := make(chan struct{}, maxSide)
	for _, c := range calls {
		if c.known || c.open {
			continue
		}
		room <- struct{}{}
		running.Go(func() {
			defer func() {
				<-room
				if r := recover(); r != nil {
					once.Do(func() { crash = fmt.Sprintf("tool %s: %v\n%s", c.Name, r, debug.Stack()) })
				}
			}()
			c.err = t.do(ctx, c)
			c.known = c.err == nil
		})
	}
	running.Wait()
	if crash != nil {
		panic(crash) //nolint:forbidigo // it goes on where the attempt's other crashes are caught
	}
}

// do runs one call, and commits what came of it before anybody is told.
func (t *turn) do(ctx context.Context, c *call) error {
	r, ran, err := t.carryOut(ctx, c)
	if err != nil {
		return err
	}
	if r.IsError && ctx.Err() != nil { // it was cut short
		return context.Cause(ctx)
	}
	text, err := t.fitted(ctx, c, r.Text)
	if err != nil {
		return err
	}
	c.result = result{c.id, c.Name, ran, text, r.IsError}
	return t.keep("result-"+c.step, "tool_result", &c.result, func(s task.Step) (task.Step, error) {
		return t.CommitWith(ctx, s, runtime.With{Then: func(kept json.RawMessage) ([]runtime.Event, error) {
			if err := json.Unmarshal(kept, &c.result); err != nil {
				return nil, err
			}
			e, err := c.event(task.ToolCallResult)
			return []runtime.Event{e}, err
		}})
	})
}

// carryOut runs a call if it may be run. One that could do harm twice is run once: that
// it is under way is committed first.
func (t *turn) carryOut(ctx context.Context, c *call) (r tool.Result, ran bool, err error) {
	if c.refuse != "" {
		return tool.Error(c.refuse), false, nil
	}
	if c.tool.Approved {
		refused, err := t.approve(ctx, c)
		switch {
		case err != nil:
			return tool.Result{}, false, err
		case refused != nil:
			return *refused, false, nil
		}
	}
	if !c.tool.Idempotent {
		id := "call-" + c.step
		if _, under := t.steps[id]; under {
			return tool.Error(unknown), true, nil
		}
		if err := t.commit(ctx, id, "tool_call", &begun{c.id, c.Name}); err != nil {
			return tool.Result{}, false, err
		}
	}
	r, err = c.tool.Run(ctx, tool.Call{ID: c.id, Arguments: json.RawMessage(c.Arguments), Attempt: t.Attempt})
	return r, true, err
}

// approve asks a person whether a call may be run: it answers what the model is told if
// it may not.
func (t *turn) approve(ctx context.Context, c *call) (refused *tool.Result, err error) {
	asked, err := t.Ask(ctx, task.Asked{
		Key: "approve-" + c.id, Kind: task.KindApproval, Title: "May " + c.Name + " be called?", ToolName: c.Name, Payload: json.RawMessage(c.Arguments),
	})
	a := asked.Answered
	switch {
	case err != nil:
		r, err := tool.Refused(err)
		return &r, err
	case asked.State == task.ApprovalOpen:
		return nil, &tool.Pending{Approvals: []string{asked.ID}}
	case a == nil:
		return new(tool.Error("Not carried out: nobody has approved of it in time.")), nil
	case a.Answer == task.Approve:
		return nil, nil //nolint:nilnil // it may be run
	}
	text := "Not carried out: a person has declined it."
	if a.Note != "" {
		text += " They say: " + a.Note
	}
	return new(tool.Error(text)), nil
}

// fitted is as much of a result as a model is told. What is longer is kept whole as an
// output, unless the turn has as many as it may.
func (t *turn) fitted(ctx context.Context, c *call, text string) (string, error) {
	short, whole := cut(text)
	if whole {
		return short, nil
	}
	kept, err := t.Output(ctx, "result-"+c.step+".txt", strings.NewReader(text))
	switch fault.CodeOf(err) { //nolint:exhaustive // the others are the attempt's
	case fault.Invalid, fault.TooLarge:
		return short, nil
	}
	if err != nil {
		return "", err
	}
	return short + fmt.Sprintf(" (The whole is the task's file %s.)", kept.Name), nil
}

// cut makes a result one that a model can be told and a step can hold.
func cut(text string) (short string, whole bool) {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if text == "" {
		return "(It answered nothing.)", true
	}
	beginning := func(most int) string { return strings.ToValidUTF8(text[:min(most, len(text))], "") }
	most := tool.MaxResult
	short = beginning(most)
	for len(quoted(short)) > maxStep/2 { // what is escaped is longer
		most /= 2
		short = beginning(most)
	}
	if short == text {
		return text, true
	}
	return fmt.Sprintf("%s\n… (This is the beginning: %d of %d bytes.)", short, len(short), len(text)), false
}
