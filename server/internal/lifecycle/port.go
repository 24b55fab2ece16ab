package lifecycle

import (
	"context"
	"encoding/json"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/task"
)

// Store is the durable record of everything. The methods that find nothing
// answer a fault of code NotFound. All are safe for concurrent use.
type Store interface {
	// Write runs fn and commits what it wrote; it returns once that is on
	// disk. Concurrent calls may share one commit, each sees the writes of
	// those before it, and an error of fn undoes fn's writes alone. fn may
	// run more than once and must not touch the outside but for its results.
	Write(ctx context.Context, fn func(Tx) error) error

	// Now is the store's clock.
	Now() task.Stamp
	// Task reads a task with the spec of its present turn.
	Task(ctx context.Context, org, id string) (Snapshot, error)
	// Events reads the log after a sequence number, in order, at most limit
	// events or about 4 MiB of them, whichever is less but at least one.
	Events(ctx context.Context, org, id string, after int64, limit int) ([]task.Event, error)
	// Turns lists a task's turns, the first one first; none for an unknown task.
	Turns(ctx context.Context, org, id string) ([]Turn, error)
	// Tasks lists tasks, newest first.
	Tasks(ctx context.Context, org string, f Filter, p Page) (List, error)
	// CountOpen counts the tasks of a filter that have not ended.
	CountOpen(ctx context.Context, org string, f Filter) (int, error)
	// Open lists such tasks, newest first, behind a cursor.
	Open(ctx context.Context, org string, f Filter, behind Cursor, limit int) ([]Cursor, error)
	// Agent reads a version of an agent, 0 for the newest.
	Agent(ctx context.Context, org, id string, version int) (agent.Agent, error)
	// AgentVersions lists the versions of an agent, the newest first; none for
	// an unknown one.
	AgentVersions(ctx context.Context, org, id string) ([]agent.Agent, error)
	// Agents lists all agents by id.
	Agents(ctx context.Context, org string) ([]agent.Agent, error)
	// Secret reads a sealed secret; nil when there is none.
	Secret(ctx context.Context, org string, of SecretOf, id string) ([]byte, error)
	// Waiting tells what a pending task waits for.
	Waiting(ctx context.Context, org, id string) (Queue, error)
	// Organizations lists every organization's id.
	Organizations(ctx context.Context) ([]string, error)
	// KinOf is Tx.Kin of a Python worker by its id.
	KinOf(ctx context.Context, org, worker string) ([]Worker, error)
	// Ready reports whether a claim could find something now.
	Ready(ctx context.Context, w Want) (bool, error)
	// Counts sums up an organization's tasks that have not ended, by every
	// status that they may have, and its queues: the cost is theirs, not that of
	// all tasks that there ever were.
	Counts(ctx context.Context, org string) ([]StatusCount, []QueueDepth, error)
	// Size is how many bytes the record takes.
	Size(ctx context.Context) (int64, error)
}

