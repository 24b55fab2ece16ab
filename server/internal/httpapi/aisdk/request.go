package aisdk

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// request sends a message to a chat. All of the conversation comes each time.
type request struct {
	ID        string `json:"id"`
	Messages  []said `json:"messages"`
	Trigger   string `json:"trigger"`
	MessageID string `json:"messageId"`
	// Tools are the caller's. The transport has no place for them: they are an extra member
	// of its body.
	Tools []task.ClientTool `json:"client_tools"`

	// what is what it says, by which one that is sent twice is known.
	what string
}

// said is a message of the conversation.
type said struct {
	ID    string `json:"id"`
	Role  string `json:"role"`
	Parts []part `json:"parts"`
}

// part is a part of a message, with the members that its type has.
type part struct {
	Type string `json:"type"`
	Text string `json:"text"`
	// Of a file.
	URL      string `json:"url"`
	Filename string `json:"filename"`
	// Of a call.
	ToolCallID string          `json:"toolCallId"`
	State      string          `json:"state"`
	Output     json.RawMessage `json:"output"`
	ErrorText  string          `json:"errorText"`
	Approval   *struct {
		ID       string `json:"id"`
		Approved *bool  `json:"approved"`
		Reason   string `json:"reason"`
	} `json:"approval"`
}

// What a request is sent for.
const (
	submits     = "submit-message"
	regenerates = "regenerate-message"
)

// read reads a request.
func read(body []byte) (*request, error) {
	q := request{Trigger: submits}
	if err := edge.Decode(body, &q); err != nil {
		return nil, err
	}
	switch {
	case q.ID == "":
		return nil, fault.Field("id", "must name the chat")
	case len(q.Messages) == 0:
		return nil, fault.Field("messages", "must not be empty")
	case q.Trigger != submits && q.Trigger != regenerates:
		return nil, fault.Field("trigger", "must be %s or %s", submits, regenerates)
	}
	what, err := json.Marshal([]any{q.ID, q.Trigger, q.MessageID, q.last()})
	q.what = edge.Sum(string(what))
	return &q, err
}

// taskID is the id of the task whose turns are the answers of a chat.
func taskID(chat string) string { return edge.ChatTask("aisdk-", chat) }

// last is the message at the end.
func (q *request) last() said { return q.Messages[len(q.Messages)-1] }

// text is what a message says.
func (m said) text() string {
	var words []string
	for _, p := range m.Parts {
		if p.Type == "text" && p.Text != "" {
			words = append(words, p.Text)
		}
	}
	return strings.Join(words, "\n\n")
}

// extension is where the message that began a turn stands in its task.
type extension struct {
	AISDK struct {
		Message string `json:"message"`
	} `json:"aisdk"`
}

// news are the messages of the user behind what the chat knows: the answers, and the
// message that began its last turn. What stands before is its history.
func (q *request) news(s lifecycle.Snapshot) (news, history []said) {
	var x extension
	_ = json.Unmarshal(s.Task.State().PayloadExtension, &x) // another client's has none
	from := len(q.Messages)
	for from > 0 && q.Messages[from-1].Role != "assistant" && (x.AISDK.Message == "" || q.Messages[from-1].ID != x.AISDK.Message) {
		from--
	}
	if from == len(q.Messages) && q.last().Role == "user" { // it is asked anew, or sent twice
		from--
	}
	for _, m := range q.Messages[from:] {
		if m.Role == "user" {
			news = append(news, m)
		}
	}
	return news, q.Messages[:from]
}

// key is the request's own idempotency key as the one that begins a turn, of that number:
// a message that is edited or answered anew may be so again, in the same words.
func (q *request) key(turn int) string {
	if q.Trigger == regenerates || q.MessageID != "" && q.last().Role == "user" {
		return fmt.Sprintf("aisdk-%s-%d", q.what, turn)
	}
	return "aisdk-" + q.what
}

// repeats reports whether the request is the one that began the last turn. Of one that
// wants another answer nothing tells that, once there is an answer.
func (q *request) repeats(s lifecycle.Snapshot) bool {
	spec, _, err := s.Asked()
	known := s.Task.ID != "" && err == nil && spec.IdempotencyKey != nil && *spec.IdempotencyKey == q.key(s.Task.Terms.Turn)
	return known && (q.Trigger == submits || s.Task.Ended() == "")
}

