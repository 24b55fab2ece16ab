package agui

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// request asks for a run. All of the conversation comes each time.
type request struct {
	ThreadID        string            `json:"threadId"`
	RunID           string            `json:"runId"`
	ProtocolVersion string            `json:"protocolVersion"`
	State           json.RawMessage   `json:"state"`
	Messages        []json.RawMessage `json:"messages"`
	Tools           []struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
	} `json:"tools"`
	Context []struct {
		Description string `json:"description"`
		Value       string `json:"value"`
	} `json:"context"`
	ForwardedProps json.RawMessage `json:"forwardedProps"`
	Resume         []resume        `json:"resume"`

	messages []message
}

// message is a message of the conversation.
type message struct {
	ID         string          `json:"id"`
	Role       string          `json:"role"`
	Content    json.RawMessage `json:"content"`
	ToolCallID string          `json:"toolCallId"`
	Error      string          `json:"error"`
}

// part is a part of a message's content.
type part struct {
	Type   string `json:"type"`
	Text   string `json:"text"`
	Source struct {
		Type     string `json:"type"`
		Value    string `json:"value"`
		MimeType string `json:"mimeType"`
	} `json:"source"`
	Metadata json.RawMessage `json:"metadata"`
}

// read reads a request.
func read(body []byte) (*request, error) {
	var q request
	if err := edge.Decode(body, &q); err != nil {
		return nil, err
	}
	switch {
	case q.ThreadID == "":
		return nil, fault.Field("threadId", "must name the conversation")
	case q.RunID == "":
		return nil, fault.Field("runId", "must name the run")
	}
	q.messages = make([]message, len(q.Messages))
	for i, raw := range q.Messages {
		if err := json.Unmarshal(raw, &q.messages[i]); err != nil || q.messages[i].Role == "" {
			return nil, fault.Field(fmt.Sprintf("messages[%d]", i), "must be a message, with a role")
		}
	}
	return &q, nil
}

// taskID is the id of the task whose turns are the runs of a thread.
func taskID(thread string) string { return edge.ChatTask("agui-", thread) }

// key is the idempotency key of a run.
func (q *request) key() string {
	if len(q.RunID) <= 255 {
		return q.RunID
	}
	return "run-" + edge.Sum(q.RunID)
}

// parts are those of a message's content, and its text.
func (m message) parts() (text string, rest []part, err error) {
	if len(m.Content) == 0 || string(m.Content) == "null" || json.Unmarshal(m.Content, &text) == nil {
		return text, nil, nil
	}
	var all []part
	if err := json.Unmarshal(m.Content, &all); err != nil {
		return "", nil, fault.Field("messages.content", "must be text, or a list of parts")
	}
	var words []string
	for _, p := range all {
		if p.Type == "text" {
			words = append(words, p.Text)
		} else {
			rest = append(rest, p)
		}
	}
	return strings.Join(words, "\n\n"), rest, nil
}

// asks is the id of the message that asks for the run, the user's last.
func (q *request) asks() string {
	for _, m := range slices.Backward(q.messages) {
		if m.Role == "user" {
			return m.ID
		}
	}
	return ""
}

// news are the messages of the user behind what the thread knows: what this server has
// said, and the message that began its last turn. Of a thread that knows none of them
// they are those at the end; what stands before is its history.
func (q *request) news(known string) (news, history []message) {
	from := len(q.messages)
	for from > 0 {
		m := q.messages[from-1]
		if _, _, own := ownMessage(m.ID); own || known != "" && m.ID == known || m.Role == "assistant" {
			break
		}
		from--
	}
	for _, m := range q.messages[from:] {
		if m.Role == "user" {
			news = append(news, m)
		}
	}
	return news, q.messages[:from]
}

// extension is what a worker finds of the request in the task's payload_extension, and
// this server the message that began the turn.
type extension struct {
	AGUI struct {
		Message        string          `json:"message"`
		State          json.RawMessage `json:"state,omitempty"`
		ForwardedProps json.RawMessage `json:"forwardedProps,omitempty"`
	} `json:"agui"`
}

// began is the id of the message that began the task's last turn, "" if none did.
func began(s lifecycle.Snapshot) string {
	var x extension
	_ = json.Unmarshal(s.Task.State().PayloadExtension, &x) // another client's has none
	return x.AGUI.Message
}

