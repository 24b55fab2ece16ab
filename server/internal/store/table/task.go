package table

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// side is the part of a task that has no column of its own: of its State, and what
// few have.
type side struct {
	LastExecutedNodeID *string           `json:"node,omitempty"`
	PayloadExtension   json.RawMessage   `json:"ext,omitempty"`
	HITLRequest        json.RawMessage   `json:"hitl,omitempty"`
	PendingECARequest  json.RawMessage   `json:"eca,omitempty"`
	VoiceID            *string           `json:"voice,omitempty"`
	AdditionalContext  *string           `json:"context,omitempty"`
	UsedTools          []string          `json:"tools,omitempty"`
	TestRunNodeID      *string           `json:"test_node,omitempty"`
	NoAttachments      bool              `json:"no_attach,omitempty"`
	ReturnMetrics      bool              `json:"metrics,omitempty"`
	DeepPlanning       json.RawMessage   `json:"plan,omitempty"`
	Tokens             *task.Tokens      `json:"tokens,omitempty"`
	Duration           float64           `json:"duration,omitempty"`
	ModelProvider      *string           `json:"provider,omitempty"`
	ModelName          *string           `json:"model,omitempty"`
	ReasoningEffort    *string           `json:"effort,omitempty"`
	ToolCallLimit      *int              `json:"tool_calls,omitempty"`
	HarnessCLI         *string           `json:"harness,omitempty"`
	PermissionMode     *string           `json:"permission,omitempty"`
	Adjusted           []string          `json:"adjusted,omitempty"`
	ResultCheck        *task.ResultCheck `json:"check,omitempty"`
	OpenCalls          []task.OpenCall   `json:"calls,omitempty"`
	Again              task.Again        `json:"again,omitzero"`
	Schema             bool              `json:"schema,omitempty"`
	Wait               task.Wait         `json:"wait,omitzero"`
	Budget             *task.Budget      `json:"budget,omitempty"`
	Account            *task.Account     `json:"account,omitempty"`
	Metered            *task.Tokens      `json:"metered,omitempty"`
	Open               []task.Open       `json:"open,omitempty"`
	Key                string            `json:"key,omitempty"`
}

func sideOf(s task.State) side {
	x := side{
		LastExecutedNodeID: s.LastExecutedNodeID, PayloadExtension: s.PayloadExtension, HITLRequest: s.HITLRequest,
		PendingECARequest: s.PendingECARequest, VoiceID: s.VoiceID,
		TestRunNodeID: s.TestRunNodeID, NoAttachments: s.DisableAttachmentInjection,
		AdditionalContext: s.AdditionalContext, ReturnMetrics: s.ReturnMetrics, DeepPlanning: s.DeepPlanning, Tokens: s.Tokens, Duration: s.Duration,
		ModelProvider: s.LLMModelProvider, ModelName: s.LLMModelName, ReasoningEffort: s.LLMReasoningEffort,
		ToolCallLimit: s.ToolCallLimit, HarnessCLI: s.HarnessCLI, PermissionMode: s.PermissionMode, ResultCheck: s.ResultCheck,
		Budget: s.Budget,
	}
	if len(s.UsedTools) > 0 {
		x.UsedTools = s.UsedTools
	}
	if len(s.Adjusted) > 0 {
		x.Adjusted = s.Adjusted
	}
	if len(s.OpenCalls) > 0 {
		x.OpenCalls = s.OpenCalls
	}
	return x
}

// encode is the JSON of the side.
func (x side) encode() (string, error) {
	if reflect.ValueOf(x).IsZero() { // as of most tasks
		return emptySide, nil
	}
	text, err := json.Marshal(x)
	if err != nil {
		return "", fmt.Errorf("encode task: %w", err)
	}
	return string(text), nil
}

