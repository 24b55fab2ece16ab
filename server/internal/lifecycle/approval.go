package lifecycle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/schema"
	"github.com/errand-dev/errand/server/internal/task"
)

// Asking is what an attempt asks of people.
type Asking struct {
	task.Asked
	// Stay says that the attempt goes on although nobody has answered: it may ask for
	// more, and wait for all with Wait.
	Stay bool
	// Side is what the attempt tells of itself: fields of task.State.
	Side json.RawMessage
}

// Inquired is what came of asking.
type Inquired struct {
	task.Approval
	// Known says that the turn had asked it before: it is answered as it now is.
	Known bool
	// Waiting says that the attempt is over: the next one of the turn begins when it is
	// answered, and asks again.
	Waiting bool
}

// AskPeople asks something in the name of an attempt, and gives its turn up until
// somebody has answered. The first approval of its key in the turn stands: whoever asks
// again is answered with it, whatever it asks (S10).
func (s *Service) AskPeople(ctx context.Context, org, id, token string, a Asking) (Inquired, error) {
	if err := invalidToken(token); err != nil {
		return Inquired{}, err
	}
	a.Payload, a.Schema = plainJSON(a.Payload), plainJSON(a.Schema)
	if err := checkAsking(a.Asked); err != nil {
		return Inquired{}, err
	}
	ctx = context.WithoutCancel(ctx) // as for Wait
	named := s.newID()
	var done Inquired
	err := s.write(ctx, s.node, aboutTask(org, id), func(tx writing) error {
		done = Inquired{}
		t, by, err := claimed(tx, org, id, token)
		if err != nil {
			return err
		}
		known, err := tx.ApprovalOf(org, id, t.Terms.Turn, a.Key)
		if err != nil {
			return err
		}
		if done.Known = known != nil; done.Known {
			done.Approval = *known
			if gaveUp(t, by.Attempt) && slices.Contains(t.Wait.Asks, known.ID) { // the first answer was lost
				done.Waiting = true
				return nil
			}
		} else {
			changed, err := apply(tx, t, task.Ask{By: by, ID: named, Asked: a.Asked})
			if err != nil {
				return err
			}
			t, done.Approval = changed.Task, changed.Asked[0]
		}
		left := Waited{came: a.Stay}
		if !a.Stay {
			left.note(done.Approval)
		}
		done.Waiting, err = await(tx, t, by, WaitFor{Side: a.Side}, left)
		return err
	})
	return done, err
}

// checkAsking refuses what nobody can be asked.
func checkAsking(a task.Asked) error {
	controls := func(text string) bool { return strings.ContainsFunc(text, unicode.IsControl) }
	switch {
	case a.Key == "" || len(a.Key) > task.MaxID || controls(a.Key):
		return fault.Field("key", "must be 1 to %d bytes of text without control characters", task.MaxID)
	case !slices.Contains(task.ApprovalKinds(), a.Kind):
		return fault.Field("kind", "must be approval or question")
	case utf8.RuneCountInString(a.Title) > task.MaxTitle:
		return fault.Field("title", "must not exceed %d characters", task.MaxTitle)
	case len(a.ToolName) > task.MaxID:
		return fault.Field("tool_name", "must not exceed %d bytes", task.MaxID)
	case a.Title == "" && a.Message == "" && a.ToolName == "":
		return fault.Field("message", "is needed: somebody is to answer it")
	case len(a.Approvers) > task.MaxApprovers:
		return fault.Field("approvers", "must not be more than %d", task.MaxApprovers)
	case task.HasSchema(a.Schema):
		if err := schema.Validate(a.Schema); err != nil {
			return fault.Field("schema", "%v", err)
		}
	}
	for i, who := range a.Approvers {
		kind, name, ok := strings.Cut(who, ":")
		if !ok || name == "" || len(who) > 255 || !slices.Contains([]string{"user", "key", "group"}, kind) {
			return fault.Field(fmt.Sprintf("approvers[%d]", i), `must be "user:", "key:" or "group:" with a name, at most 255 bytes`)
		}
	}
	if a.Default != nil {
		if err := checkReply("default.", a, a.Default); err != nil {
			return err
		}
	}
	whole, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode approval: %w", err)
	}
	if len(whole) > task.MaxEvent-1<<10 { // its id and what the log adds
		return &fault.Error{Code: fault.TooLarge, Field: "payload", Message: fmt.Sprintf("all that is asked must not exceed %d bytes of JSON", task.MaxEvent-1<<10)}
	}
	return nil
}

// checkReply refuses an answer that does not follow what was asked. A value without an
// answer is one.
func checkReply(field string, a task.Asked, r *task.Reply) error {
	r.Value = plainJSON(r.Value)
	if r.Answer == "" && len(r.Value) > 0 {
		r.Answer = task.Approve
	}
	switch {
	case !slices.Contains(task.Answers(), r.Answer):
		return fault.Field(field+"answer", "must be approve or decline; with a value it may be left out")
	case len(r.Value) > task.MaxReply:
		return &fault.Error{Code: fault.TooLarge, Field: field + "value", Message: fmt.Sprintf("must not exceed %d bytes of JSON", task.MaxReply)}
	case len(r.Note) > task.MaxNote:
		return &fault.Error{Code: fault.TooLarge, Field: field + "note", Message: fmt.Sprintf("must not exceed %d bytes", task.MaxNote)}
	case r.Answer != task.Approve:
		return nil
	case a.Kind == task.KindQuestion && len(r.Value) == 0 && r.Note == "":
		return fault.Field(field+"value", "is needed: it is the answer to a question")
	case !task.HasSchema(a.Schema):
		return nil
	}
	value := "null"
	if len(r.Value) > 0 {
		value = string(r.Value)
	}
	if wrong := schema.CheckInput(a.Schema, value); len(wrong) > 0 {
		return fault.Field(field+"value", "%s", strings.Join(wrong, "; "))
	}
	return nil
}

