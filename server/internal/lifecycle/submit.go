package lifecycle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// Submission is what a creator asks for.
type Submission struct {
	// Spec holds the creator's fields; those that the server owns are ignored.
	Spec task.Spec
	// Secrets are kept apart from the Spec (rule A5).
	Secrets Secrets
	// State holds the creator's title, source and the like.
	State task.State
	// Asked is laid over the State.
	Asked    Asked
	Priority int
	RunAt    task.Stamp
	// AgentVersion pins a version, "" for the newest.
	AgentVersion string
	// Route and Body scope and fingerprint Spec.IdempotencyKey (rule H3); without
	// one they are not looked at.
	Route string
	Body  []byte
	// Unkeyed is the request of a client that repeats it without an idempotency key: its
	// Receipt stands for the answer. Nil for any other.
	Unkeyed []byte
	// Follows is the turn that the new one is to follow: if another has followed it, the
	// submission is refused. 0 is whichever was the last.
	Follows int

	who    Caller // the creator
	sealed []byte // the Secrets, nil for none
	// uses are the ids of the server's own files that it names, by the fields.
	uses map[string]string
}

// Secrets are the secret values of a task.
type Secrets struct {
	UserTokens    json.RawMessage `json:"user_tokens,omitempty"`
	UserOIDCToken *string         `json:"user_oidc_token,omitempty"`
	// MCPServers is the whole array when one of its members holds a secret.
	MCPServers json.RawMessage `json:"mcp_servers,omitempty"`
}

func (x Secrets) empty() bool {
	return len(x.UserTokens) == 0 && x.UserOIDCToken == nil && len(x.MCPServers) == 0
}

// Begun is what came of a submission.
type Begun struct {
	// Snapshot is the task as it is now.
	Snapshot
	// Replayed says that the submission repeats an earlier one, which At was.
	Replayed bool
	// At is when the turn began: the moment of its commit.
	At task.Stamp
	// Receipt stands for the answer to an Unkeyed submission.
	Receipt Receipt
}

// Submit is Ask for those who do not ask which turn it was.
func (s *Service) Submit(ctx context.Context, who Caller, sub Submission) (Snapshot, bool, error) {
	b, err := s.Ask(ctx, who, sub)
	return b.Snapshot, b.Replayed, err
}

// Ask creates a task, or starts the next turn of one that has ended (T1).
// With an idempotency key that was used for the same body before, it answers
// that task as it is now.
func (s *Service) Ask(ctx context.Context, who Caller, sub Submission) (Begun, error) {
	p, err := s.prepare(ctx, who, sub)
	if err != nil {
		return Begun{}, err
	}
	if sub.Unkeyed != nil {
		p.receipt = s.receipt(who, sub.Unkeyed)
		s.answers.begin(p.receipt.name)
	}
	var begun Begun
	err = s.write(ctx, who.By, p.about, func(tx writing) (err error) {
		begun, err = s.begin(tx, p)
		return err
	})
	if err != nil || begun.Receipt == (Receipt{}) {
		s.answers.drop(p.receipt.name)
	}
	return begun, err
}

// prepared is a submission that is ready to be written.
type prepared struct {
	Submission
	about []Key
	// replay is what its idempotency key will stand for.
	replay Replay
	// receipt stands for the answer to an Unkeyed submission.
	receipt Receipt
	// fresh says that the id is the server's: nothing can be known of it.
	fresh bool
}