// Tx is one caller's part of a commit.
type Tx interface {
	// Now is the store's clock, which leases are measured on.
	Now() task.Stamp

	Task(org, id string) (task.Task, error)
	// Snapshot is Task with the spec of its present turn.
	Snapshot(org, id string) (Snapshot, error)
	// Attempt reads an attempt by its number, nil when there is none.
	Attempt(org, id string, number int) (*task.Attempt, error)
	// AttemptByToken reads an attempt by the hash of its lease token, nil
	// when there is none.
	AttemptByToken(org, id, hash string) (*task.Attempt, error)
	// TurnEnd reads how a turn ended, whatever an override has shown since.
	TurnEnd(org, id string, turn int) (task.EndReason, *string, error)
	// Save writes all of a change and makes it known after the commit.
	Save(c task.Change) error
	// Delete removes a task with its turns, log, attempts and secrets.
	Delete(org, id string) error
	// Children lists the ids of a task's sub-tasks.
	Children(org, id string) ([]string, error)
	// SeqOfClient is the event of a turn that first carried a client_id, 0
	// for none.
	SeqOfClient(org, id string, turn int, clientID string) (int64, error)

	// Next lists tasks that may be handed out now: by priority, then oldest.
	Next(w Want) ([]string, error)
	// Queued counts an agent's tasks that wait for a worker, at most limit.
	Queued(org, agentID string, limit int) (int, error)
	// Due lists tasks with a deadline or a lease that has passed.
	Due(org string, limit int) ([]string, error)
	// RenewAll gives every live lease its full length from now.
	RenewAll() error
	// FollowClock keeps what deadlines measure when the clock has jumped: a
	// time-out does not pass because of a jump forward, and a task that waits for a
	// retry, or for nothing at all, is not held up by one back. Moments that
	// somebody has named (run_at) stay. A jump of 0 mends what one back has left
	// that nobody saw, such as between two starts.
	FollowClock(jump time.Duration) error

	Agent(org, id string, version int) (agent.Agent, error)
	PutAgent(a agent.Agent) error
	// DeleteAgent removes an agent with its versions.
	DeleteAgent(org, id string) error
	// HasOpenTask reports whether a task of the agent has not ended.
	HasOpenTask(org, agentID string) (bool, error)
	PutSecret(org string, of SecretOf, id string, sealed []byte) error
	DeleteSecret(org string, of SecretOf, id string) error

	// Replay reads what an idempotency key stands for, nil for nothing.
	Replay(org, route, key string) (*Replay, error)
	PutReplay(org, route, key string, r Replay) error
	// Forget drops idempotency keys and absent workers older than before.
	Forget(before task.Stamp) error

	// Worker reads a worker of an agent, nil when it is not known.
	Worker(org, agentID, id string) (*Worker, error)
	// PythonWorker reads a Python worker, whose id is the server's own.
	PythonWorker(org, id string) (*Worker, error)
	PutWorker(w Worker) error
	// Kin lists the Python workers of one agent, key and address, w itself among
	// them, those that were heard last first; at most some hundreds.
	Kin(w Worker) ([]Worker, error)
	// Outstanding counts the attempts that were sent to an unfenced worker
	// and have not let go (rule L9).
	Outstanding(org, worker string) (int, error)
	// Unstarted lists the tasks that were assigned to a worker, which has
	// not started them.
	Unstarted(org, worker string) ([]string, error)
	// RenewWorker extends the leases of a worker's started, unfenced attempts
	// that have not let go; an ended one's to the moment at most at which it is
	// given up (rule L10).
	RenewWorker(org, worker string, until task.Stamp) error
	// Untold lists the attempts that were sent to an unfenced worker, whose end
	// it has not told, those of deleted tasks among them (rule L6).
	Untold(org, worker string) ([]Sent, error)
	// Remnants lists the unfenced attempts of a deleted task that have not let go
	// or whose end was not told.
	Remnants(org, id string) ([]task.Attempt, error)
	PutRemnant(org, id string, a task.Attempt) error
	// PutAttempt overwrites an attempt of a task.
	PutAttempt(org, id string, a task.Attempt) error
	// Connected lists the workers whose streams are open.
	Connected() ([]Worker, error)
	// NotePost remembers a worker's post for a day; it reports whether it is new.
	NotePost(org, worker, id string) (bool, error)
	// DisconnectAll notes that no worker's stream is open from now. Those that were heard
	// within a time before the last that any was heard may have an heir until then.
	DisconnectAll(within time.Duration, heirs task.Stamp) error
}

// Snapshot is a task at one moment, with what it was asked.
type Snapshot struct {
	Task task.Task
	// Spec is the JSON of the present turn's task.Spec.
	Spec json.RawMessage
}

// Turn is what a turn was asked and what came of it.
type Turn struct {
	Number     int
	CreatedAt  task.Stamp
	FinishedAt task.Stamp // 0 while it has not ended
	Prompt     *string
	Result     *string // what is shown since an override
	// Tokens are those known when the turn ended.
	Tokens *task.Tokens
}

