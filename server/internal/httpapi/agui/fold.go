package agui

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/errand-dev/errand/server/internal/httpapi/story"
	"github.com/errand-dev/errand/server/internal/task"
)

// event is an event of the protocol, with the members that its type has: an optional one
// that is null is fatal to the clients.
type event struct {
	Type            string          `json:"type"`
	Timestamp       int64           `json:"timestamp,omitempty"`
	ThreadID        string          `json:"threadId,omitempty"`
	RunID           string          `json:"runId,omitempty"`
	ProtocolVersion string          `json:"protocolVersion,omitempty"`
	MessageID       string          `json:"messageId,omitempty"`
	Role            string          `json:"role,omitempty"`
	Delta           string          `json:"delta,omitempty"`
	ToolCallID      string          `json:"toolCallId,omitempty"`
	ToolCallName    string          `json:"toolCallName,omitempty"`
	ParentMessageID string          `json:"parentMessageId,omitempty"`
	Content         *string         `json:"content,omitempty"`
	Messages        any             `json:"messages,omitempty"`
	Snapshot        json.RawMessage `json:"snapshot,omitempty"`
	SubagentRunID   string          `json:"subagentRunId,omitempty"`
	Name            string          `json:"name,omitempty"`
	Description     string          `json:"description,omitempty"`
	Value           *output         `json:"value,omitempty"`
	Message         string          `json:"message,omitempty"`
	Code            string          `json:"code,omitempty"`
	Outcome         *outcome        `json:"outcome,omitempty"`
	Usage           []usage         `json:"usage,omitempty"`
}

// outcome is how a run has ended.
type outcome struct {
	Type       string      `json:"type"`
	Interrupts []interrupt `json:"interrupts,omitempty"`
	Pending    []string    `json:"pendingToolCallIds,omitempty"`
}

// output is a file that the agent has written: the protocol has no word for one of its own.
type output struct {
	Name        string `json:"name"`
	URL         string `json:"url"`
	Size        int64  `json:"size"`
	ContentType string `json:"content_type"`
}

// usage is what a model has used.
type usage struct {
	Provider string `json:"provider,omitempty"`
	Model    string `json:"model,omitempty"`
	Input    int64  `json:"inputTokens"`
	Output   int64  `json:"outputTokens"`
	Total    int64  `json:"totalTokens"`
}

// told is a message of the turn that stays when its texts are taken back.
type told struct {
	ID         string   `json:"id"`
	Role       string   `json:"role"`
	Content    *string  `json:"content,omitempty"`
	ToolCalls  []called `json:"toolCalls,omitempty"`
	ToolCallID string   `json:"toolCallId,omitempty"`
}

// called is a call in a message.
type called struct {
	ID       string   `json:"id"`
	Type     string   `json:"type"`
	Function function `json:"function"`
}

type function struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// run is a run as its client is told of it: a fold of the turn's log, the same for
// the same request at any time.
type run struct {
	story.Fold
	thread, id string
	// current says that the client speaks version 1.0 of the protocol: to older ones what
	// they do not know is an error.
	current bool
	// replay says that the client may have seen some of it: it is first told which
	// messages there are without what it is told again.
	replay bool
	// messages and state are the request's.
	messages []json.RawMessage
	state    json.RawMessage
	// url is that of an output file.
	url func(task.Output) string

	first, from int64 // the turn's first event, and the one from which on it is told
	at          task.Stamp
	out         []event
	told        []told
	thought     strings.Builder // what the running one has said
	group       string          // the message of the last calls, "" if something else has been told since
	running     map[string]bool // sub-tasks: true while they run
}

// add takes the next event of the log, and returns what the client is told then.
func (r *run) add(e task.Event) (out []event, more bool, err error) {
	r.at, r.out = e.Time, nil
	if r.first == 0 {
		r.To, r.first, r.running = r, e.Seq, map[string]bool{}
		started := event{Type: "RUN_STARTED", ThreadID: r.thread, RunID: r.id}
		if r.current {
			started.ProtocolVersion = version
		}
		r.say(started)
	}
	said := len(r.out)
	more, err = r.Add(e)
	if r.from == 0 && r.Told() {
		if r.from = e.Seq; r.replay && len(r.out) == said {
			r.snapshot(false)
		}
	}
	return r.out, more, err
}