// prepare checks a submission and does all that needs no write.
func (s *Service) prepare(ctx context.Context, who Caller, sub Submission) (prepared, error) {
	if err := check(&sub); err != nil {
		return prepared{}, err
	}
	if err := s.gate.pace(who, s.store.Now()); err != nil {
		return prepared{}, err
	}
	if err := s.keepFiles(ctx, who.Scope, &sub); err != nil {
		return prepared{}, err
	}
	sub.Spec.OrganizationID, sub.who = who.Organization, who
	p := prepared{fresh: sub.Spec.ID == ""}
	if p.fresh {
		sub.Spec.ID = s.newID()
	} else {
		p.about = aboutTask(who.Organization, sub.Spec.ID)
	}
	if parent := sub.Spec.Terms().ParentID; parent != "" {
		p.about = append(p.about, Key{TaskKey, who.Organization, parent})
	}
	if !sub.Secrets.empty() {
		open, err := json.Marshal(sub.Secrets)
		if err != nil {
			return prepared{}, fmt.Errorf("encode secrets: %w", err)
		}
		sub.sealed = s.sealer.Seal(secretName(who.Organization, OfTask, sub.Spec.ID), open)
	}
	p.replay.TaskID = sub.Spec.ID
	if !who.Whole() { // what others have used a key for is none of its business
		sub.Route += " " + who.Scope.Owner + " " + who.Scope.Group
	}
	if sub.Spec.IdempotencyKey != nil {
		p.replay.Hash = s.sealer.MAC(sub.Route, string(sub.Body))
		p.about = append(p.about, aboutReplay(who.Organization, sub.Route, *sub.Spec.IdempotencyKey))
	}
	p.Submission = sub
	return p, nil
}

// begin writes a submission, or returns what its idempotency key stands for. A
// refusal has written nothing.
func (s *Service) begin(tx writing, p prepared) (Begun, error) {
	known, before, err := replayOf(tx, p.Submission, p.replay.Hash)
	if err != nil {
		return Begun{}, err
	}
	if before != nil && known.Task.ID != "" {
		return Begun{Snapshot: known, Replayed: true, At: before.At}, nil
	}
	org := p.Spec.OrganizationID
	if !p.Spec.RunLocally { // no queue holds the others
		if err := tx.seats.take(tx, org, p.Spec.AgentID); err != nil {
			return Begun{}, err
		}
	}
	begun := Begun{At: tx.Now()}
	if begun.Snapshot, err = s.create(tx, p.Submission, p.fresh); err == nil && p.Spec.IdempotencyKey != nil {
		r := p.replay
		r.At = begun.At
		err = tx.PutReplay(org, p.Route, *p.Spec.IdempotencyKey, before, r)
	}
	if err == nil && p.Unkeyed != nil {
		begun.Receipt, err = s.note(tx, p.receipt, Replay{TaskID: p.Spec.ID, At: begun.At})
	}
	return begun, err
}

// keepFiles puts in the place of files' URLs what the task keeps of them.
func (s *Service) keepFiles(ctx context.Context, in auth.Scope, sub *Submission) error {
	keep := func(given, field string) (string, error) {
		kept, file, err := s.files.Keep(ctx, in, given, field)
		if file != "" {
			if sub.uses == nil {
				sub.uses = map[string]string{}
			}
			sub.uses[file] = field
		}
		return kept, err
	}
	var err error
	for i, given := range sub.Spec.Input.Files {
		if sub.Spec.Input.Files[i], err = keep(given, fmt.Sprintf("input.files[%d]", i)); err != nil {
			return err
		}
	}
	sub.Spec.Input.Attachments, err = EachAttachment(sub.Spec.Input.Attachments, func(i int, given string) (string, error) {
		return keep(given, fmt.Sprintf("input.attachments[%d].url", i))
	})
	return err
}

// present refuses a file that has gone since it was looked up, and keeps the others
// until the commit: what a task refers to is there (H6).
func present(tx Tx, org string, uses map[string]string) error {
	if len(uses) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(uses))
	there, err := tx.Files(org, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if !slices.Contains(there, id) {
			return NoFile(uses[id])
		}
	}
	return nil
}

// NoFile is the error of a reference to a file that is not there, or out of a
// caller's scope: nobody can tell which.
func NoFile(field string) error {
	return fault.Field(field, "no such file here: upload it with POST /v1/files")
}

