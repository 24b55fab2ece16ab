package aisdk

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/errand-dev/errand/server/internal/httpapi/story"
	"github.com/errand-dev/errand/server/internal/task"
)

// chunk is a piece of the stream, with the members that its type has.
type chunk struct {
	Type             string          `json:"type"`
	ID               string          `json:"id,omitempty"`
	MessageID        string          `json:"messageId,omitempty"`
	Delta            string          `json:"delta,omitempty"`
	ToolCallID       string          `json:"toolCallId,omitempty"`
	ToolName         string          `json:"toolName,omitempty"`
	Input            json.RawMessage `json:"input,omitempty"`
	Output           json.RawMessage `json:"output,omitempty"`
	Dynamic          bool            `json:"dynamic,omitempty"`
	ProviderExecuted bool            `json:"providerExecuted,omitempty"`
	ApprovalID       string          `json:"approvalId,omitempty"`
	Data             any             `json:"data,omitempty"`
	ErrorText        string          `json:"errorText,omitempty"`
	URL              string          `json:"url,omitempty"`
	MediaType        string          `json:"mediaType,omitempty"`
	Reason           string          `json:"reason,omitempty"`
	FinishReason     string          `json:"finishReason,omitempty"`
	Metadata         *metadata       `json:"messageMetadata,omitempty"`
}

// metadata is what a message says of its turn.
type metadata struct {
	TaskID string      `json:"task_id"`
	Turn   int         `json:"turn"`
	Status task.Status `json:"status"`
	Usage  *usage      `json:"usage,omitempty"`
}

// usage is what all models have used.
type usage struct {
	Input  int64 `json:"inputTokens"`
	Output int64 `json:"outputTokens"`
	Total  int64 `json:"totalTokens"`
}

// message is an answer as its client is told of it: a fold of the turn's log, or of several
// turns that the caller's tools join.
type message struct {
	story.Fold
	task string
	// id is the message's. One that the client has goes on if it is the same.
	id string
	// url is that of an output file.
	url func(task.Output) string

	turn    int
	out     []chunk
	running bool            // a step is
	texts   bool            // it has texts, which may become void
	kept    []chunk         // what else it has, each thought in one piece
	thought strings.Builder // what the running one has said
	calls   map[string]bool // of it: true until their result has come
	asked   map[string]bool // questions that were told
}

// add takes the next event of the log, and returns what the client is told then.
func (m *message) add(e task.Event) (out []chunk, more bool, err error) {
	m.out = nil
	switch {
	case m.turn == 0:
		m.To, m.asked = m, map[string]bool{}
		m.out = append(m.out, chunk{Type: "start", MessageID: m.id})
	case e.Turn > m.turn:
		m.finish()
	}
	m.turn = e.Turn
	more, err = m.Add(e)
	return m.out, more, err
}

// say says what belongs to a step.
func (m *message) say(c chunk) {
	if !m.running {
		m.running, m.texts, m.kept, m.calls = true, false, nil, map[string]bool{}
		m.out = append(m.out, chunk{Type: "start-step"})
	}
	m.out = append(m.out, c)
	switch c.Type {
	case "text-start", "text-delta", "text-end":
		m.texts = true
	case "reasoning-delta":
		m.thought.WriteString(c.Delta)
	case "reasoning-end":
		m.kept = append(m.kept, chunk{Type: "reasoning-delta", ID: c.ID, Delta: m.thought.String()}, c)
		m.thought.Reset()
	default:
		m.kept = append(m.kept, c)
	}
}

func (m *message) finish() {
	if m.running {
		m.out = append(m.out, chunk{Type: "finish-step"})
	}
	m.running = false
}

// next begins another step when the calls of the last one are over. What is void can be
// taken out of the running step only, so one with texts goes on.
func (m *message) next() {
	if !m.running || m.texts || len(m.calls) == 0 {
		return
	}
	for _, waits := range m.calls {
		if waits {
			return
		}
	}
	m.finish()
}

func partID(p story.Part) (kind, id string) {
	if p.Kind == story.Thought {
		return "reasoning", fmt.Sprintf("think_%d", p.Seq)
	}
	return "text", fmt.Sprintf("msg_%d", p.Seq)
}

// Begins implements story.Teller, as the methods below do.
func (m *message) Begins(p story.Part) {
	m.next()
	kind, id := partID(p)
	m.say(chunk{Type: kind + "-start", ID: id})
}

// Goes tells how a part goes on.
func (m *message) Goes(p story.Part, text string) {
	kind, id := partID(p)
	m.say(chunk{Type: kind + "-delta", ID: id, Delta: text})
}

// Over tells that a part is over.
func (m *message) Over(p story.Part) {
	kind, id := partID(p)
	m.say(chunk{Type: kind + "-end", ID: id})
}

