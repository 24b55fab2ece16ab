package postgres

import (
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/store/storetest"
	"github.com/errand-dev/errand/server/internal/store/table"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// long says that a test needs a PostgreSQL server, which takes a second to start.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a server: seconds")
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	long(t)
	storetest.Run(t, storetest.Kind{Shared: true, Parallel: true, New: func(t *testing.T) storetest.Place {
		t.Helper()
		to := pgtest.Schema(t)
		return func(t *testing.T, o storetest.Options) storetest.Store {
			t.Helper()
			s, err := Open(t.Context(), Options{URL: to, Now: o.Now, OnCommit: o.OnCommit, Node: o.Node})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}})
}

// open opens a store that the end of the test closes.
func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Log(err) // its database may not answer
		}
	})
	return s
}

// begin creates a task.
func begin(ctx context.Context, s *Store, id string) error {
	return s.Write(ctx, []lifecycle.Key{{Of: lifecycle.TaskKey, Organization: "home", ID: id}}, func(tx lifecycle.Tx) error {
		c, err := task.Apply(task.Task{}, task.Begin{Spec: task.Spec{ID: id, OrganizationID: "home", AgentID: "agent", MaxAttempts: 1}}, tx.Now())
		if err != nil {
			return err
		}
		return tx.Save(c)
	})
}

// A task that somebody only keeps from being deleted, as who tells webhooks of it does, is
// handed out all the same.
func TestAKeptTaskIsHandedOut(t *testing.T) {
	t.Parallel()
	long(t)
	to := pgtest.Schema(t)
	s := open(t, Options{URL: to})
	if err := begin(t.Context(), s, "one"); err != nil {
		t.Fatal(err)
	}
	keeps, err := pgx.Connect(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp(t.Context(), keeps)
	if _, err := keeps.Exec(t.Context(), "BEGIN; SELECT FROM tasks WHERE id = 'one' FOR KEY SHARE"); err != nil {
		t.Fatal(err)
	}
	want := lifecycle.Want{Organization: "home", Agents: []string{"agent"}, Worker: "w", Limit: 1}
	if ids, err := table.Next(t.Context(), s.DB, want, s.Now()); err != nil || len(ids) != 1 {
		t.Errorf("handed out: %v, %v", ids, err)
	}
}

// What is committed can be read at once between two marks, each entry once, though
// a transaction that began before is still under way; and that one's when it is over.
func TestNewsDoNotWaitForOthers(t *testing.T) {
	t.Parallel()
	long(t)
	to := pgtest.Schema(t)
	s, other := open(t, Options{URL: to, Node: "one"}), open(t, Options{URL: to, Node: "other"})
	slow, err := pgx.Connect(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close(t.Context()) //nolint:errcheck // what it did is looked at
	do := func(statement string) {
		t.Helper()
		if _, err := slow.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	mark, _, err := s.Mark(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	news := func() (ids []string) {
		t.Helper()
		now, some, err := s.Mark(t.Context(), mark)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if some != (len(ids) > 0) {
				t.Errorf("there is news: %t, and it is %q", some, ids)
			}
		}()
		for after := (feed.Position{}); ; {
			found, err := s.News(t.Context(), mark, now, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range found {
				ids, after = append(ids, e.Task), e.Position
			}
			if len(found) < 2 {
				mark = now
				return ids
			}
		}
	}
	expect := func(when string, want ...string) {
		t.Helper()
		got := news()
		if len(got) != len(want) {
			t.Fatalf("%s: %q, not %q", when, got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: %q, not %q", when, got, want)
			}
		}
	}
	do("BEGIN")
	do(`INSERT INTO feed (pos, n, org, task, agent, kind, first_seq, last_seq, node, at)
		VALUES (pg_current_xact_id()::text::bigint, 0, 'home', 'slow', 'agent', 1, 1, 1, 'other', 1)`)
	for _, id := range []string{"a", "b", "c"} {
		if err := begin(t.Context(), other, id); err != nil {
			t.Fatal(err)
		}
	}
	expect("beside a slow transaction", "a", "b", "c")
	if err := begin(t.Context(), other, "d"); err != nil {
		t.Fatal(err)
	}
	expect("later", "d")
	do("COMMIT")
	expect("when it is over", "slow")
	expect("then")
	if err := begin(t.Context(), s, "its own"); err != nil {
		t.Fatal(err)
	}
	expect("after a commit of its own")
}

// line carries connections to a database, until it is held.
type line struct {
	listener net.Listener
	mu       sync.Mutex
	flows    *sync.Cond
	stopped  bool
	conns    []net.Conn
	parts    sync.WaitGroup
}

// newLine returns a line and the URL of the database at its other end.
func newLine(t *testing.T, database string) (*line, string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	to := u.Host
	l := &line{}
	l.flows = sync.NewCond(&l.mu)
	if l.listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	u.Host = l.listener.Addr().String()
	l.parts.Go(func() {
		for {
			near, err := l.listener.Accept()
			if err != nil {
				return
			}
			far, err := (&net.Dialer{}).Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			l.mu.Lock()
			l.conns = append(l.conns, near, far)
			l.mu.Unlock()
			l.parts.Go(func() { l.carry(near, far) })
			l.parts.Go(func() { l.carry(far, near) })
		}
	})
	t.Cleanup(func() {
		l.stop(false)
		_ = l.listener.Close()
		l.mu.Lock()
		for _, c := range l.conns {
			_ = c.Close()
		}
		l.mu.Unlock()
		l.parts.Wait()
	})
	return l, u.String()
}

func (l *line) carry(from, to net.Conn) {
	defer to.Close()   //nolint:errcheck // it is over
	defer from.Close() //nolint:errcheck // it is over
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		l.mu.Lock()
		for l.stopped {
			l.flows.Wait()
		}
		l.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// stop lets nothing through, or all again.
func (l *line) stop(stopped bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = stopped
	l.flows.Broadcast()
}

// A database that does not answer holds up neither readers nor the end for long, and
// is told apart from what is wrong with a request.
func TestDatabaseThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	long(t)
	l, to := newLine(t, pgtest.Schema(t))
	s := open(t, Options{URL: to})
	if err := begin(t.Context(), s, "before"); err != nil {
		t.Fatal(err)
	}
	l.stop(true)
	writing := make(chan error, 1)
	go func() { writing <- begin(context.WithoutCancel(t.Context()), s, "meanwhile") }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // the reader's own patience
	defer cancel()
	_, err := s.Task(ctx, auth.All("home"), "before")
	if fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("a reader is told %v", err)
	}
	begun := time.Now()
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	for what, c := range map[string]chan error{"the end": closed, "the write": writing} {
		select {
		case err := <-c:
			if what == "the write" && fault.CodeOf(err) != fault.Unavailable {
				t.Errorf("a writer is told %v", err)
			}
		case <-time.After(3 * closeTime):
			t.Fatalf("%s waits for a database that does not answer", what)
		}
	}
	t.Logf("closed after %v", time.Since(begun).Round(time.Millisecond))
}

// A database that is ended and started again is found again, and the reasons why
// nothing could be stored are the database's.
func TestDatabaseComesBack(t *testing.T) {
	t.Parallel()
	long(t)
	server := pgtest.Start(t, pgtest.Options{})
	s := open(t, Options{URL: server.URL("postgres")})
	for _, end := range []func() error{server.Kill, func() error { return server.Stop(pgtest.Fast) }} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := begin(t.Context(), s, "down"); fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("a writer is told %v", err)
		}
		if _, err := s.Task(t.Context(), auth.All("home"), "t"); fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("a reader is told %v", err)
		}
		if err := s.Writable(t.Context()); fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("it is writable: %v", err)
		}
		if err := server.Restart(); err != nil {
			t.Fatal(err)
		}
		if err := s.Writable(t.Context()); err != nil {
			t.Errorf("it is not writable: %v", err)
		}
		if _, err := s.Task(t.Context(), auth.All("home"), "t"); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("a reader is told %v", err)
		}
	}
}

