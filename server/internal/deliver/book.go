package deliver

import (
	"context"
	"encoding/json"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/outbound"
	"github.com/errand-dev/errand/server/internal/secret"
)

// Book is where faces put pushes, and find them. It is safe for concurrent use.
type Book struct {
	store Store
	box   *secret.Box
	guard outbound.Guard
	put   func()
}

// NewBook makes one. put is told of each push that was put.
func NewBook(s Store, box *secret.Box, guard outbound.Guard, put func()) *Book {
	return &Book{s, box, guard, put}
}

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
	b.put()
	return nil
}

// sealedAs is the name under which the headers of a push are sealed.
func sealedAs(k Key) string {
	return strings.Join([]string{"push", k.Organization, k.Task, strconv.Itoa(k.Turn), k.ID}, "\x00")
}

// Get reads a push.
func (b *Book) Get(ctx context.Context, k Key) (Push, error) { return b.store.Push(ctx, k) }

// List lists the pushes of a turn by their ids.
func (b *Book) List(ctx context.Context, org, task string, turn int) ([]Push, error) {
	return b.store.Pushes(ctx, org, task, turn)
}

// Drop removes a push if it is there.
func (b *Book) Drop(ctx context.Context, k Key) error { return b.store.DropPush(ctx, k) }
