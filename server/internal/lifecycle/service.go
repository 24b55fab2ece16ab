// Package lifecycle is the service behind every face of Errand: one file for
// each verb. A verb reads a task, lets task.Apply decide, and commits what
// that decided; it never decides a status itself. Users, remote workers and
// the server's own runtimes all come through the same verbs.
package lifecycle

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/stats"
	"github.com/errand-dev/errand/server/internal/task"
)

// Sealer encrypts secrets and hashes with a key (package secret).
type Sealer interface {
	Seal(name string, value []byte) []byte
	Open(name string, sealed []byte) ([]byte, error)
	MAC(parts ...string) []byte
}

// Files tells which file URLs a task may keep (package files).
type Files interface {
	// Keep returns what a task keeps of a file's URL, and the id of the file if it is
	// one of the server's own, else "".
	Keep(ctx context.Context, in auth.Scope, given, field string) (kept, file string, err error)
}

// Service carries out the verbs. It is safe for concurrent use.
type Service struct {
	store  Store
	sealer Sealer
	files  Files
	newID  func() string
	log    *slog.Logger
	gate   *gate // nil for no limits
	caps   *capBook

	commands []string // names of programs, sorted
	models   []string // names of providers that attempts may ask
	servers  []string // names of MCP servers that are programs, sorted
	trace    func(task.Task) string
	node     string
	born     task.Stamp
	answers  *answers
	heard    heardBook

	goingOn sync.Mutex // one commit at a time goes on with what others have left
}

// DefaultNode is the name of the only node of a database that others cannot share.
const DefaultNode = "server"

// New makes a service. newID makes ids for tasks whose creator gives none.
func New(store Store, sealer Sealer, files Files, newID func() string, log *slog.Logger) *Service {
	return &Service{
		store: store, sealer: sealer, files: files, newID: newID, log: log, node: DefaultNode, caps: &capBook{store: store},
		born: store.Now(), answers: newAnswers(),
	}
}

// Name gives the node that the service is part of another name than DefaultNode.
// It is called before anything else.
func (s *Service) Name(node string) { s.node = node }

// Node is the name of the node that the service is part of.
func (s *Service) Node() string { return s.node }

// DefineServers says which MCP servers the configuration defines, for agents to name; it
// is called before the first verb.
func (s *Service) DefineServers(names []string) { s.servers = slices.Sorted(slices.Values(names)) }

// DefineCommands says which programs the agents of runtime command may name
// (rule A4). It is called before anything else.
func (s *Service) DefineCommands(names []string) { s.commands = slices.Sorted(slices.Values(names)) }

// OfferModels says which providers of models attempts may ask with the server's
// accounts (rule B2). It is called before anything else.
func (s *Service) OfferModels(providers []string) { s.models = providers }

// Trace says that a tracer makes spans of what happens to tasks. place answers
// the trace context of its span of a task's present attempt, or of the turn if
// there is none. It is called before anything else.
func (s *Service) Trace(place func(task.Task) string) { s.trace = place }

// traceParent is the trace context under which belongs what happens because of
// a task: that of the request that began its turn, unless there are spans below.
func (s *Service) traceParent(t task.Task) string {
	if s.trace == nil {
		return t.TraceParent
	}
	return s.trace(t)
}

// Caller is in whose name a verb is carried out.
type Caller struct {
	// Scope is what the caller sees: what is out of it is NotFound.
	auth.Scope
	// Owner and Group become those of the tasks that the caller creates (A3).
	Owner, Group string
	// Scoped says that somebody sees no more than this owner's tasks.
	Scoped bool
	// Worker says that it may stand for a worker that shows no token (T6).
	Worker bool
	// Admin says that it may answer what others are asked (S10).
	Admin bool
	// By names the caller in the log, for example "key admin".
	By string
	// Key is the id of the caller's key, by which its creates are counted.
	Key string
	// TraceParent is the W3C trace context in which it calls, "" for none.
	TraceParent string
}

// self is the service as the caller of its own verbs.
func (s *Service) self(org string) Caller { return Caller{Scope: auth.All(org), By: s.node} }

// Get reads a task that is in the scope.
func (s *Service) Get(ctx context.Context, in auth.Scope, id string) (Snapshot, error) {
	return s.store.Task(ctx, in, id)
}

// Task reads a task without what it was asked.
func (s *Service) Task(ctx context.Context, in auth.Scope, id string) (task.Task, error) {
	snap, err := s.store.Task(ctx, in, id)
	return snap.Task, err
}

// Snapshot is Task with the spec of its present turn.
func (s *Service) Snapshot(ctx context.Context, in auth.Scope, id string) (Snapshot, error) {
	return s.store.Task(ctx, in, id)
}

// Seen reads a task for those who have found it in their scope before.
func (s *Service) Seen(ctx context.Context, org, id string) (task.Task, error) {
	return s.Task(ctx, auth.All(org), id)
}

// Turns lists a task's turns after a number, the first one first: at most limit, or
// fewer when they are long.
func (s *Service) Turns(ctx context.Context, org, id string, after, limit int) ([]Turn, error) {
	return s.store.Turns(ctx, org, id, after, limit)
}

// List lists tasks of the scope, newest first.
func (s *Service) List(ctx context.Context, in auth.Scope, f Filter, p Page) (List, error) {
	if err := s.settle(ctx, in, &f); err != nil {
		return List{}, err
	}
	return s.store.Tasks(ctx, in, f, p)
}

