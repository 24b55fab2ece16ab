package auth_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// shelf is a store of one key and its sessions, which can hold a reader up.
type shelf struct {
	mu       sync.Mutex
	sessions map[string]auth.Session
	passes   map[string]auth.Pass
	uses     int

	key     auth.Key
	reading chan struct{} // told when the key was read
	goOn    chan struct{} // lets that reader go on
	stuck   chan struct{} // commits end when it is closed, nil for at once
}

func (s *shelf) KeyByHash(context.Context, []byte) (auth.Key, error) {
	read := s.key
	if s.reading != nil {
		s.reading <- struct{}{}
		<-s.goOn
	}
	return read, nil
}

func (s *shelf) RevokeKey(context.Context, string, string) error {
	s.key.RevokedAt = 1
	return nil
}

func (*shelf) CapKey(context.Context, string, string, *task.Caps) (auth.Key, error) {
	return auth.Key{}, nil
}
func (*shelf) PutPerson(_ context.Context, k auth.Key) (auth.Key, error)       { return k, nil }
func (*shelf) PutKey(context.Context, auth.Key) error                          { return nil }
func (*shelf) Keys(context.Context, string, auth.Key, int) ([]auth.Key, error) { return nil, nil }
func (*shelf) PutOrganization(context.Context, string, string) error           { return nil }

// A store whose commits hang, as they do while PostgreSQL waits for a standby that has gone, keeps
// nobody from reading: neither with a key nor in a session, whose uses are noted.
func TestReadsDoNotWaitForNotesOfUses(t *testing.T) {
	t.Parallel()
	for about, read := range map[string]func(*auth.Authenticator, context.Context, string) (auth.Principal, error){
		"key": (*auth.Authenticator).Authenticate, "session": (*auth.Authenticator).Resume,
	} {
		synctest.Test(t, func(t *testing.T) {
			store := &shelf{key: auth.Key{Organization: "o", ID: "k", Role: auth.User}, stuck: make(chan struct{})}
			begun := time.Now()
			if err := store.PutSession(t.Context(), auth.Session{Organization: "o", Hash: auth.Hash("text"), KeyID: "k", Until: task.StampOf(begun.Add(time.Hour))}); err != nil {
				t.Fatal(err)
			}
			who, err := read(auth.NewAuthenticator(store), t.Context(), "text")
			if waited := time.Since(begun); err != nil || who.KeyID != "k" || waited > time.Second {
				t.Errorf("%s: %q after %v: %v", about, who.KeyID, waited, err)
			}
			close(store.stuck)
		})
	}
}

// A3: a key that is revoked while a request of it is being looked up must not
// be remembered as good.
func TestA3RevokedWhileItIsLookedUp(t *testing.T) {
	t.Parallel()
	store := &shelf{
		key:     auth.Key{Organization: "o", ID: "k", Role: auth.User},
		reading: make(chan struct{}), goOn: make(chan struct{}),
	}
	a := auth.NewAuthenticator(store)
	first := make(chan error, 1)
	go func() {
		_, err := a.Authenticate(t.Context(), "text")
		first <- err
	}()
	<-store.reading
	if err := a.Revoke(t.Context(), "o", "k"); err != nil {
		t.Fatal(err)
	}
	close(store.goOn)
	if err := <-first; err != nil {
		t.Fatalf("the request that came before: %v", err)
	}
	store.reading = nil
	if _, err := a.Authenticate(t.Context(), "text"); fault.CodeOf(err) != fault.Unauthenticated {
		t.Fatalf("the next one: %v", err)
	}
}

func (s *shelf) PutSession(_ context.Context, x auth.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions == nil {
		s.sessions = map[string]auth.Session{}
	}
	s.sessions[string(x.Hash)] = x
	return nil
}

func (s *shelf) ExtendSession(ctx context.Context, x auth.Session) error {
	s.wait()
	return s.PutSession(ctx, x)
}

// wait waits as long as commits hang.
func (s *shelf) wait() {
	if s.stuck != nil {
		<-s.stuck
	}
}

func (s *shelf) SessionByHash(_ context.Context, hash []byte) (auth.Session, auth.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.sessions[string(hash)]
	if !ok {
		return x, auth.Key{}, fault.New(fault.NotFound, "no such session")
	}
	return x, s.key, nil
}

func (s *shelf) DropSession(_ context.Context, x auth.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, string(x.Hash))
	return nil
}

func (*shelf) DropSessions(context.Context, task.Stamp) error { return nil }

func (s *shelf) PutPass(_ context.Context, p auth.Pass) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.passes == nil {
		s.passes = map[string]auth.Pass{}
	}
	s.passes[string(p.Hash)] = p
	return nil
}

func (s *shelf) TakePass(_ context.Context, hash []byte) (auth.Pass, auth.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.passes[string(hash)]
	if !ok {
		return p, auth.Key{}, fault.New(fault.NotFound, "no such pass")
	}
	delete(s.passes, string(hash))
	return p, s.key, nil
}

func (*shelf) DropPasses(context.Context, task.Stamp) error { return nil }

func (s *shelf) PassByHash(_ context.Context, hash []byte) (auth.Pass, auth.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.passes[string(hash)]
	if !ok {
		return p, auth.Key{}, fault.New(fault.NotFound, "no such pass")
	}
	return p, s.key, nil
}

func (*shelf) Passes(context.Context, string, string, task.Stamp) ([]auth.Pass, error) {
	return nil, nil
}
func (*shelf) DropPass(context.Context, string, string, string) error { return nil }

func (s *shelf) UseKey(_ context.Context, _, _ string, at task.Stamp) error {
	s.wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key.LastUsedAt = at
	s.uses++
	return nil
}