func (r *run) say(e event) {
	e.Timestamp = r.at.Time().UnixMilli()
	r.out = append(r.out, e)
}

// Ids of messages are made of the numbers of events, so that each replay has the same.
const (
	textID    = "msg"
	thoughtID = "think"
	callsID   = "calls"
	resultID  = "result"
)

var ownID = regexp.MustCompile(`^(msg|think|calls|result)_([0-9]{1,18})$`)

func messageID(kind string, seq int64) string { return fmt.Sprintf("%s_%d", kind, seq) }

// ownMessage reports whether an id is one that this server has given, of what, and of
// which event it is made.
func ownMessage(id string) (kind string, seq int64, own bool) {
	m := ownID.FindStringSubmatch(id)
	if m == nil {
		return "", 0, false
	}
	seq, err := strconv.ParseInt(m[2], 10, 64)
	return m[1], seq, err == nil
}

// snapshot tells which messages the conversation has: the request's, but for those that
// are told again and, if they are void, the turn's texts; and what was told and stays.
func (r *run) snapshot(void bool) {
	all := []any{}
	for _, raw := range r.messages {
		var m struct {
			ID string `json:"id"`
		}
		_ = json.Unmarshal(raw, &m) // it was read before
		kind, seq, own := ownMessage(m.ID)
		if !own || seq < r.first || seq < r.from && !(void && kind == textID) {
			all = append(all, raw)
		}
	}
	for _, m := range r.told {
		all = append(all, m)
	}
	r.say(event{Type: "MESSAGES_SNAPSHOT", Messages: all})
}

// Begins implements story.Teller, as the methods below do.
func (r *run) Begins(p story.Part) {
	r.group = ""
	if p.Kind == story.Text {
		r.say(event{Type: "TEXT_MESSAGE_START", MessageID: messageID(textID, p.Seq), Role: "assistant"})
		return
	}
	id := messageID(thoughtID, p.Seq)
	r.say(event{Type: "REASONING_START", MessageID: id})
	r.say(event{Type: "REASONING_MESSAGE_START", MessageID: id, Role: "reasoning"})
}

// Goes tells how a part goes on.
func (r *run) Goes(p story.Part, text string) {
	if p.Kind == story.Text {
		r.say(event{Type: "TEXT_MESSAGE_CONTENT", MessageID: messageID(textID, p.Seq), Delta: text})
		return
	}
	r.thought.WriteString(text)
	r.say(event{Type: "REASONING_MESSAGE_CONTENT", MessageID: messageID(thoughtID, p.Seq), Delta: text})
}

// Over tells that a part is over.
func (r *run) Over(p story.Part) {
	if p.Kind == story.Text {
		r.say(event{Type: "TEXT_MESSAGE_END", MessageID: messageID(textID, p.Seq)})
		return
	}
	id := messageID(thoughtID, p.Seq)
	r.told = append(r.told, told{ID: id, Role: "reasoning", Content: new(r.thought.String())})
	r.thought.Reset()
	r.say(event{Type: "REASONING_MESSAGE_END", MessageID: id})
	r.say(event{Type: "REASONING_END", MessageID: id})
}

// TakesBack takes the turn's texts out of the conversation. The new one has an id of its
// own: a message that is begun again has its text twice.
func (r *run) TakesBack() { r.snapshot(true) }

// Calls tells of a call. Calls that follow one another are one message.
func (r *run) Calls(c story.Call) {
	if r.group == "" {
		r.group = messageID(callsID, c.Seq)
		r.told = append(r.told, told{ID: r.group, Role: "assistant"})
	}
	last := &r.told[len(r.told)-1]
	last.ToolCalls = append(last.ToolCalls, called{c.ID, "function", function{c.Name, string(c.Arguments)}})
	r.say(event{Type: "TOOL_CALL_START", ToolCallID: c.ID, ToolCallName: c.Name, ParentMessageID: r.group})
	r.say(event{Type: "TOOL_CALL_ARGS", ToolCallID: c.ID, Delta: string(c.Arguments)})
	r.say(event{Type: "TOOL_CALL_END", ToolCallID: c.ID})
}

