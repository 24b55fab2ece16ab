// Package auth says who calls: organizations, their keys, and the roles that
// keys have.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"maps"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// DefaultOrganization is the one that the first start makes.
const DefaultOrganization = "default"

// Role is what a key may do (rule A3).
type Role string

// The roles.
const (
	Admin  Role = "admin"  // everything
	User   Role = "user"   // tasks, files, reading agents
	Worker Role = "worker" // the worker protocols, for its agents
)

// Valid reports whether r is one of the roles.
func (r Role) Valid() bool { return r == Admin || r == User || r == Worker }

// Sees is what a key sees of the tasks and files of its organization (rule A3).
type Sees string

// What keys may see.
const (
	SeesOwn   Sees = "own"   // what it, or the user that it names, has made
	SeesGroup Sees = "group" // what keys of its group have made
	SeesAll   Sees = "all"
)

// Valid reports whether s is one of the closed list.
func (s Sees) Valid() bool { return s == SeesOwn || s == SeesGroup || s == SeesAll }

// Key is a stored key; the key's text itself is never stored.
type Key struct {
	Organization string
	ID           string
	Name         string
	Role         Role
	Agents       []string // that a worker key is for; none is all
	Hash         []byte
	CreatedAt    task.Stamp
	RevokedAt    task.Stamp
	// ExpiresAt is when it ends by itself, 0 for never. CreatedBy is who has made it, as
	// logs name them, "" for the server itself or a time before that was kept.
	ExpiresAt task.Stamp
	CreatedBy string
	// LastUsedAt is when it was used last, to about a minute; 0 for never.
	LastUsedAt task.Stamp
	// Sees is what it sees. Group becomes the group of what it makes, "" for none.
	Sees  Sees
	Group string
	// Trusted keys may name the user for whom they act, who then owns what they make.
	Trusted bool
	// Person is the user as whom somebody acts who signs in with a provider; nobody has the
	// text of such a key. "" for any other key.
	Person string
	// Caps are what the tasks that it begins may spend, nil for no limit (rule B1).
	Caps *task.Caps
}

// Principal is who makes a request.
type Principal struct {
	Organization string
	KeyID        string
	KeyName      string
	Role         Role
	Agents       []string
	Sees         Sees
	Group        string
	Trusted      bool
	// ExpiresAt is when its key ends by itself, 0 for never.
	ExpiresAt task.Stamp
	// User is for whom a trusted key acts, or as whom a person does; "" for the key itself.
	User string
	// Person says that it is somebody who has signed in with a provider.
	Person bool
	// Pass is what the principal has shown in the place of its key, if that reads one
	// task: then it has no role, and may do nothing else.
	Pass *Pass
	// Session is by what the principal has shown its key; nil for the key itself.
	Session *Session
}

func principalOf(k Key) Principal {
	return Principal{
		Organization: k.Organization, KeyID: k.ID, KeyName: k.Name, Role: k.Role, Agents: k.Agents,
		Sees: k.Sees, Group: k.Group, Trusted: k.Trusted, ExpiresAt: k.ExpiresAt, User: k.Person, Person: k.Person != "",
	}
}

// Owner is whose what the principal makes is.
func (p Principal) Owner() string {
	if p.User != "" {
		return "user:" + p.User
	}
	return "key:" + p.KeyID
}

// By names the principal in a task's log.
func (p Principal) By() string {
	if p.Person {
		return "user " + p.User
	}
	return "key " + p.KeyName
}

// MayServe reports whether the principal may work for an agent.
func (p Principal) MayServe(agent string) bool {
	return p.Role == Admin || p.Role == Worker && (len(p.Agents) == 0 || slices.Contains(p.Agents, agent))
}

// SeesSecrets reports whether answers to the principal may carry secrets (A5).
func (p Principal) SeesSecrets() bool { return p.Role == Admin || p.Role == Worker }

// Store keeps organizations, keys, sessions and passes.
type Store interface {
	SessionStore
	PassStore
	// KeyByHash reads a key, revoked or not; NotFound when there is none.
	KeyByHash(ctx context.Context, hash []byte) (Key, error)
	PutKey(ctx context.Context, k Key) error
	// Keys lists an organization's keys behind one, the zero value for all: the
	// oldest first, revoked ones too.
	Keys(ctx context.Context, org string, behind Key, limit int) ([]Key, error)
	// RevokeKey notes that a key is good no more; one that was revoked before
	// is left as it is. An organization's last admin key that does not expire, and is no
	// person's, is a Conflict.
	RevokeKey(ctx context.Context, org, id string) error
	// PutPerson makes the key of a person, or gives the one that has the hash already what k
	// says of them, unless it is revoked, and returns the key.
	PutPerson(ctx context.Context, k Key) (Key, error)
	// CapKey gives a key other caps, nil for none, and returns the key.
	CapKey(ctx context.Context, org, id string, caps *task.Caps) (Key, error)
	// UseKey notes that a key was used at a moment, unless a later one is noted.
	UseKey(ctx context.Context, org, id string, at task.Stamp) error
	// PutOrganization makes an organization unless it is there; one whose id is a
	// reserved word is Invalid (H1).
	PutOrganization(ctx context.Context, id, name string) error
}

const (
	prefix = "errand_"
	// MinLength is the least length of a key that an operator chooses.
	MinLength = 32
)

