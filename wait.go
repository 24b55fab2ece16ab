package errand

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// ErrWaiting is the error of Attempt.Await, Wait, Sleep and Ask when the attempt is over
// because the task waits. The handler returns it, or any other error: the next attempt
// calls the handler again when what it waits for has come, and does not count. What
// must not be done twice is a Step.
var ErrWaiting = errors.New("the task waits, and its next attempt goes on")

// Awaited is what an attempt gives its task up for.
type Awaited struct {
	// SubTasks are ids of sub-tasks whose end is waited for, Approvals those of approvals
	// that this turn has asked for: at most 100 of each.
	SubTasks  []string
	Approvals []string
	// Any says that the first of them is enough.
	Any bool
	// Until is when it waits no longer; zero is never. Without anything else it just
	// waits until then.
	Until time.Time
}

// Await gives the task up until something has come, behind everything that was told
// before: without a slot, however long it takes. It returns nil if it has come already,
// or if its time has passed, and ErrWaiting if the attempt is over with it.
func (a *Attempt) Await(ctx context.Context, w Awaited) error {
	if err := a.out.flush(ctx); err != nil {
		return err
	}
	body := struct {
		LeaseToken string     `json:"lease_token"`
		SubTasks   []string   `json:"sub_tasks,omitempty"`
		Approvals  []string   `json:"approvals,omitempty"`
		Any        bool       `json:"any,omitempty"`
		Until      *time.Time `json:"until,omitempty"`
		spending
	}{a.lease.token, w.SubTasks, w.Approvals, w.Any, nil, a.spent()}
	if !w.Until.IsZero() {
		body.Until = &w.Until
	}
	var done struct {
		Waiting bool `json:"waiting"`
	}
	if err := a.giveUp(ctx, "/wait", body, &done); err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	a.lease.tell(body.spending, nil)
	return a.parted(done.Waiting)
}

// giveUp makes a call that may end the attempt, and tries until ctx ends. It outlasts
// ctx a little: the server's word that the attempt is over may be what ends it.
func (a *Attempt) giveUp(ctx context.Context, path string, body, answer any) error {
	ctx, done := outlast(ctx, parting)
	defer done()
	err := a.lease.persist(ctx, func() error {
		return a.lease.write(func() error {
			return a.lease.tasks.c.call(ctx, request{method: http.MethodPost, path: taskPath(a.Task.ID) + path, repeat: true, body: body}, answer)
		})
	})
	if errors.Is(err, ErrConflict) {
		signal(a.lease.nudge) // the answer to a heartbeat says why
	}
	return err
}

// parted ends the attempt if the task waits.
func (a *Attempt) parted(waits bool) error {
	if !waits {
		return nil
	}
	if a.part != nil {
		a.part(ErrWaiting)
	}
	return ErrWaiting
}

// Wait waits for the end of sub-tasks (Attempt.SubTask) like Await, and returns them as
// they have ended, in their order.
func (a *Attempt) Wait(ctx context.Context, subs ...*Task) ([]*Task, error) {
	var open []string
	for _, s := range subs {
		if !s.Ended() {
			open = append(open, s.ID)
		}
	}
	if len(open) > 0 {
		if err := a.Await(ctx, Awaited{SubTasks: open}); err != nil {
			return nil, err
		}
	}
	ended := make([]*Task, len(subs))
	for i, s := range subs {
		if ended[i] = s; s.Ended() {
			continue
		}
		var err error
		if ended[i], err = a.lease.tasks.Get(ctx, s.ID); err != nil {
			return nil, err
		}
	}
	return ended, nil
}

// Sleep waits, like Await, until so long has passed since an attempt of the turn first
// called it with the id, which is that of a Step.
func (a *Attempt) Sleep(ctx context.Context, id string, d time.Duration) error {
	until, err := Once(ctx, a, id, func(context.Context) (time.Time, error) { return time.Now().Add(d).UTC(), nil })
	if err != nil {
		return err
	}
	return a.Await(ctx, Awaited{Until: until})
}

// Ask asks people something, and waits for the answer like Await. A later attempt of the
// turn that asks the same Key is answered at once. If nobody has answered by the
// deadline, that is the question's Default with Reply.ByDefault, or without one an Answer
// with Expired.
func (a *Attempt) Ask(ctx context.Context, q Question) (Answer, error) {
	asked, waits, err := a.ask(ctx, q, false)
	if err == nil {
		err = a.parted(waits)
	}
	if err != nil {
		return Answer{}, err
	}
	return asked.answer(), nil
}

// AskAlong is Ask for those who do not wait yet: it answers what was asked, which may be
// open, and the attempt goes on. Await waits for it.
func (a *Attempt) AskAlong(ctx context.Context, q Question) (*Approval, error) {
	asked, _, err := a.ask(ctx, q, true)
	return asked, err
}

func (a *Attempt) ask(ctx context.Context, q Question, stay bool) (*Approval, bool, error) {
	if err := a.out.flush(ctx); err != nil {
		return nil, false, err
	}
	body := struct {
		LeaseToken string `json:"lease_token"`
		Question
		Deadline *time.Time `json:"deadline,omitempty"`
		Stay     bool       `json:"stay,omitempty"`
		spending
	}{a.lease.token, q, nil, stay, a.spent()}
	if !q.Deadline.IsZero() {
		body.Deadline = &q.Deadline
	}
	var asked struct {
		Approval
		Waiting bool `json:"waiting"`
	}
	if err := a.giveUp(ctx, "/approvals", body, &asked); err != nil {
		return nil, false, fmt.Errorf("ask %s: %w", q.Key, err)
	}
	a.lease.tell(body.spending, nil)
	return &asked.Approval, asked.Waiting, nil
}

// Question is what an attempt asks of people.
type Question struct {
	// Key names it in its turn: 1 to 128 bytes. The first one of a key stands.
	Key string `json:"key"`
	// Kind is KindQuestion if left out.
	Kind ApprovalKind `json:"kind,omitempty"`
	// Title and Message are for the person. ToolName and Payload say what is to be
	// approved.
	Title    string          `json:"title,omitempty"`
	Message  string          `json:"message,omitempty"`
	ToolName string          `json:"tool_name,omitempty"`
	Payload  json.RawMessage `json:"payload,omitempty"`
	// Schema is a JSON Schema that the value of the answer is to follow.
	Schema json.RawMessage `json:"schema,omitempty"`
	// Deadline is when Default is taken for the answer, zero for never.
	Deadline time.Time `json:"-"`
	Default  *Reply    `json:"default,omitempty"`
	// Approvers are who may answer, "user:", "key:" or "group:" with a name, beside
	// admin keys; nobody is all who see the task.
	Approvers []string `json:"approvers,omitempty"`
}