// Came tells what came of a call.
func (r *run) Came(x story.Result) {
	r.group = ""
	id, words := messageID(resultID, x.Seq), x.Words()
	r.told = append(r.told, told{ID: id, Role: "tool", Content: &words, ToolCallID: x.ID})
	r.say(event{Type: "TOOL_CALL_RESULT", MessageID: id, ToolCallID: x.ID, Content: &words, Role: "tool"})
}

// Plans puts the plan into the client's state.
func (r *run) Plans(plan json.RawMessage) {
	state := map[string]json.RawMessage{}
	if json.Unmarshal(r.state, &state) != nil || state == nil {
		state = map[string]json.RawMessage{} // it is no object
	}
	state["plan"] = plan
	if snapshot, err := json.Marshal(state); err == nil { // it is made of JSON
		r.say(event{Type: "STATE_SNAPSHOT", Snapshot: snapshot})
	}
}

// Child tells of a sub-task.
func (r *run) Child(c story.Child) {
	running, known := r.running[c.ID]
	if !known {
		r.say(event{Type: "SUBAGENT_STARTED", SubagentRunID: c.ID, Name: c.Agent, Description: c.Query})
		running = true
	}
	switch {
	case !running: // a run has each id once
	case c.Status == task.Completed:
		r.say(event{Type: "SUBAGENT_FINISHED", SubagentRunID: c.ID})
		running = false
	case c.Status != "" || c.Deleted:
		r.say(event{Type: "SUBAGENT_ERROR", SubagentRunID: c.ID, Message: "The sub-task has ended without success.", Code: string(c.Reason)})
		running = false
	}
	r.running[c.ID] = running
}

// leave tells of the sub-tasks that go on: nothing may be open when a run ends.
func (r *run) leave(e event) {
	var ids []string
	for id, running := range r.running {
		if running {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		e.SubagentRunID = id
		r.say(e)
	}
}

// Answers tells nothing: who has answered knows.
func (r *run) Answers(story.Question) {}

// Waits ends the run with the questions. Another run answers them.
func (r *run) Waits(asked []story.Question) {
	r.leave(event{Type: "SUBAGENT_FINISHED", Outcome: &outcome{Type: "suspended"}})
	end := outcome{Type: "interrupt"}
	for _, q := range asked {
		end.Interrupts = append(end.Interrupts, interruptOf(q))
	}
	r.say(event{Type: "RUN_FINISHED", ThreadID: r.thread, RunID: r.id, Outcome: &end})
}

// Ends tells how the turn has ended.
func (r *run) Ends(e story.End) {
	var used []usage
	for _, u := range e.Used {
		used = append(used, usage{u.Provider, u.Model, u.Prompt, u.Completion, u.Prompt + u.Completion})
	}
	for _, o := range e.Outputs {
		r.say(event{Type: "CUSTOM", Name: "errand.output", Value: &output{o.Name, r.url(o), o.Size, o.ContentType}})
	}
	end := outcome{Type: "success"}
	switch {
	case e.Status == task.Completed:
		for _, c := range e.Open {
			if r.current {
				end.Pending = append(end.Pending, c.ID)
			}
		}
	case e.Status == task.Stopped && r.current:
		end.Type = "cancelled"
	default:
		r.say(event{Type: "RUN_ERROR", Message: e.Words(), Code: string(e.Reason), Usage: used})
		return
	}
	r.leave(event{Type: "SUBAGENT_ERROR", Message: "The task has ended before its sub-task.", Code: string(task.EndStopped)})
	r.say(event{Type: "RUN_FINISHED", ThreadID: r.thread, RunID: r.id, Outcome: &end, Usage: used})
}
