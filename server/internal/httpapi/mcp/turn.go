package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/invoke"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/stream"
	"github.com/errand-dev/errand/server/internal/task"
)

// seen is a turn as it is, or as it has been left.
type seen struct {
	turn  invoke.Turn
	task  lifecycle.Snapshot
	ended bool
	// waiting is why it is not executing, nil for what is or has ended.
	waiting *lifecycle.Waiting
	// questions are what it waits for that the caller may answer.
	questions []task.Approval
	outputs   []task.Output
}

// find finds the turn that a text names: task~turn, or a task for its last turn.
func (f *face) find(ctx context.Context, name string) (invoke.Turn, error) {
	id, number, isTurn := invoke.ParseTurn(name)
	switch {
	case !strings.Contains(name, "~"):
		id = name
	case !isTurn:
		return invoke.Turn{}, lifecycle.NoTask(name)
	}
	return f.Turns.Find(ctx, edge.Scope(ctx), id, number)
}

// look reads a turn.
func (f *face) look(ctx context.Context, t invoke.Turn) (s seen, err error) {
	s.turn = t
	if s.task, s.ended, err = f.Turns.AsLeft(ctx, edge.Scope(ctx), t); err != nil {
		return s, err
	}
	if s.ended {
		s.outputs, err = f.Service.Outputs(ctx, t.Organization, t.Task, t.Number, 0, task.MaxOutputs)
		return s, err
	}
	if s.waiting, err = f.Service.WhyWaiting(ctx, s.task); err != nil || s.waiting == nil {
		return s, err
	}
	for _, id := range s.waiting.Approvals {
		a, err := f.Service.Approval(ctx, edge.Scope(ctx), id)
		switch {
		case fault.CodeOf(err) == fault.NotFound:
		case err != nil:
			return s, err
		case a.State == task.ApprovalOpen && edge.Caller(ctx).MayAnswer(a):
			s.questions = append(s.questions, a)
		}
	}
	return s, nil
}

const (
	// usualWait and longestWait bound how long a call waits for a turn. Many clients give
	// a call 5 seconds, few more than a minute.
	usualWait   = 4 * time.Second
	longestWait = 50 * time.Second
	// tick is how often a call that waits tells its progress.
	tick = 10 * time.Second
)

// wait waits until a turn has ended or asks something, at most so long. It returns the
// turn as it is then. Whoever goes stops nothing (X2).
func (f *face) wait(ctx context.Context, session *sdk.ServerSession, t invoke.Turn, most time.Duration) (seen, error) {
	open, cancel := f.UntilClosing(ctx)
	defer cancel()
	open, cancelWait := context.WithTimeout(open, most)
	defer cancelWait()
	begun, silence, token := time.Now(), f.KeepAlive, asked(ctx).Params.Meta.Progress
	if token != nil {
		silence = min(tick, silence)
	}
	for {
		s, err := f.look(ctx, t)
		if err != nil || s.ended || len(s.questions) > 0 || open.Err() != nil {
			return s, err
		}
		for _, err := range f.Source.Follow(open, t.Organization, t.Task, s.task.Task.LastSeq, silence, task.TaskFinished, task.ApprovalRequested, task.TurnPaused) {
			if !errors.Is(err, stream.ErrIdle) {
				break
			}
			if token != nil {
				if now, err := f.look(ctx, t); err == nil {
					s = now
				}
				_ = session.NotifyProgress(ctx, &sdk.ProgressNotificationParams{ // whoever has gone is told nothing
					ProgressToken: token, Progress: time.Since(begun).Seconds(), Total: most.Seconds(), Message: s.message(),
				})
			}
		}
	}
}

// message says for a person what a turn does, or why it has ended; "" for one that has
// completed.
func (s *seen) message() string {
	t := s.task.Task
	state := t.State()
	switch {
	case s.ended && state.Status == task.Completed:
		return ""
	case s.ended && state.Result != nil && *state.Result != "":
		return fmt.Sprintf("%s: %s", state.EndReason, *state.Result)
	case s.ended:
		return fmt.Sprintf("%s: the task has ended %s", state.EndReason, state.Status)
	case s.waiting != nil:
		return s.waiting.Message
	case state.InternalStatus != nil && *state.InternalStatus != "":
		return *state.InternalStatus
	default:
		return string(state.Status)
	}
}

// result is the result of a tool, of the protocol's form. The SDK's own type has no
// resultType where it stands inside of a task.
type result struct {
	sdk.ResultBase
	Type       string        `json:"resultType,omitempty"`
	Content    []sdk.Content `json:"content"`
	Structured any           `json:"structuredContent,omitempty"`
	IsError    bool          `json:"isError"`
}

