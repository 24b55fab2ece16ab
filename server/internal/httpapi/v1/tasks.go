package v1

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// ListQuery narrows a list and says which part of it is wanted.
type ListQuery struct {
	TaskFilter
	Prefix string `query:"id_prefix" minLength:"6" maxLength:"128" pattern:"^[A-Za-z0-9._:-]+$" doc:"Only tasks whose ids begin so, all on one page; with view=row. 422 when more than 200 of the organization's do."`
	Paging
	Showing
}

// TaskFilter says which tasks are meant: those that match all of it.
type TaskFilter struct {
	Agent string `query:"agent_id" json:"agent_id,omitempty" doc:"Only this agent's tasks."`
	Narrowing
}

func (f TaskFilter) filter() lifecycle.Filter { return f.of(f.Agent) }

// of is the filter for an agent's tasks, with "" for any's.
func (n Narrowing) of(agent string) lifecycle.Filter {
	statuses := make([]task.Status, len(n.Status))
	for i, s := range n.Status {
		statuses[i] = task.Status(s)
	}
	return lifecycle.Filter{
		Agent: agent, User: n.User, Parent: n.Parent, Trigger: n.Trigger, Status: lifecycle.Among(statuses...),
		InternalStatus: n.InternalStatus, Worker: n.Worker, EndReason: task.EndReason(n.EndReason), Roots: n.Roots,
		Waiting: n.Waiting, Asks: n.Needs != "", Tag: n.Tag,
		From: task.StampOf(n.From), To: task.StampOf(n.To),
	}
}

// Narrowing says which tasks of a list are wanted.
type Narrowing struct {
	User           string    `query:"user_id" json:"user_id,omitempty" doc:"Only tasks of the user with this id."`
	Parent         string    `query:"parent_task_id" json:"parent_task_id,omitempty" doc:"Only sub-tasks of this task."`
	Trigger        string    `query:"triggering_agent_id" json:"triggering_agent_id,omitempty" doc:"Only tasks that this agent asked for."`
	Status         []string  `query:"status,explode" json:"status,omitempty" enum:"pending,executing,paused,completed,failed,error,stopped" doc:"Only tasks with this status; it may stand more than once."`
	InternalStatus string    `query:"internal_status" json:"internal_status,omitempty" doc:"Only tasks with exactly this internal status."`
	Worker         string    `query:"worker_id" json:"worker_id,omitempty" doc:"Only tasks that this worker has, or had last."`
	EndReason      string    `query:"end_reason" json:"end_reason,omitempty" enum:"completed,failed,schema_mismatch,budget,worker_error,worker_lost,timeout,expired,stopped" doc:"Only tasks that ended so."`
	Roots          bool      `query:"roots" json:"roots,omitempty" doc:"Only tasks that are no sub-tasks."`
	Waiting        string    `query:"waiting_reason" json:"waiting_reason,omitempty" enum:"paused,budget,person,approval,child,timer,assigned,run_locally,earlier_attempt,scheduled,retry,pinned_worker_absent,no_worker,behind,workers_busy" doc:"Only tasks that wait for this."`
	Needs          string    `query:"needs" json:"needs,omitempty" enum:"you" doc:"you: only tasks in which a person is asked something."`
	Tag            string    `query:"tag" json:"tag,omitempty" doc:"Only tasks whose present turn has this tag."`
	From           time.Time `query:"from_date" json:"from_date,omitzero" doc:"Created at or after this moment."`
	To             time.Time `query:"to_date" json:"to_date,omitzero" doc:"Created before this moment."`
}

// Paging says which part of a list is wanted.
type Paging struct {
	Page    int    `query:"page" minimum:"1" default:"1" doc:"Which page; pages reach the first 10,000 tasks."`
	PerPage int    `query:"per_page" minimum:"1" maximum:"200" default:"20" doc:"How many tasks a page holds: at most 50, or 200 with view=row."`
	Cursor  string `query:"cursor" doc:"next_cursor of the page before; goes on where pages end."`
}

// PageNumbers say where a page stands among the others.
type PageNumbers struct {
	Total         int     `json:"total" doc:"How many match, counted to 10,000; of several filters at once among the newest 5,000 tasks of one of them."`
	TotalIsCapped bool    `json:"total_is_capped" doc:"Whether more match than were counted."`
	Page          int     `json:"page" doc:"The number of this page; 1 also with a cursor."`
	PerPage       int     `json:"per_page" doc:"How many tasks a page holds."`
	TotalPages    int     `json:"total_pages" doc:"How many pages the counted tasks fill."`
	NextCursor    *string `json:"next_cursor" doc:"Give it as cursor for what follows; null on the last page."`
}

