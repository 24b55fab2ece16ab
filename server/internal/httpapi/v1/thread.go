package v1

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// Message is one message of a thread.
type Message struct {
	ID        string   `json:"id" doc:"Names the message: the task, who speaks, and the turn." example:"task-1_agent_1"`
	Role      string   `json:"role" enum:"user,assistant" doc:"Who speaks: the user asks, the assistant answers."`
	Content   string   `json:"content" doc:"The prompt, or the result."`
	CreatedAt int64    `json:"created_at" doc:"When it was said, in seconds since 1970."`
	Metrics   *Metrics `json:"metrics,omitempty" doc:"What the turn has used, when that is known."`
}

// Metrics are the model tokens of a turn.
type Metrics struct {
	Input  int64 `json:"input_tokens" doc:"Tokens that the model read."`
	Output int64 `json:"output_tokens" doc:"Tokens that the model wrote."`
	Total  int64 `json:"total_tokens" doc:"Both together."`
}

// FullMessage is one message of a thread that also shows tools at work.
type FullMessage struct {
	TaskID    string          `json:"task_id" doc:"Whose message it is: the task's, or a sub-task's."`
	ID        string          `json:"id" doc:"Names the message in its task."`
	Role      string          `json:"role" enum:"user,assistant,tool" doc:"Who speaks; tool is a call with its result."`
	Content   string          `json:"content" doc:"The prompt, the result, or what the tool answered."`
	CreatedAt int64           `json:"created_at" doc:"When it was said, in seconds since 1970."`
	Metrics   *Metrics        `json:"metrics,omitempty" doc:"What the turn has used, when that is known."`
	ToolName  string          `json:"tool_name,omitempty" doc:"Which tool was called."`
	Payload   json.RawMessage `json:"payload,omitempty" doc:"What the tool was given."`
	IsError   bool            `json:"is_error,omitempty" doc:"Whether the call failed."`
	RequestID string          `json:"request_id,omitempty" doc:"Of a call: joins it with its result where that stands on a later part, as a message of its own."`

	seq int64 // of the event that it is made of
}

// Thread is a part of a task's conversation.
type Thread struct {
	Items      []Message `json:"items" doc:"What was asked and answered, in order. A turn's two stand together."`
	NextCursor *string   `json:"next_cursor" doc:"Give it as cursor for what follows; null at the end."`
}

// FullThread is a part of the conversations of a task and its sub-tasks.
type FullThread struct {
	Items      []FullMessage `json:"items" doc:"The task's own messages, then those of each sub-task, before its own sub-tasks'; of one task's the newest first."`
	NextCursor *string       `json:"next_cursor" doc:"Give it as cursor for what follows; null at the end."`
}

// Activity documents a part of what was said and done in a task.
type Activity struct {
	edge.ActivityHead
	Items      []activityMessage `json:"items" doc:"What was said and done, in the order of the task's log. A call whose result stands on a later part is joined with it by request_id."`
	NextCursor *string           `json:"next_cursor" doc:"Give it as cursor for what follows; null at the end."`
}