func (x side) into(s *task.State) {
	s.LastExecutedNodeID = x.LastExecutedNodeID
	s.PayloadExtension, s.HITLRequest, s.PendingECARequest = x.PayloadExtension, x.HITLRequest, x.PendingECARequest
	s.VoiceID, s.UsedTools, s.TestRunNodeID = x.VoiceID, x.UsedTools, x.TestRunNodeID
	s.DisableAttachmentInjection, s.ReturnMetrics = x.NoAttachments, x.ReturnMetrics
	s.AdditionalContext = x.AdditionalContext
	s.DeepPlanning, s.Tokens, s.Duration, s.Adjusted = x.DeepPlanning, x.Tokens, x.Duration, x.Adjusted
	s.LLMModelProvider, s.LLMModelName, s.LLMReasoningEffort = x.ModelProvider, x.ModelName, x.ReasoningEffort
	s.ToolCallLimit, s.HarnessCLI, s.PermissionMode, s.ResultCheck = x.ToolCallLimit, x.HarnessCLI, x.PermissionMode, x.ResultCheck
	s.Budget, s.OpenCalls = x.Budget, x.OpenCalls
}

// rowWidth is room for the columns of a task and of an attempt.
const rowWidth = 80

// attemptColumns lists the columns of an attempt, bound to the given parts.
func attemptColumns(a *task.Attempt, lease *int64) []column {
	return []column{
		{"number", &a.Number},
		{"turn", &a.Turn},
		{"in_turn", &a.InTurn},
		{"fenced", &a.Fenced},
		{"worker_id", &a.WorkerID},
		{"token_hash", &a.TokenHash},
		{"may_retry", &a.MayRetry},
		{"assigned_at", &a.AssignedAt},
		{"started_at", &a.StartedAt},
		{"ended_at", &a.EndedAt},
		{"outcome", &a.Outcome},
		{"let_go_at", &a.LetGoAt},
		{"lease_us", lease},
		{"lease_until", &a.LeaseUntil},
		{"give_up_at", &a.GiveUpAt},
		{"sent_after", &a.SentAfter},
		{"reported", &a.Reported},
		{"refused_event", &a.RefusedEvent},
		{"refused_end", &a.RefusedEnd},
		{"used", &a.Usage},
	}
}

// Row is a task as it stands in the database.
type Row struct {
	task  task.Task
	state task.State
	ended task.EndReason
	pin   string
	side  string
	// descent is the JSON of Task.Descent, "" for none.
	descent string
	queued  bool
	alarm   task.Stamp
	// asks, askedUntil and standing are what Task.Asks and Task.Standing tell.
	asks       bool
	askedUntil task.Stamp
	standing   task.Standing
	// unpacked is Task.Packable.
	unpacked bool
	// capped names the cap that holds the task, "" for none.
	capped string
	// earlier is the number of Task.Earlier, 0 for none.
	earlier int
}