// TaskList is a page of tasks.
type TaskList struct {
	Items []edge.ListItem `json:"items" doc:"The tasks of this page."`
	PageNumbers
}

// Showing says what is shown of each task.
type Showing struct {
	View string `query:"view" enum:"item,row" default:"item" doc:"item: the task with its result. row: what it does or why not, in a few hundred bytes, without its result."`
}

// Row documents edge.Row, in which these may be null.
type Row struct {
	edge.Row
	Waiting orNull[lifecycle.Waiting] `json:"waiting" doc:"Why it is not executing; null while it is, and when it has ended."`
	Stop    orNull[task.Stop]         `json:"stop" doc:"What became of a request to stop; null when there was none."`
	Tokens  orNull[task.Tokens]       `json:"tokens" doc:"Model tokens that the turn has used; null while that is not known."`
	Spent   orNull[task.Shown]        `json:"spent" doc:"What was used of the budget that it spends from; null without one."`
	Asked   orNull[edge.RowAsked]     `json:"approval" doc:"What a person is asked first; null for nothing."`
	Plan    orNull[edge.RowPlan]      `json:"plan" doc:"How far its plan is; null without one."`
}

// TaskRows is a page of rows.
type TaskRows struct {
	Items []raw[Row] `json:"items" doc:"The tasks of this page; fewer than there is room for where they are long."`
	PageNumbers
}

// TaskCounts are how many tasks match.
type TaskCounts struct {
	ByStatus Counted       `json:"by_status" doc:"How many tasks have which status, each counted to 10,000."`
	Capped   []task.Status `json:"capped" nullable:"false" doc:"The statuses of which there are more."`
	NeedsYou int           `json:"needs_you" doc:"In how many of them a person is asked something, counted to 10,000."`
	Deadline task.Stamp    `json:"next_deadline" doc:"The next moment until which an answer is awaited there; null for none."`
}

// Counted are numbers of tasks by their status.
type Counted map[task.Status]int

type listAnswer struct {
	Body either[TaskList, TaskRows]
}

func (r *routes) registerTasks() {
	tags := []string{"tasks"}
	add(r, operation{roles: users(), errors: []fault.Code{fault.Malformed}, Operation: huma.Operation{
		OperationID: "list-tasks", Method: http.MethodGet, Path: "/v1/tasks", Tags: tags, Summary: "List tasks, newest first",
	}}, func(ctx context.Context, in *ListQuery) (*listAnswer, error) { return r.list(ctx, *in) })
	add(r, operation{roles: users(), errors: []fault.Code{fault.Malformed}, Operation: huma.Operation{
		OperationID: "list-agent-tasks", Method: http.MethodGet, Path: "/v1/agents/{agent_id}/tasks", Tags: tags, Summary: "List an agent's tasks, newest first",
	}}, func(ctx context.Context, in *struct {
		AgentPath
		Narrowing
		Paging
		Showing
	},
	) (*listAnswer, error) {
		return r.list(ctx, ListQuery{TaskFilter: TaskFilter{in.AgentID, in.Narrowing}, Paging: in.Paging, Showing: in.Showing})
	})
	add(r, operation{roles: users(), errors: []fault.Code{fault.Malformed}, Operation: huma.Operation{
		OperationID: "list-children", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/children", Tags: tags, Summary: "List a task's sub-tasks, newest first",
	}}, func(ctx context.Context, in *struct {
		TaskPath
		Paging
		Showing
	},
	) (*listAnswer, error) {
		if _, err := r.Service.Task(ctx, edge.Scope(ctx), in.ID); err != nil {
			return nil, err
		}
		return r.list(ctx, ListQuery{TaskFilter: TaskFilter{Narrowing: Narrowing{Parent: in.ID}}, Paging: in.Paging, Showing: in.Showing})
	})
	add(r, operation{roles: users(), Operation: huma.Operation{
		OperationID: "count-tasks", Method: http.MethodGet, Path: "/v1/tasks/counts", Tags: tags, Summary: "Count tasks by their status",
	}}, r.counts)
	add(r, operation{roles: everybody(), shared: true, Operation: huma.Operation{
		OperationID: "get-task", Method: http.MethodGet, Path: "/v1/tasks/{task_id}", Tags: tags, Summary: "Read a task",
	}}, r.get)
	add(r, operation{roles: users(), errors: []fault.Code{fault.Conflict}, Operation: huma.Operation{
		OperationID: "update-task", Method: http.MethodPatch, Path: "/v1/tasks/{task_id}", Tags: tags, Summary: "Change a task, or decide how it ends",
	}}, r.patch)
	for _, verb := range []struct {
		name, summary string
		do            func(context.Context, lifecycle.Caller, string) (lifecycle.Snapshot, error)
	}{
		{"stop", "Stop a task and its sub-tasks", r.Service.Stop},
		{"pause", "Hold a task until it is resumed", r.Service.Pause},
		{"resume", "Let a paused task go on", r.Service.Resume},
	} {
		add(r, operation{roles: users(), errors: []fault.Code{fault.Conflict}, Operation: huma.Operation{
			OperationID: verb.name + "-task", Method: http.MethodPost, Path: "/v1/tasks/{task_id}/" + verb.name, Tags: tags, Summary: verb.summary,
		}}, func(ctx context.Context, in *TaskPath) (*taskAnswer, error) {
			s, err := verb.do(ctx, edge.Caller(ctx), in.ID)
			return r.answer(ctx, s, err)
		})
	}
	add(r, operation{roles: users(), Operation: huma.Operation{
		OperationID: "delete-task", Method: http.MethodDelete, Path: "/v1/tasks/{task_id}", DefaultStatus: http.StatusNoContent, Tags: tags,
		Summary: "Delete a task, its sub-tasks and their logs for good",
	}}, func(ctx context.Context, in *TaskPath) (*struct{}, error) {
		return nil, r.Service.Delete(ctx, edge.Caller(ctx), in.ID)
	})
}