// submission is the request as the next turn of its chat, of which s is what there is.
func (q *request) submission(ctx context.Context, shelf *files.Shelf, agent, key string, s lifecycle.Snapshot) (sub lifecycle.Submission, err error) {
	news, history := q.news(s)
	prompt, given, err := asked(ctx, shelf, news)
	if err != nil {
		return sub, err
	}
	results := q.results(s.Task.State().OpenCalls)
	if prompt == "" && len(given) == 0 && len(results) == 0 {
		return sub, fault.Field("messages", "say nothing new: the last is to be the user's, or one with what came of your tools' calls, or of approvals that are open")
	}
	if s.Task.ID != "" {
		history = nil // the task knows it
	}
	sub = lifecycle.Submission{
		Spec: task.Spec{
			ID: taskID(q.ID), AgentID: agent, Input: task.Input{Text: &prompt, Files: given}, EventsStreaming: true, ClientTools: q.Tools, ToolResults: results,
			IdempotencyKey: &key,
		},
		State: task.State{Source: "ai-sdk", AdditionalContext: q.context(history)}, Route: "POST /aisdk/agents/" + agent, Body: []byte(q.what),
	}
	var x extension
	if len(news) > 0 {
		x.AISDK.Message = news[len(news)-1].ID
	}
	sub.State.PayloadExtension, err = json.Marshal(x)
	return sub, err
}

// asked is what messages of the user's ask, with the URLs of their files. One that came
// with the request is stored.
func asked(ctx context.Context, shelf *files.Shelf, news []said) (prompt string, urls []string, err error) {
	var words []string
	for _, m := range news {
		if text := m.text(); text != "" {
			words = append(words, text)
		}
		for _, p := range m.Parts {
			if p.Type != "file" {
				continue
			}
			url, err := edge.KeepURL(ctx, shelf, p.URL, p.Filename, "messages.parts.url")
			if err != nil {
				return "", nil, err
			}
			urls = append(urls, url)
		}
	}
	return strings.Join(words, "\n\n"), urls, nil
}

// results are what came of calls that the last turn has left open.
func (q *request) results(open []task.OpenCall) (results []task.ToolResult) {
	for _, p := range q.last().Parts {
		if !slices.ContainsFunc(open, func(c task.OpenCall) bool { return c.ID == p.ToolCallID }) {
			continue
		}
		switch p.State {
		case "output-available":
			var text string
			if json.Unmarshal(p.Output, &text) != nil {
				text = string(p.Output)
			}
			results = append(results, task.ToolResult{CallID: p.ToolCallID, Content: text})
		case "output-error":
			results = append(results, task.ToolResult{CallID: p.ToolCallID, Content: p.ErrorText, IsError: true})
		}
	}
	return results
}

// context is what the agent is told beside the prompt: what the system says, and a history
// that the task does not have.
func (q *request) context(history []said) *string {
	var parts, before []string
	for i, m := range q.Messages {
		switch text := m.text(); {
		case text == "":
		case m.Role == "system":
			parts = append(parts, text)
		case i < len(history):
			before = append(before, m.Role+": "+text)
		}
	}
	return edge.Background(parts, before)
}

// reply is a person's answer to an approval that the client was asked for. It has a reason
// and nothing else: to a question that is the value, as text or, if it may not be one, as
// JSON.
func (p part) reply(a task.Approval) task.Reply {
	switch {
	case !*p.Approval.Approved:
		return task.Reply{Answer: task.Decline, Note: p.Approval.Reason}
	case a.Kind != task.KindQuestion || p.Approval.Reason == "":
		return task.Reply{Answer: task.Approve, Note: p.Approval.Reason}
	}
	value := json.RawMessage(p.Approval.Reason)
	if text, err := json.Marshal(p.Approval.Reason); err == nil && (!json.Valid(value) || takesText(a.Schema)) {
		value = text
	}
	return task.Reply{Answer: task.Approve, Value: value}
}

// takesText reports whether a schema does not want anything else than text.
func takesText(schema json.RawMessage) bool {
	var s struct {
		Type any `json:"type"`
	}
	_ = json.Unmarshal(schema, &s) // none takes anything
	return s.Type == nil || strings.Contains(fmt.Sprint(s.Type), "string")
}
