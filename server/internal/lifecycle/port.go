package lifecycle

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/stats"
	"github.com/errand-dev/errand/server/internal/task"
)

// Store is the durable record of everything, as the verbs need it. What finds
// nothing returns a fault of code NotFound. All methods are safe for concurrent
// use, and several stores, in as many processes, may be open on one database.
//
// A store decides nothing. It answers questions about rows, and it keeps the rows
// that it is given; which rows those are is decided by package task and by the
// verbs.
type Store interface {
	// Write runs fn and commits what it recorded; it returns once that is on disk.
	// Concurrent calls may share one commit, in which each sees the writes of those
	// before it. Nothing is written before fn has returned nil, so an error of fn
	// costs nobody else anything. fn may run more than once, and must not touch the
	// outside but for its results.
	//
	// about names what the write is about: a store that shares its database locks
	// these rows first, in one order and one trip. fn may read and change others,
	// too; it is then run again if somebody else does so at the same time.
	//
	// A write that is Long, by ctx, waits for others of its kind, and nobody else for
	// it: what renews a lease must not stand behind a flood of events.
	Write(ctx context.Context, about []Key, fn func(Tx) error) error

	// Beat is Write about nothing for a node that says it is there. A store may first note
	// that without a commit around it, where the node was heard within SilentNode, and
	// show calm the roll as it was before: if that says yes there is nothing left for fn.
	Beat(ctx context.Context, node string, calm func(Roll) bool, fn func(Tx) error) error

	// Now is the store's clock.
	Now() task.Stamp

	TaskReader
	RecordReader
	RosterReader
}

type longKey struct{}

// Long says of a write that it has so many rows, whose number its caller has chosen.
// A store takes a bounded number of such rows into one commit.
func Long(ctx context.Context, rows int) context.Context {
	return context.WithValue(ctx, longKey{}, rows)
}

// LongRows are the rows of a write that is Long, 0 for any other.
func LongRows(ctx context.Context) int {
	rows, _ := ctx.Value(longKey{}).(int)
	return rows
}

// Key names a row that a write is about.
type Key struct {
	Of               KeyKind
	Organization, ID string
}

// KeyKind says what a Key names.
type KeyKind int

// The kinds of keys.
const (
	TaskKey KeyKind = iota
	AgentKey
	// ReplayKey names what an idempotency key of a route stands for.
	ReplayKey
)

func aboutTask(org, id string) []Key { return []Key{{TaskKey, org, id}} }

func aboutReplay(org, route, key string) Key { return Key{ReplayKey, org, route + "\x00" + key} }

// Replay is the route and the idempotency key of a ReplayKey.
func (k Key) Replay() (route, key string) {
	route, key, _ = strings.Cut(k.ID, "\x00")
	return route, key
}

func aboutAgent(org, id string) []Key { return []Key{{AgentKey, org, id}} }

// Tx is one caller's part of a commit. It reads what is committed, what callers
// before it in the same commit have written, and its own writes. It is used by
// one goroutine, and not after fn has returned.
type Tx interface {
	// Now is the store's clock, which leases are measured on: one moment for all
	// that the caller does.
	Now() task.Stamp

	Tasks
	Records
	Roster
}

// OutlineResult is how much of a result an outline has, in characters.
const OutlineResult = 8 << 10

