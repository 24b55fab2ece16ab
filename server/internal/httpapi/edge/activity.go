package edge

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/errand-dev/errand/server/internal/task"
)

// Activity is what was said and done in all turns of a task, as both faces
// answer it. The Python client takes a whole that holds one message of a form
// that it does not know for plain text, so only forms that it knows go in.
type Activity struct {
	ID        string     `json:"id" doc:"The task's id."`
	CreatedAt task.Stamp `json:"created_at" doc:"When the task was created."`
	// Messages holds *Said, *ToolCall and *Thought, in the order of the log.
	Messages []any `json:"messages"`
}

// Said is what the user asked or the agent answered.
type Said struct {
	ID        string      `json:"id" doc:"Names the message in its task."`
	CreatedAt task.Stamp  `json:"created_at" doc:"When it was said."`
	Role      string      `json:"role" enum:"user,agent" doc:"Who said it."`
	Content   SaidContent `json:"content" doc:"What was said."`
	Turn      int         `json:"-"` // of the task
}

// SaidContent is a text and the files that came with it.
type SaidContent struct {
	Text  string   `json:"text" doc:"The prompt or the result."`
	Files []string `json:"files" doc:"URLs of the files that came with it."`
}

// ToolCall is a call of a tool with its result, once that is known.
type ToolCall struct {
	ID        string          `json:"id" doc:"Names the message in its task."`
	CreatedAt task.Stamp      `json:"created_at" doc:"When the tool was called."`
	ToolName  string          `json:"tool_name" doc:"Which tool was called."`
	Payload   json.RawMessage `json:"payload" doc:"What it was given; null when that is not known."`
	IsError   bool            `json:"is_error" doc:"Whether the call failed."`
	Reasoning json.RawMessage `json:"reasoning,omitempty" doc:"Why it was called: an object with title and description."`
	Result    json.RawMessage `json:"result,omitempty" doc:"What it answered; absent while it has not."`
}

// Thought is a step of the agent's thinking.
type Thought struct {
	ID         string     `json:"id" doc:"Names the message in its task."`
	CreatedAt  task.Stamp `json:"created_at" doc:"When it was thought."`
	Type       task.Type  `json:"type" enum:"think,analyze" doc:"Whether it plans ahead or looks at what came back."`
	Title      string     `json:"title" doc:"A headline."`
	Confidence float64    `json:"confidence" doc:"How sure the agent is, from 0 to 1."`
	Thought    *string    `json:"thought,omitempty" doc:"What it thought."`
	Action     *string    `json:"action,omitempty" doc:"What it means to do next."`
	Result     *string    `json:"result,omitempty" doc:"What it looked at."`
	Analysis   *string    `json:"analysis,omitempty" doc:"What it makes of that."`
}

// activityPage is how many events one read of the log asks for.
const activityPage = 500

// Activity reads a task's log into messages.
func (k *Kit) Activity(ctx context.Context, t task.Task) (Activity, error) {
	b := activityBuilder{
		Activity: Activity{ID: t.ID, CreatedAt: t.CreatedAt, Messages: []any{}},
		calls:    map[string]*ToolCall{},
	}
	for after := int64(0); ; {
		events, err := k.Service.Events(ctx, t.OrganizationID, t.ID, after, activityPage)
		if err != nil || len(events) == 0 {
			return b.Activity, err
		}
		for _, e := range events {
			data, err := k.Presenter.Data(t.OrganizationID, e)
			if err != nil {
				return b.Activity, err
			}
			b.add(e, data)
			after = e.Seq
		}
	}
}

// activityBuilder turns a log into messages.
type activityBuilder struct {
	Activity
	calls map[string]*ToolCall // by request id
}

func (b *activityBuilder) add(e task.Event, data json.RawMessage) {
	id := fmt.Sprintf("%s_%d", b.ID, e.Seq)
	switch e.Type { //nolint:exhaustive // the others are no activity
	case task.TaskCreated:
		var spec task.Spec
		if json.Unmarshal(data, &spec) == nil {
			b.say(id, e, "user", spec.Input.Text, spec.Input.Files)
		}
	case task.TaskFinished:
		var end struct {
			Result *string `json:"result"`
		}
		if json.Unmarshal(data, &end) == nil && end.Result != nil {
			b.say(id, e, "agent", end.Result, nil)
		}
	case task.ToolCallRequest, task.ToolCallResult:
		b.call(id, e, data)
	case task.Think, task.Analyze:
		x := Thought{ID: id, CreatedAt: e.Time, Type: e.Type}
		var given Thought
		if json.Unmarshal(data, &given) == nil {
			x.Title, x.Confidence = given.Title, given.Confidence
			x.Thought, x.Action, x.Result, x.Analysis = given.Thought, given.Action, given.Result, given.Analysis
		}
		if x.Title == "" {
			x.Title = string(e.Type)
		}
		b.Messages = append(b.Messages, &x)
	}
}

func (b *activityBuilder) say(id string, e task.Event, role string, words *string, files []string) {
	m := &Said{ID: id, CreatedAt: e.Time, Role: role, Turn: e.Turn}
	if m.Content.Files = append([]string{}, files...); words != nil {
		m.Content.Text = *words
	}
	b.Messages = append(b.Messages, m)
}

// call shows a tool call once: its result joins the request that it belongs to.
func (b *activityBuilder) call(id string, e task.Event, data json.RawMessage) {
	var x struct {
		RequestID   string          `json:"request_id"`
		OperationID string          `json:"operation_id"`
		ToolName    string          `json:"tool_name"`
		Payload     json.RawMessage `json:"payload"`
		Reasoning   json.RawMessage `json:"reasoning"`
		Result      json.RawMessage `json:"result"`
		IsError     bool            `json:"is_error"`
	}
	if json.Unmarshal(data, &x) != nil {
		return
	}
	c := b.calls[x.RequestID]
	if c == nil || e.Type == task.ToolCallRequest {
		c = &ToolCall{ID: id, CreatedAt: e.Time, ToolName: cmp.Or(x.ToolName, x.OperationID, "tool"), Payload: json.RawMessage("null")}
		if x.RequestID != "" {
			b.calls[x.RequestID] = c
		}
		b.Messages = append(b.Messages, c)
	}
	if len(x.Payload) > 0 {
		c.Payload = x.Payload
	}
	if len(x.Reasoning) > 0 && x.Reasoning[0] == '{' {
		c.Reasoning = x.Reasoning
	}
	if e.Type == task.ToolCallResult {
		c.Result, c.IsError = x.Result, x.IsError
	}
}