// replayOf returns what the submission's idempotency key stands for, nil for
// nothing, and the task that it was used for, if that is not too long ago.
func replayOf(tx Tx, sub Submission, hash []byte) (Snapshot, *Replay, error) {
	if sub.Spec.IdempotencyKey == nil {
		return Snapshot{}, nil, nil
	}
	before, err := tx.Replay(sub.Spec.OrganizationID, sub.Route, *sub.Spec.IdempotencyKey)
	if err != nil || before == nil || before.At.Add(KeepReplays) < tx.Now() {
		return Snapshot{}, before, err
	}
	if !bytes.Equal(before.Hash, hash) {
		return Snapshot{}, nil, &fault.Error{
			Code: fault.Conflict, Field: "Idempotency-Key",
			Message: "this key was used with another body: use a new key for a new task",
		}
	}
	found, err := tx.Snapshot(sub.Spec.OrganizationID, before.TaskID)
	return found, before, err
}

// create begins the turn and tells the parent, in whose trace a sub-task is
// unless its creator names another.
func (s *Service) create(tx writing, sub Submission, fresh bool) (Snapshot, error) {
	org, spec := sub.Spec.OrganizationID, sub.Spec
	version := 0
	if sub.AgentVersion != "" {
		var err error
		if version, err = strconv.Atoi(sub.AgentVersion); err != nil || version < 1 {
			return Snapshot{}, fault.New(fault.NotFound, "no version %q of agent %q", sub.AgentVersion, spec.AgentID)
		}
		spec.AgentVersion = &sub.AgentVersion
	}
	a, err := tx.Agent(org, spec.AgentID, version)
	if err != nil {
		return Snapshot{}, err
	}
	if err := suit(&spec, a); err != nil {
		return Snapshot{}, err
	}
	if err := present(tx, org, sub.uses); err != nil {
		return Snapshot{}, err
	}
	var before task.Task
	var numbered int
	if !fresh {
		if before, numbered, err = known(tx, sub.who.Scope, spec); err != nil {
			return Snapshot{}, err
		}
	}
	if sub.Follows != 0 && before.Terms.Turn != sub.Follows {
		return Snapshot{}, fault.New(fault.Conflict, "turn %d of task %q is not its last: turn %d has followed, or the task is gone", sub.Follows, spec.ID, before.Terms.Turn)
	}
	if err := answerCalls(tx, before, &spec); err != nil {
		return Snapshot{}, err
	}
	if sub.State.DeepPlanning, err = firstPlan(before, a); err != nil {
		return Snapshot{}, err
	}
	parent, counted, err := adopt(tx, sub.who.Scope, spec, before)
	if err != nil {
		return Snapshot{}, err
	}
	traceParent := sub.who.TraceParent
	if traceParent == "" && parent != nil {
		traceParent = s.traceParent(*parent)
	}
	changed, err := apply(tx, before, task.Begin{
		Spec: spec, State: sub.State, Priority: sub.Priority, RunAt: sub.RunAt, Numbered: numbered,
		TraceParent: traceParent, Owner: sub.who.Owner, Group: sub.who.Group, Scoped: sub.who.Scoped, Parent: parent,
		Sealed: sub.sealed != nil, Budget: a.Record.Budget, Key: sub.who.Key,
	})
	if err != nil { // a refusal, and nothing has been written
		return Snapshot{}, err
	}
	if !counted.Empty() {
		if err := tx.save(counted); err != nil {
			return Snapshot{}, err
		}
		if err := payForChild(tx, counted.Task); err != nil {
			return Snapshot{}, err
		}
	}
	if sub.sealed != nil { // in the place of those of the last turn
		err = tx.PutSecret(org, OfTask, spec.ID, sub.sealed)
	}
	for _, id := range slices.Sorted(maps.Keys(sub.uses)) {
		err = errors.Join(err, tx.PutUse(changed.Task, id))
	}
	return Snapshot{Task: changed.Task, Spec: changed.Spec()}, err
}

