package v1

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// Approval is what an attempt asks of people, and what came of it.
type Approval struct {
	ID        string             `json:"id" doc:"The server's name for it."`
	TaskID    string             `json:"task_id" doc:"Whose task it is."`
	AgentID   string             `json:"agent_id" doc:"The task's agent."`
	Turn      int                `json:"turn" doc:"The turn in which it was asked."`
	Seq       int64              `json:"seq" doc:"The number of the event of the task's log that asks."`
	Attempt   int                `json:"attempt" doc:"The execution_attempts of the attempt that asked."`
	Key       string             `json:"key" doc:"Names it in its turn."`
	Kind      task.ApprovalKind  `json:"kind" doc:"Whether a yes is asked for, or an answer."`
	State     task.ApprovalState `json:"status" doc:"What has become of it."`
	Title     string             `json:"title" doc:"A headline."`
	Message   string             `json:"message" doc:"What is asked, for people."`
	ToolName  string             `json:"tool_name" doc:"The tool whose call is to be approved."`
	Payload   json.RawMessage    `json:"payload" doc:"What is to be approved, as data; null for nothing."`
	Schema    json.RawMessage    `json:"schema" doc:"The JSON Schema that the value of an answer follows; null for none."`
	Default   orNone[Reply]      `json:"default" doc:"The answer if nobody gives one in time; null for none: then it expires."`
	Deadline  task.Stamp         `json:"deadline" doc:"Until when an answer is awaited; null for no end."`
	Approvers []string           `json:"approvers" doc:"Who may answer, beside admin keys; empty for all who see the task."`
	CreatedAt task.Stamp         `json:"created_at" doc:"When it was asked."`
	Answered  orNone[Answered]   `json:"answered" doc:"How it was answered; null as long as it is open, and if it never was."`
}

// Reply is an answer.
type Reply struct {
	Answer task.Answer     `json:"answer,omitempty" doc:"approve, or of a question that it is answered; decline for no. With a value it may be left out."`
	Value  json.RawMessage `json:"value,omitempty" doc:"What was asked for: any JSON that follows the schema, at most 64 KiB."`
	Note   string          `json:"note,omitempty" doc:"For whoever asked, at most 4 KiB."`
}

// Answered is how an approval was answered.
type Answered struct {
	By        string          `json:"by" doc:"Who answered: a key, or the user for whom one acted. Empty if nobody did."`
	At        task.Stamp      `json:"at" doc:"When."`
	Answer    task.Answer     `json:"answer" doc:"Yes or no."`
	Value     json.RawMessage `json:"value" doc:"What was asked for; null for nothing."`
	Note      string          `json:"note" doc:"For whoever asked."`
	ByDefault bool            `json:"by_default" doc:"Nobody has answered in time, so the default is the answer."`
}

// ApprovalList is a part of a list of approvals.
type ApprovalList struct {
	Items      []Approval `json:"items" doc:"The approvals and questions of this part."`
	NextCursor *string    `json:"next_cursor" doc:"Give it as cursor for what follows; null at the end."`
}

// AskBody asks something of people.
type AskBody struct {
	LeaseToken string            `json:"lease_token" doc:"Of the claim."`
	Key        string            `json:"key" minLength:"1" maxLength:"128" doc:"Names it in its turn: 1 to 128 bytes. The first one of a key stands, and who asks it again is answered with that." example:"refund"`
	Kind       task.ApprovalKind `json:"kind,omitempty" doc:"approval asks for a yes, question, which it is if left out, for an answer."`
	Title      string            `json:"title,omitempty" doc:"A headline, at most 255 characters."`
	Message    string            `json:"message,omitempty" doc:"What is asked, for people." example:"Refund 120 EUR to Ann?"`
	ToolName   string            `json:"tool_name,omitempty" doc:"The tool whose call is to be approved."`
	Payload    json.RawMessage   `json:"payload,omitempty" doc:"What is to be approved, as data."`
	Schema     json.RawMessage   `json:"schema,omitempty" doc:"A JSON Schema that the value of the answer is to follow: a form."`
	Deadline   *time.Time        `json:"deadline,omitempty" doc:"When default is taken for the answer; without one it expires then."`
	Default    *Reply            `json:"default,omitempty" doc:"The answer if nobody gives one in time."`
	Approvers  []string          `json:"approvers,omitempty" maxItems:"100" doc:"Who may answer, beside admin keys: user:, key: or group: with a name. All who see the task if left out."`
	Stay       bool              `json:"stay,omitempty" doc:"The attempt goes on although nobody has answered. It may ask for more, and wait for all of it with /wait."`
	Spending
}

// AskAnswer answers it.
type AskAnswer struct {
	Approval
	Replayed bool `json:"replayed" doc:"The turn had asked this before: it is answered as it now is."`
	Waiting  bool `json:"waiting" doc:"The attempt is over, and does not count: the next one begins when this is answered. Otherwise the attempt goes on."`
}

type approvalsInput struct {
	State string `query:"status" enum:"open,answered,expired,closed" doc:"Only those in this state."`
	Part
}

// ApprovalPath names an approval.
type ApprovalPath struct {
	ID string `path:"approval_id" doc:"The approval's id."`
}

type approvalAnswer struct{ Body Approval }