// complete is the resultType of what is no task.
const complete = "complete"

// newResult makes the result of a tool: for programs, and as text for models.
func newResult(structured any, text string) *result {
	return &result{Type: complete, Structured: structured, Content: []sdk.Content{&sdk.TextContent{Text: text}}}
}

// view is a turn as the tools tell it.
type view struct {
	TaskID    string         `json:"task_id"`
	Turn      int            `json:"turn"`
	Agent     string         `json:"agent"`
	Status    task.Status    `json:"status"`
	EndReason task.EndReason `json:"end_reason,omitempty"`
	// Message says what it does or waits for, or why it failed.
	Message   string     `json:"message,omitempty"`
	Result    any        `json:"result,omitempty"`
	Questions []question `json:"questions,omitempty"`
	Files     []file     `json:"files,omitempty"`
	CreatedAt task.Stamp `json:"created_at"`
	UpdatedAt task.Stamp `json:"updated_at"`
}

type question struct {
	ID       string            `json:"question_id"`
	Kind     task.ApprovalKind `json:"kind"`
	Title    string            `json:"title,omitempty"`
	Message  string            `json:"message,omitempty"`
	ToolName string            `json:"tool_name,omitempty"`
	Payload  json.RawMessage   `json:"payload,omitempty"`
	Schema   json.RawMessage   `json:"schema,omitempty"`
	Deadline task.Stamp        `json:"deadline,omitzero"`
}

type file struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	Type string `json:"content_type"`
	Size int64  `json:"size"`
}

// result shows a turn as the result of a tool.
func (f *face) result(s seen) (*result, error) {
	t := s.task.Task
	state := t.State()
	v := view{
		TaskID: t.ID, Turn: s.turn.Number, Agent: t.AgentID, Status: state.Status, EndReason: state.EndReason,
		Message: s.message(), CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt,
	}
	r := newResult(nil, "")
	for _, o := range s.outputs {
		x := file{o.Name, f.Shelf.URL(s.turn.Organization, files.Ref(o.File, o.Name)), o.ContentType, o.Size}
		v.Files = append(v.Files, x)
		r.Content = append(r.Content, &sdk.ResourceLink{URI: x.URL, Name: x.Name, MIMEType: x.Type, Size: &x.Size})
	}
	var text string
	switch {
	case s.ended && state.Status == task.Completed:
		if state.Result != nil {
			text, v.Result = *state.Result, *state.Result
			if structured, err := s.structured(text); err != nil || structured != nil {
				if v.Result = structured; err != nil {
					return nil, err
				}
			}
		}
	case s.ended:
		text, r.IsError = v.Message, true
	default:
		text = f.unfinished(&v, s)
	}
	r.Structured, r.Content[0] = v, &sdk.TextContent{Text: text}
	return r, nil
}

// structured is a result that was asked for as JSON, nil for any other.
func (s *seen) structured(text string) (json.RawMessage, error) {
	var spec task.Spec
	if err := json.Unmarshal(s.task.Spec, &spec); err != nil {
		return nil, fmt.Errorf("spec of task %s: %w", s.turn.Task, err)
	}
	if f := spec.OutputFormat; f == nil || *f != "json" || !json.Valid([]byte(text)) {
		return nil, nil
	}
	return json.RawMessage(text), nil
}

// unfinished says to a model what to do about a turn that has not ended, and adds to
// the view what it asks.
func (f *face) unfinished(v *view, s seen) string {
	if len(s.questions) == 0 {
		return fmt.Sprintf("Task %s has not ended: %s. It goes on by itself; call get_task with task_id %q for its result.", v.TaskID, v.Message, v.TaskID)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Task %s waits for an answer. Ask the user, and call answer_task with task_id %q and the question_id.", v.TaskID, v.TaskID)
	for _, a := range s.questions {
		v.Questions = append(v.Questions, question{a.ID, a.Kind, a.Title, a.Message, a.ToolName, a.Payload, a.Schema, a.Deadline})
		fmt.Fprintf(&b, "\n\nquestion_id %s (%s): %s", a.ID, a.Kind, wording(a))
	}
	return b.String()
}

// wording is what is asked, for a person.
func wording(a task.Approval) string {
	var parts []string
	for _, text := range []string{a.Title, a.Message} {
		if text != "" {
			parts = append(parts, text)
		}
	}
	if a.ToolName != "" {
		parts = append(parts, "Tool: "+a.ToolName)
	}
	if len(a.Payload) > 0 {
		parts = append(parts, string(a.Payload))
	}
	return strings.Join(parts, "\n")
}
