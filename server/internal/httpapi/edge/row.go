package edge

import (
	"cmp"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/plan"
	"github.com/errand-dev/errand/server/internal/task"
)

// Row is a task in a list for people: what it does, or why not.
type Row struct {
	ID                string             `json:"id" doc:"The task's id."`
	AgentID           string             `json:"agent_id" doc:"The agent who is to do it."`
	OrganizationID    string             `json:"organization_id" doc:"The organization that it belongs to."`
	Status            task.Status        `json:"status" enum:"pending,executing,paused,completed,failed,error,stopped" doc:"Where it stands; the last four have ended."`
	EndReason         task.EndReason     `json:"end_reason" doc:"Why the turn ended; null while it has not."`
	InternalStatus    *string            `json:"internal_status" doc:"A status of the worker's own words."`
	UserID            *string            `json:"user_id" doc:"The id of the user who asked."`
	ParentTaskID      *string            `json:"parent_task_id" doc:"The task that it is a sub-task of."`
	RootID            string             `json:"root_id" doc:"The top of the tree that it is in; its own id without a parent."`
	Depth             int                `json:"depth" doc:"How far below that it is."`
	TriggeringAgentID *string            `json:"triggering_agent_id" doc:"The agent on whose behalf it was created."`
	SourceNodeType    *string            `json:"source_node_type" doc:"Where it comes from."`
	Title             *string            `json:"title" doc:"A headline for people: the first 200 characters."`
	Prompt            string             `json:"prompt" doc:"The first 200 characters of what the turn was asked; empty for nothing."`
	Tags              []string           `json:"tags" nullable:"false" doc:"Labels that its creator gave it."`
	Turn              int                `json:"turn" doc:"The number of the present turn, from 1."`
	Attempt           int                `json:"attempt" doc:"The number of the attempt in this turn, from 1."`
	MaxAttempts       int                `json:"max_attempts" doc:"How many attempts of the turn may start."`
	CreatedAt         task.Stamp         `json:"created_at" doc:"When it was created."`
	UpdatedAt         task.Stamp         `json:"updated_at" doc:"When anything about it last changed."`
	StartedAt         task.Stamp         `json:"started_at" doc:"When the present attempt started."`
	FinishedAt        task.Stamp         `json:"finished_at" doc:"When the turn ended."`
	Waiting           *lifecycle.Waiting `json:"waiting" doc:"Why it is not executing; null while it is, and when it has ended."`
	Stop              *task.Stop         `json:"stop" doc:"What became of a request to stop; null when there was none."`
	Tokens            *task.Tokens       `json:"tokens" doc:"Model tokens that the turn has used; null while that is not known."`
	Budget            *task.Budget       `json:"budget" doc:"What it and all below it may use; null for no limits of its own."`
	Spent             *task.Shown        `json:"spent" doc:"What was used of the budget that it spends from; null without one."`
	WorkerID          *string            `json:"worker_id" doc:"The worker that has it, or had it last."`
	CreatedBy         string             `json:"created_by" doc:"Who began the turn, as the log names them."`
	ResultBytes       int                `json:"result_bytes" doc:"How long the result is; 0 without one."`
	ResultCheck       *task.ResultCheck  `json:"result_check" doc:"How the result follows output_schema; null when that asks for nothing, or there was no result yet."`
	Children          Children           `json:"children" doc:"Its sub-tasks."`
	Plan              *RowPlan           `json:"plan" doc:"How far its plan is; null without one."`
	Asked             *RowAsked          `json:"approval" doc:"What a person is asked first; null for nothing."`
	LastText          string             `json:"last_text" doc:"The last 120 characters that a turn which has not ended has said."`
	Failure           string             `json:"failure" doc:"Why, where end_reason is failed or worker_error: the first line of the result, of a Python traceback the last, up to 200 characters. Empty otherwise, and where the result is longer than 64 KiB."`
	LastEventSeq      int64              `json:"last_event_seq" doc:"The number of the newest event in its log."`
}

// RowAsked is what a person is asked.
type RowAsked struct {
	ID       string            `json:"id" doc:"The approval's id."`
	Kind     task.ApprovalKind `json:"kind" doc:"Whether a yes is asked for, or an answer."`
	Title    string            `json:"title" doc:"Its headline, or else what is asked: the first 200 characters."`
	Deadline task.Stamp        `json:"deadline" doc:"Until when an answer is awaited; null for no end."`
}

// Children counts sub-tasks.
type Children struct {
	Total int `json:"total" doc:"How many it has had."`
	Open  int `json:"open" doc:"How many have not ended, counted to 1000."`
}

// RowPlan is how far a plan is.
type RowPlan struct {
	Done  int     `json:"done" doc:"How many steps are done."`
	Total int     `json:"total" doc:"How many there are."`
	Now   *string `json:"now" doc:"The first that is not done; null when all are."`
}

// rowTitle is how much of a title a row shows, in code points.
const rowTitle = 200

// RowOf renders a task in a list for people.
func RowOf(x lifecycle.Row) Row {
	t, s := x.Task, x.Task.State()
	row := Row{
		ID: t.ID, AgentID: t.AgentID, OrganizationID: t.OrganizationID, Status: s.Status, EndReason: s.EndReason, InternalStatus: s.InternalStatus,
		UserID: orNull(t.Terms.UserID), ParentTaskID: orNull(t.Terms.ParentID), RootID: t.RootID, Depth: t.Depth, TriggeringAgentID: s.TriggeringAgentID,
		SourceNodeType: orNull(s.Source), Title: s.Title, Prompt: x.Prompt, Tags: append([]string{}, x.Tags...),
		Turn: t.Terms.Turn, Attempt: s.Attempt, MaxAttempts: t.Terms.MaxAttempts,
		CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt, StartedAt: s.StartedAt, FinishedAt: s.FinishedAt,
		Waiting: x.Waiting, Tokens: s.Tokens, Budget: s.Budget, Spent: t.ShowSpent(), WorkerID: s.WorkerID, CreatedBy: x.CreatedBy, ResultBytes: x.ResultBytes, ResultCheck: s.ResultCheck,
		Children: Children{Total: t.Subtasks, Open: x.OpenChildren}, Plan: planOf(s), LastText: strings.ToValidUTF8(x.LastText, "\uFFFD"), Failure: x.Failure, LastEventSeq: t.LastSeq,
	}
	if t.Stop.RequestedAt != 0 {
		row.Stop = &t.Stop
	}
	if s.Title != nil {
		row.Title = new(clip(*s.Title))
	}
	if a := x.Asked; a != nil {
		row.Asked = &RowAsked{a.ID, a.Kind, clip(cmp.Or(a.Title, a.Message)), a.Deadline}
	}
	return row
}

// clip is the beginning of a text that may be long.
func clip(text string) string {
	if utf8.RuneCountInString(text) <= rowTitle {
		return text
	}
	return string([]rune(text)[:rowTitle])
}

// ShowRow renders a row.
func ShowRow(x lifecycle.Row) (json.RawMessage, error) { return json.Marshal(RowOf(x)) }

// planOf is how far a task's plan is, nil without one.
func planOf(s task.State) *RowPlan {
	p, err := plan.Read(s.DeepPlanning)
	if err != nil || len(p.Items) == 0 {
		return nil
	}
	far := RowPlan{Total: len(p.Items)}
	for _, item := range p.Items {
		switch {
		case item.Completed:
			far.Done++
		case far.Now == nil:
			far.Now = &item.Title
		}
	}
	return &far
}
