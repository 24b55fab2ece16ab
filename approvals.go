package errand

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Approvals reads and answers what tasks ask of people.
type Approvals struct{ c *Client }

// ApprovalKind says what is asked.
type ApprovalKind string

// The kinds of approvals.
const (
	KindApproval ApprovalKind = "approval" // a yes or no
	KindQuestion ApprovalKind = "question" // a value
)

// ApprovalStatus says what has become of an approval.
type ApprovalStatus string

// The statuses of approvals. All but the first are for good.
const (
	ApprovalOpen    ApprovalStatus = "open"
	ApprovalDone    ApprovalStatus = "answered"
	ApprovalExpired ApprovalStatus = "expired" // nobody has answered in time, and there was no default
	ApprovalClosed  ApprovalStatus = "closed"  // its task's turn has ended
)

// Verdict is yes or no.
type Verdict string

// The verdicts.
const (
	Approve Verdict = "approve" // of a question: answered
	Decline Verdict = "decline"
)

// Approval is what an attempt asks of people: that they approve of something, or the
// answer to a question.
type Approval struct {
	ID      string `json:"id"`
	TaskID  string `json:"task_id"`
	AgentID string `json:"agent_id"`
	// Turn is the turn that asks, Attempt the attempt, as Author.Attempt of the event
	// Seq, and Key its name in the turn.
	Turn    int            `json:"turn"`
	Attempt int            `json:"attempt"`
	Seq     int64          `json:"seq"`
	Key     string         `json:"key"`
	Kind    ApprovalKind   `json:"kind"`
	Status  ApprovalStatus `json:"status"`
	// Title, Message, ToolName and Payload say what is asked, Schema what the value of an
	// answer is to follow.
	Title    string          `json:"title"`
	Message  string          `json:"message"`
	ToolName string          `json:"tool_name"`
	Payload  json.RawMessage `json:"payload"`
	Schema   json.RawMessage `json:"schema"`
	// Deadline is when Default is taken for the answer; without one it expires then.
	Deadline  time.Time `json:"deadline"`
	Default   *Reply    `json:"default"`
	Approvers []string  `json:"approvers"`
	CreatedAt time.Time `json:"created_at"`
	// Answered is how it was answered, nil as long as it is open and if it never was.
	Answered *Answered `json:"answered"`
}

// Reply is an answer.
type Reply struct {
	// Answer may be left out with a Value: then it is Approve.
	Answer Verdict `json:"answer,omitempty"`
	// Value is what was asked for, any JSON; Note is for whoever asked.
	Value json.RawMessage `json:"value,omitempty"`
	Note  string          `json:"note,omitempty"`
}

// Answered is how an approval was answered.
type Answered struct {
	Reply
	// By is who answered; "" if nobody did in time, which ByDefault says.
	By        string    `json:"by"`
	At        time.Time `json:"at"`
	ByDefault bool      `json:"by_default"`
}

// Answer is what Attempt.Ask answers.
type Answer struct {
	Answered
	// Expired says that nobody has answered in time, and that there was no default.
	Expired bool
}

// Approved reports whether the answer is yes.
func (a Answer) Approved() bool { return !a.Expired && a.Answer == Approve }

// Decode reads the answer's value into v.
func (a Answer) Decode(v any) error { return json.Unmarshal(a.Value, v) }

func (a *Approval) answer() Answer {
	if a.Answered == nil {
		return Answer{Expired: true}
	}
	return Answer{Answered: *a.Answered}
}

// All yields the approvals of a status, "" for all, newest first. An error is yielded
// last.
func (a *Approvals) All(ctx context.Context, status ApprovalStatus) iter.Seq2[Approval, error] {
	parameters := map[string]string{}
	if status != "" {
		parameters["status"] = string(status)
	}
	return parts[Approval](ctx, a.c, "/v1/approvals", parameters)
}

// List is All at once.
func (a *Approvals) List(ctx context.Context, status ApprovalStatus) ([]Approval, error) {
	var list []Approval
	for x, err := range a.All(ctx, status) {
		if err != nil {
			return list, err
		}
		list = append(list, x)
	}
	return slices.Clip(list), nil
}

// OfTask yields what the present turn of a task has asked, in that order. An error is
// yielded last.
func (a *Approvals) OfTask(ctx context.Context, id string) iter.Seq2[Approval, error] {
	return parts[Approval](ctx, a.c, taskPath(id)+"/approvals", nil)
}

// Get reads one.
func (a *Approvals) Get(ctx context.Context, id string) (*Approval, error) {
	var found Approval
	err := a.c.call(ctx, request{method: http.MethodGet, path: "/v1/approvals/" + url.PathEscape(id)}, &found)
	return &found, err
}

// Answer answers one that is open: ErrConflict if it was answered, its deadline has
// passed, or its task's turn has ended.
func (a *Approvals) Answer(ctx context.Context, id string, r Reply) (*Approval, error) {
	var answered Approval
	err := a.c.call(ctx, request{method: http.MethodPost, path: "/v1/approvals/" + url.PathEscape(id) + "/answer", body: r}, &answered)
	return &answered, err
}