// known reads the task that a chosen id already stands for, the zero task if
// there is none, and then the highest attempt number that a deleted task with
// this id has left behind. While such an attempt has not let go, the id cannot be
// used again (L10).
func known(tx Tx, in auth.Scope, spec task.Spec) (before task.Task, numbered int, err error) {
	before, err = tx.Task(spec.OrganizationID, spec.ID)
	switch {
	case err == nil && !in.Sees(before.Owner, before.Group):
		return task.Task{}, 0, NoTask(spec.ID)
	case fault.CodeOf(err) == fault.NotFound:
		unerased, err := tx.Unerased(spec.OrganizationID, spec.ID)
		if err != nil {
			return task.Task{}, 0, err
		}
		if unerased {
			return task.Task{}, 0, unfinished(spec)
		}
		numbered, err = numberedBefore(tx, spec)
		return task.Task{}, numbered, err
	case err != nil:
		return task.Task{}, 0, err
	case before.AgentID != spec.AgentID:
		return task.Task{}, 0, &fault.Error{Code: fault.Conflict, Field: "id", Message: "a task with this id belongs to another agent"}
	case before.Ended() != "" && before.Descent.Going:
		return task.Task{}, 0, unfinished(spec)
	}
	return before, 0, nil
}

func unfinished(spec task.Spec) error {
	return unfinishedError{Key{TaskKey, spec.OrganizationID, spec.ID}}
}

func numberedBefore(tx Tx, spec task.Spec) (int, error) {
	left, err := tx.Attempts(spec.OrganizationID, spec.ID)
	highest := 0
	for _, a := range left {
		if a.Attached() {
			return 0, &fault.Error{
				Code: fault.Conflict, Field: "id",
				Message: "a deleted task had this id, and worker " + a.WorkerID + " may still be executing it: try again later, or choose another id",
			}
		}
		highest = max(highest, a.Number)
	}
	return highest, err
}

// adopt returns a sub-task's parent, nil for none, and the change that counts the
// sub-task there.
func adopt(tx writing, in auth.Scope, spec task.Spec, before task.Task) (*task.Task, task.Change, error) {
	parent := spec.Terms().ParentID
	switch parent {
	case "":
		return nil, task.Change{}, nil
	case spec.ID:
		return nil, task.Change{}, fault.Field("parent_execution", "a task cannot be its own parent")
	}
	p, err := find(tx, in, parent)
	if fault.CodeOf(err) == fault.NotFound {
		return nil, task.Change{}, fault.Field("parent_execution", "no task %q", parent)
	}
	if err != nil {
		return nil, task.Change{}, err
	}
	// Who sees a task may stop and delete what is below it.
	if before.Owner != "" && (before.Owner != p.Task.Owner || before.Group != p.Task.Group) {
		return nil, task.Change{}, &fault.Error{
			Code: fault.Conflict, Field: "parent_execution",
			Message: "the parent has another owner than the task whose next turn this is",
		}
	}
	if before.Terms.ParentID == parent { // it stays where it is, and was counted
		return &p.Task, task.Change{}, nil
	}
	if err := afford(tx, p.Task); err != nil {
		return nil, task.Change{}, err
	}
	counted, err := task.Apply(p.Task, task.AddChild{}, tx.Now())
	return &counted.Task, counted, err
}

// suit fills from the agent what the creator left open.
func suit(spec *task.Spec, a agent.Agent) error {
	if spec.OutputFormat == nil && a.Record.OutputFormat != nil {
		spec.OutputFormat, spec.OutputSchema = a.Record.OutputFormat, a.Record.OutputSchema
	}
	if spec.OutputFormat != nil && *spec.OutputFormat == "json" && isNull(spec.OutputSchema) {
		spec.OutputSchema = json.RawMessage("{}") // the Python client fails on json without a schema
	}
	if spec.MaxAttempts == 0 {
		spec.MaxAttempts = a.MaxAttempts()
	}
	if a.Record.Runtime != agent.Model && len(spec.ClientTools) > 0 {
		return fault.Field("client_tools", "are for agents of runtime model; that of agent %q is %s", a.ID, a.Record.Runtime)
	}
	if a.Record.Runtime != agent.Worker && hasLocalServer(spec.MCPServers) {
		return fault.Field("mcp_servers", "type local is for remote workers; agent %q runs inside the server", a.ID)
	}
	return nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
