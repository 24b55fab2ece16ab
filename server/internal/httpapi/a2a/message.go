package a2a

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/invoke"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/schema"
	"github.com/errand-dev/errand/server/internal/task"
)

// maxMessageID is how many bytes the id of a message may have.
const maxMessageID = 120

// sent is the turn that a message has begun or answered.
type sent struct {
	invoke.Turn
	// fresh says that it has begun with the message just now, again that the message was sent
	// before.
	fresh, again bool
}

// take does what a message asks for, and lets an address be told of its turn if one is
// given.
func (c *call) take(raw json.RawMessage) (sent, sendParams, error) {
	var p sendParams
	if err := decode(raw, &p); err != nil {
		return sent{}, p, err
	}
	if err := p.check(); err != nil {
		return sent{}, p, err
	}
	push := p.Config.Push
	if push != nil { // before anything is done
		if err := c.checkPush(push); err != nil {
			return sent{}, p, err
		}
	}
	s, err := c.ask(*p.Message)
	if err == nil && push != nil {
		err = c.pushFrom(s, *p.Message, *push)
	}
	return s, p, err
}

// ask does what a message asks for: it begins a turn, or answers one that waits. A message
// that was sent before has done so already (H3).
func (c *call) ask(m Message) (sent, error) {
	ctx := c.r.Context()
	if m.TaskID != "" {
		t, err := c.find(m.TaskID)
		if err == nil {
			err = c.checkContext(t, m)
		}
		if err != nil {
			return sent{}, err
		}
		return c.reply(t, m)
	}
	if t, again, err := c.answered(m); again || err != nil {
		return sent{Turn: t, again: again}, err
	}
	sub, err := c.submission(m)
	if err != nil {
		return sent{}, err
	}
	asked, err := c.Turns.Ask(ctx, edge.Caller(ctx), sub)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != fault.Conflict || f.Field != "" || m.ContextID == "" {
		return sent{asked.Turn, !asked.Replayed, asked.Replayed}, err
	}
	// The context is at work: the message is for what it asks, or for a task beside it.
	t, failed := c.Turns.Find(ctx, edge.Scope(ctx), m.ContextID, 0)
	if failed != nil {
		return sent{}, failed
	}
	now, failed := c.Service.Task(ctx, edge.Scope(ctx), t.Task)
	if failed != nil {
		return sent{}, failed
	}
	if len(now.Open) > 0 {
		return c.reply(t, m)
	}
	if t, again, failed := c.answered(m); again || failed != nil { // meanwhile
		return sent{Turn: t, again: again}, failed
	}
	sub.Spec.ID, sub.Spec.Tags = m.ContextID+":"+strings.ToLower(rand.Text()[:8]), []string{beside}
	asked, err = c.Turns.Ask(ctx, edge.Caller(ctx), sub)
	return sent{asked.Turn, !asked.Replayed, asked.Replayed}, err
}

// answered reports whether a message has answered the last turn of its context before,
// which may have ended since.
func (c *call) answered(m Message) (t invoke.Turn, again bool, err error) {
	if m.ContextID == "" {
		return t, false, nil
	}
	ctx := c.r.Context()
	if t, err = c.Turns.Find(ctx, edge.Scope(ctx), m.ContextID, 0); err == nil && t.Agent == c.agent.ID {
		again, err = c.Service.Replied(ctx, edge.Caller(ctx), t.Task, t.Number, sentBy+m.ID)
	}
	if fault.CodeOf(err) == fault.NotFound { // a context that is yet to be
		err = nil
	}
	return t, again, err
}

// checkContext refuses a message that names another context than its task's.
func (c *call) checkContext(t invoke.Turn, m Message) error {
	if m.ContextID == "" || m.ContextID == t.Task {
		return nil
	}
	f, err := c.outline(c.r.Context(), t)
	if err == nil && f.ContextID != m.ContextID {
		return invalid.errorf("message.contextId: task %s is of context %s", m.TaskID, f.ContextID)
	}
	return err
}

