package xpander

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/errand-dev/errand/internal/fault"
	"github.com/errand-dev/errand/internal/httpapi/edge"
	"github.com/errand-dev/errand/internal/task"
)

// thread is a task's activity as the client reads it: one message that it does
// not know makes it answer the whole as plain text, so only known forms go in.
type thread struct {
	ID        string     `json:"id"`
	CreatedAt task.Stamp `json:"created_at"`
	Messages  []any      `json:"messages"`
}

type said struct {
	ID        string     `json:"id"`
	CreatedAt task.Stamp `json:"created_at"`
	Role      string     `json:"role"` // user or agent
	Content   struct {
		Text  string   `json:"text"`
		Files []string `json:"files"`
	} `json:"content"`
}

type toolCall struct {
	ID        string          `json:"id"`
	CreatedAt task.Stamp      `json:"created_at"`
	ToolName  string          `json:"tool_name"`
	Payload   json.RawMessage `json:"payload"`
	IsError   bool            `json:"is_error"`
	Reasoning json.RawMessage `json:"reasoning,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
}

type thought struct {
	ID         string     `json:"id"`
	CreatedAt  task.Stamp `json:"created_at"`
	Type       task.Type  `json:"type"` // think or analyze
	Title      string     `json:"title"`
	Confidence float64    `json:"confidence"`
	Thought    *string    `json:"thought,omitempty"`
	Action     *string    `json:"action,omitempty"`
	Result     *string    `json:"result,omitempty"`
	Analysis   *string    `json:"analysis,omitempty"`
}

// activityPage is how many events one read of the log asks for.
const activityPage = 500

// activity is R12: what was said and done in all turns of a task.
func (r *routes) activity(w http.ResponseWriter, req *http.Request) error {
	ctx := req.Context()
	s, err := r.task(ctx, req.PathValue("task"))
	if err != nil {
		return err
	}
	t := s.Task
	if t.AgentID != req.PathValue("agent") {
		return fault.New(fault.NotFound, "agent %q has no task %q", req.PathValue("agent"), t.ID)
	}
	b := threadBuilder{thread: thread{ID: t.ID, CreatedAt: t.CreatedAt, Messages: []any{}}, calls: map[string]*toolCall{}}
	for after := int64(0); ; {
		events, err := r.Service.Events(ctx, t.OrganizationID, t.ID, after, activityPage)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			data, err := r.Presenter.Data(t.OrganizationID, e)
			if err != nil {
				return err
			}
			b.add(e, data)
			after = e.Seq
		}
	}
	edge.WriteJSON(w, http.StatusOK, b.thread)
	return nil
}

// threadBuilder turns a log into messages.
type threadBuilder struct {
	thread
	calls map[string]*toolCall // by request id
}

func (b *threadBuilder) add(e task.Event, data json.RawMessage) {
	id := fmt.Sprintf("%s_%d", b.ID, e.Seq)
	switch e.Type { //nolint:exhaustive // the others are no activity
	case task.TaskCreated:
		var spec task.Spec
		if json.Unmarshal(data, &spec) == nil {
			b.say(id, e.Time, "user", spec.Input.Text, spec.Input.Files)
		}
	case task.TaskFinished:
		var end struct {
			Result *string `json:"result"`
		}
		if json.Unmarshal(data, &end) == nil && end.Result != nil {
			b.say(id, e.Time, "agent", end.Result, nil)
		}
	case task.ToolCallRequest, task.ToolCallResult:
		b.call(id, e, data)
	case task.Think, task.Analyze:
		x := thought{ID: id, CreatedAt: e.Time, Type: e.Type}
		var given thought
		if json.Unmarshal(data, &given) == nil {
			x.Title, x.Confidence = given.Title, given.Confidence
			x.Thought, x.Action, x.Result, x.Analysis = given.Thought, given.Action, given.Result, given.Analysis
		}
		if x.Title == "" {
			x.Title = string(e.Type)
		}
		b.Messages = append(b.Messages, x)
	}
}

func (b *threadBuilder) say(id string, at task.Stamp, role string, words *string, files []string) {
	m := said{ID: id, CreatedAt: at, Role: role}
	m.Content.Text, m.Content.Files = text(words), append([]string{}, files...)
	b.Messages = append(b.Messages, m)
}

// call shows a tool call once: its result joins the request that it belongs to.
func (b *threadBuilder) call(id string, e task.Event, data json.RawMessage) {
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
		c = &toolCall{ID: id, CreatedAt: e.Time, ToolName: or(x.ToolName, or(x.OperationID, "tool")), Payload: json.RawMessage("null")}
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
