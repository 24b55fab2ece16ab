package deliver

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// news is how many entries of the feed are read at once, far how many there may be behind
	// the place that is kept of a webhook, which are read again after a restart.
	news, far = 500, 10_000
	// lately is how exactly it is kept when a webhook has taken a message.
	lately = task.Stamp(time.Minute / time.Microsecond)
)

// seen is how far the feed was read for a webhook without finding anything, behind the
// place that the store keeps.
type seen struct {
	kept, upTo feed.Position
	entries    int // how many are between the two
}

// spread makes pushes of the next part of the feed, which is read once for all webhooks. It
// reports whether there are any of these, and whether there may be more of it.
func (c *Courier) spread(ctx context.Context) (some, more bool, err error) {
	hooks, err := c.Store.EnabledWebhooks(ctx)
	if err != nil {
		return false, false, err
	}
	c.remember(hooks)
	if len(hooks) == 0 {
		return false, false, nil
	}
	from := c.seen[hooks[0].ID].upTo
	for _, w := range hooks[1:] {
		if at := c.seen[w.ID].upTo; at.Before(from) {
			from = at
		}
	}
	entries, err := c.Store.Feed(ctx, from, news)
	if err != nil {
		return false, false, err
	}
	if len(entries) == 0 {
		return true, false, c.returned(ctx, hooks)
	}
	for _, w := range hooks {
		if err := c.follow(ctx, w, entries); err != nil {
			return false, false, err
		}
	}
	return true, len(entries) == news, nil
}

// remember forgets what is known of other webhooks than these, and of those whose place
// was moved.
func (c *Courier) remember(hooks []Webhook) {
	known := make(map[string]seen, len(hooks))
	for _, w := range hooks {
		at := c.seen[w.ID]
		if at.kept != w.Place {
			at = seen{kept: w.Place, upTo: w.Place}
		}
		known[w.ID] = at
	}
	c.seen = known
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.ailing, func(id string, _ *ailment) bool { _, enabled := known[id]; return !enabled })
}

// follow makes pushes of what a part of the feed tells a webhook. Where there is nothing
// for it, the place that is kept is moved only now and then.
func (c *Courier) follow(ctx context.Context, w Webhook, entries []feed.Entry) error {
	at, to := c.seen[w.ID], entries[len(entries)-1].Position
	first := slices.IndexFunc(entries, func(e feed.Entry) bool { return at.upTo.Before(e.Position) })
	if first < 0 {
		return nil
	}
	entries = entries[first:]
	var pushes []Push
	var err error
	if slices.ContainsFunc(entries, func(e feed.Entry) bool { return e.Organization == w.Organization && e.Kind&feed.Grew != 0 }) {
		if pushes, err = c.Store.TurnsFor(ctx, w, at.upTo, to); err != nil {
			return err
		}
	}
	at.upTo, at.entries = to, at.entries+len(entries)
	if len(pushes) > 0 || at.entries >= far {
		return c.Store.Spread(ctx, w, pushes, to)
	}
	c.seen[w.ID] = at
	return nil
}

// returned begins anew for webhooks whose place is behind the end of the feed: the record
// is of another database, which counts in its own way.
func (c *Courier) returned(ctx context.Context, hooks []Webhook) error {
	end, err := c.Store.FeedEnd(ctx)
	if err != nil {
		return err
	}
	for _, w := range hooks {
		if end.Before(w.Place) {
			if err := c.Store.Spread(ctx, w, nil, feed.Position{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// tell posts to a webhook what has happened in a turn.
func (r *round) tell(ctx context.Context, of Due) error {
	if over, err := r.aim(ctx); over || err != nil {
		return err
	}
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
			m, told, err := r.hook.message(of, e)
			if err != nil {
				return err
			}
			if told {
				if over, err := r.send(ctx, messageID(r.hook, of, e), m, e.Seq); over || err != nil {
					return err
				}
			}
			after = e.Seq
		}
	}
	return r.done(ctx)
}

// aim reads the webhook as it is now, and reports whether the round is over, as it is told
// of nothing.
func (r *round) aim(ctx context.Context) (over bool, err error) {
	hook, err := r.Store.Webhook(ctx, r.push.Organization, r.push.Webhook)
	if fault.CodeOf(err) == fault.NotFound || err == nil && !hook.Enabled {
		return true, r.done(ctx)
	}
	if err != nil {
		return false, err
	}
	r.hook, r.types = &hook, hook.Events()
	r.key, err = r.keyOf(&hook)
	return false, err
}

// send posts the message of an event, and reports whether the round is over.
func (r *round) send(ctx context.Context, id string, m Message, seq int64) (over bool, err error) {
	body, err := json.Marshal(m)
	if err != nil {
		return false, err
	}
	if failure := r.post(ctx, r.hook.URL, signed(r.key, id, body, time.Now()), body); failure != nil {
		return true, r.failed(ctx, failure)
	}
	r.Posted(Taken)
	r.well(r.hook.ID)
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
	if moved, err := r.took(ctx, Behind(seq)); !moved || err != nil {
		return true, err
	}
	return r.aim(ctx) // it may have been changed meanwhile
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
	c.well(w.ID)
	return "", nil
}
