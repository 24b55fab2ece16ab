package v1

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/auth"
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
	ID        string          `json:"id" doc:"Names the message in its task."`
	Role      string          `json:"role" enum:"user,assistant,tool" doc:"Who speaks; tool is a call with its result."`
	Content   string          `json:"content" doc:"The prompt, the result, or what the tool answered."`
	CreatedAt int64           `json:"created_at" doc:"When it was said, in seconds since 1970."`
	Metrics   *Metrics        `json:"metrics,omitempty" doc:"What the turn has used, when that is known."`
	ToolName  string          `json:"tool_name,omitempty" doc:"Which tool was called."`
	Payload   json.RawMessage `json:"payload,omitempty" doc:"What the tool was given."`
	IsError   bool            `json:"is_error,omitempty" doc:"Whether the call failed."`
}

// Activity documents edge.Activity.
type Activity struct {
	ID        string            `json:"id" doc:"The task's id."`
	CreatedAt task.Stamp        `json:"created_at" doc:"When the task was created."`
	Messages  []activityMessage `json:"messages" doc:"What was said and done, in the order of the task's log."`
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

func (r *routes) registerThreads() {
	tags := []string{"threads"}
	add(r, operation{roles: everybody(), Operation: huma.Operation{
		OperationID: "get-thread", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/thread", Tags: tags,
		Summary: "Read a task as a conversation: what each turn was asked and answered",
	}}, func(ctx context.Context, in *TaskPath) (*struct{ Body []Message }, error) {
		s, err := r.Service.Get(ctx, edge.Scope(ctx), in.ID)
		if err != nil {
			return nil, err
		}
		thread, err := r.thread(ctx, s.Task)
		return &struct{ Body []Message }{thread}, err
	})
	add(r, operation{roles: everybody(), Operation: huma.Operation{
		OperationID: "get-full-thread", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/thread/full", Tags: tags,
		Summary:     "Read a task's conversation with its tool calls, and those of its sub-tasks",
		Description: "The member root is the task's own; each other member is named after a sub-task.",
	}}, r.fullThread)
	add(r, operation{roles: everybody(), Operation: huma.Operation{
		OperationID: "get-activity", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/activity", Tags: tags,
		Summary: "Read what was said, called and thought in all turns of a task",
	}}, func(ctx context.Context, in *TaskPath) (*struct{ Body raw[Activity] }, error) {
		s, err := r.Service.Get(ctx, edge.Scope(ctx), in.ID)
		if err != nil {
			return nil, err
		}
		found, err := r.Activity(ctx, s.Task)
		if err != nil {
			return nil, err
		}
		rendered, err := json.Marshal(found)
		return &struct{ Body raw[Activity] }{raw[Activity]{rendered}}, err
	})
}

// thread tells a task's turns as a conversation.
func (r *routes) thread(ctx context.Context, t task.Task) ([]Message, error) {
	turns, err := r.Service.Turns(ctx, t.OrganizationID, t.ID)
	if err != nil {
		return nil, err
	}
	thread := make([]Message, 0, 2*len(turns))
	for _, x := range turns {
		asked := Message{ID: fmt.Sprintf("%s_user_%d", t.ID, x.Number), Role: "user", CreatedAt: x.CreatedAt.Time().Unix()}
		if x.Prompt != nil {
			asked.Content = *x.Prompt
		}
		thread = append(thread, asked)
		if x.FinishedAt == 0 || x.Result == nil {
			continue
		}
		if x.Number == t.Terms.Turn { // more may have been told since the end
			x.Tokens = t.State().Tokens
		}
		thread = append(thread, Message{
			ID: fmt.Sprintf("%s_agent_%d", t.ID, x.Number), Role: "assistant", Content: *x.Result,
			CreatedAt: x.FinishedAt.Time().Unix(), Metrics: metricsOf(x.Tokens),
		})
	}
	return thread, nil
}

func metricsOf(x *task.Tokens) *Metrics {
	if x == nil {
		return nil
	}
	return &Metrics{Input: x.Prompt, Output: x.Completion, Total: x.Prompt + x.Completion}
}

// fullThread adds the calls of tools, and the sub-tasks. A worker's key for
// named agents is told of those agents' sub-tasks only (rule A3).
func (r *routes) fullThread(ctx context.Context, in *TaskPath) (*struct{ Body map[string][]FullMessage }, error) {
	p := edge.Principal(ctx)
	s, err := r.Service.Get(ctx, p.Scope(), in.ID)
	if err != nil {
		return nil, err
	}
	all := map[string][]FullMessage{}
	if all["root"], err = r.messages(ctx, s.Task); err != nil {
		return nil, err
	}
	err = r.Service.Descendants(ctx, p.Scope(), in.ID, func(x lifecycle.Listed) error {
		if p.Role == auth.Worker && !p.MayServe(x.AgentID) {
			return nil
		}
		t, err := r.Service.Task(ctx, p.Scope(), x.ID)
		if err != nil {
			return err
		}
		all[x.ID], err = r.messages(ctx, t)
		return err
	})
	return &struct{ Body map[string][]FullMessage }{all}, err
}

// messages joins what was said in a task with the tools that were called.
func (r *routes) messages(ctx context.Context, t task.Task) ([]FullMessage, error) {
	said, err := r.thread(ctx, t)
	if err != nil {
		return nil, err
	}
	activity, err := r.Activity(ctx, t)
	if err != nil {
		return nil, err
	}
	byID := map[string]Message{}
	for _, m := range said {
		byID[m.ID] = m
	}
	all := make([]FullMessage, 0, len(activity.Messages))
	for _, x := range activity.Messages {
		switch x := x.(type) {
		case *edge.Said:
			if m, ok := byID[fmt.Sprintf("%s_%s_%d", t.ID, x.Role, x.Turn)]; ok {
				all = append(all, FullMessage{ID: m.ID, Role: m.Role, Content: m.Content, CreatedAt: m.CreatedAt, Metrics: m.Metrics})
			}
		case *edge.ToolCall:
			all = append(all, FullMessage{
				ID: x.ID, Role: "tool", Content: plain(x.Result), CreatedAt: x.CreatedAt.Time().Unix(),
				ToolName: x.ToolName, Payload: x.Payload, IsError: x.IsError,
			})
		}
	}
	return all, nil
}

// plain is a JSON text's text, and any other JSON as it is.
func plain(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}
