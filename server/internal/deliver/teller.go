package deliver

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// news is how many entries of the feed are read at once for a webhook.
	news = 500
	// lately is how exactly it is kept when a webhook has taken a message.
	lately = task.Stamp(time.Minute / time.Microsecond)
)

// spread makes pushes of what the feed tells webhooks, and reports whether there are any.
func (c *Courier) spread(ctx context.Context) (some bool, err error) {
	hooks, err := c.Store.EnabledWebhooks(ctx)
	if err != nil {
		return false, err
	}
	for _, w := range hooks {
		for more := true; more; {
			if more, err = c.follow(ctx, &w); err != nil {
				return false, err
			}
		}
	}
	return len(hooks) > 0, nil
}

// follow makes pushes of what the feed tells a webhook next, and reports whether there may
// be more. Where there is nothing for it, its place is moved only now and then.
func (c *Courier) follow(ctx context.Context, w *Webhook) (more bool, err error) {
	entries, err := c.Store.Feed(ctx, w.Place, news)
	if err != nil {
		return false, err
	}
	if len(entries) == 0 {
		return false, c.returned(ctx, w)
	}
	to, full := entries[len(entries)-1].Position, len(entries) == news
	var pushes []Push
	if slices.ContainsFunc(entries, func(e feed.Entry) bool { return e.Organization == w.Organization && e.Kind&feed.Grew != 0 }) {
		if pushes, err = c.Store.TurnsFor(ctx, *w, to); err != nil {
			return false, err
		}
	}
	if len(pushes) == 0 && !full {
		return false, nil
	}
	err = c.Store.Spread(ctx, *w, pushes, to)
	w.Place = to
	return full, err
}

// returned begins anew for a webhook whose place is behind the end of the feed: the record
// is of another database, which counts in its own way.
func (c *Courier) returned(ctx context.Context, w *Webhook) error {
	end, err := c.Store.FeedEnd(ctx)
	if err != nil || !end.Before(w.Place) {
		return err
	}
	return c.Store.Spread(ctx, *w, nil, feed.Position{})
}

// tell posts to a webhook what has happened in a turn.
func (r *round) tell(ctx context.Context, of Due) error {
	hook, err := r.Store.Webhook(ctx, of.Organization, of.Webhook)
	if fault.CodeOf(err) == fault.NotFound || err == nil && !hook.Enabled {
		return r.done(ctx)
	}
	if err != nil {
		return err
	}
	key, err := r.keyOf(&hook)
	if err != nil {
		return err
	}
	r.hook, r.types = &hook, hook.Events()
	defer r.unload()
	for after := max(of.First-1, of.Taken/2); after < of.Since; {
		events, err := r.next(ctx, after)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			if e.Seq > of.Since {
				return r.done(ctx)
			}
			m, told, err := hook.message(of, e)
			if err != nil {
				return err
			}
			if told {
				if over, err := r.send(ctx, key, messageID(&hook, of, e), m, e.Seq); over || err != nil {
					return err
				}
			}
			after = e.Seq
		}
	}
	return r.done(ctx)
}

// send posts the message of an event, and reports whether the round is over.
func (r *round) send(ctx context.Context, key []byte, id string, m Message, seq int64) (over bool, err error) {
	body, err := json.Marshal(m)
	if err != nil {
		return false, err
	}
	if failure := r.post(ctx, r.hook.URL, signed(key, id, body, time.Now()), body); failure != nil {
		return true, r.failed(ctx, failure)
	}
	r.Posted(Taken)
	if now := r.Store.Now(); r.hook.Failures > 0 || now-r.hook.TakenAt >= lately {
		r.hook.Failures, r.hook.TakenAt = 0, now
		if err := r.Store.WebhookTook(ctx, *r.hook); err != nil {
			return true, err
		}
	}
	r.unload()
	if seq == r.push.Since { // it is over, in one commit
		_, err := r.move(ctx, Progress{Taken: Behind(seq)})
		return true, err
	}
	moved, err := r.took(ctx, Behind(seq))
	return !moved, err
}

// keyOf opens the secret of a webhook.
func (c *Courier) keyOf(w *Webhook) ([]byte, error) {
	plain, err := c.Box.Open(sealedFor(w.Organization, w.ID), w.Secret)
	if err != nil {
		return nil, fmt.Errorf("the secret of webhook %s: %w", w.ID, err)
	}
	return keyOf(string(plain))
}

// Try posts a test message to a webhook, and returns why it was not taken, "" if it was.
func (c *Courier) Try(ctx context.Context, w Webhook) (failure string, err error) {
	key, err := c.keyOf(&w)
	if err != nil {
		return "", err
	}
	now := time.Now()
	body, err := json.Marshal(Message{Type: Test, Timestamp: task.StampOf(now), Data: struct {
		ID string `json:"webhook_id"`
	}{w.ID}})
	if err != nil {
		return "", err
	}
	if f := c.post(ctx, w.URL, signed(key, newID("msg_"), body, now), body); f != nil {
		return f.why, nil
	}
	return "", nil
}