// bind appends the row's columns, those that are derived included: the one place where
// columns and fields meet, for reading and for writing.
func (r *Row) bind(to []column) []column {
	t, s := &r.task, &r.state
	return append(to, []column{
		{"org", &t.OrganizationID},
		{"id", &t.ID},
		{"agent_id", &t.AgentID},
		{"created_at", &t.CreatedAt},
		{"updated_at", &t.UpdatedAt},
		{"turn", &t.Terms.Turn},
		{"first_seq", &t.FirstSeq},
		{"last_seq", &t.LastSeq},
		{"parent_id", &t.Terms.ParentID},
		{"user_id", &t.Terms.UserID},
		{"pin", &r.pin},
		{"run_locally", &t.Terms.RunLocally},
		{"max_attempts", &t.Terms.MaxAttempts},
		{"timeout", &t.Terms.Timeout},
		{"ended", &r.ended},
		{"starts", &t.Starts},
		{"steps", &t.Steps},
		{"ready_at", &t.ReadyAt},
		{"expires_at", &t.ExpiresAt},
		{"timeout_at", &t.TimeoutAt},
		{"time_used", &t.Used},
		{"stop_requested_at", &t.Stop.RequestedAt},
		{"stop_by", &t.Stop.By},
		{"stop_confirmed_at", &t.Stop.ConfirmedAt},
		{"stop_abandoned_at", &t.Stop.AbandonedAt},
		{"stop_until", &t.Stop.Until},
		{"status", &s.Status},
		{"end_reason", &s.EndReason},
		{"internal_status", &s.InternalStatus},
		{"title", &s.Title},
		{"source", &s.Source},
		{"triggering_agent_id", &s.TriggeringAgentID},
		{"worker_id", &s.WorkerID},
		{"started_at", &s.StartedAt},
		{"paused_at", &s.PausedAt},
		{"finished_at", &s.FinishedAt},
		{"attempt", &s.Attempt},
		{"execution_attempts", &s.ExecutionAttempts},
		{"priority", &s.Priority},
		{"run_at", &s.RunAt},
		{"manually_stopped", &s.IsManuallyStopped},
		{"holdover", &r.earlier},
		{"traceparent", &t.TraceParent},
		{"owner", &t.Owner},
		{"grp", &t.Group},
		{"scoped", &t.Scoped},
		{"root_id", &t.RootID},
		{"depth", &t.Depth},
		{"subtasks", &t.Subtasks},
		{"sealed", &t.Sealed},
		{"begun_at", &t.BegunAt},
		{"keep", &t.Terms.Keep},
		{"descending", &t.Descent.Going},
		{"packed_to", &t.Packed},
		{"side", &r.side},
		{"descent", &r.descent},
		{"queued", &r.queued},
		{"alarm_at", &r.alarm},
		{"unpacked", &r.unpacked},
		{"capped", &r.capped},
		{"asks", &r.asks},
		{"asked_until", &r.askedUntil},
		{"standing", &r.standing},
	}...)
}

// columns binds the row's columns.
func (r *Row) columns() []column { return r.bind(make([]column, 0, rowWidth)) }

// emptySide is the side of most tasks.
const emptySide = "{}"

// RowOf is the row in which a task is to be stored.
func RowOf(t task.Task) (*Row, error) {
	r := &Row{task: t, state: t.State(), ended: t.Ended(), queued: t.Dispatchable(), alarm: t.Alarm(), unpacked: t.Packable(), capped: t.Wait.Cap.Name(), standing: t.Standing()}
	r.asks, r.askedUntil = t.Asks()
	if t.Terms.PinnedWorkerID != nil {
		r.pin = *t.Terms.PinnedWorkerID
	}
	if t.Earlier != nil {
		r.earlier = t.Earlier.Number
	}
	if t.Descent.At != 0 {
		text, err := json.Marshal(t.Descent)
		if err != nil {
			return nil, fmt.Errorf("encode task: %w", err)
		}
		r.descent = string(text)
	}
	var err error
	more := sideOf(r.state)
	more.Account, more.Metered, more.Key = t.Account, t.Metered, t.Key
	more.Again, more.Schema, more.Wait, more.Open = t.Again, t.Terms.Schema, t.Wait, t.Open
	r.side, err = more.encode()
	return r, err
}

// Statements that are made of lists of columns.
var (
	readTask, readTaskWithSpec = readingTask("NULL") + " t.id = ?", readingTask("u.spec") + " t.id = ?"
	readTasks                  = readingTask("CASE WHEN length(u.spec) <= ? THEN u.spec END") + " t.id IN "
	taskNames                  = new(Row).columns()
	insertTask                 = insert("tasks", taskNames)
	putAttempt                 = upsert("attempts", attemptKey, attemptRow(new(string), new(string), new(task.Attempt), new(int64)))
	readingAttempts            = "SELECT " + names(attemptColumns(new(task.Attempt), new(int64)), "") + " FROM attempts WHERE org = ? AND task = ? AND "
)

