package deliver

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/outbound"
	"github.com/errand-dev/errand/server/internal/secret"
)

// Book is where faces put pushes and webhooks, and find them. It is safe for concurrent use.
type Book struct {
	store   Store
	box     *secret.Box
	guard   outbound.Guard
	courier *Courier
}

// NewBook makes one, of what a courier posts.
func NewBook(c *Courier) *Book { return &Book{c.Store, c.Box, c.Guard, c} }

// maxURL is how many bytes an address may have.
const maxURL = 2048

// Check refuses an address to which nothing may be posted, as far as this can be told
// beforehand.
func (b *Book) Check(ctx context.Context, address string) error {
	_, err := b.target(ctx, address)
	return err
}

// target returns the host and port of an address to which something may be posted.
func (b *Book) target(ctx context.Context, address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || len(address) > maxURL || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fault.Field("url", "must be an http or https URL of at most %d bytes", maxURL)
	}
	if u.User != nil {
		return "", fault.Field("url", "must have no credentials in it")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", fault.Field("url", "has no port between 1 and 65535")
	}
	target := net.JoinHostPort(strings.ToLower(u.Hostname()), port)
	if outbound.Refused(b.guard.Check(ctx, target)) {
		return "", fault.Field("url", refused)
	}
	return target, nil
}

// refused is why nothing is posted to a private address.
const refused = "the server does not connect to private addresses: its operator may allow this one (--allow-private)"

// Put keeps a push whose requests are to have some headers.
func (b *Book) Put(ctx context.Context, p Push, headers map[string]string) (err error) {
	if p.Target, err = b.target(ctx, p.URL); err != nil {
		return err
	}
	plain, err := json.Marshal(headers)
	if err != nil {
		return err
	}
	p.Headers, p.PutAt = b.box.Seal(sealedAs(p.Key), plain), b.store.Now()
	p.Progress = Progress{Due: p.PutAt}
	if err := b.store.PutPush(ctx, p); err != nil {
		return err
	}
	b.courier.Told()
	return nil
}

// sealedAs is the name under which the headers of a push are sealed.
func sealedAs(k Key) string {
	return strings.Join([]string{"push", k.Organization, k.Task, strconv.Itoa(k.Turn), k.ID}, "\x00")
}

// Get reads a push that a client has named.
func (b *Book) Get(ctx context.Context, k Key) (Push, error) {
	p, err := b.store.Push(ctx, k)
	if err == nil && p.Webhook != "" {
		return Push{}, NoPush(k.ID)
	}
	return p, err
}

// List lists the pushes of a turn by their ids.
func (b *Book) List(ctx context.Context, org, task string, turn int) ([]Push, error) {
	return b.store.Pushes(ctx, org, task, turn)
}

// Drop removes a push that a client has named if it is there.
func (b *Book) Drop(ctx context.Context, k Key) error { return b.store.DropPush(ctx, k) }

// newID makes an id that nobody guesses.
func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()) }

// Create makes a webhook that is told of what happens from now on. It returns the secret,
// which is a new one if none is given.
func (b *Book) Create(ctx context.Context, w Webhook, given string) (_ Webhook, text string, err error) {
	if w.Target, err = b.target(ctx, w.URL); err != nil {
		return w, "", err
	}
	if text = given; text == "" {
		key := make([]byte, newSecret)
		_, _ = rand.Read(key) // never fails
		text = secretOf(key)
	}
	if _, err := keyOf(text); err != nil {
		return w, "", err
	}
	w.ID, w.CreatedAt = newID("wh_"), b.store.Now()
	w.Secret = b.box.Seal(sealedFor(w.Organization, w.ID), []byte(text))
	if w.Place, err = b.store.FeedEnd(ctx); err != nil {
		return w, "", err
	}
	if err := b.store.PutWebhook(ctx, w); err != nil {
		return w, "", err
	}
	b.courier.Told()
	return w, text, nil
}

// Webhooks lists those in a scope, the oldest first.
func (b *Book) Webhooks(ctx context.Context, in auth.Scope) ([]Webhook, error) {
	return b.store.Webhooks(ctx, in)
}

// WebhookChange is what changes of a webhook; nil is nothing.
type WebhookChange struct {
	URL     *string
	Types   *[]MessageType
	Agents  *[]string
	Enabled *bool
}

// Change changes a webhook in a scope. One that is enabled again is told of what happens
// from now on.
func (b *Book) Change(ctx context.Context, in auth.Scope, id string, c WebhookChange) (Webhook, error) {
	var target string
	var err error
	if c.URL != nil {
		if target, err = b.target(ctx, *c.URL); err != nil {
			return Webhook{}, err
		}
	}
	end, err := b.store.FeedEnd(ctx)
	if err != nil {
		return Webhook{}, err
	}
	w, err := b.store.ChangeWebhook(ctx, in, id, func(w *Webhook) {
		if c.URL != nil {
			w.URL, w.Target = *c.URL, target
		}
		if c.Types != nil {
			w.Types = *c.Types
		}
		if c.Agents != nil {
			w.Agents = *c.Agents
		}
		if c.Enabled != nil {
			if *c.Enabled && !w.Enabled {
				w.Place, w.Failures = end, 0
			}
			w.Enabled = *c.Enabled
		}
	})
	b.courier.well(id) // what was wrong with it may not be any more
	b.courier.Told()
	return w, err
}

// Delete removes a webhook in a scope.
func (b *Book) Delete(ctx context.Context, in auth.Scope, id string) error {
	return b.store.DropWebhook(ctx, in, id)
}

// Try posts a test message to a webhook in a scope, and returns why it was not taken, ""
// if it was.
func (b *Book) Try(ctx context.Context, in auth.Scope, id string) (failure string, err error) {
	w, err := b.store.Webhook(ctx, in.Organization, id)
	if err != nil {
		return "", err
	}
	if !in.Sees(w.Owner, w.Group) {
		return "", NoWebhook(id)
	}
	return b.courier.Try(ctx, w)
}

// NoPush is the error of a push that is not there.
func NoPush(id string) error { return fault.New(fault.NotFound, "no push %q", id) }

// NoWebhook is the error of a webhook that is not there, or out of a caller's scope.
func NoWebhook(id string) error { return fault.New(fault.NotFound, "no webhook %q", id) }
