package errand

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ListOptions narrow a list of tasks, to those that match all of it, and say which page
// of it is wanted.
type ListOptions struct {
	AgentID           string
	UserID            string
	ParentTaskID      string
	TriggeringAgentID string
	// Status is one status, and Statuses are any of some, beside it.
	Status         Status
	Statuses       []Status
	InternalStatus string
	// WorkerID is the worker that has the tasks, or had them last.
	WorkerID  string
	EndReason EndReason
	// WaitingFor is what the tasks wait for, as [Waiting] says it in Reason.
	WaitingFor string
	// NeedsPerson are only tasks in which a person is asked something.
	NeedsPerson bool
	Tag         string
	// Roots are only tasks that are no sub-tasks.
	Roots bool
	// From and To bound when the tasks were created: at or after, and before.
	From time.Time
	To   time.Time
	// PerPage is at most 50; 0 is 20.
	PerPage int
	// Cursor is the NextCursor of the page before.
	Cursor string
}

func (o ListOptions) query() url.Values {
	q := query(map[string]string{
		"agent_id": o.AgentID, "user_id": o.UserID, "parent_task_id": o.ParentTaskID,
		"triggering_agent_id": o.TriggeringAgentID, "internal_status": o.InternalStatus, "cursor": o.Cursor,
		"worker_id": o.WorkerID, "end_reason": string(o.EndReason), "waiting_reason": o.WaitingFor, "tag": o.Tag,
	})
	for _, status := range append([]Status{o.Status}, o.Statuses...) {
		if status != "" {
			q.Add("status", string(status))
		}
	}
	if o.NeedsPerson {
		q.Set("needs", "you")
	}
	if o.Roots {
		q.Set("roots", "true")
	}
	for name, at := range map[string]time.Time{"from_date": o.From, "to_date": o.To} {
		if !at.IsZero() {
			q.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	if o.PerPage > 0 {
		q.Set("per_page", strconv.Itoa(o.PerPage))
	}
	return q
}

// body is the filter as the body of a request has it.
func (o ListOptions) body() map[string]any {
	filter := map[string]any{}
	for name, values := range o.query() {
		switch name {
		case "status":
			filter[name] = values
		case "roots":
			filter[name] = true
		default:
			filter[name] = values[0]
		}
	}
	return filter
}

// TaskPage is a page of tasks, newest first.
type TaskPage struct {
	Items []ListedTask `json:"items"`
	// Total is counted to 10,000.
	Total         int    `json:"total"`
	TotalIsCapped bool   `json:"total_is_capped"`
	NextCursor    string `json:"next_cursor"`
}

// ListedTask is what a list shows of a task.
type ListedTask struct {
	ID                string    `json:"id"`
	AgentID           string    `json:"agent_id"`
	OrganizationID    string    `json:"organization_id"`
	Status            Status    `json:"status"`
	InternalStatus    string    `json:"internal_status"`
	Title             string    `json:"title"`
	UserID            string    `json:"user_id"`
	ParentTaskID      string    `json:"parent_task_id"`
	TriggeringAgentID string    `json:"triggering_agent_id"`
	Source            string    `json:"source_node_type"`
	CreatedAt         time.Time `json:"created_at"`
	UpdatedAt         time.Time `json:"updated_at"`
	// Result is "" also when it is longer than 64 KiB: get the task then.
	Result string `json:"result"`

	raw json.RawMessage
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *ListedTask) UnmarshalJSON(text []byte) error {
	type plain ListedTask
	t.raw = bytes.Clone(text)
	return json.Unmarshal(text, (*plain)(t))
}

// JSON returns it as the server sent it.
func (t *ListedTask) JSON() json.RawMessage { return t.raw }

// List lists tasks, newest first.
func (t *Tasks) List(ctx context.Context, o ListOptions) (*TaskPage, error) {
	return t.page(ctx, "/v1/tasks", o)
}

func (t *Tasks) page(ctx context.Context, path string, o ListOptions) (*TaskPage, error) {
	var page TaskPage
	err := t.c.call(ctx, request{method: http.MethodGet, path: path, query: o.query(), repeat: true}, &page)
	if err != nil {
		return nil, err
	}
	return &page, nil
}

// Rows lists tasks, newest first, as people read them: with the beginning of what was
// asked, and why each waits.
func (t *Tasks) Rows(ctx context.Context, o ListOptions) (*RowPage, error) {
	q := o.query()
	q.Set("view", "row")
	var page RowPage
	err := t.c.call(ctx, request{method: http.MethodGet, path: "/v1/tasks", query: q, repeat: true}, &page)
	if err != nil {
		return nil, err
	}
	return &page, nil
}

// Find lists the tasks whose ids begin with a text of at least 6 characters, newest first:
// all of them, at most 200. If more tasks begin so, the error is of code CodeInvalid.
func (t *Tasks) Find(ctx context.Context, prefix string) ([]TaskRow, error) {
	var page RowPage
	q := query(map[string]string{"view": "row", "id_prefix": prefix})
	err := t.c.call(ctx, request{method: http.MethodGet, path: "/v1/tasks", query: q, repeat: true}, &page)
	return page.Items, err
}

// TaskCounts are numbers of tasks.
type TaskCounts struct {
	// ByStatus counts the tasks of each status to 10,000; Capped are the statuses of which
	// there are more.
	ByStatus map[Status]int `json:"by_status"`
	Capped   []Status       `json:"capped"`
	// NeedsYou is in how many of them a person is asked something, counted to 10,000, and
	// NextDeadline until when the next answer is awaited there; zero for none.
	NeedsYou     int       `json:"needs_you"`
	NextDeadline time.Time `json:"next_deadline"`
}

// Counts counts tasks by their status. The page and the cursor of the options do not apply.
func (t *Tasks) Counts(ctx context.Context, o ListOptions) (*TaskCounts, error) {
	o.PerPage, o.Cursor = 0, ""
	var counts TaskCounts
	if err := t.c.call(ctx, request{method: http.MethodGet, path: "/v1/tasks/counts", query: o.query(), repeat: true}, &counts); err != nil {
		return nil, err
	}
	return &counts, nil
}

// ListByUser lists a user's tasks, newest first.
func (t *Tasks) ListByUser(ctx context.Context, userID string, o ListOptions) (*TaskPage, error) {
	o.UserID = userID
	return t.List(ctx, o)
}

// Children lists the sub-tasks of a task, newest first. The options' filters
// do not apply.
func (t *Tasks) Children(ctx context.Context, id string, o ListOptions) (*TaskPage, error) {
	return t.page(ctx, taskPath(id)+"/children", ListOptions{PerPage: o.PerPage, Cursor: o.Cursor})
}

// All yields every task that the options ask for, newest first, page by page.
// An error is yielded last.
func (t *Tasks) All(ctx context.Context, o ListOptions) iter.Seq2[ListedTask, error] {
	return partsOf[ListedTask](ctx, t.c, "/v1/tasks", o.query())
}

// ofTurn are the parameters that name a turn: none for 0.
func ofTurn(turn int) map[string]string {
	if turn <= 0 {
		return nil
	}
	return map[string]string{"turn": strconv.Itoa(turn)}
}

// parts yields the items of a list that is answered in parts, from the cursor of the
// parameters on. An error is yielded last.
func parts[T any](ctx context.Context, c *Client, path string, parameters map[string]string) iter.Seq2[T, error] {
	return partsOf[T](ctx, c, path, query(parameters))
}

func partsOf[T any](ctx context.Context, c *Client, path string, parameters url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for q := maps.Clone(parameters); ; {
			var part struct {
				Items      []T    `json:"items"`
				NextCursor string `json:"next_cursor"`
			}
			err := c.call(ctx, request{method: http.MethodGet, path: path, query: q, repeat: true}, &part)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range part.Items {
				if !yield(item, nil) {
					return
				}
			}
			if q.Set("cursor", part.NextCursor); part.NextCursor == "" {
				return
			}
		}
	}
}

// whole collects what an iterator yields.
func whole[T any](items iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for item, err := range items {
		if err != nil {
			return nil, err
		}
		all = append(all, item)
	}
	return all, nil
}

// StopFilter says which tasks to stop: those that match all of it, or have one of the
// IDs. All must be set to stop every task.
type StopFilter struct {
	AgentID           string
	UserID            string
	ParentTaskID      string
	TriggeringAgentID string
	// Status is one status, and Statuses are any of some, beside it.
	Status         Status
	Statuses       []Status
	InternalStatus string
	WorkerID       string
	WaitingFor     string
	NeedsPerson    bool
	Tag            string
	Roots          bool
	From           time.Time
	To             time.Time
	// IDs, at most 1000, stand in the place of a filter.
	IDs []string
	All bool
	// DryRun stops nothing and tells what would be stopped. With its Before as To none is
	// stopped then that was created since; one that has come to match since is.
	DryRun bool
}

// StoppedTasks tells what StopAll did.
type StoppedTasks struct {
	Matched int `json:"matched"`
	Stopped int `json:"stopped"`
	// Subtasks are how many tasks below them that do not match themselves go with them,
	// counted to 10,000.
	Subtasks int  `json:"subtasks"`
	DryRun   bool `json:"dry_run"`
	// Before is the moment before which the tasks were created.
	Before time.Time `json:"to_date"`
	// IDs are the first 100.
	IDs []string `json:"ids"`
	// Sample are the first three, as they were.
	Sample []TaskRow `json:"sample"`
}

// RowPage is a page of tasks, newest first, as people read them.
type RowPage struct {
	Items []TaskRow `json:"items"`
	// Total is counted to 10,000.
	Total         int    `json:"total"`
	TotalIsCapped bool   `json:"total_is_capped"`
	NextCursor    string `json:"next_cursor"`
}

// TaskRow is what a list for people says of a task.
type TaskRow struct {
	ID      string   `json:"id"`
	AgentID string   `json:"agent_id"`
	Status  Status   `json:"status"`
	Title   string   `json:"title"`
	Prompt  string   `json:"prompt"`
	Waiting *Waiting `json:"waiting"`
	// Failure is a line in which a task that has failed says why, "" for any other.
	Failure   string    `json:"failure"`
	CreatedAt time.Time `json:"created_at"`
}

// StopAll stops every task that a filter matches and that has not ended.
func (t *Tasks) StopAll(ctx context.Context, f StopFilter) (*StoppedTasks, error) {
	var done StoppedTasks
	err := t.c.call(ctx, request{method: http.MethodPost, path: "/v1/tasks/stop", repeat: true, body: struct {
		Filter map[string]any `json:"filter"`
		IDs    []string       `json:"ids,omitempty"`
		All    bool           `json:"all,omitempty"`
		DryRun bool           `json:"dry_run,omitempty"`
	}{ListOptions{
		AgentID: f.AgentID, UserID: f.UserID, ParentTaskID: f.ParentTaskID, TriggeringAgentID: f.TriggeringAgentID,
		Status: f.Status, Statuses: f.Statuses, InternalStatus: f.InternalStatus, WorkerID: f.WorkerID, WaitingFor: f.WaitingFor,
		NeedsPerson: f.NeedsPerson, Tag: f.Tag, Roots: f.Roots, From: f.From, To: f.To,
	}.body(), f.IDs, f.All, f.DryRun}}, &done)
	if err != nil {
		return nil, err
	}
	return &done, nil
}