// TaskReader reads tasks and their logs. What is out of the scope is not there.
type TaskReader interface {
	// Task reads a task with the spec of its present turn.
	Task(ctx context.Context, in auth.Scope, id string) (Snapshot, error)
	// Events reads the log after a sequence number, in order, at most limit
	// events or about 1 MiB of them, whichever is less but at least one; only those
	// of some types if any are named.
	Events(ctx context.Context, org, id string, after int64, limit int, types ...task.Type) ([]task.Event, error)
	// Outline is Events with no more than OutlineResult characters of a result.
	Outline(ctx context.Context, org, id string, after int64, limit int, types ...task.Type) ([]task.Event, error)
	// BeganAt finds the turn whose first event was committed at a moment: its number
	// and that event's; 0 for none.
	BeganAt(ctx context.Context, org, id string, at task.Stamp) (turn int, first int64, err error)
	// Turns lists a task's turns after a number, in order, with the bounds of Events;
	// none for an unknown task.
	Turns(ctx context.Context, org, id string, after, limit int) ([]Turn, error)
	// Steps lists the steps of a turn behind an event, in order, with the bounds of
	// Events.
	Steps(ctx context.Context, org, id string, turn int, after int64, limit int) ([]task.Step, error)
	// Outputs lists the output files of a turn, of all turns with 0, behind an event, in
	// order, at most limit.
	Outputs(ctx context.Context, org, id string, turn int, after int64, limit int) ([]task.Output, error)
	// Output reads one by its name, of the newest turn that has one with 0; nil when
	// there is none.
	Output(ctx context.Context, org, id string, turn int, name string) (*task.Output, error)
	// Given lists what was given of the files of a turn whose numbers are higher than
	// one, in order, with the bounds of Events.
	Given(ctx context.Context, org, id string, turn, after, limit int) ([]task.Given, error)
	// Approval reads an approval.
	Approval(ctx context.Context, in auth.Scope, id string) (task.Approval, error)
	// Approvals lists those of a state, "" for all, newest first, behind a cursor, with
	// the bounds of Events.
	Approvals(ctx context.Context, in auth.Scope, state task.ApprovalState, behind Cursor, limit int) ([]task.Approval, error)
	// ApprovalsOf lists those of a task's turn behind an event, in order, with the
	// bounds of Events.
	ApprovalsOf(ctx context.Context, org, id string, turn int, after int64, limit int) ([]task.Approval, error)
	// ApprovalsSince lists those of a task that events from a number on ask or answer,
	// and those that are closed, the newest first, with the bounds of Events.
	ApprovalsSince(ctx context.Context, org, id string, from int64, limit int) ([]task.Approval, error)
	// Tasks lists tasks, newest first.
	Tasks(ctx context.Context, in auth.Scope, f Filter, p Page) (List, error)
	// Rows lists tasks as people look at them, newest first: a page, which ends with
	// the row that makes it longer than about a mebibyte.
	Rows(ctx context.Context, in auth.Scope, f Filter, p Page) (RowList, error)
	// Summed adds up what the tasks of a tree have used, of its newest limit tasks; more
	// says that there are others.
	Summed(ctx context.Context, in auth.Scope, root string, limit int) (sum Sum, more bool, err error)
	// Beginning lists the ids of an organization's tasks that begin with a text, in their
	// order, at most limit.
	Beginning(ctx context.Context, org, prefix string, limit int) ([]string, error)
	// FromOldest lists an organization's tasks in the order in which they were created, behind
	// a cursor and before a moment, at most limit.
	FromOldest(ctx context.Context, org string, behind Cursor, before task.Stamp, limit int) ([]Aged, error)
	// RowsOf reads those of some tasks that match a filter, in no order.
	RowsOf(ctx context.Context, in auth.Scope, f Filter, ids []string) ([]Row, error)
	// Matching lists those of some ids whose tasks match a filter, in no order.
	Matching(ctx context.Context, in auth.Scope, f Filter, ids []string) ([]string, error)
	// Count counts the tasks of a filter, to MaxCount, and where several parts of it have
	// to be looked at in each task, among the newest MaxLooked that one part finds. more
	// says that there may be others.
	Count(ctx context.Context, in auth.Scope, f Filter) (n int, more bool, err error)
	// NextDeadline is the next moment until which a person is asked something in a task
	// of a filter, 0 for none.
	NextDeadline(ctx context.Context, in auth.Scope, f Filter) (task.Stamp, error)
	// Staff is what a pending task of an agent waits for beside those in front of it.
	Staff(ctx context.Context, org, agent string) (Queue, error)
	// Line lists the tasks of a lane that may be handed out now, in their order, at
	// most limit.
	Line(ctx context.Context, org string, lane Lane, limit int) ([]string, error)
	// PausedBy tells who paused a task last, "" for nobody.
	PausedBy(ctx context.Context, org, id string) (string, error)
	// CountOpen counts the tasks of a filter that have not ended.
	CountOpen(ctx context.Context, in auth.Scope, f Filter) (int, error)
	// CountBelow counts the tasks below those of the filter that have not ended
	// themselves and do not match it: of at most tops tasks of the filter, at most limit.
	CountBelow(ctx context.Context, in auth.Scope, f Filter, tops, limit int) (int, error)
	// Open lists such tasks, newest first, behind a cursor.
	Open(ctx context.Context, in auth.Scope, f Filter, behind Cursor, limit int) ([]Cursor, error)
	// SubTasks lists the ids of a task's sub-tasks that were created until a
	// moment, the oldest first, at most limit.
	SubTasks(ctx context.Context, org, id string, until task.Stamp, limit int) ([]string, error)
	// Waiting tells what a pending task waits for.
	Waiting(ctx context.Context, org, id string) (Queue, error)
	// Fronts tells what stands in lanes: every level of priority that has queued
	// tasks. It counts up to limit tasks of each that are ready.
	Fronts(ctx context.Context, org string, lanes []Lane, limit int) ([]Front, error)
	// QueuedAgents lists the ids of agents that have queued tasks, ready or not.
	QueuedAgents(ctx context.Context, org string) ([]string, error)
	// Dues tells what there is to do for the node that sweeps, in one question. Due,
	// Unfinished and Capped, and a courier, then find what exactly.
	Dues(ctx context.Context, now, renewed task.Stamp) (Dues, error)
	// Due lists tasks with a deadline before now, or with an attempt whose lease
	// ended before it and that has had its full length since renewed: at most
	// limit of either.
	Due(ctx context.Context, org string, now, renewed task.Stamp, limit int) ([]string, error)
	// Unfinished lists tasks whose Descent is going, and deleted ones of which
	// something may be left: at most limit of either.
	Unfinished(ctx context.Context, org string, limit int) ([]string, error)
	// Capped lists the names of caps that hold tasks, and CappedBy the tasks that one of
	// them holds behind an id, in the order of their ids, at most limit.
	Capped(ctx context.Context, org string) ([]string, error)
	CappedBy(ctx context.Context, org, name, after string, limit int) ([]string, error)
	// Used is what was counted for a spender on the days from one until another.
	Used(ctx context.Context, org string, of task.Spender, from, until task.Stamp) (task.Allowance, error)
	// Spenders lists those of a kind, "" for any, for whom something was counted on such
	// days, behind one, in their order, at most limit.
	Spenders(ctx context.Context, org string, kind task.CapOf, from, until task.Stamp, behind task.Spender, limit int) ([]task.Spender, error)
	// Stats sums up what was counted of the scope's tasks, by the steps, agents and models.
	Stats(ctx context.Context, in auth.Scope, q stats.Query) ([]stats.Row, error)
	// Unpacked lists tasks that are Packable, at most limit.
	Unpacked(ctx context.Context, org string, limit int) ([]string, error)
	// Ahead lists the tasks that task.FollowClock may concern.
	Ahead(ctx context.Context, org string, now task.Stamp) ([]string, error)
}

