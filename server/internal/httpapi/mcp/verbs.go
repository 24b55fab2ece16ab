package mcp

import (
	"context"
	"encoding/json"
	"fmt"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/invoke"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// taskArguments are those of the tools that are about a task.
type taskArguments struct {
	TaskID   string          `json:"task_id"`
	Wait     *float64        `json:"wait_seconds"`
	Question string          `json:"question_id"`
	Answer   task.Answer     `json:"answer"`
	Value    json.RawMessage `json:"value"`
	Note     string          `json:"note"`
}

// ofTask reads the arguments of such a tool and finds the turn.
func (f *face) ofTask(ctx context.Context, c call) (a taskArguments, t invoke.Turn, err error) {
	if err := json.Unmarshal(c.arguments, &a); err != nil {
		return a, t, fault.New(fault.Invalid, "%v", err)
	}
	t, err = f.find(ctx, a.TaskID)
	return a, t, err
}

func (f *face) getTask(ctx context.Context, c call) (sdk.Result, error) {
	a, t, err := f.ofTask(ctx, c)
	if err != nil {
		return nil, err
	}
	return f.awaited(ctx, c, t, a.Wait)
}

// awaited waits for a turn and shows it.
func (f *face) awaited(ctx context.Context, c call, t invoke.Turn, most *float64) (sdk.Result, error) {
	s, err := f.wait(ctx, c.session, t, seconds(most))
	if err != nil {
		return nil, err
	}
	return f.result(s)
}

func (f *face) stopTask(ctx context.Context, c call) (sdk.Result, error) {
	_, t, err := f.ofTask(ctx, c)
	if err != nil {
		return nil, err
	}
	now, err := f.Turns.Stop(ctx, edge.Caller(ctx), t)
	if err != nil {
		return nil, err
	}
	x := now.Task
	said := fmt.Sprintf("Task %s is %s.", x.ID, x.Status())
	return newResult(view{TaskID: x.ID, Turn: t.Number, Agent: x.AgentID, Status: x.Status(), EndReason: x.Ended(), CreatedAt: x.CreatedAt, UpdatedAt: x.UpdatedAt}, said), nil
}

func (f *face) answerTask(ctx context.Context, c call) (sdk.Result, error) {
	a, t, err := f.ofTask(ctx, c)
	if err != nil {
		return nil, err
	}
	s, err := f.look(ctx, t)
	if err != nil {
		return nil, err
	}
	if a.Question == "" {
		if len(s.questions) != 1 {
			return nil, fault.Field("question_id", "is needed: %d questions wait for an answer of yours", len(s.questions))
		}
		a.Question = s.questions[0].ID
	}
	asks, err := f.Service.Approval(ctx, edge.Scope(ctx), a.Question)
	if err == nil && (asks.TaskID != t.Task || asks.Turn != t.Number) {
		err = fault.New(fault.NotFound, "task %q has not asked %q", a.TaskID, a.Question)
	}
	if err != nil {
		return nil, err
	}
	if a.Answer == "" {
		a.Answer = task.Approve
	}
	if _, err := f.Service.AnswerApproval(ctx, edge.Caller(ctx), a.Question, task.Reply{Answer: a.Answer, Value: a.Value, Note: a.Note}); err != nil {
		return nil, err
	}
	return f.awaited(ctx, c, t, new(float64))
}

type agentView struct {
	ID          string  `json:"id"`
	Name        string  `json:"name"`
	Description *string `json:"description,omitempty"`
}

func (f *face) listAgents(ctx context.Context, c call) (sdk.Result, error) {
	var in struct {
		Cursor string `json:"cursor"`
	}
	if err := json.Unmarshal(c.arguments, &in); err != nil {
		return nil, fault.New(fault.Invalid, "%v", err)
	}
	after := ""
	if in.Cursor != "" {
		var err error
		if after, err = agentCursor(in.Cursor); err != nil {
			return nil, err
		}
	}
	agents, next, err := f.agents(ctx, after)
	if err != nil {
		return nil, err
	}
	list := struct {
		Agents []agentView `json:"agents"`
		Next   string      `json:"next_cursor,omitempty"`
	}{[]agentView{}, next}
	for _, a := range agents {
		list.Agents = append(list.Agents, agentView{a.ID, a.Record.Name, a.Record.Description})
	}
	return listed(list)
}

type taskView struct {
	TaskID    string      `json:"task_id"`
	Agent     string      `json:"agent"`
	Status    task.Status `json:"status"`
	Title     *string     `json:"title,omitempty"`
	CreatedAt task.Stamp  `json:"created_at"`
	UpdatedAt task.Stamp  `json:"updated_at"`
}

// tasksRead is how many tasks stand in a part of a list.
const tasksRead = 20

func (f *face) listTasks(ctx context.Context, c call) (sdk.Result, error) {
	in := struct {
		Agent  string      `json:"agent"`
		Status task.Status `json:"status"`
		Limit  int         `json:"limit"`
		Cursor string      `json:"cursor"`
	}{Limit: tasksRead}
	if err := json.Unmarshal(c.arguments, &in); err != nil {
		return nil, fault.New(fault.Invalid, "%v", err)
	}
	filter := lifecycle.Filter{Agent: in.Agent}
	if in.Status != "" {
		filter.Status = lifecycle.Among(in.Status)
	}
	page := lifecycle.Page{Size: in.Limit}
	if in.Cursor != "" {
		var err error
		if page.Cursor, err = edge.ReadCursor(in.Cursor); err != nil {
			return nil, err
		}
	}
	found, err := f.Service.List(ctx, edge.Scope(ctx), filter, page)
	if err != nil {
		return nil, err
	}
	list := struct {
		Tasks []taskView `json:"tasks"`
		Next  string     `json:"next_cursor,omitempty"`
	}{Tasks: []taskView{}}
	if found.Next.ID != "" {
		list.Next = edge.WriteCursor(found.Next)
	}
	for _, x := range found.Items {
		list.Tasks = append(list.Tasks, taskView{x.ID, x.AgentID, x.Status, x.Title, x.CreatedAt, x.UpdatedAt})
	}
	return listed(list)
}

// listed shows a list: its text is the same JSON.
func listed(list any) (sdk.Result, error) {
	text, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	return newResult(list, string(text)), nil
}
