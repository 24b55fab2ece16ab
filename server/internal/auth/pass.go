package auth

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// LinkLength is how long a link that signs a browser in is good.
const LinkLength = 10 * time.Minute

// Pass is a text that stands for a key in part; of that only the hash is kept. It ends
// with its key.
type Pass struct {
	Organization string
	ID           string
	Hash         []byte
	KeyID        string
	// Task is the one that the pass reads; "" for a pass that signs a browser in, once.
	Task      string
	CreatedAt task.Stamp
	Until     task.Stamp
}

// PassStore keeps passes.
type PassStore interface {
	// PutPass adds a pass. If it reads a task, that has to be there, else it is NotFound;
	// a task that MaxShares read already is a Conflict.
	PutPass(ctx context.Context, p Pass) error
	// TakePass reads a pass that signs a browser in, over or not, with its key, revoked
	// or not, and drops it: of those who show it at the same time one gets it, and
	// everybody else NotFound.
	TakePass(ctx context.Context, hash []byte) (Pass, Key, error)
	// PassByHash reads a pass that reads a task, over or not, with its key, revoked or
	// not; NotFound when there is none.
	PassByHash(ctx context.Context, hash []byte) (Pass, Key, error)
	// Passes lists those that read a task and are not over at a moment, the oldest first.
	Passes(ctx context.Context, org, of string, at task.Stamp) ([]Pass, error)
	// DropPass drops one that reads a task; NotFound when there is none.
	DropPass(ctx context.Context, org, of, id string) error
	// DropPasses drops those that were over at a moment.
	DropPasses(ctx context.Context, at task.Stamp) error
}

// newPass makes a pass for whoever asks for it, and its text, which is told once.
func newPass(who Principal, of string, length time.Duration) (Pass, string) {
	text, now := Random(), task.StampOf(time.Now())
	return Pass{
		Organization: who.Organization, ID: uuid.NewString(), Hash: Hash(text), KeyID: who.KeyID, Task: of,
		CreatedAt: now, Until: now.Add(length),
	}, text
}

// Link makes a link that signs a browser in as the principal's key: once, within
// LinkLength. It is answered as what stands behind the server's URL, and leads to a page
// of the web UI, "" for its first. A principal who acts for a user is Forbidden: the
// browser would be signed in as the key.
func (a *Authenticator) Link(ctx context.Context, who Principal, page string) (path string, until task.Stamp, err error) {
	if who.User != "" {
		return "", 0, fault.New(fault.Forbidden, "a link signs in as the key itself, so nobody can make one in the name of a user")
	}
	p, code := newPass(who, "", LinkLength)
	if err := a.store.PutPass(ctx, p); err != nil {
		return "", 0, fmt.Errorf("make a link: %w", err)
	}
	path = SignInPage
	if page != "" {
		path += "?" + url.Values{"next": {page}}.Encode()
	}
	return path + codeMark + code + keyMark + who.KeyID, p.Until, nil
}

// SignInPage is the page of the web UI where people sign in.
const SignInPage = "/ui/sign-in"

// What stands behind that page in a link. What is behind the first mark stays in the browser,
// which sends no fragment: the page shows the code to the server and takes it out of the
// history. The key's id lets a page ask before somebody else is signed in there.
const (
	codeMark = "#code="
	keyMark  = "&key="
)

// FollowLink is SignIn with a link's code in the place of a key.
func (a *Authenticator) FollowLink(ctx context.Context, code, address string) (text string, err error) {
	if err := a.gate.pass(address, time.Now()); err != nil {
		return "", err
	}
	p, k, err := a.store.TakePass(ctx, Hash(code))
	if fault.CodeOf(err) == fault.NotFound || err == nil && (k.over() != nil || p.Until <= task.StampOf(time.Now())) {
		return "", fault.New(fault.Unauthenticated, "this link is good no more: it signs in once, within 10 minutes")
	}
	if err != nil {
		return "", fmt.Errorf("follow a link: %w", err)
	}
	return a.begin(ctx, principalOf(k))
}

// MaxShares is how many passes may read one task at a time.
const MaxShares = 100

// Share makes a pass that reads a task, and returns its text, which is told once and not
// stored. A task that is not there is NotFound, and one that MaxShares read a Conflict.
func (a *Authenticator) Share(ctx context.Context, who Principal, id string, length time.Duration) (Pass, string, error) {
	p, text := newPass(who, id, length)
	if err := a.store.PutPass(ctx, p); err != nil {
		return Pass{}, "", fmt.Errorf("share a task: %w", err)
	}
	return p, text, nil
}

// Shares lists the passes that read a task and are not over, the oldest first.
func (a *Authenticator) Shares(ctx context.Context, org, id string) ([]Pass, error) {
	return a.store.Passes(ctx, org, id, task.StampOf(time.Now()))
}

// Unshare revokes a pass that reads a task; one that is not there is NotFound.
func (a *Authenticator) Unshare(ctx context.Context, org, of, id string) error {
	return a.store.DropPass(ctx, org, of, id)
}

// Admit returns who shows a pass that reads a task, or Unauthenticated. It is looked up
// each time: its task may be deleted, and another one have its id.
func (a *Authenticator) Admit(ctx context.Context, text string) (Principal, error) {
	p, k, err := a.store.PassByHash(ctx, Hash(text))
	if fault.CodeOf(err) == fault.NotFound || err == nil && (k.over() != nil || p.Until <= task.StampOf(time.Now())) {
		return Principal{}, fault.New(fault.Unauthenticated, "this token is good no more")
	}
	if err != nil {
		return Principal{}, fmt.Errorf("admit a pass: %w", err)
	}
	return Principal{Organization: p.Organization, KeyID: k.ID, KeyName: k.Name, Sees: SeesAll, Pass: &p}, nil
}
