package mcp

import (
	"context"
	"encoding/json"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/task"
)

// tasksExtension is the extension in which the answer to a call may be a task.
const tasksExtension = "io.modelcontextprotocol/tasks"

// The methods of the extension.
const (
	tasksGet    = "tasks/get"
	tasksUpdate = "tasks/update"
	tasksCancel = "tasks/cancel"
)

// The statuses of the extension that tasks have here. That of a call which ends with an error
// of the protocol, failed, is none of them: how a turn has failed is its call's result, as
// whoever waits for it without the extension is told.
const (
	working       = "working"
	inputRequired = "input_required"
	completed     = "completed"
	cancelled     = "cancelled"
)

// missingTasks is the refusal of a request that does not declare the extension.
func missingTasks() error {
	data, _ := json.Marshal(map[string]any{"requiredCapabilities": map[string]any{"extensions": map[string]any{tasksExtension: struct{}{}}}}) // texts
	return &jsonrpc.Error{Code: sdk.CodeMissingRequiredClientCapabilities, Message: "the request must declare the extension " + tasksExtension, Data: data}
}

// taskParams are those of all methods of the extension.
type taskParams struct {
	sdk.ParamsBase
	TaskID    string               `json:"taskId"`
	Responses map[string]*response `json:"inputResponses,omitempty"`
}

// shown is a turn as a task of the extension.
type shown struct {
	TaskID        string     `json:"taskId"`
	Status        string     `json:"status"`
	StatusMessage string     `json:"statusMessage,omitempty"`
	CreatedAt     task.Stamp `json:"createdAt"`
	LastUpdatedAt task.Stamp `json:"lastUpdatedAt"`
	TTL           *int64     `json:"ttlMs"`
	PollInterval  int64      `json:"pollIntervalMs"`
}

// createdTask is a task as the answer to the call that has begun it.
type createdTask struct {
	sdk.ResultBase
	Type string `json:"resultType"`
	shown
}

// detail is a task with its result, or what it asks.
type detail struct {
	shown
	Result        *result                 `json:"result,omitempty"`
	InputRequests map[string]inputRequest `json:"inputRequests,omitempty"`
}

// detailedTask is a task as the answer to whoever asks for it.
type detailedTask struct {
	sdk.ResultBase
	Type string `json:"resultType"`
	detail
}

// ack says that what was asked is done.
type ack struct {
	sdk.ResultBase
	Type string `json:"resultType"`
}

// addTasks adds the extension's methods.
func (f *face) addTasks(s *sdk.Server) {
	must := func(err error) {
		if err != nil {
			panic(err) //nolint:forbidigo // the SDK has a method of that name: found by the first test
		}
	}
	must(sdk.AddReceivingCustomMethod(s, tasksGet, func(ctx context.Context, _ *sdk.ServerSession, p *taskParams) (*detailedTask, error) {
		t, err := f.find(ctx, p.TaskID)
		if err != nil {
			return nil, err
		}
		s, err := f.look(ctx, t)
		if err != nil {
			return nil, err
		}
		d, err := f.detailed(ctx, s)
		return &detailedTask{Type: complete, detail: d}, err
	}))
	must(sdk.AddReceivingCustomMethod(s, tasksUpdate, func(ctx context.Context, _ *sdk.ServerSession, p *taskParams) (*ack, error) {
		return &ack{Type: complete}, f.update(ctx, p)
	}))
	must(sdk.AddReceivingCustomMethod(s, tasksCancel, func(ctx context.Context, _ *sdk.ServerSession, p *taskParams) (*ack, error) {
		return &ack{Type: complete}, f.cancel(ctx, p)
	}))
}

// cancel stops a turn that has not ended, and all that runs below it.
func (f *face) cancel(ctx context.Context, p *taskParams) error {
	t, err := f.find(ctx, p.TaskID)
	if err != nil {
		return err
	}
	now, err := f.Service.Task(ctx, edge.Scope(ctx), t.Task)
	if err == nil && now.Ended() == "" {
		_, err = f.Turns.Stop(ctx, edge.Caller(ctx), t)
	}
	if fault.CodeOf(err) == fault.Conflict { // another turn has followed: it has ended
		return nil
	}
	return err
}

// shown shows a turn as a task of the extension.
func (f *face) shown(ctx context.Context, s seen) (x shown, err error) {
	began := s.task.Task.CreatedAt
	if s.turn.Number > 1 {
		turns, err := f.Service.Turns(ctx, s.turn.Organization, s.turn.Task, s.turn.Number-1, 1)
		if err != nil {
			return x, err
		}
		for _, t := range turns {
			began = t.CreatedAt
		}
	}
	x = shown{
		TaskID: s.turn.String(), Status: working, StatusMessage: s.message(), CreatedAt: began, LastUpdatedAt: s.task.Task.UpdatedAt,
		PollInterval: pollInterval(time.Since(began.Time())).Milliseconds(),
	}
	if kept := f.Retention.Least().Milliseconds(); kept > 0 {
		x.TTL = &kept
	}
	switch status := s.task.Task.Status(); {
	case s.ended && status == task.Stopped:
		x.Status = cancelled
	case s.ended:
		x.Status = completed // also what has failed, or broke off: the result says so
	case len(s.questions) > 0 && asked(ctx).elicits():
		x.Status = inputRequired
	case len(s.questions) > 0:
		x.StatusMessage += ": answer it with the tool answer_task, or in Errand's inbox"
	}
	return x, nil
}

// detailed shows a turn with its result, or what it asks.
func (f *face) detailed(ctx context.Context, s seen) (d detail, err error) {
	if d.shown, err = f.shown(ctx, s); err != nil {
		return d, err
	}
	switch d.Status {
	case completed:
		d.Result, err = f.result(s)
	case inputRequired:
		d.InputRequests = map[string]inputRequest{}
		for _, a := range s.questions {
			d.InputRequests[a.ID] = elicitation(a)
		}
	}
	return d, err
}

// pollInterval is how long to wait before asking again for a turn of an age.
func pollInterval(age time.Duration) time.Duration {
	if age < time.Minute {
		return 500 * time.Millisecond
	}
	return 5 * time.Second
}

// update gives the answers to what a turn asks. What it does not ask, or was answered before, is
// passed over.
func (f *face) update(ctx context.Context, p *taskParams) error {
	t, err := f.find(ctx, p.TaskID)
	if err != nil {
		return err
	}
	s, err := f.look(ctx, t)
	if err != nil {
		return err
	}
	for _, a := range s.questions {
		r := p.Responses[a.ID]
		if r == nil || r.Action == "cancel" { // nobody has decided: it is asked again
			continue
		}
		reply, err := r.reply(a)
		if err == nil {
			_, err = f.Service.AnswerApproval(ctx, edge.Caller(ctx), a.ID, reply)
		}
		if err != nil && fault.CodeOf(err) != fault.Conflict {
			return err
		}
	}
	return nil
}
