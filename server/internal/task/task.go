package task

import (
	"encoding/json"
	"time"
)

// Task is one task at one moment: its present turn, and the attempt that
// carries the turn's current number. Values are not shared after a change;
// slices and pointers inside are never written through.
type Task struct {
	OrganizationID string
	ID             string
	AgentID        string
	CreatedAt      Stamp
	UpdatedAt      Stamp

	// Owner is whose task it is, Group which group may see it, "" for none: they
	// are those of its first turn's creator, or its parent's (rule A3).
	Owner, Group string
	// Key is the id of the key that began the turn, "" for the one whose the task is
	// (PayingKey).
	Key string
	// Scoped says that somebody sees no more than this owner's tasks: the store then
	// finds them by their owner.
	Scoped bool
	// RootID is the top of the tree that the task is in, its own id for a task
	// without a parent; Depth is how far below that it is. Subtasks counts the
	// sub-tasks that it has had.
	RootID   string
	Depth    int
	Subtasks int
	// Sealed says that the store keeps secrets of the present turn: they go when the
	// task has let go (rule A5).
	Sealed bool

	// FirstSeq is the number of the turn's task_created event, LastSeq that
	// of the newest event in the log; seq is gapless over all turns (T3).
	FirstSeq int64
	LastSeq  int64
	// Packed is the number up to which the store keeps the log as it keeps what is
	// only read any more.
	Packed int64

	// Terms are the parts of the turn's Spec that decide its course.
	Terms Terms
	// TraceParent is the W3C trace context of the request that began the turn,
	// "" for none.
	TraceParent string
	// Starts counts the attempts of the turn that have started (L4).
	Starts int
	// ReadyAt is the task's place in the queue: the moment before which no
	// attempt may begin (the turn's beginning, run_at, or the end of a
	// retry's backoff).
	ReadyAt Stamp
	// Steps counts the steps of the turn that were committed (T8).
	Steps int
	// Again says why the turn waits for another attempt, if it had one.
	Again Again
	// ExpiresAt ends the turn if it is still pending then, TimeoutAt if it
	// is still executing then (S7); 0 is never.
	ExpiresAt Stamp
	TimeoutAt Stamp
	// Used is how much of its time-out the turn had executed before it last began
	// to execute, or until now if it does not: attempts and pauses add up (S7).
	Used time.Duration
	// Wait is what a paused turn waits for.
	Wait Wait
	// Account is how the turn stands to a budget, nil for none (B1). Metered are the
	// model tokens of the turn that the server has counted itself, nil for none.
	Account *Account
	Metered *Tokens
	// Open are the approvals of the turn that nobody has answered.
	Open []Open
	// Stop is what became of a request to stop.
	Stop Stop
	// BegunAt is when the present turn began; 0, which is before all, for one of a
	// time in which nobody noted it.
	BegunAt Stamp
	// Descent is the last stop that went on to what is below the task.
	Descent Descent
	// Run is the attempt that carries the number State.ExecutionAttempts:
	// the one that runs, or the one that ran last. Nil when that number has
	// not been handed out.
	Run *Attempt
	// Earlier is an earlier attempt, on a Python worker, that has not let go:
	// nothing of the task is handed out until it does (T1b). Nil for none; there
	// is never more than one.
	Earlier *Attempt

	state State     // the public, changing fields; see State
	ended EndReason // how the turn really ended; an override changes only what is shown
}

// Input is what a turn was asked.
type Input struct {
	Text  *string         `json:"text"`
	Files []string        `json:"files"`
	User  json.RawMessage `json:"user"`
	// Attachments and Principal are the Python client's; files given as
	// attachments are kept like Files.
	Attachments json.RawMessage `json:"attachments"`
	Principal   json.RawMessage `json:"principal"`
}

// Terms are the parts of a Spec that the lifecycle itself reads.
type Terms struct {
	Turn           int
	ParentID       string // "" for none
	UserID         string // "" for none
	PinnedWorkerID *string
	RunLocally     bool
	MaxAttempts    int
	Timeout        float64 // seconds, 0 for none
	Keep           bool    // it goes on when its parent ends
	Schema         bool    // its result is to follow a schema (S8)
}

// OnParentEnd says what becomes of a sub-task that runs when its parent ends (X1).
type OnParentEnd string

// What may become of it.
const (
	StopOnParentEnd OnParentEnd = "stop"
	KeepOnParentEnd OnParentEnd = "keep"
)