// Tasks are the tasks and logs of a commit.
type Tasks interface {
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
	// Save keeps all of a change, and makes it known after the commit.
	Save(c task.Change) error
	// Delete removes a task with its secrets, its idempotency keys and the attempts
	// that matter to others than itself, and makes that known. Its turns, its log and
	// its other attempts are for Erase.
	Delete(org, id string) error
	// Erase removes what is left of a deleted task, its log from the end: at most so
	// many rows, and about 4 MiB. It returns how many fewer they were; then nothing
	// is left.
	Erase(org, id string, rows int) (int, error)
	// Pack lets a log take less room behind a number, in place: at most so many rows
	// of it. What can be read of it, and found in it, stays the same. It returns the
	// number up to which that is done, after itself if there is nothing behind it.
	Pack(org, id string, after int64, rows int) (int64, error)
	// Unerased reports whether something may be left of a deleted task.
	Unerased(org, id string) (bool, error)
	// Children lists the ids of a task's sub-tasks, the oldest first, at most limit.
	Children(org, id string, limit int) ([]string, error)
	// AgedBelow tells of all tasks below one, and keeps others from changing them before
	// the commit.
	AgedBelow(org, id string) ([]Aged, error)
	// Below lists, in the order of their ids behind one, those sub-tasks of a task
	// that have not ended or have had sub-tasks themselves, at most limit.
	Below(org, id, after string, limit int) ([]string, error)
	// SeqsOfClients are the events of a turn that first carried some client_ids; one
	// that is not in the answer was never used.
	SeqsOfClients(org, id string, turn int, clientIDs []string) (map[string]int64, error)
	// Step reads a step of a turn by its id, nil when there is none.
	Step(org, id string, turn int, step string) (*task.Step, error)
	// Output reads an output of a turn by its name, nil when there is none.
	Output(org, id string, turn int, name string) (*task.Output, error)
	// CountOutputs counts the outputs of a turn.
	CountOutputs(org, id string, turn int) (int, error)
	// Approval reads an approval by its id, and ApprovalOf that of a turn by its key,
	// nil when there is none.
	Approval(org, id string) (*task.Approval, error)
	ApprovalOf(org, id string, turn int, key string) (*task.Approval, error)
	// Count adds to what was counted for a spender on a day, which is named by its
	// beginning. Whoever does so at the same time does not wait for it.
	Count(org string, of task.Spender, day task.Stamp, spent task.Allowance) error
	// AddStats adds to what was counted of tasks, as of the commit.
	AddStats(all ...stats.Counted)
	// Used is TaskReader.Used, with what this and callers before have counted.
	Used(org string, of task.Spender, from, until task.Stamp) (task.Allowance, error)
	// Take reads tasks that may be handed out now: by priority, then oldest, over
	// all agents alike. Nobody else is given them before the commit; those that
	// somebody else has taken are passed over.
	Take(w Want) ([]Snapshot, error)
	// Queued counts an agent's tasks that wait for a worker, at most limit.
	Queued(org, agentID string, limit int) (int, error)
}