// TakesBack takes the texts out of the running step: all of it goes, and the rest comes
// again.
func (m *message) TakesBack() {
	if !m.running || !m.texts {
		return
	}
	m.out = append(append(m.out, chunk{Type: "reset-step"}), m.kept...)
	m.texts = false
}

// Calls tells of a call. One that the client is to carry out is a call of its own tools.
func (m *message) Calls(c story.Call) {
	m.next()
	m.input(c.ID, c.Name, c.Arguments, !c.Theirs)
	m.calls[c.ID] = !c.Theirs
}

func (m *message) input(id, name string, input json.RawMessage, ours bool) {
	m.say(chunk{Type: "tool-input-start", ToolCallID: id, ToolName: name, Dynamic: ours, ProviderExecuted: ours})
	m.say(chunk{Type: "tool-input-available", ToolCallID: id, ToolName: name, Input: input, Dynamic: ours, ProviderExecuted: ours})
}

// Came tells what came of a call.
func (m *message) Came(r story.Result) {
	if r.IsError {
		m.say(chunk{Type: "tool-output-error", ToolCallID: r.ID, ErrorText: cmp.Or(r.Words(), "It has failed.")})
	} else {
		m.say(chunk{Type: "tool-output-available", ToolCallID: r.ID, Output: r.Content})
	}
	if m.calls[r.ID] {
		m.calls[r.ID] = false
	}
}

// Plans tells of the plan.
func (m *message) Plans(plan json.RawMessage) {
	m.say(chunk{Type: "data-errand", ID: "plan", Data: map[string]any{"plan": plan}})
}

// Child tells of a sub-task.
func (m *message) Child(c story.Child) {
	m.say(chunk{Type: "data-errand", ID: "task-" + c.ID, Data: map[string]any{"sub_task": c}})
}

// question tells of a question that no call is about, as a call that waits for approval:
// a client knows nothing else that it could ask.
func (m *message) question(q story.Question) {
	input, err := json.Marshal(struct {
		Title   string          `json:"title,omitempty"`
		Message string          `json:"message,omitempty"`
		Payload json.RawMessage `json:"payload,omitempty"`
		Schema  json.RawMessage `json:"schema,omitempty"`
	}{q.Title, q.Message, q.Payload, q.Schema})
	if err == nil && !m.asked[q.ID] { // it is made of JSON
		m.input(q.ID, cmp.Or(q.ToolName, string(q.Kind)), input, true)
	}
	m.asked[q.ID] = true
}

// Answers tells what has come of a question that no call is about. Of any other its call's
// result tells.
func (m *message) Answers(q story.Question) {
	if q.Call != "" {
		return
	}
	for _, id := range m.Since {
		m.asked[id] = true // the client knows it
	}
	m.question(q)
	a := q.Answered
	switch {
	case a == nil:
		m.say(chunk{Type: "tool-output-error", ToolCallID: q.ID, ErrorText: "Nobody has answered in time."})
	case a.Answer == task.Decline:
		m.say(chunk{Type: "tool-output-denied", ToolCallID: q.ID})
	default:
		output, err := json.Marshal(a.Reply)
		if err == nil { // it is made of JSON
			m.say(chunk{Type: "tool-output-available", ToolCallID: q.ID, Output: output})
		}
	}
}

// Waits ends the stream with the questions. The client answers them with the next message.
func (m *message) Waits(asked []story.Question) {
	for _, q := range asked {
		call := q.Call
		if call == "" {
			m.question(q)
			call = q.ID
		}
		m.say(chunk{Type: "tool-approval-request", ApprovalID: q.ID, ToolCallID: call})
	}
	m.end("tool-calls", &metadata{m.task, m.turn, task.Paused, nil})
}

func (m *message) end(reason string, about *metadata) {
	m.finish()
	m.out = append(m.out, chunk{Type: "finish", FinishReason: reason, Metadata: about})
}

// Ends tells how the turn has ended.
func (m *message) Ends(e story.End) {
	about := &metadata{m.task, m.turn, e.Status, nil}
	for _, u := range e.Used {
		if about.Usage == nil {
			about.Usage = &usage{}
		}
		about.Usage.Input += u.Prompt
		about.Usage.Output += u.Completion
		about.Usage.Total += u.Prompt + u.Completion
	}
	for _, o := range e.Outputs {
		kind, _, _ := strings.Cut(o.ContentType, ";")
		m.say(chunk{Type: "file", URL: m.url(o), MediaType: kind})
	}
	switch {
	case e.Status == task.Completed && len(e.Open) > 0:
		m.end("tool-calls", about)
	case e.Status == task.Completed:
		m.end("stop", about)
	case e.Status == task.Stopped:
		m.finish()
		m.out = append(m.out, chunk{Type: "abort", Reason: e.Words()})
		m.end("interrupted", about)
	default:
		m.finish()
		m.out = append(m.out, chunk{Type: "error", ErrorText: e.Words()})
	}
}