// Events reads a task's log after a sequence number: at most limit events, or fewer
// when they are long; given types, only events of these.
func (s *Service) Events(ctx context.Context, org, id string, after int64, limit int, only ...task.Type) ([]task.Event, error) {
	return s.store.Events(ctx, org, id, after, limit, only...)
}

// Outline is Events with no more than OutlineResult characters of a result.
func (s *Service) Outline(ctx context.Context, org, id string, after int64, limit int, only ...task.Type) ([]task.Event, error) {
	return s.store.Outline(ctx, org, id, after, limit, only...)
}

// writing is a commit in the making, in somebody's name.
type writing struct {
	Tx
	by    string // who writes the events that no attempt writes
	seats *seats
	rest  *rest
	// known are verdicts on results that were needed and not there before.
	known verdicts
	caps  *capBook
	heard *hearing
}

// change applies one command to a task and commits the outcome. If the task
// refuses the command but the refusal itself is part of the log, that is
// committed and the refusal is returned.
func (s *Service) change(ctx context.Context, who Caller, id string, command func(writing, task.Task) (task.Command, error)) (Snapshot, error) {
	var after Snapshot
	var refused error
	err := s.write(ctx, who.By, aboutTask(who.Organization, id), func(tx writing) error {
		var err error
		after, refused, err = change(tx, who.Scope, id, func(t task.Task) (task.Command, error) { return command(tx, t) })
		return err
	})
	if err != nil {
		return Snapshot{}, err
	}
	return after, refused
}

// find reads a task that is in the scope.
func find(tx Tx, in auth.Scope, id string) (Snapshot, error) {
	s, err := tx.Snapshot(in.Organization, id)
	if err == nil && !in.Sees(s.Task.Owner, s.Task.Group) {
		return Snapshot{}, NoTask(id)
	}
	return s, err
}

// NoTask is the error of a task that is not there, or out of a caller's scope:
// nobody can tell which.
func NoTask(id string) error { return fault.New(fault.NotFound, "no task %q", id) }

// change is Service.change as a part of a larger write.
func change(tx writing, in auth.Scope, id string, command func(task.Task) (task.Command, error)) (after Snapshot, refused, err error) {
	before, err := find(tx, in, id)
	if err != nil {
		return Snapshot{}, nil, err
	}
	c, err := command(before.Task)
	if err != nil {
		return Snapshot{}, nil, err
	}
	changed, err := apply(tx, before.Task, c)
	return Snapshot{Task: changed.Task, Spec: before.Spec}, changed.Refused, err
}

// apply applies a command in a transaction, saves what it changed, and does what
// follows from it: begins the descent, lets the payer pay for what was spent, and holds
// the task against its caps.
func apply(tx writing, t task.Task, c task.Command) (task.Change, error) {
	changed, err := applyAlone(tx, t, c)
	if x := changed.Task.Descent; err == nil && x.Going && x != t.Descent {
		changed.Task, err = descend(tx, changed.Task)
	}
	if err == nil && changed.Task.Account != nil {
		changed.Task, err = pay(tx, t, changed.Task, task.Bill(c))
	}
	if err == nil {
		changed.Task, err = rein(tx, t, changed.Task, task.Bill(c))
	}
	return changed, err
}

// applyAlone leaves what is below the task alone, and tells what is above it of its
// end. The secrets of a turn go in the commit after which nobody needs them (A5).
func applyAlone(tx writing, t task.Task, c task.Command) (task.Change, error) {
	changed, err := tx.judged(t, c)
	if err != nil || changed.Empty() {
		return changed, err
	}
	if t.Sealed && !changed.Task.Sealed {
		if err := tx.DeleteSecret(t.OrganizationID, OfTask, t.ID); err != nil {
			return changed, err
		}
	}
	if err := tx.save(changed); err != nil {
		return changed, err
	}
	tx.AddStats(stats.Count(t, changed, changed.Task.Unpaid(t))...)
	if err := tx.count(t, changed.Task); err != nil {
		return changed, err
	}
	if t.Ended() == "" && changed.Task.Ended() != "" {
		err = tx.tellParent(changed.Task, false)
	}
	return changed, err
}

// save keeps a change in the name of the commit's author.
func (tx writing) save(c task.Change) error {
	c.Sign(tx.by)
	return tx.Save(c)
}

// claimed reads a task and finds whose lease token it is.
func claimed(tx Tx, org, id, token string) (t task.Task, by task.Writer, err error) {
	if t, err = tx.Task(org, id); err == nil {
		by, err = fenced(tx, t, token)
	}
	return t, by, err
}

// fenced finds whose lease token it is. An unknown token is a writer without
// an attempt, which may not write.
func fenced(tx Tx, t task.Task, token string) (task.Writer, error) {
	hash := hashToken(token)
	if t.Run != nil && t.Run.Fenced && t.Run.TokenHash == hash {
		return task.Writer{Fenced: true, Attempt: t.Run}, nil
	}
	a, err := tx.AttemptByToken(t.OrganizationID, t.ID, hash)
	return task.Writer{Fenced: true, Attempt: a}, err
}

func newToken() string {
	raw := make([]byte, 24)
	_, _ = rand.Read(raw) // never fails
	return base64.RawURLEncoding.EncodeToString(raw)
}

func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// invalidToken refuses an empty token before anything is read.
func invalidToken(token string) error {
	if token == "" {
		return fault.Field("lease_token", "must be the token that the claim answered")
	}
	return nil
}

func secretName(org string, of SecretOf, id string) string {
	return fmt.Sprintf("%s %s %s", org, of, id)
}