// check refuses what is no message to an agent.
func (p sendParams) check() error {
	m := p.Message
	switch {
	case m == nil:
		return invalid.errorf("message: must be given")
	case m.ID == "" || len(m.ID) > maxMessageID || strings.ContainsFunc(m.ID, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return invalid.errorf("message.messageId: must be 1 to %d bytes of text without control characters", maxMessageID)
	case m.Role != User:
		return invalid.errorf("message.role: must be %s", User)
	case len(m.Parts) == 0:
		return invalid.errorf("message.parts: must not be empty")
	}
	for i, part := range m.Parts {
		if err := part.check(); err != nil {
			return invalid.errorf("message.parts[%d]: %v", i, err)
		}
		if kind := part.MediaType; kind != "" && !takes(kind) {
			return otherContent.errorf("message.parts[%d].mediaType: %q is none of the card's defaultInputModes", i, kind)
		}
	}
	return checkHistory(p.Config.HistoryLength)
}

func nothing(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// check refuses a part that is not just one thing.
func (p Part) check() error {
	given := 0
	for _, there := range []bool{p.Text != nil, p.Raw != nil, p.URL != nil, !nothing(p.Data)} {
		if there {
			given++
		}
	}
	if given != 1 {
		return invalid.errorf("must be just one of text, raw, url and data")
	}
	return nil
}

// takes reports whether a media type is among the inputModes.
func takes(kind string) bool {
	plain, _, err := mime.ParseMediaType(kind)
	if err != nil {
		return false
	}
	of, _, _ := strings.Cut(plain, "/")
	return slices.Contains(inputModes(), plain) || slices.Contains(inputModes(), of+"/*")
}

// submission is what a message asks, as the service takes it.
func (c *call) submission(m Message) (lifecycle.Submission, error) {
	words, refs, err := c.said(m)
	if err != nil {
		return lifecycle.Submission{}, err
	}
	body, err := json.Marshal(struct {
		ContextID string `json:"contextId"`
		Parts     []Part `json:"parts"`
	}{m.ContextID, m.Parts})
	return lifecycle.Submission{
		Spec: task.Spec{
			ID: m.ContextID, AgentID: c.agent.ID, Input: task.Input{Text: &words, Files: refs}, EventsStreaming: true, IdempotencyKey: &m.ID,
		},
		State: task.State{Source: "a2a"},
		// Some clients use an id again for other words: that is another message.
		Route: fmt.Sprintf("a2a %s %s %x", c.agent.ID, edge.Principal(c.r.Context()).KeyID, sha256.Sum256(body)), Body: body,
	}, err
}

// said is what a message says: its words, and its files as a task refers to them.
func (c *call) said(m Message) (words string, refs []string, err error) {
	var texts []string
	for i, p := range m.Parts {
		switch {
		case p.Text != nil:
			texts = append(texts, *p.Text)
		case p.URL != nil:
			u, err := url.Parse(*p.URL)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" {
				return "", nil, invalid.errorf("message.parts[%d].url: must be an http or https URL", i)
			}
			refs = append(refs, *p.URL)
		case p.Raw != nil:
			in := edge.Inline{Name: p.Filename, Type: p.MediaType, Data: padded(*p.Raw)}
			ref, err := in.Keep(c.r.Context(), c.Shelf, fmt.Sprintf("message.parts[%d].raw", i))
			if err != nil {
				return "", nil, err
			}
			refs = append(refs, ref)
		default:
			texts = append(texts, string(p.Data))
		}
	}
	return strings.Join(texts, "\n"), refs, nil
}

// padded is base64 as ours is written; JSON of the protocol may also have its other
// alphabet, and no padding.
func padded(raw string) string {
	plain := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(raw), "=")
	return plain + strings.Repeat("=", (4-len(plain)%4)%4)
}

// reply answers what a turn asks with a message.
func (c *call) reply(t invoke.Turn, m Message) (sent, error) {
	ctx, who := c.r.Context(), edge.Caller(c.r.Context())
	again, err := c.Service.Replied(ctx, who, t.Task, t.Number, sentBy+m.ID)
	if !again && err == nil {
		err = c.replyNow(t, m)
	}
	return sent{Turn: t, again: again}, err
}

func (c *call) replyNow(t invoke.Turn, m Message) error {
	ctx, who, id := c.r.Context(), edge.Caller(c.r.Context()), sentBy+m.ID
	a, err := c.asked(t, m)
	if err != nil {
		return err
	}
	if a == nil {
		now, err := c.Service.Task(ctx, who.Scope, t.Task)
		switch {
		case err != nil:
			return err
		case now.Terms.Turn != t.Number || now.Ended() != "":
			return unsupported.errorf("task %s has ended: send the message without a taskId, with contextId %q", t, t.Task)
		case c.agent.Record.Runtime == agent.Worker: // whose workers may follow the log
			data, err := json.Marshal(heard{m.Parts})
			if err == nil {
				_, err = c.Service.Append(ctx, who, t.Task, "", []lifecycle.NewEvent{{Type: string(task.AgentMessage), Data: data, ClientID: id}})
			}
			return err
		default:
			return unsupported.errorf("task %s is at work and asks nothing: wait for its end, or cancel it", t)
		}
	}
	r, err := replyTo(*a, m)
	if err != nil {
		return err
	}
	r.ClientID = id
	_, err = c.Service.AnswerApproval(ctx, who, a.ID, r)
	return err
}