func (r *routes) get(ctx context.Context, in *TaskPath) (*taskAnswer, error) {
	s, err := r.Service.Get(ctx, edge.Scope(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	waiting, err := r.Service.WhyWaiting(ctx, s)
	if err != nil {
		return nil, err
	}
	rendered, err := r.Presenter.Task(ctx, s, waiting)
	return &taskAnswer{Status: http.StatusOK, Body: raw[Task]{rendered}}, err
}

// TaskUpdate is the body that changes a task. What is left out stays as it is.
type TaskUpdate struct {
	Title            *string         `json:"title,omitempty" doc:"A headline for people."`
	InternalStatus   *string         `json:"internal_status,omitempty" doc:"A status of your own, at most 255 characters."`
	Tokens           *TokensGiven    `json:"tokens,omitempty" doc:"Model tokens used so far."`
	UsedTools        []string        `json:"used_tools,omitempty" maxItems:"1000" doc:"Names of the tools that were used."`
	Duration         *float64        `json:"duration,omitempty" minimum:"0" doc:"Seconds of work."`
	PayloadExtension json.RawMessage `json:"payload_extension,omitempty" doc:"An object that is merged into the one that is there, member by member, all the way down."`
	lifecycle.Asked
	Budget   *task.Budget `json:"budget,omitempty" doc:"Limits in the place of those that it has; what was spent stays. What was paused because of them goes on if none is reached any more."`
	Priority *int         `json:"priority,omitempty" minimum:"-100" maximum:"100" doc:"Only while pending."`
	RunAt    *time.Time   `json:"run_at,omitempty" doc:"Only while pending."`
	Status   *string      `json:"status,omitempty" enum:"pending,executing,paused,completed,failed,error,stopped" doc:"completed, failed or error: decides how an executing task ends, or with override how an ended one is shown. executing: begins a pending task with run_locally, which its creator executes. For the rest use pause, resume and stop."`
	Result   *string      `json:"result,omitempty" doc:"Together with a status that ends the task."`
	Override bool         `json:"override,omitempty" doc:"Also correct how an ended task is shown to have ended."`
}

// TokensGiven are model tokens that somebody reports; what is left out is 0.
type TokensGiven struct {
	Prompt     int64 `json:"prompt_tokens,omitempty" minimum:"0" doc:"Tokens that the model read."`
	Completion int64 `json:"completion_tokens,omitempty" minimum:"0" doc:"Tokens that the model wrote."`
	CacheRead  int64 `json:"cache_read_tokens,omitempty" minimum:"0" doc:"Of those read, how many came from the model's cache."`
	CacheWrite int64 `json:"cache_write_tokens,omitempty" minimum:"0" doc:"Of those read, how many went into it."`
}

func (x *TokensGiven) tokens() *task.Tokens {
	if x == nil {
		return nil
	}
	return &task.Tokens{Prompt: x.Prompt, Completion: x.Completion, CacheRead: x.CacheRead, CacheWrite: x.CacheWrite}
}

func (r *routes) patch(ctx context.Context, in *struct {
	TaskPath
	Body TaskUpdate
},
) (*taskAnswer, error) {
	b := in.Body
	e := lifecycle.Edit{
		Title: b.Title, InternalStatus: b.InternalStatus, Tokens: b.Tokens.tokens(), UsedTools: b.UsedTools, Duration: b.Duration,
		Extension: b.PayloadExtension, Asked: b.Asked, Priority: b.Priority, Result: b.Result, Override: b.Override, Budget: b.Budget,
	}
	if b.RunAt != nil {
		at := task.StampOf(*b.RunAt)
		e.RunAt = &at
	}
	if b.Status != nil {
		status := task.Status(*b.Status)
		e.Status = &status
	}
	s, err := r.Service.Update(ctx, edge.Caller(ctx), in.ID, e)
	return r.answer(ctx, s, err)
}

// maxItems is how many tasks a page holds with their results.
const maxItems = 50

// reach is how far page numbers go; cursors reach everything (rule H5).
const reach = 10_000

// rows are those of a page, or of what an id begins with, which is a page of its own.
func (r *routes) rows(ctx context.Context, scope auth.Scope, f lifecycle.Filter, page lifecycle.Page, in *ListQuery) (lifecycle.RowList, error) {
	if in.Prefix == "" {
		return r.Service.Rows(ctx, scope, f, page)
	}
	found, err := r.Service.Beginning(ctx, scope, f, in.Prefix)
	in.Page, in.PerPage = 1, max(len(found), 1)
	return lifecycle.RowList{Items: found, Total: len(found)}, err
}

func (r *routes) list(ctx context.Context, in ListQuery) (*listAnswer, error) {
	page := lifecycle.Page{Number: in.Page, Size: in.PerPage, Count: true}
	if in.Cursor != "" {
		var err error
		if page.Cursor, err = edge.ReadCursor(in.Cursor); err != nil {
			return nil, err
		}
	} else if in.Page > reach/in.PerPage {
		return nil, fault.Field("page", "pages reach %d tasks: go on with cursor", reach)
	}
	scope, f := edge.Scope(ctx), in.filter()
	if in.View != "row" && in.PerPage > maxItems {
		return nil, fault.Field("per_page", "must be at most %d, or 200 with view=row", maxItems)
	}
	if in.Prefix != "" && in.View != "row" {
		return nil, fault.Field("id_prefix", "goes with view=row")
	}
	if in.View == "row" {
		found, err := r.rows(ctx, scope, f, page, &in)
		rows := make([]raw[Row], 0, len(found.Items))
		for _, x := range found.Items {
			row, err := edge.ShowRow(x)
			if err != nil {
				return nil, err
			}
			rows = append(rows, raw[Row]{row})
		}
		return &listAnswer{either[TaskList, TaskRows]{TaskRows{rows, numbersOf(in.Paging, found.Total, found.More, found.Next)}}}, err
	}
	found, err := r.Service.List(ctx, scope, f, page)
	list := TaskList{[]edge.ListItem{}, numbersOf(in.Paging, found.Total, found.More, found.Next)}
	for _, x := range found.Items {
		list.Items = append(list.Items, edge.ListItemOf(x))
	}
	return &listAnswer{either[TaskList, TaskRows]{list}}, err
}

func numbersOf(in Paging, total int, more bool, next lifecycle.Cursor) PageNumbers {
	n := PageNumbers{
		Total: total, TotalIsCapped: more,
		Page: in.Page, PerPage: in.PerPage, NextCursor: nextOf(next),
	}
	n.TotalPages = int(math.Ceil(float64(n.Total) / float64(in.PerPage)))
	return n
}

func (r *routes) counts(ctx context.Context, in *TaskFilter) (*struct{ Body TaskCounts }, error) {
	found, err := r.Service.Counts(ctx, edge.Scope(ctx), in.filter())
	return &struct{ Body TaskCounts }{countsOf(found)}, err
}

func countsOf(found lifecycle.Counts) TaskCounts {
	counts := TaskCounts{ByStatus: Counted{}, Capped: []task.Status{}, NeedsYou: found.Asking, Deadline: found.NextDeadline}
	for _, x := range found.ByStatus {
		if x.More {
			counts.Capped = append(counts.Capped, x.Status)
		}
		counts.ByStatus[x.Status] = x.Count
	}
	return counts
}

// ShowCounts renders counts.
func ShowCounts(found lifecycle.Counts) (json.RawMessage, error) {
	return json.Marshal(countsOf(found))
}