func (r *routes) registerApprovals() {
	tags := []string{"approvals"}
	add(r, operation{roles: workers(), also: []int{http.StatusOK}, errors: []fault.Code{fault.Conflict}, Operation: huma.Operation{
		OperationID: "ask", Method: http.MethodPost, Path: "/v1/tasks/{task_id}/approvals", DefaultStatus: http.StatusCreated, Tags: tags,
		Summary: "Ask people something, and wait for the answer without a slot",
		Description: "Under the lease. As long as nobody has answered, the attempt is over with this (waiting): its task is paused, and queued again with the answer. " +
			"201 answers a new one; 200 the one that has the key already, with replayed.",
	}}, r.ask)
	add(r, operation{roles: everybody(), errors: []fault.Code{fault.Malformed}, Operation: huma.Operation{
		OperationID: "list-task-approvals", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/approvals", Tags: tags,
		Summary: "List what the attempts of a turn have asked",
	}}, r.taskApprovals)
	add(r, operation{roles: users(), errors: []fault.Code{fault.Malformed}, Operation: huma.Operation{
		OperationID: "list-approvals", Method: http.MethodGet, Path: "/v1/approvals", Tags: tags, Summary: "List approvals and questions, newest first",
	}}, r.approvals)
	add(r, operation{roles: users(), errors: []fault.Code{fault.NotFound}, Operation: huma.Operation{
		OperationID: "get-approval", Method: http.MethodGet, Path: "/v1/approvals/{approval_id}", Tags: tags, Summary: "Read an approval or a question",
	}}, func(ctx context.Context, in *ApprovalPath) (*approvalAnswer, error) {
		a, err := r.Service.Approval(ctx, edge.Scope(ctx), in.ID)
		return &approvalAnswer{approvalShown(a)}, err
	})
	add(r, operation{roles: users(), errors: []fault.Code{fault.NotFound, fault.Conflict}, Operation: huma.Operation{
		OperationID: "answer-approval", Method: http.MethodPost, Path: "/v1/approvals/{approval_id}/answer", Tags: tags, Summary: "Answer an approval or a question",
		Description: "Once: 409 if it was answered, if its deadline has passed, or if its task's turn has ended.",
	}}, func(ctx context.Context, in *struct {
		ApprovalPath
		Body Reply
	},
	) (*approvalAnswer, error) {
		a, err := r.Service.AnswerApproval(ctx, edge.Caller(ctx), in.ID, in.Body.reply())
		return &approvalAnswer{approvalShown(a)}, err
	})
}

func (x Reply) reply() task.Reply { return task.Reply{Answer: x.Answer, Value: x.Value, Note: x.Note} }

func (r *routes) ask(ctx context.Context, in *struct {
	TaskPath
	Body AskBody
},
) (*struct {
	Status int
	Body   AskAnswer
}, error,
) {
	b := in.Body
	side, err := b.side()
	if err != nil {
		return nil, err
	}
	a := lifecycle.Asking{Stay: b.Stay, Side: side, Asked: task.Asked{
		Key: b.Key, Kind: cmp.Or(b.Kind, task.KindQuestion), Title: b.Title, Message: b.Message, ToolName: b.ToolName, Payload: b.Payload, Schema: b.Schema, Approvers: b.Approvers,
	}}
	if b.Deadline != nil {
		a.Deadline = task.StampOf(*b.Deadline)
	}
	if b.Default != nil {
		d := b.Default.reply()
		a.Default = &d
	}
	done, err := r.Service.AskPeople(ctx, edge.Principal(ctx).Organization, in.ID, b.LeaseToken, a)
	if err != nil {
		return nil, err
	}
	status := http.StatusCreated
	if done.Known {
		status = http.StatusOK
	}
	return &struct {
		Status int
		Body   AskAnswer
	}{status, AskAnswer{approvalShown(done.Approval), done.Known, done.Waiting}}, nil
}

func approvalShown(a task.Approval) Approval {
	x := Approval{
		ID: a.ID, TaskID: a.TaskID, AgentID: a.AgentID, Turn: a.Turn, Seq: a.Seq, Attempt: a.Attempt, Key: a.Key, Kind: a.Kind, State: a.State,
		Title: a.Title, Message: a.Message, ToolName: a.ToolName, Payload: a.Payload, Schema: a.Schema,
		Deadline: a.Deadline, Approvers: slices.Concat([]string{}, a.Approvers), CreatedAt: a.At,
	}
	if d := a.Default; d != nil {
		x.Default.Value = &Reply{d.Answer, d.Value, d.Note}
	}
	if y := a.Answered; y != nil {
		x.Answered.Value = &Answered{y.By, y.At, y.Answer, y.Value, y.Note, y.ByDefault}
	}
	return x
}

func (r *routes) approvals(ctx context.Context, in *approvalsInput) (*struct{ Body ApprovalList }, error) {
	behind, err := in.place()
	if err != nil {
		return nil, err
	}
	items, next, err := partOf(behind, in.Limit, func(behind lifecycle.Cursor, limit int) ([]task.Approval, error) {
		return r.Service.Approvals(ctx, edge.Scope(ctx), task.ApprovalState(in.State), behind, limit)
	}, func(a task.Approval) (Approval, lifecycle.Cursor) {
		return approvalShown(a), lifecycle.Cursor{CreatedAt: a.At, ID: a.ID}
	}, nextOf)
	return &struct{ Body ApprovalList }{ApprovalList{items, next}}, err
}

func (r *routes) taskApprovals(ctx context.Context, in *TurnPart) (*struct{ Body ApprovalList }, error) {
	items, next, err := partOfTask(ctx, r, in.ID, in.Part, func(t task.Task, after int64, limit int) ([]task.Approval, error) {
		return r.Service.ApprovalsOf(ctx, t.OrganizationID, t.ID, in.of(t), after, limit)
	}, func(a task.Approval) (Approval, int64) { return approvalShown(a), a.Seq })
	return &struct{ Body ApprovalList }{ApprovalList{items, next}}, err
}