// RecordReader reads agents and secrets.
type RecordReader interface {
	// Agent reads a version of an agent, 0 for the newest.
	Agent(ctx context.Context, org, id string, version int) (agent.Agent, error)
	// AgentVersions lists the versions of an agent before one, 0 for all, the newest
	// first; none for an unknown agent. Like Events, it answers fewer than limit when
	// they are long.
	AgentVersions(ctx context.Context, org, id string, before, limit int) ([]agent.Agent, error)
	// Agents lists the agents after an id, by their ids, with the same bounds.
	Agents(ctx context.Context, org, after string, limit int) ([]agent.Agent, error)
	// Secret reads a sealed secret; nil when there is none.
	Secret(ctx context.Context, org string, of SecretOf, id string) ([]byte, error)
	// Caps reads those of an agent or a key, nil for none, also of one that is not there.
	Caps(ctx context.Context, org string, of task.Spender) (*task.Caps, error)
	// Organizations lists every organization's id.
	Organizations(ctx context.Context) ([]string, error)
}

// Records are the agents, secrets, uses of files and idempotency keys of a commit.
type Records interface {
	// Agent reads a version of an agent, 0 for the newest. It stays until the
	// commit: who deletes an agent names it, and waits.
	Agent(org, id string, version int) (agent.Agent, error)
	// PutAgent keeps a new agent, or a new version of one, and makes that known.
	PutAgent(a agent.Agent) error
	// DeleteAgent removes an agent with its versions, and makes that known.
	DeleteAgent(org, id string) error
	// Caps is RecordReader.Caps. Whoever changes them does not wait for the commit.
	Caps(org string, of task.Spender) (*task.Caps, error)
	// HasOpenTask reports whether a task of the agent has not ended.
	HasOpenTask(org, agentID string) (bool, error)
	PutSecret(org string, of SecretOf, id string, sealed []byte) error
	DeleteSecret(org string, of SecretOf, id string) error

	// Files are those of some files that the organization has: they stay until the
	// commit.
	Files(org string, ids []string) ([]string, error)
	// PutUse notes that a task was given a file, and DropUses that it uses none any
	// more, neither those nor its outputs.
	PutUse(of task.Task, file string) error
	DropUses(org, id string) error

	// Replay reads what an idempotency key stands for, nil for nothing.
	Replay(org, route, key string) (*Replay, error)
	// Replays is Replay for several keys of a route: those that stand for something.
	Replays(org, route string, keys []string) (map[string]*Replay, error)
	// PutReplay keeps what a key stands for, in the place of what it stood for
	// before: nil for nothing. If that has changed, the write is run again.
	PutReplay(org, route, key string, before *Replay, r Replay) error
	// DropReplays drops idempotency keys that were used before a moment.
	DropReplays(org string, before task.Stamp) error
}