// submission is the request as the next turn of its thread, of which s is what there is. A
// runId names a run of its thread, and another one of others.
func (q *request) submission(ctx context.Context, shelf *files.Shelf, a agent.Agent, s lifecycle.Snapshot) (sub lifecycle.Submission, err error) {
	news, history := q.news(began(s))
	if last := len(q.messages) - 1; len(news) == 0 && last >= 0 && q.messages[last].Role == "user" {
		news = q.messages[last:] // it is asked anew
	}
	prompt, given, err := asked(ctx, shelf, news)
	if err != nil {
		return sub, err
	}
	results, err := q.results(s.Task.State().OpenCalls)
	if err != nil {
		return sub, err
	}
	if prompt == "" && len(given) == 0 && len(results) == 0 {
		return sub, fault.Field("messages", "say nothing new: the run is to begin with a message of the user's, or a tool's result")
	}
	if s.Task.ID != "" {
		history = nil // the task knows it
	}
	more, err := q.context(history)
	if err != nil {
		return sub, err
	}
	var x extension
	x.AGUI.Message, x.AGUI.State, x.AGUI.ForwardedProps = q.asks(), something(q.State), something(q.ForwardedProps)
	sub = lifecycle.Submission{
		Spec: task.Spec{
			ID: taskID(q.ThreadID), AgentID: a.ID, Input: task.Input{Text: &prompt, Files: given}, ThinkMode: "default", EventsStreaming: true,
			IdempotencyKey: new(q.key()), ToolResults: results,
		},
		State: task.State{Source: "ag-ui", AdditionalContext: more}, Route: "POST /agui/agents/" + a.ID + " " + taskID(q.ThreadID),
	}
	if a.Record.Runtime == agent.Model { // nobody else can call them
		for _, t := range q.Tools {
			sub.Spec.ClientTools = append(sub.Spec.ClientTools, task.ClientTool{Name: t.Name, Description: t.Description, InputSchema: something(t.Parameters)})
		}
	}
	if sub.State.PayloadExtension, err = json.Marshal(x); err != nil {
		return sub, err
	}
	sub.Body, err = json.Marshal([]string{q.ThreadID, q.asks(), prompt}) // the rest may change while the run goes on
	return sub, err
}

// something is JSON that says anything: null, {} and [] are nothing.
func something(raw json.RawMessage) json.RawMessage {
	switch string(raw) {
	case "null", "{}", "[]":
		return nil
	}
	return raw
}

// asked is what messages of the user's ask, with the URLs of their files.
func asked(ctx context.Context, shelf *files.Shelf, news []message) (prompt string, urls []string, err error) {
	var words []string
	for _, m := range news {
		text, parts, err := m.parts()
		if err != nil {
			return "", nil, err
		}
		if text != "" {
			words = append(words, text)
		}
		for _, p := range parts {
			url, err := p.file(ctx, shelf)
			if err != nil {
				return "", nil, err
			}
			urls = append(urls, url)
		}
	}
	return strings.Join(words, "\n\n"), urls, nil
}

// file is the URL of a part's file. One that came with the request is stored.
func (p part) file(ctx context.Context, shelf *files.Shelf) (string, error) {
	var named struct {
		Filename string `json:"filename"`
	}
	_ = json.Unmarshal(p.Metadata, &named) // it may be anything
	const field = "messages.content.source"
	switch p.Source.Type {
	case "url":
		return edge.KeepURL(ctx, shelf, p.Source.Value, named.Filename, field+".value")
	case "data":
		return edge.Inline{Name: named.Filename, Type: p.Source.MimeType, Data: p.Source.Value}.Keep(ctx, shelf, field+".value")
	default:
		return "", fault.Field(field, "must be of type url or data, not %q, for a part of type %q", p.Source.Type, p.Type)
	}
}

// results are what came of calls that the last turn has left open.
func (q *request) results(open []task.OpenCall) (results []task.ToolResult, err error) {
	for _, c := range open {
		for _, m := range slices.Backward(q.messages) {
			if m.Role != "tool" || m.ToolCallID != c.ID {
				continue
			}
			text, _, err := m.parts()
			if err != nil {
				return nil, err
			}
			if m.Error != "" && text == "" {
				text = m.Error
			}
			results = append(results, task.ToolResult{CallID: c.ID, Content: text, IsError: m.Error != ""})
			break
		}
	}
	return results, nil
}

// context is what the agent is told beside the prompt: the client's context, what is
// said by system and developer, and a history that the task does not have.
func (q *request) context(history []message) (*string, error) {
	var parts []string
	for _, c := range q.Context {
		parts = append(parts, strings.TrimPrefix(c.Description+": "+c.Value, ": "))
	}
	var said []string
	for i, m := range q.messages {
		text, _, err := m.parts()
		if err != nil {
			return nil, err
		}
		switch {
		case text == "":
		case m.Role == "system" || m.Role == "developer":
			parts = append(parts, text)
		case i < len(history) && (m.Role == "user" || m.Role == "assistant"):
			said = append(said, m.Role+": "+text)
		}
	}
	return edge.Background(parts, said), nil
}
