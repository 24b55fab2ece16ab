// Package deliver posts what happens in turns to addresses that clients have named. A
// push is one such address for one turn: each update of the turn is posted there at least
// once, in their order, until the push is over or given up. The updates are a face's, which
// folds them from the turn's log. A webhook is told of all turns: pushes are made for it of
// what the feed says.
package deliver

import (
	"context"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/task"
)

// Key names a push.
type Key struct {
	Organization, Task string
	Turn               int
	ID                 string
}

// Push is an address to which the updates of a turn are posted.
type Push struct {
	Key
	// Webhook is the id of the one for which it was made, "" for none. Its updates are
	// messages, of the events from First to Since, and it is dropped when it is over.
	Webhook string
	// PutAt tells it from others that have had its key.
	PutAt task.Stamp
	URL   string
	// Target is the URL's host and port.
	Target string
	// Headers are those of its requests, sealed, as credentials are among them. They are erased
	// when it is over.
	Headers []byte
	// First is the number of the turn's first event, and Since that of the event as of which
	// the first update shows the turn, 0 for a push that has all updates.
	First, Since int64
	Progress
}

// Progress is how far a push has come.
type Progress struct {
	// Taken is the place of the last update that was taken.
	Taken int64
	// Due is when the next may be posted, 0 when the push is over.
	Due task.Stamp
	// Failures counts those since an update was taken last. FailedAt is when the first of
	// them was, and Failure says why the last one was.
	Failures int
	FailedAt task.Stamp
	Failure  string
}

// State is how a push stands.
type State string

// The states.
const (
	Active   State = "active"   // updates are posted as they come
	Retrying State = "retrying" // the last one was not taken
	Done     State = "done"     // the turn is over, and all was taken
	GivenUp  State = "given_up" // nothing more is posted
)

// State is how the push stands.
func (p Progress) State() State {
	switch {
	case p.Due == 0 && p.Failures > 0:
		return GivenUp
	case p.Due == 0:
		return Done
	case p.Failures > 0:
		return Retrying
	default:
		return Active
	}
}

// MaxPushes is how many pushes a turn may have.
const MaxPushes = 32

// Due is a push that may have something to post.
type Due struct {
	Push
	// End is the number of the last event of its task's log, and Agent the task's agent.
	End   int64
	Agent string
}

// Store keeps pushes.
type Store interface {
	// PutPush keeps a push in the place of the one of its key. A task that is not there is
	// NotFound, and a turn that has MaxPushes others is a Conflict.
	PutPush(ctx context.Context, p Push) error
	// Push reads one.
	Push(ctx context.Context, k Key) (Push, error)
	// Pushes lists those of a turn by their ids, but for webhooks'.
	Pushes(ctx context.Context, org, id string, turn int) ([]Push, error)
	// DropPush removes one if it is there, but for a webhook's.
	DropPush(ctx context.Context, k Key) error
	// DuePushes lists pushes of all organizations that are due at a moment and whose logs go on
	// behind what was taken, but for those of some targets and webhooks, at most limit.
	DuePushes(ctx context.Context, now task.Stamp, targets, webhooks []string, limit int) ([]Due, error)
	// MovePush keeps the progress and the headers of a push, and reports whether it did: it
	// does not if the push has been moved, put or dropped since it was read. A webhook's that
	// is over is dropped, or goes on if it was told of more since.
	MovePush(ctx context.Context, was, is Push) (bool, error)

	// PutWebhook makes a webhook. An organization that has MaxWebhooks is a Conflict.
	PutWebhook(ctx context.Context, w Webhook) error
	// Webhook reads one.
	Webhook(ctx context.Context, org, id string) (Webhook, error)
	// Webhooks lists those in a scope, the oldest first.
	Webhooks(ctx context.Context, in auth.Scope) ([]Webhook, error)
	// EnabledWebhooks lists those of all organizations that are enabled.
	EnabledWebhooks(ctx context.Context) ([]Webhook, error)
	// ChangeWebhook lets change change one in a scope.
	ChangeWebhook(ctx context.Context, in auth.Scope, id string, change func(*Webhook)) (Webhook, error)
	// DropWebhook removes one in a scope.
	DropWebhook(ctx context.Context, in auth.Scope, id string) error
	// WebhookTook keeps that a webhook has taken a message.
	WebhookTook(ctx context.Context, w Webhook) error
	// WebhookFailed counts a failure of a webhook, and disables it if it was the last.
	WebhookFailed(ctx context.Context, w Webhook, why string, last bool) error
	// TurnsFor makes pushes of the turns in which there may be something to tell a webhook,
	// of entries of the feed behind a place, up to another.
	TurnsFor(ctx context.Context, w Webhook, after, to feed.Position) ([]Push, error)
	// Spread puts pushes for a webhook, or lets those that are there go on up to their Since,
	// and moves its place, in one commit. It does nothing if that was moved since it was read.
	Spread(ctx context.Context, w Webhook, pushes []Push, to feed.Position) error

	Feed(ctx context.Context, after feed.Position, limit int) ([]feed.Entry, error)
	FeedEnd(ctx context.Context) (feed.Position, error)
	Events(ctx context.Context, org, id string, after int64, limit int, types ...task.Type) ([]task.Event, error)
	// Bare is Events without what is kept of a turn: its spec is left out, its result null.
	Bare(ctx context.Context, org, id string, after int64, limit int, types ...task.Type) ([]task.Event, error)
	Now() task.Stamp
}