// RosterReader reads workers.
type RosterReader interface {
	// SiblingsOf is Tx.Siblings of a Python worker by its id.
	SiblingsOf(ctx context.Context, org, worker string) ([]Worker, error)
	// Workers lists the workers of an agent, those heard last first, or with "" of all
	// agents, by their ids: some hundreds at most.
	Workers(ctx context.Context, org, agent string) ([]Worker, error)
	// InHand tells what workers have under leases: some thousands of tasks at most, of
	// which those in the scope are named.
	InHand(ctx context.Context, in auth.Scope) (map[string]Hands, error)
	// Lost counts the attempts that workers have lost since a moment: likewise.
	Lost(ctx context.Context, org string, since task.Stamp) (map[string]int, error)
	// Nodes is Tx.Nodes.
	Nodes(ctx context.Context) ([]Node, error)
}

// Roster are the nodes, the workers and the attempts on Python workers of a commit.
type Roster interface {
	// Alive reads when any node was last there; the zero value at first.
	Alive() (Alive, error)
	PutAlive(a Alive) error
	// Leased reports whether any attempt is under a lease.
	Leased() (bool, error)
	// Nodes lists the nodes that were there and have not been dropped.
	Nodes() ([]Node, error)
	PutNode(n Node) error
	DropNode(id string) error

	// Worker reads a worker of an agent, nil when it is not known.
	Worker(org, agentID, id string) (*Worker, error)
	// Claimer is Worker for who notes that one claims. It waits for nobody, and may miss
	// what this commit has written.
	Claimer(org, agentID, id string) (*Worker, error)
	// PythonWorker reads a Python worker, whose id is the server's own.
	PythonWorker(org, id string) (*Worker, error)
	PutWorker(w Worker) error
	DropWorker(org, agentID, id string) error
	// Freed makes known after the commit that a Python worker may have room again;
	// the agent is "" when nobody knows it.
	Freed(org, agentID, worker string) error
	// Siblings lists the Python workers of one agent, key and address, w itself among
	// them, those that were heard last first; at most some hundreds.
	Siblings(w Worker) ([]Worker, error)
	// OfNode lists the Python workers of a node whose streams are open, or which
	// may have an heir.
	OfNode(node string) ([]Worker, error)
	// Connected reports a Python worker of an agent whose stream is open, "" for none.
	Connected(org, agentID string) (string, error)
	// Absent lists workers without an open stream that were last heard before a
	// moment, at most limit.
	Absent(org string, before task.Stamp, limit int) ([]Worker, error)

	// AttemptsOf lists the attempts that were sent to an unfenced worker and have not
	// let go (rule L9), those of deleted tasks among them.
	AttemptsOf(org, worker string) ([]TaskAttempt, error)
	// Untold lists the attempts that were sent to an unfenced worker, whose end
	// it has not told, those of deleted tasks among them (rule L6).
	Untold(org, worker string) ([]Sent, error)
	// Attempts lists the unfenced attempts of a task, deleted or not, which it has
	// not let go of or whose end was not told.
	Attempts(org, id string) ([]task.Attempt, error)
	// Orphans lists such attempts of deleted tasks that were assigned before a
	// moment, at most limit.
	Orphans(org string, before task.Stamp, limit int) ([]TaskAttempt, error)
	// PutAttempt overwrites an attempt of a task, deleted or not.
	PutAttempt(org, id string, a task.Attempt) error
	DropAttempt(org, id string, number int) error

	// Posted reports whether a worker's post is remembered.
	Posted(org, worker, id string) (bool, error)
	// PutPost remembers one. If somebody else has done so, the write is run again.
	PutPost(org, worker, id string) error
	// DropPosts forgets those that are older.
	DropPosts(org string, before task.Stamp) error
}

// Snapshot is a task at one moment, with what it was asked.
type Snapshot struct {
	Task task.Task
	// Spec is the JSON of the present turn's task.Spec.
	Spec json.RawMessage
}