// plainJSON is nil for null and for nothing.
func plainJSON(raw json.RawMessage) json.RawMessage {
	if raw = bytes.TrimSpace(raw); isNull(raw) {
		return nil
	}
	return raw
}

// AnswerApproval answers an approval that is open (S10). The task goes on if it waits
// for that. An answer whose ClientID was used in the turn is a repeat, which changes
// nothing.
func (s *Service) AnswerApproval(ctx context.Context, who Caller, id string, r task.Reply) (task.Approval, error) {
	a, err := s.store.Approval(ctx, who.Scope, id)
	if err != nil {
		return task.Approval{}, err
	}
	if !who.MayAnswer(a) {
		return task.Approval{}, fault.New(fault.Forbidden, "this is for others to answer: %s", strings.Join(a.Approvers, ", "))
	}
	if a.State != task.ApprovalOpen && r.ClientID == "" {
		return task.Approval{}, settledBefore(a)
	}
	if err := checkReply("", a.Asked, &r); err != nil { // outside of the store's writer, for which others wait
		return task.Approval{}, err
	}
	err = s.write(ctx, who.By, aboutTask(who.Organization, a.TaskID), func(tx writing) error {
		t, err := find(tx, who.Scope, a.TaskID)
		if err != nil {
			return err
		}
		now, err := tx.Approval(who.Organization, id)
		if err != nil {
			return err
		}
		if now == nil {
			return fault.New(fault.NotFound, "no approval %q", id)
		}
		if known, err := replied(tx, who.Organization, a.TaskID, a.Turn, r.ClientID); known || err != nil {
			return err
		}
		if now.State != task.ApprovalOpen {
			return settledBefore(*now)
		}
		_, err = apply(tx, t.Task, task.Respond{To: *now, Reply: &r, By: who.answersAs()})
		return err
	})
	if err != nil {
		return task.Approval{}, err
	}
	return s.store.Approval(ctx, who.Scope, id)
}

// Replied reports whether a turn of a task has an answer with a ClientID.
func (s *Service) Replied(ctx context.Context, who Caller, id string, turn int, clientID string) (known bool, err error) {
	err = s.write(ctx, who.By, nil, func(tx writing) error {
		known, err = replied(tx, who.Organization, id, turn, clientID)
		return err
	})
	return known, err
}

func replied(tx writing, org, id string, turn int, clientID string) (bool, error) {
	if clientID == "" {
		return false, nil
	}
	seqs, err := tx.SeqsOfClients(org, id, turn, []string{clientID})
	return len(seqs) > 0, err
}

// settledBefore is the refusal of an answer that comes too late.
func settledBefore(a task.Approval) error {
	switch {
	case a.State == task.ApprovalClosed:
		return fault.New(fault.Conflict, "nobody waits for the answer any more: the task's turn has ended")
	case a.State == task.ApprovalExpired:
		return fault.New(fault.Conflict, "its deadline has passed")
	case a.Answered != nil && a.Answered.ByDefault:
		return fault.New(fault.Conflict, "its deadline has passed, and the default was taken")
	case a.Answered != nil:
		return fault.New(fault.Conflict, "it was answered before, by %s", a.Answered.By)
	default:
		return fault.New(fault.Conflict, "it was answered before")
	}
}

// MayAnswer reports whether the caller is one of those who are asked.
func (c Caller) MayAnswer(a task.Approval) bool {
	return len(a.Approvers) == 0 || c.Admin || slices.Contains(a.Approvers, c.Owner) ||
		c.Group != "" && slices.Contains(a.Approvers, "group:"+c.Group)
}

// answersAs names the caller in an answer: the user for whom a key acts, too.
func (c Caller) answersAs() string {
	if user, is := strings.CutPrefix(c.Owner, "user:"); is {
		return "user " + user
	}
	return c.By
}

// Approval reads an approval that is in the scope.
func (s *Service) Approval(ctx context.Context, in auth.Scope, id string) (task.Approval, error) {
	return s.store.Approval(ctx, in, id)
}

// Approvals lists those of a state, "" for all, newest first, behind a cursor: at most
// limit, or fewer when they are long.
func (s *Service) Approvals(ctx context.Context, in auth.Scope, state task.ApprovalState, behind Cursor, limit int) ([]task.Approval, error) {
	return s.store.Approvals(ctx, in, state, behind, limit)
}

// ApprovalsOf lists those of a task's turn behind an event, in the order in which they
// were asked, with the same bounds.
func (s *Service) ApprovalsOf(ctx context.Context, org, id string, turn int, after int64, limit int) ([]task.Approval, error) {
	return s.store.ApprovalsOf(ctx, org, id, turn, after, limit)
}

// expire lets the deadlines of a task's approvals pass.
func expire(tx writing, t task.Task, asOf task.Stamp) (task.Task, bool, error) {
	changed := false
	for _, o := range t.Open {
		if o.Until == 0 || o.Until > asOf {
			continue
		}
		a, err := tx.Approval(t.OrganizationID, o.ID)
		if err != nil || a == nil {
			return t, changed, err
		}
		after, err := apply(tx, t, task.Respond{To: *a})
		if err != nil {
			return t, changed, err
		}
		t, changed = after.Task, true
	}
	return t, changed, nil
}