// readingTask is one statement, so that task and attempt are of one moment.
func readingTask(spec string) string {
	return "SELECT " + names(new(Row).columns(), "t.") + ", " + names(attemptColumns(new(task.Attempt), new(int64)), "a.") +
		", COALESCE(u.shown_result, u.result), " + spec +
		" FROM tasks t JOIN turns u ON u.org = t.org AND u.task = t.id AND u.n = t.turn" +
		" LEFT JOIN attempts a ON a.org = t.org AND a.task = t.id AND a.number = t.execution_attempts" +
		" WHERE t.org = ? AND"
}

// attemptKey is how many columns of attemptRow are the key.
const attemptKey = 3

// attemptRow is an attempt's row with its key.
func attemptRow(org, id *string, a *task.Attempt, lease *int64) []column {
	return append([]column{{"org", org}, {"task", id}}, attemptColumns(a, lease)...)
}

// found is a task as a statement of readingTask finds it.
type found struct {
	row    Row
	result *string
	spec   *string
	run    task.Attempt
	lease  int64
}

func (f *found) scan(rows Rows) error {
	return scan(rows, append(f.row.columns(), attemptColumns(&f.run, &f.lease)...), &f.result, &f.spec)
}

// restore makes the task. It asks for the earlier attempt, which is rare, so not worth a join; it
// may have let go since the row was read.
func (f *found) restore(ctx context.Context, db DB) (task.Task, error) {
	var current, earlier *task.Attempt
	if f.run.Number > 0 {
		f.run.Lease = time.Duration(f.lease) * time.Microsecond
		current = &f.run
	}
	if f.row.earlier > 0 {
		var err error
		if earlier, err = ReadAttempt(ctx, db, f.row.task.OrganizationID, f.row.task.ID, f.row.earlier); err != nil {
			return task.Task{}, err
		}
		if !earlier.Attached() {
			earlier = nil
		}
	}
	return f.row.Restore(current, earlier, f.result)
}

// ReadTask reads a task of the scope with its current attempt, and its turn's spec
// into spec if that is not nil. It also returns the row as it was read.
func ReadTask(ctx context.Context, db DB, in auth.Scope, id string, spec *json.RawMessage) (task.Task, *Row, error) {
	query, args := readTask, []any{in.Organization, id}
	if spec != nil {
		query = readTaskWithSpec
	}
	if !in.Whole() {
		narrower, more := narrow(in)
		query, args = query+narrower, append(args, more...)
	}
	var f *found
	err := each(ctx, db, query, args, func(rows Rows) error {
		f = new(found)
		return f.scan(rows)
	})
	if err != nil {
		return task.Task{}, nil, fmt.Errorf("read task: %w", err)
	}
	if f == nil {
		return task.Task{}, nil, lifecycle.NoTask(id)
	}
	if f.spec != nil {
		*spec = json.RawMessage(*f.spec)
	}
	t, err := f.restore(ctx, db)
	return t, &f.row, err
}

// Stored is one of many tasks, as ReadTask returns it. Spec is nil when it is long.
type Stored struct {
	Task task.Task
	Row  *Row
	Spec json.RawMessage
}

// ReadTasks reads several tasks of an organization, and their specs of up to so many
// characters. It reads no more than some mebibytes: whole says that it has read all that
// are there.
func ReadTasks(ctx context.Context, db DB, org string, ids []string, longest int) (stored []Stored, whole bool, err error) {
	places, among := among(ids)
	var all []*found
	size := 0
	err = each(ctx, db, readTasks+places, append([]any{longest, org}, among...), func(rows Rows) error {
		f := new(found)
		if err := f.scan(rows); err != nil {
			return err
		}
		all = append(all, f)
		for _, text := range []*string{f.result, f.spec} {
			if text != nil {
				size += len(*text)
			}
		}
		if size >= maxBytes {
			return errEnough
		}
		return nil
	})
	if whole = !errors.Is(err, errEnough); err != nil && whole {
		return nil, false, fmt.Errorf("read tasks: %w", err)
	}
	for _, f := range all {
		t, err := f.restore(ctx, db)
		if err != nil {
			return nil, false, err
		}
		one := Stored{Task: t, Row: &f.row}
		if f.spec != nil {
			one.Spec = json.RawMessage(*f.spec)
		}
		stored = append(stored, one)
	}
	return stored, whole, nil
}