// Turn is what a turn was asked and what came of it.
type Turn struct {
	Number int
	// FirstSeq is the number of its task_created event.
	FirstSeq   int64
	CreatedAt  task.Stamp
	FinishedAt task.Stamp // 0 while it has not ended
	Prompt     *string
	Result     *string // what is shown since an override
	// Tokens are those known when the turn ended.
	Tokens *task.Tokens
	// Answers says that it brings what came of calls that the turn before has left open.
	Answers bool
}

// Want asks for tasks to hand out.
type Want struct {
	Organization string
	Agents       []string // each once
	// Worker also gets tasks that are pinned to it.
	Worker string
	Limit  int
}

// Lane names the queued tasks of an agent that are pinned to one worker, or, with
// an empty Pin, to none.
type Lane struct{ Agent, Pin string }

// Front is what stands in a lane at one level of priority.
type Front struct {
	Lane
	Priority int
	// Oldest is the place of the first task, which is ready once that has come.
	Oldest task.Stamp
	// Ready is how many are ready now, and Next when another one will be, 0 for
	// never.
	Ready int
	Next  task.Stamp
}

// Alive says when any node was last there.
type Alive struct {
	Heard task.Stamp
	// Renewed is the end of the last time in which none was: from then on every
	// lease that ran has its full length (L2).
	Renewed task.Stamp
	// Sweeper is the node that lets deadlines pass.
	Sweeper string
}

// Dues are what there is to do for the node that sweeps.
type Dues struct {
	// Passed are the organizations in which deadlines have passed, and Ahead says that
	// there are others, somewhere.
	Passed []string
	Ahead  bool
	// Unfinished and Capped say that tasks are, and Pushes that one is due.
	Unfinished, Capped, Pushes bool
}

// Roll is who was there at a moment.
type Roll struct {
	Now   task.Stamp
	Alive Alive
	Nodes []Node
}

// Node is a server of those that share the database.
type Node struct {
	ID    string
	Heard task.Stamp
}

// TaskAttempt is an attempt with the id of its task, which may be deleted.
type TaskAttempt struct {
	Task string
	task.Attempt
}

// Filter narrows a list; empty fields do not.
type Filter struct {
	Agent, User, Parent, Trigger string
	Status                       Statuses
	InternalStatus               string
	Worker                       string
	EndReason                    task.EndReason
	Tag                          string
	// Asks are the tasks in which a person is asked something.
	Asks bool
	// Waiting are those that wait for this, as Waiting.Reason says it. A store goes by
	// Stands, in which a verb has told it what that means now.
	Waiting string
	Stands  *Stands
	// Only are only the tasks with these ids, at most some hundreds, if it is not nil.
	Only *[]string
	// Root are the tasks of one tree, Roots those without a parent.
	Root     string
	Roots    bool
	From, To task.Stamp // of created_at, To exclusive
}

// Lasting is the part of the filter that a task matches always or never.
func (f Filter) Lasting() Filter {
	f.Status, f.InternalStatus, f.Worker, f.EndReason = 0, "", "", ""
	f.Tag, f.Asks, f.Waiting, f.Stands = "", false, "", nil
	return f
}

// Stands are tasks that stand somehow, and among those that are queued some by their
// place in the queue.
type Stands struct {
	As []task.Standing
	// Until are those that may not be handed out at that moment yet, From those that
	// may be; 0 is no matter.
	Until, From task.Stamp
	// Agents are only tasks of these, if it is not nil; Pinned only such as are pinned
	// to another worker than Workers, Free only those that are not.
	Agents       []string
	Pinned, Free bool
	Workers      []string
	// Heads are only these tasks, if it is not nil, and never those of NotHeads.
	Heads, NotHeads []string
}

// Statuses are any of some statuses; the zero value is any.
type Statuses uint8

// Among is any of some statuses.
func Among(some ...task.Status) Statuses {
	var s Statuses
	for i, status := range task.Statuses() {
		if slices.Contains(some, status) {
			s |= 1 << i
		}
	}
	return s
}

// List lists them, none for any.
func (s Statuses) List() []task.Status {
	var list []task.Status
	for i, status := range task.Statuses() {
		if s&(1<<i) != 0 {
			list = append(list, status)
		}
	}
	return list
}

