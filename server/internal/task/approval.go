package task

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/errand-dev/errand/server/internal/fault"
)

// Approval is what an attempt asks of people: that they approve of something, or the
// answer to a question (rule S10). What is asked stands in one event of the log, the
// answer in another; the store also keeps which they are.
type Approval struct {
	ID string
	// TaskID and AgentID say whose it is.
	TaskID, AgentID string
	Turn            int
	State           ApprovalState
	Asked
	// Seq is the number of the event that asks, At its moment, and Attempt the Number of
	// the attempt that did.
	Seq     int64
	At      Stamp
	Attempt int
	// Answered is how it was answered, nil while it is open and for one that was closed.
	Answered *Answered
}

// Asked is what an attempt asks, as its event says it.
type Asked struct {
	// Key names it in its turn: a later attempt that asks the same is answered with it.
	Key  string       `json:"key"`
	Kind ApprovalKind `json:"kind"`
	// Title and Message are for the person; ToolName and Payload say what is to be
	// approved.
	Title    string          `json:"title,omitempty"`
	Message  string          `json:"message,omitempty"`
	ToolName string          `json:"tool_name,omitempty"`
	Payload  json.RawMessage `json:"payload,omitempty"`
	// Schema is the JSON Schema that the value of the answer follows, nil for none.
	Schema json.RawMessage `json:"schema,omitempty"`
	// Deadline is when Default is taken for the answer, or without one it expires; 0 is
	// never.
	Deadline Stamp  `json:"deadline,omitzero"`
	Default  *Reply `json:"default,omitempty"`
	// Approvers names who may answer: owners and groups; nobody for all who see the task.
	Approvers []string `json:"approvers,omitempty"`
}

// ApprovalKind says what is asked.
type ApprovalKind string

// The kinds of approvals.
const (
	KindApproval ApprovalKind = "approval"
	KindQuestion ApprovalKind = "question"
)

// ApprovalKinds lists every kind.
func ApprovalKinds() []ApprovalKind { return []ApprovalKind{KindApproval, KindQuestion} }

// Cause is what a turn waits for that waits for the answer.
func (k ApprovalKind) Cause() Cause {
	if k == KindQuestion {
		return ForPerson
	}
	return ForApproval
}

// ApprovalState says what has become of an approval.
type ApprovalState string

// The states of an approval. All but the first are for good.
const (
	ApprovalOpen    ApprovalState = "open"
	ApprovalDone    ApprovalState = "answered"
	ApprovalExpired ApprovalState = "expired" // nobody has answered in time, and there was no default
	ApprovalClosed  ApprovalState = "closed"  // its turn has ended
)

// ApprovalStates lists every state.
func ApprovalStates() []ApprovalState {
	return []ApprovalState{ApprovalOpen, ApprovalDone, ApprovalExpired, ApprovalClosed}
}

// Reply is what a person answers.
type Reply struct {
	Answer Answer `json:"answer"`
	// Value is what was asked for, nil for none. Note is for whoever asked.
	Value json.RawMessage `json:"value,omitempty"`
	Note  string          `json:"note,omitempty"`
	// ClientID becomes that of the event; "" is none.
	ClientID string `json:"-"`
}

// Answer is yes or no.
type Answer string

// The answers.
const (
	Approve Answer = "approve" // of a question: answered
	Decline Answer = "decline"
)

// Answers lists every answer.
func Answers() []Answer { return []Answer{Approve, Decline} }

// Answered is how an approval was answered.
type Answered struct {
	Reply
	// By names who did, ByDefault says that nobody did in time.
	By        string `json:"by,omitempty"`
	ByDefault bool   `json:"by_default,omitempty"`
	At        Stamp  `json:"-"`
}

// askedHead is what the event of an approval says of it beside what is asked.
type askedHead struct {
	ID string `json:"id"`
	Asked
}

// answeredOwn is the data of the event that answers one.
type answeredOwn struct {
	ID    string        `json:"id"`
	Key   string        `json:"key"`
	State ApprovalState `json:"status"`
	*Answered
}