// activityPart is an Activity.
type activityPart struct {
	edge.ActivityHead
	Items      []any   `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// activityMessage documents the forms that a message has.
type activityMessage struct{}

// Schema implements huma.SchemaProvider.
func (activityMessage) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "Something said, a call of a tool, or a thought.",
		AnyOf: []*huma.Schema{
			r.Schema(reflect.TypeFor[edge.Said](), true, ""),
			r.Schema(reflect.TypeFor[edge.ToolCall](), true, ""),
			r.Schema(reflect.TypeFor[edge.Thought](), true, ""),
		},
	}
}

type threadInput struct {
	TaskPath
	Part
}

func (r *routes) registerThreads() {
	tags := []string{"threads"}
	errors := []fault.Code{fault.Malformed}
	add(r, operation{roles: everybody(), errors: errors, Operation: huma.Operation{
		OperationID: "get-thread", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/thread", Tags: tags,
		Summary: "Read a task as a conversation: what each turn was asked and answered",
	}}, r.thread)
	add(r, operation{roles: everybody(), errors: errors, Operation: huma.Operation{
		OperationID: "get-full-thread", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/thread/full", Tags: tags,
		Summary: "Read a task's conversation with its tool calls, and those of its sub-tasks",
	}}, r.fullThread)
	add(r, operation{roles: everybody(), errors: errors, Operation: huma.Operation{
		OperationID: "get-activity", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/activity", Tags: tags,
		Summary: "Read what was said, called and thought in all turns of a task",
	}}, r.activity)
}

// resume finds the task, and behind what of it a part begins.
func (r *routes) resume(ctx context.Context, id string, p Part) (t task.Task, after int64, err error) {
	if t, err = r.Service.Task(ctx, edge.Scope(ctx), id); err == nil {
		after, err = p.in(id)
	}
	return t, after, err
}

func (r *routes) activity(ctx context.Context, in *threadInput) (*struct{ Body raw[Activity] }, error) {
	t, after, err := r.resume(ctx, in.ID, in.Part)
	if err != nil {
		return nil, err
	}
	messages, behind, err := r.ActivityPage(ctx, t, after, in.Limit)
	if err != nil {
		return nil, err
	}
	rendered, err := json.Marshal(activityPart{edge.ActivityHead{ID: t.ID, CreatedAt: t.CreatedAt}, messages, next(in.ID, behind)})
	return &struct{ Body raw[Activity] }{raw[Activity]{rendered}}, err
}

// thread tells a task's turns as a conversation.
func (r *routes) thread(ctx context.Context, in *threadInput) (*struct{ Body Thread }, error) {
	t, after, err := r.resume(ctx, in.ID, in.Part)
	if err != nil {
		return nil, err
	}
	turns, err := r.Service.Turns(ctx, t.OrganizationID, t.ID, int(after), max(1, in.Limit/2))
	if err != nil {
		return nil, err
	}
	part := Thread{Items: make([]Message, 0, 2*len(turns))}
	last := after
	for _, x := range turns {
		asked := Message{ID: messageID(t.ID, "user", x.Number), Role: "user", CreatedAt: x.CreatedAt.Time().Unix()}
		if x.Prompt != nil {
			asked.Content = *x.Prompt
		}
		part.Items = append(part.Items, asked)
		if answered, ok := answerOf(t, x); ok {
			part.Items = append(part.Items, answered)
		}
		last = int64(x.Number)
	}
	if last < int64(t.Terms.Turn) && len(turns) > 0 {
		part.NextCursor = next(in.ID, last)
	}
	return &struct{ Body Thread }{part}, nil
}

// answerOf is what a turn was answered, if it was.
func answerOf(t task.Task, x lifecycle.Turn) (Message, bool) {
	if x.FinishedAt == 0 || x.Result == nil {
		return Message{}, false
	}
	if x.Number == t.Terms.Turn { // more may have been told since the end
		x.Tokens = t.State().Tokens
	}
	return Message{
		ID: messageID(t.ID, "agent", x.Number), Role: "assistant", Content: *x.Result,
		CreatedAt: x.FinishedAt.Time().Unix(), Metrics: metricsOf(x.Tokens),
	}, true
}

// messageID names a turn's question or answer.
func messageID(id, role string, turn int) string { return fmt.Sprintf("%s_%s_%d", id, role, turn) }

func metricsOf(x *task.Tokens) *Metrics {
	if x == nil {
		return nil
	}
	return &Metrics{Input: x.Prompt, Output: x.Completion, Total: x.Prompt + x.Completion}
}

// fullThread adds the calls of tools, and the sub-tasks, task after task. A worker's
// key for named agents is told of those agents' sub-tasks only (rule A3).
func (r *routes) fullThread(ctx context.Context, in *threadInput) (*struct{ Body FullThread }, error) {
	p := edge.Principal(ctx)
	t, after, err := r.place(ctx, in)
	if err != nil {
		return nil, err
	}
	part := FullThread{Items: []FullMessage{}}
	for more, read := true, 0; more; {
		if t.ID == in.ID || p.Role != auth.Worker || p.MayServe(t.AgentID) {
			if len(part.Items) >= in.Limit || read >= partBytes {
				part.NextCursor = nextOf(lifecycle.Cursor{CreatedAt: task.Stamp(after), ID: t.ID})
				break
			}
			var found []FullMessage
			if found, after, err = r.messages(ctx, t, after, in.Limit-len(part.Items)); err != nil {
				return nil, err
			}
			part.Items = append(part.Items, found...)
			for _, m := range found {
				read += len(m.Content) + len(m.Payload)
			}
			if after > 0 {
				continue
			}
		}
		if t, more, err = r.Service.NextBelow(ctx, p.Scope(), in.ID, t); err != nil {
			return nil, err
		}
	}
	return &struct{ Body FullThread }{part}, nil
}

// partBytes bounds what a part of a thread holds; one message more may follow.
const partBytes = 1 << 20

// place finds where a part of a full thread begins: in which task, and behind which
// of its events.
func (r *routes) place(ctx context.Context, in *threadInput) (task.Task, int64, error) {
	scope := edge.Scope(ctx)
	root, err := r.Service.Task(ctx, scope, in.ID)
	if err != nil || in.Cursor == "" {
		return root, 0, err
	}
	c, err := in.place()
	if err != nil || c.CreatedAt < 0 {
		return root, 0, edge.BadCursor()
	}
	t, err := r.Service.Task(ctx, scope, c.ID)
	if err == nil {
		var below bool
		if below, err = r.Service.Below(ctx, scope, in.ID, t); err == nil && !below {
			return root, 0, edge.BadCursor()
		}
	}
	if fault.CodeOf(err) == fault.NotFound { // deleted since
		return root, 0, fault.New(fault.NotFound, "the sub-task %q, with which this part begins, is not there any more", c.ID)
	}
	return t, int64(c.CreatedAt), err
}

// messages joins what was said in a task with the tools that were called: at most
// limit behind an event, fewer if they are long. It returns the event behind which the
// rest is, 0 for none.
func (r *routes) messages(ctx context.Context, t task.Task, after int64, limit int) ([]FullMessage, int64, error) {
	found, behind, err := r.ActivityPage(ctx, t, after, limit)
	if err != nil {
		return nil, 0, err
	}
	var all []FullMessage
	read := 0
	for i, x := range found {
		m, ok, err := r.message(ctx, t, x)
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			continue
		}
		all = append(all, m)
		if read += len(m.Content); read >= 2*partBytes && i+1 < len(found) { // an answer that was put in place of a shorter one
			return all, m.seq, nil
		}
	}
	return all, behind, nil
}

// message shows a message of an activity in a thread, if it has a place there.
func (r *routes) message(ctx context.Context, t task.Task, x any) (FullMessage, bool, error) {
	switch x := x.(type) {
	case *edge.Said:
		m := Message{ID: messageID(t.ID, x.Role, x.Turn), Role: x.Role, Content: x.Content.Text, CreatedAt: x.CreatedAt.Time().Unix()}
		if x.Role == "agent" { // as the turn is now shown
			turns, err := r.Service.Turns(ctx, t.OrganizationID, t.ID, x.Turn-1, 1)
			if err != nil || len(turns) == 0 {
				return FullMessage{}, false, err
			}
			var ok bool
			if m, ok = answerOf(t, turns[0]); !ok {
				return FullMessage{}, false, nil
			}
		}
		return FullMessage{TaskID: t.ID, ID: m.ID, Role: m.Role, Content: m.Content, CreatedAt: m.CreatedAt, Metrics: m.Metrics, seq: x.Seq}, true, nil
	case *edge.ToolCall:
		return FullMessage{
			TaskID: t.ID, ID: x.ID, Role: "tool", Content: plain(x.Result), CreatedAt: x.CreatedAt.Time().Unix(),
			ToolName: x.ToolName, Payload: x.Payload, IsError: x.IsError, RequestID: x.RequestID, seq: x.Seq,
		}, true, nil
	default:
		return FullMessage{}, false, nil
	}
}

// plain is a JSON text's text, and any other JSON as it is.
func plain(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}
