package edge

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/errand-dev/errand/server/internal/task"
)

// ActivityHead says whose activity it is: what was said and done in all turns of a
// task, as both faces answer it. The Python client takes a whole that holds one message
// of a form that it does not know for plain text, so only forms that it knows go in:
// Said, ToolCall and Thought, in the order of the log.
type ActivityHead struct {
	ID        string     `json:"id" doc:"The task's id."`
	CreatedAt task.Stamp `json:"created_at" doc:"When the task was created."`
}

// Said is what the user asked or the agent answered.
type Said struct {
	ID        string      `json:"id" doc:"Names the message in its task."`
	CreatedAt task.Stamp  `json:"created_at" doc:"When it was said."`
	Role      string      `json:"role" enum:"user,agent" doc:"Who said it."`
	Content   SaidContent `json:"content" doc:"What was said."`
	Turn      int         `json:"-"` // of the task
	Seq       int64       `json:"-"` // of the event that it is made of
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
	RequestID string          `json:"request_id,omitempty" doc:"Joins a call with its result where that stands on a later page, as a message of its own."`
	Seq       int64           `json:"-"` // of the event that it is made of
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

// activityTypes are the events that an activity is made of.
func activityTypes() []task.Type {
	return []task.Type{task.TaskCreated, task.TaskFinished, task.ToolCallRequest, task.ToolCallResult, task.Think, task.Analyze}
}

const (
	// activityRead is how many events one read of the log asks for.
	activityRead = 500
	// activityPage and activityHeld bound, in bytes, what a page of an activity
	// holds and what is held of one that is sent piece by piece; either may exceed
	// it by what one read of the log finds.
	activityPage = 1 << 20
	maxActivity  = 4 << 20
)

// ActivityPage reads at most limit messages from a task's log behind an event, fewer
// if they are long, and returns them with the event that the next page is behind, 0
// for none. A call whose result came behind the page stands there without it; the
// result is then a message of its own, with the same request id.
func (k *Core) ActivityPage(ctx context.Context, t task.Task, after int64, limit int) (messages []any, next int64, err error) {
	b := newActivity(t)
	b.pages = true
	for len(b.entries) < limit && b.bytes < activityPage {
		read, err := k.activity(ctx, t, b, after, limit-len(b.entries))
		if err != nil || read == 0 {
			return b.all(), 0, err
		}
		after = read
	}
	more, err := k.Service.Events(ctx, t.OrganizationID, t.ID, after, 1, activityTypes()...)
	if err != nil || len(more) == 0 {
		return b.all(), 0, err
	}
	return b.all(), after, nil
}

// activity reads the next events of a log into messages and returns the last one's
// number, 0 when there was none.
func (k *Core) activity(ctx context.Context, t task.Task, b *activityBuilder, after int64, limit int) (last int64, err error) {
	events, err := k.Service.Events(ctx, t.OrganizationID, t.ID, after, limit, activityTypes()...)
	if err != nil {
		return 0, err
	}
	for _, e := range events {
		data, err := k.Presenter.Data(t.OrganizationID, e)
		if err != nil {
			return 0, err
		}
		b.add(e, data)
		last = e.Seq
	}
	return last, nil
}

// WriteActivity writes all of a task's activity, piece by piece: it holds no more
// than a few mebibytes of it. A call whose result comes that far behind it stands
// twice, the second time with its result. An error is answered only by what was read
// first; later ones cut the connection, so that half an activity is not taken for
// whole.
func (k *Core) WriteActivity(ctx context.Context, w http.ResponseWriter, t task.Task) error {
	b := newActivity(t)
	after, err := k.activity(ctx, t, b, 0, activityRead)
	if err != nil {
		return err
	}
	begin, err := json.Marshal(ActivityHead{t.ID, t.CreatedAt})
	if err != nil {
		return err
	}
	WriteList(ctx, w, k.Log, string(begin[:len(begin)-1])+`,"messages":[`, "]}", func(yield func(any, error) bool) {
		for after > 0 {
			for b.bytes > maxActivity {
				if !yield(b.shift(), nil) {
					return
				}
			}
			if after, err = k.activity(ctx, t, b, after, activityRead); err != nil {
				yield(nil, err)
				return
			}
		}
		for len(b.entries) > 0 && yield(b.shift(), nil) {
		}
	})
	return nil
}

// activityBuilder turns a log into messages.
type activityBuilder struct {
	task    string
	entries []*entry
	bytes   int               // bytes of the entries
	calls   map[string]*entry // by request id, of those that are here
	pages   bool              // what joins a call with its result is told
}

// entry is a message: *Said, *ToolCall or *Thought.
type entry struct {
	message any
	request string // of a call
	size    int    // in bytes, about
}

func newActivity(t task.Task) *activityBuilder {
	return &activityBuilder{task: t.ID, calls: map[string]*entry{}}
}

func (b *activityBuilder) all() []any {
	all := make([]any, len(b.entries))
	for i, x := range b.entries {
		all[i] = x.message
	}
	return all
}

// shift gives up the first message.
func (b *activityBuilder) shift() any {
	first := b.entries[0]
	b.entries[0], b.entries, b.bytes = nil, b.entries[1:], b.bytes-first.size
	if b.calls[first.request] == first {
		delete(b.calls, first.request)
	}
	return first.message
}

// push adds a message that was made of so many bytes.
func (b *activityBuilder) push(message any, size int) *entry {
	x := &entry{message: message, size: size + messageSize}
	b.entries, b.bytes = append(b.entries, x), b.bytes+x.size
	return x
}

// messageSize is about what a message takes beside its texts.
const messageSize = 256

func (b *activityBuilder) add(e task.Event, data json.RawMessage) {
	id := fmt.Sprintf("%s_%d", b.task, e.Seq)
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
		b.push(&x, len(data))
	}
}

func (b *activityBuilder) say(id string, e task.Event, role string, words *string, files []string) {
	m := &Said{ID: id, CreatedAt: e.Time, Role: role, Turn: e.Turn, Seq: e.Seq}
	if m.Content.Files = append([]string{}, files...); words != nil {
		m.Content.Text = *words
	}
	size := len(m.Content.Text)
	for _, url := range files {
		size += len(url)
	}
	b.push(m, size)
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
	call := b.calls[x.RequestID]
	if call == nil || e.Type == task.ToolCallRequest {
		c := &ToolCall{ID: id, CreatedAt: e.Time, ToolName: cmp.Or(x.ToolName, x.OperationID, "tool"), Payload: json.RawMessage("null"), Seq: e.Seq}
		if b.pages {
			c.RequestID = x.RequestID
		}
		call = b.push(c, 0)
		if call.request = x.RequestID; x.RequestID != "" {
			b.calls[x.RequestID] = call
		}
	}
	call.size, b.bytes = call.size+len(data), b.bytes+len(data)
	c, _ := call.message.(*ToolCall)
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