// Spec is the part of a task's public JSON that is fixed when a turn begins:
// stored once, in the turn, and never rewritten. Secret values never stand in it.
type Spec struct {
	ID                   string          `json:"id"`
	AgentID              string          `json:"agent_id"`
	OrganizationID       string          `json:"organization_id"`
	Turn                 int             `json:"turn"`
	Input                Input           `json:"input"`
	CreatedAt            Stamp           `json:"created_at"`
	AgentVersion         *string         `json:"agent_version"`
	ParentExecution      *string         `json:"parent_execution"`
	OnParentEnd          *OnParentEnd    `json:"on_parent_end,omitempty"` // nil without a parent
	OutputFormat         *string         `json:"output_format"`
	OutputSchema         json.RawMessage `json:"output_schema"`
	EventsStreaming      bool            `json:"events_streaming"`
	InstructionsOverride *string         `json:"instructions_override"`
	UserOIDCToken        *string         `json:"user_oidc_token"`
	IsOrchestration      bool            `json:"is_orchestration"`
	ExpectedOutput       *string         `json:"expected_output"`
	MCPServers           json.RawMessage `json:"mcp_servers"`
	ThinkMode            string          `json:"think_mode"`
	UserTokens           json.RawMessage `json:"user_tokens"`
	RunLocally           bool            `json:"run_locally"`
	PinnedWorkerID       *string         `json:"pinned_worker_id"`
	MaxAttempts          int             `json:"max_attempts"`
	Timeout              float64         `json:"timeout"`
	ExpiresIn            float64         `json:"expires_in"`
	IdempotencyKey       *string         `json:"idempotency_key"`
	Tags                 []string        `json:"tags"`
	// ClientTools are the caller's, and ToolResults what came of all calls that the turn
	// before has left open, in their order (T10): there are some if it has.
	ClientTools []ClientTool `json:"client_tools,omitempty"`
	ToolResults []ToolResult `json:"tool_results,omitempty"`
	// Request is what a protocol other than /v1 keeps of how it was asked for the turn,
	// by its name: what no other member says.
	Request json.RawMessage `json:"request,omitempty"`
}

// Terms are the parts of the Spec that decide the turn's course.
func (s Spec) Terms() Terms {
	terms := Terms{
		Turn: s.Turn, PinnedWorkerID: s.PinnedWorkerID, RunLocally: s.RunLocally,
		MaxAttempts: s.MaxAttempts, Timeout: s.Timeout, Keep: s.OnParentEnd != nil && *s.OnParentEnd == KeepOnParentEnd,
		Schema: HasSchema(s.OutputSchema),
	}
	if s.ParentExecution != nil {
		terms.ParentID = *s.ParentExecution
	}
	var user struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(s.Input.User, &user) == nil {
		terms.UserID = user.ID
	}
	return terms
}

// Tokens are the model tokens that a task has used.
type Tokens struct {
	Completion int64 `json:"completion_tokens"`
	Prompt     int64 `json:"prompt_tokens"`
	CacheRead  int64 `json:"cache_read_tokens"`
	CacheWrite int64 `json:"cache_write_tokens"`
}

// sum is all that were read and written.
func (t *Tokens) sum() int64 {
	if t == nil {
		return 0
	}
	return t.Prompt + t.Completion
}

// Add adds what was used since.
func (t *Tokens) Add(more Tokens) {
	t.Completion += more.Completion
	t.Prompt += more.Prompt
	t.CacheRead += more.CacheRead
	t.CacheWrite += more.CacheWrite
}

