package lifecycle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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

	who    Caller // the creator
	sealed []byte // the Secrets, nil for none
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
	if err := check(&sub); err != nil {
		return Begun{}, err
	}
	if err := s.gate.pace(who, s.store.Now()); err != nil {
		return Begun{}, err
	}
	for i, given := range sub.Spec.Input.Files {
		kept, err := s.files.Keep(ctx, who.Scope, given, fmt.Sprintf("input.files[%d]", i))
		if err != nil {
			return Begun{}, err
		}
		sub.Spec.Input.Files[i] = kept
	}
	var err error
	sub.Spec.Input.Attachments, err = EachAttachment(sub.Spec.Input.Attachments, func(i int, given string) (string, error) {
		return s.files.Keep(ctx, who.Scope, given, fmt.Sprintf("input.attachments[%d].url", i))
	})
	if err != nil {
		return Begun{}, err
	}
	sub.Spec.OrganizationID, sub.who = who.Organization, who
	fresh := sub.Spec.ID == "" // nothing can be known of a new id
	if fresh {
		sub.Spec.ID = s.newID()
	}
	if !sub.Secrets.empty() {
		open, err := json.Marshal(sub.Secrets)
		if err != nil {
			return Begun{}, fmt.Errorf("encode secrets: %w", err)
		}
		sub.sealed = s.sealer.Seal(secretName(who.Organization, OfTask, sub.Spec.ID), open)
	}
	replay := Replay{TaskID: sub.Spec.ID}
	if !who.Whole() { // what others have used a key for is none of its business
		sub.Route += " " + who.Scope.Owner + " " + who.Scope.Group
	}
	if sub.Spec.IdempotencyKey != nil {
		replay.Hash = s.sealer.MAC(sub.Route, string(sub.Body))
	}
	var begun Begun
	about := aboutTask(who.Organization, sub.Spec.ID)
	if fresh {
		about = nil
	}
	if parent := sub.Spec.Terms().ParentID; parent != "" {
		about = append(about, Key{TaskKey, who.Organization, parent})
	}
	err = s.write(ctx, who.By, about, func(tx writing) error {
		var err error
		var before *Replay
		begun = Begun{At: tx.Now()}
		if begun.Snapshot, before, err = replayOf(tx, sub, replay.Hash); err != nil {
			return err
		}
		if before != nil && begun.Task.ID != "" {
			begun.Replayed, begun.At = true, before.At
			return nil
		}
		if !sub.Spec.RunLocally { // no queue holds the others
			if err := s.gate.room(tx, who.Organization, sub.Spec.AgentID); err != nil {
				return err
			}
		}
		if begun.Snapshot, err = s.create(tx, sub, fresh); err == nil && sub.Spec.IdempotencyKey != nil {
			r := replay
			r.At = tx.Now()
			err = tx.PutReplay(who.Organization, sub.Route, *sub.Spec.IdempotencyKey, before, r)
		}
		return err
	})
	return begun, err
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
	var before task.Task
	var numbered int
	if !fresh {
		if before, numbered, err = known(tx, sub.who.Scope, spec); err != nil {
			return Snapshot{}, err
		}
	}
	if sub.State.DeepPlanning, err = firstPlan(before, a); err != nil {
		return Snapshot{}, err
	}
	parent, err := adopt(tx, sub.who.Scope, spec, before)
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
		Sealed: sub.sealed != nil,
	})
	if err == nil && sub.sealed != nil { // in the place of those of the last turn
		err = tx.PutSecret(org, OfTask, spec.ID, sub.sealed)
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
		numbered, err = numberedBefore(tx, spec)
		return task.Task{}, numbered, err
	case err != nil:
		return task.Task{}, 0, err
	case before.AgentID != spec.AgentID:
		return task.Task{}, 0, &fault.Error{Code: fault.Conflict, Field: "id", Message: "a task with this id belongs to another agent"}
	}
	return before, 0, nil
}

func numberedBefore(tx Tx, spec task.Spec) (int, error) {
	left, err := tx.Attempts(spec.OrganizationID, spec.ID)
	highest := 0
	for _, a := range left {
		if a.Holds() {
			return 0, &fault.Error{
				Code: fault.Conflict, Field: "id",
				Message: "a deleted task had this id, and worker " + a.WorkerID + " may still be executing it: try again later, or choose another id",
			}
		}
		highest = max(highest, a.Number)
	}
	return highest, err
}

// adopt counts a sub-task with its parent, and returns that; nil for none.
func adopt(tx writing, in auth.Scope, spec task.Spec, before task.Task) (*task.Task, error) {
	parent := spec.Terms().ParentID
	switch parent {
	case "":
		return nil, nil //nolint:nilnil // nil is the documented answer
	case spec.ID:
		return nil, fault.Field("parent_execution", "a task cannot be its own parent")
	}
	p, err := find(tx, in, parent)
	if fault.CodeOf(err) == fault.NotFound {
		return nil, fault.Field("parent_execution", "no task %q", parent)
	}
	if err != nil {
		return nil, err
	}
	// Who sees a task may stop and delete what is below it.
	if before.Owner != "" && (before.Owner != p.Task.Owner || before.Group != p.Task.Group) {
		return nil, &fault.Error{
			Code: fault.Conflict, Field: "parent_execution",
			Message: "the parent has another owner than the task whose next turn this is",
		}
	}
	changed, err := apply(tx, p.Task, task.AddChild{Known: before.Terms.ParentID == parent})
	return &changed.Task, err
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
	if a.Record.Runtime != agent.Worker && hasLocalServer(spec.MCPServers) {
		return fault.Field("mcp_servers", "type local is for remote workers; agent %q runs inside the server", a.ID)
	}
	return nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