// Want asks for tasks to hand out.
type Want struct {
	Organization string
	Agent        string
	// Worker also gets tasks that are pinned to it.
	Worker string
	Limit  int
}

// Filter narrows a list; empty fields do not.
type Filter struct {
	Agent, User, Parent, Trigger string
	Status                       task.Status
	InternalStatus               string
	From, To                     task.Stamp // of created_at, To exclusive
}

// Page says which part of a list is wanted: after a cursor, or by number.
type Page struct {
	Cursor Cursor
	Number int // from 1; counts only without a cursor
	Size   int
	// Count asks for List.Total.
	Count bool
}

// Cursor is the place of a task in a list: the zero value is the beginning.
type Cursor struct {
	CreatedAt task.Stamp
	ID        string
}

// MaxCount is how far a list's total is counted (rule H5).
const MaxCount = 10_000

// List is a page of tasks.
type List struct {
	Items []Listed
	// Total counts all that match, at most MaxCount+1.
	Total int
	// Next is the cursor of the following page, zero when this is the last.
	Next Cursor
}

// Listed is what a list shows of a task.
type Listed struct {
	ID                string
	AgentID           string
	OrganizationID    string
	Status            task.Status
	UserID            string
	ParentID          string
	TriggeringAgentID string
	Source            string
	Title             *string
	InternalStatus    *string
	Result            *string // nil also when longer than 64 KiB
	CreatedAt         task.Stamp
	UpdatedAt         task.Stamp
}

// SecretOf says whose secret it is.
type SecretOf string

// The owners of secrets.
const (
	OfTask  SecretOf = "task"
	OfAgent SecretOf = "agent"
)

// Replay is what an idempotency key was used for.
type Replay struct {
	Hash   []byte
	TaskID string
	At     task.Stamp
}

// WorkerKind says how a worker takes its tasks.
type WorkerKind string

// The kinds of workers.
const (
	PythonWorker WorkerKind = "python" // by a stream, without leases of its own
	FencedWorker WorkerKind = "fenced" // by claims
)

// Worker is a worker as it was last heard.
type Worker struct {
	Organization string
	Agent        string
	ID           string
	Kind         WorkerKind
	RegisteredAt task.Stamp
	// LastHeard is when it last said something itself, its registration included.
	LastHeard task.Stamp

	// The rest is a Python worker's. Connected says that its stream is open.
	Connected bool
	Busy      bool
	// Held workers get nothing new: they let an assignment lapse (rule L4).
	Held bool
	// KeyID and Address are by which key and from where it registered.
	KeyID, Address string
	// LastBeat is its last heartbeat, 0 for none yet.
	LastBeat task.Stamp
	// CutAt is when its stream ended, or the server began after it. HeirUntil is
	// until when a registration may stand for it after that; OwnerIn and HeirOf
	// name the breaks in which it was cut off, and after which it has registered
	// (rule L5).
	CutAt, HeirUntil task.Stamp
	OwnerIn, HeirOf  string
	// Tally counts the attempts that it has told to be over (rule L6).
	Tally Tally
}

// Queue is what surrounds a pending task.
type Queue struct {
	// Ahead counts the tasks of its agent that come first, at most 1000.
	Ahead   int
	Workers []Worker
	// Executing counts the agent's tasks that a worker is executing.
	Executing int
	// Holders are the workers that hold an attempt of some task, of whatever
	// agent, under a lease that has not run out.
	Holders map[string]bool
	// PausedBy is who paused the task last, "" when nobody did.
	PausedBy string
}

// StatusCount counts tasks by status.
type StatusCount struct {
	Status task.Status
	Count  int
}

// QueueDepth is the length of an agent's queue and the place of its head.
type QueueDepth struct {
	Agent  string
	Count  int
	Oldest task.Stamp
}