// ApprovalOf reads an approval from the event that asks and the one that answers, nil
// while there is none.
func ApprovalOf(asked Event, answered *Event) (Approval, error) {
	var head askedHead
	if err := json.Unmarshal(asked.Own, &head); err != nil {
		return Approval{}, fmt.Errorf("decode approval: %w", err)
	}
	a := Approval{
		ID: head.ID, Turn: asked.Turn, State: ApprovalOpen, Asked: head.Asked, Seq: asked.Seq, At: asked.Time, Attempt: asked.Author.Attempt,
	}
	if answered == nil {
		return a, nil
	}
	own := answeredOwn{Answered: &Answered{}}
	if err := json.Unmarshal(answered.Own, &own); err != nil {
		return Approval{}, fmt.Errorf("decode answer: %w", err)
	}
	if a.State = own.State; a.State == ApprovalDone {
		a.Answered = own.Answered
		a.Answered.At = answered.Time
	}
	return a, nil
}

// Open is an approval of the present turn that nobody has answered.
type Open struct {
	ID string `json:"id"`
	// Until is its deadline, 0 for none.
	Until Stamp `json:"until,omitzero"`
}

// Settled is an approval that is open no more.
type Settled struct {
	ID    string
	State ApprovalState
	// Seq is the event that says so, 0 for none.
	Seq int64
}

// nextDeadline is the next deadline of an open approval, 0 for none.
func (t *Task) nextDeadline() Stamp {
	next := Stamp(0)
	for _, o := range t.Open {
		next = sooner(next, o.Until)
	}
	return next
}

// sooner is the earlier of two moments, of which 0 is never.
func sooner(a, b Stamp) Stamp {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Ask asks something of people, in the name of the attempt that holds the lease.
type Ask struct {
	By Writer
	ID string
	Asked
}

func (c Ask) apply(d *draft) error {
	t := &d.t
	if !d.mayWrite(c.By) { // nothing of it is lost, so nothing is logged
		return fault.New(fault.Conflict, "this attempt no longer owns the task, which is %s", t.state.Status)
	}
	if len(t.Open) >= MaxAwaited {
		return fault.New(fault.Conflict, "the task has %d open approvals already", len(t.Open))
	}
	d.log(ApprovalRequested, askedHead{c.ID, c.Asked})
	e := d.events[len(d.events)-1]
	t.Open = append(slices.Clone(t.Open), Open{c.ID, c.Deadline})
	d.asked = append(d.asked, Approval{
		ID: c.ID, TaskID: t.ID, AgentID: t.AgentID, Turn: e.Turn, State: ApprovalOpen, Asked: c.Asked, Seq: e.Seq, At: e.Time, Attempt: e.Author.Attempt,
	})
	return nil
}

// Respond answers an open approval, which wakes its turn if that waits for it. Reply nil says that its deadline has passed: then its Default is the answer, or it
// has expired.
type Respond struct {
	To    Approval
	Reply *Reply
	// By names the person.
	By string
}

func (c Respond) apply(d *draft) error {
	t := &d.t
	at := slices.IndexFunc(t.Open, func(o Open) bool { return o.ID == c.To.ID })
	switch {
	case t.ended != "" || c.To.Turn != t.Terms.Turn:
		return fault.New(fault.Conflict, "nobody waits for the answer any more: the task's turn has ended")
	case at < 0:
		return fault.New(fault.Conflict, "this was answered before")
	}
	own := answeredOwn{ID: c.To.ID, Key: c.To.Key, State: ApprovalDone}
	switch {
	case c.Reply != nil:
		own.Answered = &Answered{Reply: *c.Reply, By: c.By}
	case c.To.Default != nil:
		own.Answered = &Answered{Reply: *c.To.Default, ByDefault: true}
	default:
		own.State = ApprovalExpired
	}
	d.log(ApprovalAnswered, own)
	if c.Reply != nil {
		d.events[len(d.events)-1].ClientID = c.Reply.ClientID
	}
	if t.Open = slices.Delete(slices.Clone(t.Open), at, at+1); len(t.Open) == 0 {
		t.Open = nil
	}
	d.settled = append(d.settled, Settled{c.To.ID, own.State, t.LastSeq})
	return d.came(asksOf, c.To.ID)
}

// closeAll closes what is open when the turn ends: nobody waits for it any more.
func (d *draft) closeAll() {
	for _, o := range d.t.Open {
		d.settled = append(d.settled, Settled{ID: o.ID, State: ApprovalClosed})
	}
	d.t.Open = nil
}