// asksRead is how many approvals one read asks for.
const asksRead = 100

// asked is what a message to a turn answers: what its metadata names as approval_id, or
// of those that are open and the caller may answer the first, those before others that
// the turn waits for; nil for none.
func (c *call) asked(t invoke.Turn, m Message) (*task.Approval, error) {
	ctx := c.r.Context()
	var named struct {
		ID string `json:"approval_id"`
	}
	_ = json.Unmarshal(m.Metadata, &named) // it is the sender's own, whatever it says
	if named.ID != "" {
		a, err := c.Service.Approval(ctx, edge.Scope(ctx), named.ID)
		if fault.CodeOf(err) == fault.NotFound || err == nil && (a.TaskID != t.Task || a.Turn != t.Number) {
			err = invalid.errorf("message.metadata.approval_id: task %s has not asked %q", t, named.ID)
		}
		return &a, err
	}
	now, err := c.Service.Task(ctx, edge.Scope(ctx), t.Task)
	if err != nil || now.Terms.Turn != t.Number || len(now.Open) == 0 {
		return nil, err
	}
	var best *task.Approval
	for after, who := int64(0), edge.Caller(ctx); ; {
		some, err := c.Service.ApprovalsOf(ctx, t.Organization, t.Task, t.Number, after, asksRead)
		if err != nil || len(some) == 0 {
			return best, err
		}
		for _, a := range some {
			after = a.Seq
			switch mine := who.MayAnswer(a); {
			case a.State != task.ApprovalOpen:
			case mine && slices.Contains(now.Wait.Asks, a.ID):
				return &a, nil
			case best == nil, mine && !who.MayAnswer(*best):
				best = &a
			}
		}
	}
}

// replyTo reads a message as the answer to what was asked: to a question its words or
// its data; to an approval approve or decline, or data with approved, value and note.
func replyTo(a task.Approval, m Message) (task.Reply, error) {
	var texts []string
	var data json.RawMessage
	for i, p := range m.Parts {
		switch {
		case p.Text != nil:
			texts = append(texts, *p.Text)
		case !nothing(p.Data) && data == nil:
			data = p.Data
		default:
			return task.Reply{}, invalid.errorf("message.parts[%d]: an answer has text, and data at most once", i)
		}
	}
	words := strings.Join(texts, "\n")
	if a.Kind == task.KindApproval {
		return approving(words, data)
	}
	switch {
	case data != nil:
		return task.Reply{Answer: task.Approve, Value: data, Note: words}, nil
	case task.HasSchema(a.Schema) && json.Valid([]byte(words)) && len(schema.CheckInput(a.Schema, words)) == 0:
		return task.Reply{Answer: task.Approve, Value: json.RawMessage(words)}, nil
	}
	value, err := json.Marshal(words)
	return task.Reply{Answer: task.Approve, Value: value}, err
}

// approving reads yes or no.
func approving(words string, data json.RawMessage) (task.Reply, error) {
	if data != nil {
		said := struct {
			task.Reply
			Approved *bool `json:"approved"`
		}{Reply: task.Reply{Note: words}}
		if err := json.Unmarshal(data, &said); err != nil || said.Approved == nil && said.Answer == "" {
			return task.Reply{}, invalid.errorf("message: the data of an approval is an object with approved, and value and note if you like")
		}
		switch {
		case said.Approved != nil && *said.Approved:
			said.Answer = task.Approve
		case said.Approved != nil:
			said.Answer = task.Decline
		}
		return said.Reply, nil
	}
	said := strings.ToLower(strings.Trim(strings.TrimSpace(words), ".!"))
	switch {
	case slices.Contains([]string{"approve", "approved", "yes", "y", "ok"}, said):
		return task.Reply{Answer: task.Approve}, nil
	case slices.Contains([]string{"decline", "declined", "deny", "denied", "reject", "rejected", "no", "n"}, said):
		return task.Reply{Answer: task.Decline}, nil
	default:
		return task.Reply{}, invalid.errorf("message: approve or decline is wanted, or data with approved")
	}
}