// State is the part of a task's public JSON that changes during a turn. An
// event of a task_* type carries the fields that it changed, so the fold of
// those events over the zero State is the State (rule T4).
type State struct {
	Status                     Status          `json:"status"`
	EndReason                  EndReason       `json:"end_reason"`
	InternalStatus             *string         `json:"internal_status"`
	LastExecutedNodeID         *string         `json:"last_executed_node_id"`
	StartedAt                  Stamp           `json:"started_at"`
	PausedAt                   Stamp           `json:"paused_at"`
	FinishedAt                 Stamp           `json:"finished_at"`
	Result                     *string         `json:"result"`
	IsManuallyStopped          bool            `json:"is_manually_stopped"`
	PayloadExtension           json.RawMessage `json:"payload_extension"`
	HITLRequest                json.RawMessage `json:"hitl_request"`
	PendingECARequest          json.RawMessage `json:"pending_eca_request"`
	AdditionalContext          *string         `json:"additional_context"`
	Source                     string          `json:"source"`
	VoiceID                    *string         `json:"voice_id"`
	UsedTools                  []string        `json:"used_tools"`
	TestRunNodeID              *string         `json:"test_run_node_id"`
	TriggeringAgentID          *string         `json:"triggering_agent_id"`
	Title                      *string         `json:"title"`
	DisableAttachmentInjection bool            `json:"disable_attachment_injection"`
	ReturnMetrics              bool            `json:"return_metrics"`
	DeepPlanning               json.RawMessage `json:"deep_planning"`
	Attempt                    int             `json:"attempt"`
	ExecutionAttempts          int             `json:"execution_attempts"`
	Tokens                     *Tokens         `json:"tokens"`
	Duration                   float64         `json:"duration"`
	WorkerID                   *string         `json:"worker_id"`
	Priority                   int             `json:"priority"`
	RunAt                      Stamp           `json:"run_at"`
	// What is asked of the agent's model, tools and harness in the place of the
	// agent's own; nil is the agent's.
	LLMModelProvider   *string `json:"llm_model_provider"`
	LLMModelName       *string `json:"llm_model_name"`
	LLMReasoningEffort *string `json:"llm_reasoning_effort"`
	ToolCallLimit      *int    `json:"tool_call_limit"`
	HarnessCLI         *string `json:"harness_cli"`
	PermissionMode     *string `json:"permission_mode"`
	// Adjusted names the fields of which the present turn has something else than
	// its worker gave, sorted: cut, mended or left out so that they could be stored (S5).
	Adjusted []string `json:"adjusted"`
	// ResultCheck is how the turn's result, or one that was sent back, follows the
	// schema that was asked for; nil if none was, or while there was no result (S8).
	ResultCheck *ResultCheck `json:"result_check"`
	// Budget is what the turn and all below it may use; nil for no limits of its own
	// (B1).
	Budget *Budget `json:"budget"`
	// OpenCalls are those of the caller's tools with which the turn has ended (T10).
	OpenCalls []OpenCall `json:"open_calls"`
}

// Stop is what became of a request to stop a turn (rules X).
type Stop struct {
	RequestedAt Stamp  `json:"requested_at"`
	By          string `json:"by"`
	ConfirmedAt Stamp  `json:"confirmed_at"`
	AbandonedAt Stamp  `json:"abandoned_at"`
	// Until is how long the answer is awaited: one lease, renewed like a
	// lease after a time in which no server could be reached.
	Until Stamp `json:"-"`
}

// Settled reports whether nothing more is awaited of the stop.
func (s Stop) Settled() bool {
	return s.RequestedAt == 0 || s.ConfirmedAt != 0 || s.AbandonedAt != 0
}

// Attempt is one handing-out of a turn to a worker. Attempts are rows of
// their own, apart from turns: one may outlive its turn (rule L10).
type Attempt struct {
	// Number is the task's execution_attempts while this attempt is current:
	// it counts over all turns and is what fences a Python worker.
	Number int
	// Turn is the turn that it was handed out for, InTurn its number there.
	Turn   int
	InTurn int
	// Fenced attempts prove themselves with a lease token. The Python
	// client's cannot (rules L4 to L10).
	Fenced    bool
	WorkerID  string
	TokenHash string
	// MayRetry lets a started, unfenced attempt be followed by another.
	MayRetry   bool
	AssignedAt Stamp
	StartedAt  Stamp
	// EndedAt is when the attempt ceased to own its turn.
	EndedAt Stamp
	Outcome Outcome
	// LetGoAt is when the worker is known to run it no more; for a fenced
	// attempt that is EndedAt, for an unfenced one see rule L10.
	LetGoAt Stamp
	// Lease is the length of the lease, LeaseUntil its end on the store's clock.
	Lease      time.Duration
	LeaseUntil Stamp
	// GiveUpAt is when a started, unfenced attempt lets go at the latest (L10).
	GiveUpAt Stamp
	// SentAfter is how many attempts the Python worker had told to be over when
	// this one was sent to it (L6).
	SentAfter int
	// Reported says that the Python worker's own end of it has arrived, or is
	// known never to come (L6).
	Reported bool
	// RefusedEvent and RefusedEnd are set once a late event, or a late end,
	// of it has been refused and logged (T6): an event must not hide a
	// refused result.
	RefusedEvent bool
	RefusedEnd   bool
	// Usage is what it has used.
	Usage Usage
}

// Again is how a turn came to wait for another attempt.
type Again struct {
	// Why says for a person what became of the attempt before, Wait is how long
	// from then on no other may begin. Both are gone when another has begun.
	Why  string        `json:"why,omitempty"`
	Wait time.Duration `json:"wait,omitempty"`
	// GivenBack counts the attempts that were given back in a row: none between
	// has ended otherwise, and none has taken a step (L4).
	GivenBack int `json:"given_back,omitempty"`
}

// Live reports whether the attempt still owns its turn.
func (a *Attempt) Live() bool { return a != nil && a.EndedAt == 0 }

// Attached reports whether its worker may still be running the attempt (L10).
func (a *Attempt) Attached() bool { return a != nil && a.LetGoAt == 0 }