// Page says which part of a list is wanted: after a cursor, or by number.
type Page struct {
	Cursor Cursor
	Number int // from 1; counts only without a cursor
	Skip   int // tasks to pass over besides; likewise
	Size   int
	// Count asks for List.Total.
	Count bool
}

// Cursor is the place of a task in a list: the zero value is the beginning.
type Cursor struct {
	CreatedAt task.Stamp
	ID        string
}

// How far a list's total is counted (rule H5).
const (
	MaxCount  = 10_000
	MaxLooked = 5_000
)

// List is a page of tasks.
type List struct {
	Items []Listed
	// Total counts those that match, and More says that there may be more (Count).
	Total int
	More  bool
	// Next is the cursor of the following page, zero when this is the last.
	Next Cursor
}

// Row is what a list for people shows of a task: all that is stored of it but for
// what may be long.
type Row struct {
	// Task is without its result.
	Task task.Task
	// Prompt begins what the turn was asked, "" for nothing.
	Prompt string
	Tags   []string
	// CreatedBy wrote the first event of the turn.
	CreatedBy   string
	ResultBytes int
	// OpenChildren counts the sub-tasks that have not ended, at most MaxChildren.
	OpenChildren int
	// Asked is the first thing that people are asked and have not answered, nil for
	// nothing.
	Asked *task.Approval
	// LastText is the end of what a turn that has not ended has said last.
	LastText string
	// Failure is the line of the result in which a turn that has failed, or whose worker
	// has, says why: the first, or of a Python traceback the last. It is "" where the
	// result is longer than 64 KiB.
	Failure string
	Waiting *Waiting
}

// MaxChildren is how far a row counts a task's sub-tasks.
const MaxChildren = 1000

// What a row shows of a text, in code points.
const (
	RowPrompt  = 200
	RowText    = 120
	RowFailure = 200
)

// RowList is a page of rows.
type RowList struct {
	Items []Row
	// Total counts those that match, and More says that there may be more (Count).
	Total int
	More  bool
	// Next is the cursor of the following page, zero when this is the last.
	Next Cursor
}

// Sum is what tasks have used together.
type Sum struct {
	Tasks  int
	Tokens task.Tokens
	// Executed is for how long they have executed.
	Executed time.Duration
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
	Owner, Group      string
	Title             *string // nil also when longer than 64 KiB, like Result
	InternalStatus    *string
	Result            *string
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

	// Slots are how many tasks one that claims has asked for at most.
	Slots int

	// The rest is a Python worker's. Connected says that its stream is open, on Node.
	Connected bool
	Node      string
	Busy      bool
	// Barred workers get nothing new: they let an assignment lapse (rule L4).
	Barred bool
	// KeyID and Address are by which key and from where it registered.
	KeyID, Address string
	// LastBeat is its last heartbeat, 0 for none yet.
	LastBeat task.Stamp
	// CutAt is when its stream ended, or the server began after it; of a worker that
	// claims, when it left. HeirUntil is until when a registration may stand for it
	// after that; OwnerIn and HeirOf name the breaks in which it was cut off, and after
	// which it has registered (rule L5).
	CutAt, HeirUntil task.Stamp
	OwnerIn, HeirOf  string
	// Tally counts the attempts that it has told to be over (rule L6).
	Tally Tally
}

// Hands are how many tasks a worker has under leases, and some of them.
type Hands struct {
	AtWork int
	Tasks  []string
}

// Queue is what surrounds a pending task.
type Queue struct {
	// Ahead counts the tasks of its agent that come first, at most 1000.
	Ahead   int
	Workers []Worker
	// Executing counts the agent's tasks that a worker is executing.
	Executing int
	// Occupied are the workers that have an attempt of some task, of whatever
	// agent, under a lease that has not run out.
	Occupied map[string]bool
	// PausedBy is who paused the task last, "" when nobody did.
	PausedBy string
}

// StatusCount counts tasks by status; there may be More.
type StatusCount struct {
	Status task.Status
	Count  int
	More   bool
}

// QueueDepth is the length of an agent's queue and the place of its head.
type QueueDepth struct {
	Agent  string
	Count  int
	Oldest task.Stamp
}