// What cannot be read yet, as some transaction is still under way, is kept for whoever
// has read all that can be.
func TestDropFeedKeepsWhatCannotBeReadYet(t *testing.T) {
	t.Parallel()
	long(t)
	url := pgtest.Schema(t)
	s := open(t, Options{URL: url, Node: "n"})
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // it was only read
	if _, err := conn.Exec(t.Context(), "BEGIN; SELECT pg_current_xact_id()"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b"} {
		if err := s.Write(t.Context(), nil, func(tx lifecycle.Tx) error { return create(tx, id) }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), "UPDATE search SET pos = 1::bigint << 60"); err != nil { // it has read all of it
		t.Fatal(err)
	}
	if err := s.DropFeed(t.Context(), s.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	var kept int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM feed").Scan(&kept); err != nil || kept != 2 {
		t.Errorf("%d entries are kept, %v", kept, err)
	}
}

// A dump that is restored into a younger cluster has a feed whose numbers are not reached
// there for long: its tasks can be written to, and their news are read.
func TestADumpInAYoungerCluster(t *testing.T) {
	t.Parallel()
	long(t)
	url := pgtest.Schema(t)
	s := open(t, Options{URL: url, Node: "n"})
	if err := begin(t.Context(), s, "a"); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // it was only used to change rows
	if _, err := conn.Exec(t.Context(), "UPDATE feed SET pos = pos + (1::bigint << 40); UPDATE search SET pos = 1::bigint << 40, walked = 1"); err != nil {
		t.Fatal(err)
	}
	again := open(t, Options{URL: url, Node: "m"})
	mark, err := again.FeedEnd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Write(t.Context(), []lifecycle.Key{{Of: lifecycle.TaskKey, Organization: "home", ID: "a"}}, func(tx lifecycle.Tx) error {
		found, err := tx.Task("home", "a")
		if err != nil {
			return err
		}
		c, err := task.Apply(found, task.RequestStop{By: "x"}, tx.Now())
		if err != nil {
			return err
		}
		return tx.Save(c)
	}); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for tries := 0; ; tries++ { // other tests' transactions may be under way, and are waited for
		news, err := again.Feed(t.Context(), mark, 10)
		if err != nil || tries > 1000 {
			t.Fatalf("the news are %v, %v", news, err)
		}
		if len(news) > 0 {
			break
		}
		<-tick.C
	}
	if place, err := again.SearchPlace(t.Context()); err != nil || place.Walked || place.Feed != (feed.Position{}) {
		t.Errorf("the search is at %+v, %v", place, err)
	}
}