// Started reports whether the attempt got beyond its assignment.
func (a *Attempt) Started() bool { return a != nil && a.StartedAt != 0 }

// Outcome says how an attempt ceased to own its turn.
type Outcome string

// The outcomes of attempts. The zero value means that it is still live.
const (
	OutcomeFinished   Outcome = "finished"   // it ended its turn itself
	OutcomeUnassigned Outcome = "unassigned" // taken back before it started
	OutcomePaused     Outcome = "paused"
	OutcomeWaiting    Outcome = "waiting" // it gave the turn up until something has come
	OutcomeLost       Outcome = "lost"
	OutcomeReleased   Outcome = "released" // given back by its worker
	OutcomeFailed     Outcome = "failed"   // its worker told of an error, and another was to follow
	OutcomeStopped    Outcome = "stopped"
	OutcomeAbandoned  Outcome = "abandoned" // told to stop, never answered
	OutcomeTimedOut   Outcome = "timed_out"
	OutcomeOverruled  Outcome = "overruled" // a person ended the turn
)

// Outcomes lists every outcome.
func Outcomes() []Outcome {
	return []Outcome{
		OutcomeFinished, OutcomeUnassigned, OutcomePaused, OutcomeWaiting, OutcomeLost, OutcomeReleased, OutcomeFailed, OutcomeStopped,
		OutcomeAbandoned, OutcomeTimedOut, OutcomeOverruled,
	}
}

// State is a copy of the public, changing fields.
func (t *Task) State() State { return t.state }

// Status is what the task shows.
func (t *Task) Status() Status { return t.state.Status }

// Ended is how the present turn ended, "" while it has not. It differs from
// State().EndReason only in what an override has changed.
func (t *Task) Ended() EndReason { return t.ended }

// Done reports whether the turn has ended and no answer to a stop is awaited:
// the log of the turn is then complete but for late refusals and overrides.
func (t *Task) Done() bool { return t.ended != "" && t.Stop.Settled() }

// LetGo reports whether the turn has ended and no attempt may still be running, so
// that nobody needs what only its execution did (L10).
func (t *Task) LetGo() bool { return t.ended != "" && !t.Run.Attached() && t.Earlier == nil }

// packAfter is how many events are worth the work.
const packAfter = 32

// Packable reports whether the store should let the log take less room: nobody writes
// any more of what executing the turn tells.
func (t *Task) Packable() bool { return t.LetGo() && t.LastSeq-t.Packed >= packAfter }

// Pack notes up to which number the log was packed.
type Pack struct{ To int64 }

func (c Pack) apply(d *draft) error { //nolint:unparam // the form of every Command
	d.t.Packed = c.To
	return nil
}

// Dispatchable reports whether a worker may be given the task once ReadyAt has come.
func (t *Task) Dispatchable() bool {
	return t.state.Status == Pending && t.ended == "" && !t.Terms.RunLocally && !t.Run.Live() && t.Earlier == nil
}

// Alarm is the moment at which Tick, or Respond, has something to decide; 0 is never.
func (t *Task) Alarm() Stamp { return sooner(t.tickAt(), t.nextDeadline()) }

// tickAt is the moment at which Tick has something to decide.
func (t *Task) tickAt() Stamp {
	switch {
	case t.ended != "":
		if t.Stop.Settled() || t.Run == nil {
			return 0
		}
		return t.Stop.Until
	case t.state.Status == Pending:
		return t.ExpiresAt
	case t.state.Status == Executing:
		return earlier(t.TimeoutAt, t.countAt())
	case t.Run.Live(): // paused, and a Python worker may go on; not for ever (L10)
		return earlier(t.Wait.Until, t.Run.GiveUpAt)
	case t.Waits():
		return t.Wait.Until
	default:
		return 0
	}
}

// countAt is when the seconds of executing are to be counted next, 0 for never.
func (t *Task) countAt() Stamp {
	if t.Account == nil {
		return 0
	}
	return t.Account.Until
}

// earlier is the earlier of two moments, of which 0 is never.
func earlier(a, b Stamp) Stamp {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// Restore rebuilds a task from its stored parts. Only stores may call it: it
// is the one way around Apply.
func Restore(t Task, state State, ended EndReason) Task {
	t.state, t.ended = state, ended
	return t
}

// changedQuietly reports whether the task differs from what it was in what no
// event tells.
func (t *Task) changedQuietly(was Task) bool {
	return t.Subtasks != was.Subtasks || t.TimeoutAt != was.TimeoutAt || t.ReadyAt != was.ReadyAt || t.Stop != was.Stop ||
		t.Sealed != was.Sealed || t.Descent != was.Descent || !t.Wait.same(was.Wait) || t.Packed != was.Packed ||
		!t.Account.same(was.Account) || t.Metered != was.Metered
}