// Generate makes the text of a new key: 256 random bits and a checksum, so
// that a mistyped key is told from a revoked one.
func Generate() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	body := fmt.Sprintf("%043s", new(big.Int).SetBytes(raw).Text(62))
	return prefix + body + fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(body)))
}

// Hash is what is stored of a key's text.
func Hash(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// NewKey makes a record for a key's text.
func NewKey(org, name string, role Role, text string, now time.Time) Key {
	return Key{
		Organization: org, ID: uuid.NewString(), Name: name, Role: role,
		Hash: Hash(text), CreatedAt: task.StampOf(now), Sees: SeesAll,
	}
}

// cacheFor is how long a key that was found is trusted without another look:
// the longest that a revoked key goes on working on another node.
const cacheFor = 5 * time.Second

// Authenticator turns the text of a key into a principal. It is safe for
// concurrent use.
type Authenticator struct {
	store Store
	mu    sync.Mutex
	known map[string]cached
	// revocations counts them, so that what was read before one is not cached
	// after it.
	revocations int
	gate        gate
}

type cached struct {
	who   Principal
	until time.Time
}

// NewAuthenticator makes an authenticator over a store.
func NewAuthenticator(store Store) *Authenticator {
	return &Authenticator{store: store, known: map[string]cached{}}
}

// Authenticate returns who holds the key, or Unauthenticated.
func (a *Authenticator) Authenticate(ctx context.Context, text string) (Principal, error) {
	if text == "" {
		return Principal{}, fault.New(fault.Unauthenticated, "send your key in the header x-api-key, or as Authorization: Bearer")
	}
	return a.recall(hex.EncodeToString(Hash(text)), func() (Principal, error) {
		k, err := a.store.KeyByHash(ctx, Hash(text))
		if fault.CodeOf(err) == fault.NotFound {
			return Principal{}, invalid()
		}
		if err != nil {
			return Principal{}, fmt.Errorf("authenticate: %w", err)
		}
		if err := k.over(); err != nil {
			return Principal{}, err
		}
		a.use(ctx, k)
		return principalOf(k), nil
	})
}

func invalid() error { return fault.New(fault.Unauthenticated, "this key is not valid here") }

// over says why a key is good no more, nil while it is.
func (k Key) over() error {
	switch {
	case k.RevokedAt != 0:
		return invalid()
	case k.ExpiresAt != 0 && k.ExpiresAt <= task.StampOf(time.Now()):
		return fault.New(fault.Unauthenticated, "this key expired at %s: ask an admin for another one", k.ExpiresAt.Time().UTC().Format(time.RFC3339))
	}
	return nil
}

// useEvery is how often it is noted that a key is used: not every request is a write.
const useEvery = time.Minute

// useWait bounds how long a request waits for that: a store that cannot write holds up
// nobody who only reads.
const useWait = 250 * time.Millisecond

// use notes that a key is used.
func (a *Authenticator) use(ctx context.Context, k Key) {
	now := task.StampOf(time.Now())
	if now.Sub(k.LastUsedAt) < useEvery {
		return
	}
	_ = shortly(ctx, func(ctx context.Context) error { return a.store.UseKey(ctx, k.Organization, k.ID, now) }) // else a later use does it
}

// shortly waits for a write on which nothing depends, at most for useWait. A commit that is
// under way ends when it can, and not with its caller.
func shortly(ctx context.Context, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, useWait)
	defer cancel()
	written := make(chan error, 1)
	go func() { written <- write(ctx) }()
	select {
	case err := <-written:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// recall returns who is known by a name, or finds it out.
func (a *Authenticator) recall(name string, find func() (Principal, error)) (Principal, error) {
	now := time.Now()
	a.mu.Lock()
	hit, ok := a.known[name]
	seen := a.revocations
	a.mu.Unlock()
	if ok && now.Before(hit.until) {
		return hit.who, nil
	}
	who, err := find()
	if err != nil {
		return Principal{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for n, c := range a.known { // few keys: the whole is swept
		if now.After(c.until) {
			delete(a.known, n)
		}
	}
	if a.revocations == seen {
		a.known[name] = cached{who: who, until: until(now, who)}
	}
	return who, nil
}

// until is when what is known of somebody is to be looked up again.
func until(now time.Time, who Principal) time.Time {
	next := now.Add(cacheFor)
	if end := who.ExpiresAt.Time(); who.ExpiresAt != 0 && end.Before(next) {
		return end
	}
	return next
}

// forget takes out of the cache what is good no more.
func (a *Authenticator) forget(revoked func(cached) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revocations++
	maps.DeleteFunc(a.known, func(_ string, c cached) bool { return revoked(c) })
}

// Reserved reports whether a name is the first segment of a path, so that no
// organization may be called so (rule H1).
func Reserved(name string) bool {
	switch name {
	case "v1", "f", "ui", "healthz", "readyz", "metrics", "debug", "a2a", "mcp", "openai", "agui", "aisdk", "proxy":
		return true
	}
	return ClientWord(name)
}

// ClientWords are the first segments of the Python client's paths.
func ClientWords() []string {
	return []string{
		"agent-execution", "agents", "agents-metrics", "activity", "events", "metadata", "mcp_auth", "tools", "knowledge_bases",
		"hitl", "agentic_context", "workspace", "memories", "summarizer", "media",
	}
}

// ClientWord reports whether a name is one of ClientWords.
func ClientWord(name string) bool { return slices.Contains(ClientWords(), name) }
