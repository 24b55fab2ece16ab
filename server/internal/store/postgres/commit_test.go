package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// create saves a new task.
func create(tx lifecycle.Tx, id string) error {
	c, err := task.Apply(task.Task{}, task.Begin{
		Spec: task.Spec{OrganizationID: "o", ID: id, AgentID: "a", MaxAttempts: 3},
	}, tx.Now())
	if err != nil {
		return err
	}
	return tx.Save(c)
}

// cutter is a proxy to the database, which may cut a connection when COMMIT goes by.
type cutter struct {
	url string
	// cut, if not nil, is asked about each COMMIT: whether the connection ends there,
	// and whether the database still gets it.
	cut atomic.Pointer[func() (ends, arrives bool)]
}

// between lays a cutter to the database of a URL.
func between(t *testing.T, database string) *cutter {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, target := &cutter{}, u.Host
	u.Host = listener.Addr().String()
	l.url = u.String()
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	all.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := (&net.Dialer{}).DialContext(ctx, "tcp", target)
			if err != nil {
				_ = near.Close()
				continue
			}
			context.AfterFunc(ctx, func() {
				_ = near.Close()
				_ = far.Close()
			})
			c := &carried{near: near, far: far, done: make(chan struct{})}
			all.Go(c.back)
			all.Go(func() {
				defer far.Close() //nolint:errcheck // it may be closed already
				l.forward(c)
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		all.Wait()
	})
	return l
}

// carried is a connection through the cutter.
type carried struct {
	near, far net.Conn
	mute      atomic.Bool   // what the database says is not passed on
	done      chan struct{} // closed when a mute database has nothing more to say
}

// back carries what the database says to the store.
func (c *carried) back() {
	defer c.near.Close() //nolint:errcheck // it may be cut already
	buffer := make([]byte, 1<<16)
	for {
		n, err := c.far.Read(buffer)
		if err != nil {
			return
		}
		switch {
		case !c.mute.Load():
			if _, err := c.near.Write(buffer[:n]); err != nil {
				return
			}
		case strings.HasSuffix(string(buffer[:n]), "Z\x00\x00\x00\x05I"): // ready, and in no transaction
			close(c.done)
			return
		}
	}
}

// forward carries what the store says to the database. When it is cut, the store
// hears nothing of what the database made of the last words, if it got them.
func (l *cutter) forward(c *carried) {
	buffer := make([]byte, 1<<20)
	for {
		n, err := c.near.Read(buffer)
		if err != nil {
			return
		}
		if cut := l.cut.Load(); cut != nil && strings.Contains(string(buffer[:n]), "COMMIT") {
			ends, arrives := (*cut)()
			if ends && !arrives {
				_ = c.near.Close()
				return
			}
			c.mute.Store(ends)
		}
		if _, err := c.far.Write(buffer[:n]); err != nil {
			return
		}
		if c.mute.Load() {
			<-c.done
			_ = c.near.Close()
			return
		}
	}
}

// Rule D3: a commit whose answer was lost is looked up, not repeated.
func TestD3LostAnswerOfACommit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ arrives, anew bool }{
		"it was committed":                         {true, false},
		"it never arrived":                         {false, false},
		"it was committed by a server missed once": {true, true},
		"it never arrived of a server missed once": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := between(t, pgtest.Schema(t)+"&default_query_exec_mode=simple_protocol&sslmode=disable")
			s := open(t, Options{URL: l.url})
			if c.anew { // another server has started while this one was silent
				if _, err := s.pool.Exec(t.Context(), "DELETE FROM writers"); err != nil {
					t.Fatal(err)
				}
			}
			var cuts atomic.Int64
			cut := func() (bool, bool) { return cuts.Add(1) == 1, c.arrives }
			l.cut.Store(&cut)
			runs := 0
			err := s.Write(t.Context(), nil, func(tx lifecycle.Tx) error {
				runs++
				return create(tx, "t")
			})
			if err != nil {
				t.Fatalf("answered %v", err)
			}
			if want := map[bool]int{true: 1, false: 2}[c.arrives]; runs != want {
				t.Errorf("the function ran %d times, want %d", runs, want)
			}
			events, err := s.Events(t.Context(), "o", "t", 0, 10)
			if err != nil || len(events) != 1 {
				t.Errorf("the log has %d events, %v", len(events), err)
			}
		})
	}
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	database := pgtest.Schema(t)
	open(t, Options{URL: database})
	newer := func() string {
		conn, err := pgx.Connect(t.Context(), database)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context()) //nolint:errcheck // it was only used once
		if _, err := conn.Exec(t.Context(), "UPDATE schema_version SET version = 999"); err != nil {
			t.Fatal(err)
		}
		return database
	}
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() //nolint:errcheck // it was only there
	for name, c := range map[string]struct{ url, says string }{
		"no URL":             {"postgres://us er:secret-word@host:x/", "cannot be read"},
		"nobody there":       {"postgres://someone:secret-word@127.0.0.1:1/nothing", "is it running"},
		"nobody answers":     {"postgres://someone:secret-word@" + silent.Addr().String() + "/nothing", "is it running"},
		"wrong password":     {withPassword(t, database, "secret-word"), "password authentication failed"},
		"another's rows":     {database + "&default_query_exec_mode=describe_exec", "cache_describe"},
		"of a newer release": {newer(), "newer release"},
	} {
		s, err := Open(t.Context(), Options{URL: c.url})
		if err == nil {
			t.Errorf("%s: opened %v", name, s)
			continue
		}
		if text := err.Error(); !strings.Contains(text, c.says) || strings.Contains(text, "secret-word") || strings.Contains(text, "\n") {
			t.Errorf("%s: says %q, want %q", name, text, c.says)
		}
	}
}

func withPassword(t *testing.T, database, password string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String()
}

// Nodes that start together make the tables once.
func TestManyOpenAtOnce(t *testing.T) {
	t.Parallel()
	database := pgtest.Schema(t)
	var all sync.WaitGroup
	failures := make([]error, 8)
	for i := range failures {
		all.Go(func() {
			s, err := Open(t.Context(), Options{URL: database, Node: fmt.Sprint("node-", i)})
			if err == nil {
				err = errors.Join(s.Write(t.Context(), nil, func(tx lifecycle.Tx) error { return create(tx, fmt.Sprint("t-", i)) }), s.Close())
			}
			failures[i] = err
		})
	}
	all.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
	list, err := open(t, Options{URL: database}).Tasks(t.Context(), auth.All("o"), lifecycle.Filter{}, lifecycle.Page{Size: 50, Count: true})
	if err != nil || list.Total != len(failures) {
		t.Errorf("%d tasks, %v", list.Total, err)
	}
}

// Hints reach other stores on the database.
func TestHints(t *testing.T) {
	t.Parallel()
	database := pgtest.Schema(t)
	one, other := open(t, Options{URL: database, Node: "one"}), open(t, Options{URL: database, Node: "other"})
	patience := time.After(time.Minute)
	for range 3 {
		if err := one.Write(t.Context(), nil, func(tx lifecycle.Tx) error { return create(tx, fmt.Sprint("t-", tx.Now())) }); err != nil {
			t.Fatal(err)
		}
		select {
		case <-other.Hints():
		case <-patience:
			t.Fatal("no hint")
		}
	}
}
