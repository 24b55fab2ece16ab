package errand

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/errand-dev/errand/internal/task"
)

// Status is what a task shows.
type Status = task.Status

// The statuses. The last four end a task's turn.
const (
	Pending   = task.Pending
	Executing = task.Executing
	Paused    = task.Paused
	Completed = task.Completed
	Failed    = task.Failed
	Errored   = task.Error
	Stopped   = task.Stopped
)

// Tasks creates, reads and steers tasks.
type Tasks struct{ c *Client }

// TaskRequest asks for a task.
type TaskRequest struct {
	AgentID string
	Prompt  string
	// Files are http(s) URLs, or URLs of uploaded files; at most 100.
	Files []string
	// ID is an id of your own; that of an ended task starts its next turn.
	ID string
	// IdempotencyKey makes a repeat of the same request answer the first
	// one's task, for 24 hours.
	IdempotencyKey string
	Title          string
	// Priority is from -100 to 100; higher goes first.
	Priority int
	// RunAt is the moment before which it may not start; zero is now.
	RunAt time.Time
	// WorkerID lets only that worker have it.
	WorkerID string
	// Timeout bounds how long it may execute, ExpiresIn how long it may wait
	// to be started; 0 is without limit.
	Timeout   time.Duration
	ExpiresIn time.Duration
	// MaxAttempts bounds how many attempts may start; 0 is the agent's.
	MaxAttempts int
	Tags        []string
}

type taskBody struct {
	AgentID string `json:"agent_id"`
	ID      string `json:"id,omitempty"`
	Input   struct {
		Text  string   `json:"text"`
		Files []string `json:"files,omitempty"`
	} `json:"input"`
	Title       string     `json:"title,omitempty"`
	Priority    int        `json:"priority,omitempty"`
	RunAt       *time.Time `json:"run_at,omitempty"`
	WorkerID    string     `json:"worker_id,omitempty"`
	Timeout     float64    `json:"timeout,omitempty"`
	ExpiresIn   float64    `json:"expires_in,omitempty"`
	MaxAttempts int        `json:"max_attempts,omitempty"`
	Tags        []string   `json:"tags,omitempty"`
}

// Task is a task as the server answered it.
type Task struct {
	ID             string `json:"id"`
	AgentID        string `json:"agent_id"`
	OrganizationID string `json:"organization_id"`
	Turn           int    `json:"turn"`
	Input          struct {
		Text  string   `json:"text"`
		Files []string `json:"files"`
	} `json:"input"`
	Status         Status    `json:"status"`
	EndReason      string    `json:"end_reason"`
	InternalStatus string    `json:"internal_status"`
	Title          string    `json:"title"`
	Result         string    `json:"result"`
	Attempt        int       `json:"attempt"`
	WorkerID       string    `json:"worker_id"`
	Priority       int       `json:"priority"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
	StartedAt      time.Time `json:"started_at"`
	FinishedAt     time.Time `json:"finished_at"`
	LastEventSeq   int64     `json:"last_event_seq"`
	// Waiting says why a task that has not ended is not executing.
	Waiting *Waiting `json:"waiting"`

	raw json.RawMessage
}

// Waiting says why a task is not executing.
type Waiting struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Ended reports whether the task's turn has ended.
func (t *Task) Ended() bool { return t.Status.Ends() }

// JSON is the task as the server sent it, with every field.
func (t *Task) JSON() json.RawMessage { return t.raw }

// UnmarshalJSON reads a task and keeps the whole of it for JSON.
func (t *Task) UnmarshalJSON(b []byte) error {
	type plain Task
	if err := json.Unmarshal(b, (*plain)(t)); err != nil {
		return err
	}
	t.raw = append(json.RawMessage(nil), b...)
	return nil
}

// Create creates a task, or starts the next turn of an ended one.
func (t *Tasks) Create(ctx context.Context, r TaskRequest) (*Task, error) {
	body := taskBody{
		AgentID: r.AgentID, ID: r.ID, Title: r.Title, Priority: r.Priority, WorkerID: r.WorkerID,
		Timeout: seconds(r.Timeout), ExpiresIn: seconds(r.ExpiresIn), MaxAttempts: r.MaxAttempts, Tags: r.Tags,
	}
	body.Input.Text, body.Input.Files = r.Prompt, r.Files
	if !r.RunAt.IsZero() {
		body.RunAt = &r.RunAt
	}
	header := http.Header{}
	if r.IdempotencyKey != "" {
		header.Set("Idempotency-Key", r.IdempotencyKey)
	}
	return t.one(ctx, request{method: http.MethodPost, path: "/v1/tasks", header: header, body: body})
}

// Get reads a task.
func (t *Tasks) Get(ctx context.Context, id string) (*Task, error) {
	return t.one(ctx, request{method: http.MethodGet, path: taskPath(id)})
}

// Stop ends a task and its sub-tasks. A task that has ended is answered
// unchanged.
func (t *Tasks) Stop(ctx context.Context, id string) (*Task, error) {
	return t.one(ctx, request{method: http.MethodPost, path: taskPath(id) + "/stop"})
}

func (t *Tasks) one(ctx context.Context, r request) (*Task, error) {
	var task Task
	if err := t.c.call(ctx, r, &task); err != nil {
		return nil, err
	}
	return &task, nil
}

func taskPath(id string) string { return "/v1/tasks/" + url.PathEscape(id) }

// ListOptions narrow a list of tasks and say which page of it is wanted.
type ListOptions struct {
	AgentID string
	UserID  string
	Status  Status
	// PerPage is at most 50; 0 is 20.
	PerPage int
	// Cursor is the NextCursor of the page before.
	Cursor string
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
	ID             string    `json:"id"`
	AgentID        string    `json:"agent_id"`
	Status         Status    `json:"status"`
	InternalStatus string    `json:"internal_status"`
	Title          string    `json:"title"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
}

// List lists tasks, newest first.
func (t *Tasks) List(ctx context.Context, o ListOptions) (*TaskPage, error) {
	q := url.Values{}
	for name, value := range map[string]string{
		"agent_id": o.AgentID, "user_id": o.UserID, "status": string(o.Status), "cursor": o.Cursor,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if o.PerPage > 0 {
		q.Set("per_page", strconv.Itoa(o.PerPage))
	}
	var page TaskPage
	if err := t.c.call(ctx, request{method: http.MethodGet, path: "/v1/tasks", query: q}, &page); err != nil {
		return nil, err
	}
	return &page, nil
}
