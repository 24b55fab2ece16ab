package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// SessionLength is how long a session lasts behind its last use.
	SessionLength = 12 * time.Hour
	// slide is by how much a use has to prolong a session to be noted: not every
	// request is a write.
	slide = 5 * time.Minute
	// signIns is how many attempts to sign in an address has at once, and a minute.
	signIns = 10
	// maxAddresses bounds how many addresses are remembered.
	maxAddresses = 10_000
)

// Session is a browser that has shown a key, and shows a text of its own instead
// from then on; of that only the hash is kept. It ends with its key.
type Session struct {
	Organization string
	Hash         []byte
	KeyID        string
	Until        task.Stamp
}

// SessionStore keeps sessions.
type SessionStore interface {
	PutSession(ctx context.Context, s Session) error
	// SessionByHash reads a session, over or not, with its key, revoked or not;
	// NotFound when there is none.
	SessionByHash(ctx context.Context, hash []byte) (Session, Key, error)
	// ExtendSession moves a session's end; one that is not there stays away.
	ExtendSession(ctx context.Context, s Session) error
	DropSession(ctx context.Context, s Session) error
	// DropSessions drops those that were over at a moment.
	DropSessions(ctx context.Context, at task.Stamp) error
}

// SignIn begins a session for whoever shows a key from an address, and returns the
// text that the browser is to show. Beyond some attempts a minute it is RateLimited.
func (a *Authenticator) SignIn(ctx context.Context, key, address string) (text string, err error) {
	if err := a.gate.pass(address, time.Now()); err != nil {
		return "", err
	}
	who, err := a.Authenticate(ctx, key)
	if err != nil {
		return "", err
	}
	return a.begin(ctx, who)
}

// Random is a text of 256 random bits, for a URL, a header or a cookie.
func Random() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	return base64.RawURLEncoding.EncodeToString(raw)
}

// begin begins a session, and returns the text that the browser is to show.
func (a *Authenticator) begin(ctx context.Context, who Principal) (text string, err error) {
	text = Random()
	s := Session{Organization: who.Organization, Hash: Hash(text), KeyID: who.KeyID, Until: task.StampOf(time.Now().Add(SessionLength))}
	if err := a.store.PutSession(ctx, s); err != nil {
		return "", fmt.Errorf("sign in: %w", err)
	}
	return text, nil
}

// Resume returns who holds a session, as its key makes them, or Unauthenticated. It
// prolongs the session, unless it is a person's: of them the provider has to say again
// who they are.
func (a *Authenticator) Resume(ctx context.Context, text string) (Principal, error) {
	return a.recall(sessionName(Hash(text)), func() (Principal, error) { return a.resume(ctx, Hash(text)) })
}

func (a *Authenticator) resume(ctx context.Context, hash []byte) (Principal, error) {
	s, k, err := a.store.SessionByHash(ctx, hash)
	now := task.StampOf(time.Now())
	if fault.CodeOf(err) == fault.NotFound || err == nil && (k.over() != nil || s.Until <= now) {
		return Principal{}, fault.New(fault.Unauthenticated, "signed out: sign in again")
	}
	if err != nil {
		return Principal{}, fmt.Errorf("resume session: %w", err)
	}
	if until := now.Add(SessionLength); k.Person == "" && until.Sub(s.Until) >= slide {
		extended := s
		extended.Until = until
		if shortly(ctx, func(ctx context.Context) error { return a.store.ExtendSession(ctx, extended) }) == nil { // else a later use does it
			s = extended
		}
	}
	a.use(ctx, k)
	who := principalOf(k)
	who.Session = &s
	return who, nil
}

// SignOut ends a session, here at once and on other nodes after cacheFor.
func (a *Authenticator) SignOut(ctx context.Context, s Session) error {
	if err := a.store.DropSession(ctx, s); err != nil {
		return fmt.Errorf("sign out: %w", err)
	}
	a.forget(func(c cached) bool { return c.who.Session != nil && string(c.who.Session.Hash) == string(s.Hash) })
	return nil
}

// sessionName is what the cache calls a session: never what it calls a key.
func sessionName(hash []byte) string { return "session " + hex.EncodeToString(hash) }

// gate counts attempts to sign in by address. It is safe for concurrent use.
type gate struct {
	mu    sync.Mutex
	rates map[netip.Prefix]*rate.Limiter
}

// pass returns RateLimited to an address that tries too often.
func (g *gate) pass(address string, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	from := neighbourhood(address)
	l := g.rates[from]
	if l == nil {
		if g.rates == nil || len(g.rates) >= maxAddresses { // what is forgotten is counted anew
			g.rates = map[netip.Prefix]*rate.Limiter{}
		}
		l = rate.NewLimiter(rate.Every(time.Minute/signIns), signIns)
		g.rates[from] = l
	}
	r := l.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	r.CancelAt(now)
	return &fault.Error{
		Code: fault.RateLimited, RetryAfter: wait,
		Message: fmt.Sprintf("too many attempts to sign in from this address: %d a minute are possible", signIns),
	}
}

// neighbourhood is what counts as one address: of IPv6 the network, in which anybody
// has as many as they like.
func neighbourhood(address string) netip.Prefix {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Prefix{} // no network: all of those count as one
	}
	ip, bits := at.Addr().Unmap().WithZone(""), 32
	if ip.Is6() {
		bits = 64
	}
	from, _ := ip.Prefix(bits) // it has so many
	return from
}