// Remains lists those of several ids of which a deleted task has left anything.
func Remains(ctx context.Context, db DB, org string, ids []string) ([]string, error) {
	places, among := among(ids)
	args := append([]any{org}, among...)
	left, err := texts(ctx, db, "SELECT task FROM graves WHERE org = ? AND task IN "+places+
		" UNION SELECT task FROM attempts WHERE org = ? AND task IN "+places, append(args, args...)...)
	if err != nil {
		return nil, fmt.Errorf("look for what deleted tasks have left: %w", err)
	}
	return left, nil
}

// narrow is a scope as a part of a condition on tasks.
func narrow(in auth.Scope) (string, []any) {
	switch {
	case in.Owner != "":
		return " AND t.owner = ? AND t.scoped = 1", []any{in.Owner}
	case in.Group != "":
		return " AND t.grp = ? AND t.grp <> ''", []any{in.Group}
	default:
		return "", nil
	}
}

// Restore makes the task that stands in the row, with what is stored elsewhere.
func (r *Row) Restore(run, earlier *task.Attempt, result *string) (task.Task, error) {
	t, state := r.task, r.state
	if r.side != emptySide {
		var x side
		if err := json.Unmarshal([]byte(r.side), &x); err != nil {
			return task.Task{}, fmt.Errorf("decode task: %w", err)
		}
		x.into(&state)
		t.Account, t.Metered, t.Key = x.Account, x.Metered, x.Key
		t.Again, t.Terms.Schema, t.Wait, t.Open = x.Again, x.Schema, x.Wait, x.Open
	}
	if r.descent != "" {
		if err := json.Unmarshal([]byte(r.descent), &t.Descent); err != nil {
			return task.Task{}, fmt.Errorf("decode task: %w", err)
		}
	}
	state.Normalize()
	state.Result = result
	if r.pin != "" {
		t.Terms.PinnedWorkerID = &r.pin
	}
	t.Run, t.Earlier = run, earlier
	return task.Restore(t, state, r.ended), nil
}

// ReadAttempt reads an attempt of a task by its number, nil when there is none.
func ReadAttempt(ctx context.Context, db DB, org, id string, number int) (*task.Attempt, error) {
	return readAttempt(ctx, db, "number = ?", org, id, number)
}

// ReadAttemptByToken reads an attempt by the hash of its lease token, nil when
// there is none.
func ReadAttemptByToken(ctx context.Context, db DB, org, id, hash string) (*task.Attempt, error) {
	return readAttempt(ctx, db, "token_hash = ?", org, id, hash)
}

func readAttempt(ctx context.Context, db DB, where, org, id string, arg any) (*task.Attempt, error) {
	found, err := readAttempts(ctx, db, where, org, id, arg)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// ReadUnfenced reads a task's attempts on Python workers that have not let go, or
// whose end was not told.
func ReadUnfenced(ctx context.Context, db DB, org, id string) ([]task.Attempt, error) {
	return readAttempts(ctx, db, "fenced = 0 AND (let_go_at = 0 OR reported = 0)", org, id)
}

// readAttempts reads those attempts of a task that match, in their order.
func readAttempts(ctx context.Context, db DB, where, org, id string, args ...any) ([]task.Attempt, error) {
	var found []task.Attempt
	err := each(ctx, db, readingAttempts+where+" ORDER BY number", append([]any{org, id}, args...), func(rows Rows) error {
		var a task.Attempt
		var lease int64
		err := scan(rows, attemptColumns(&a, &lease))
		a.Lease = time.Duration(lease) * time.Microsecond
		found = append(found, a)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	return found, nil
}
