package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite" // it registers the driver "sqlite"
)

// rawStore is the measure of all things here: a queue of tasks in one SQLite
// file and nothing in front of it. It promises what Errand promises of its disk
// (every commit is there before its caller goes on) and shares commits in the
// same way, but it knows one table of tasks, one of events, and no rules.
type rawStore struct {
	db      *sql.DB
	conn    *sql.Conn
	stmts   [len(rawStatements)]*sql.Stmt
	queue   chan *rawWrite
	stopped chan struct{}
	dir     string
}

const rawSchema = `
CREATE TABLE tasks (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, agent TEXT NOT NULL, org TEXT NOT NULL, usr TEXT NOT NULL,
	parent TEXT NOT NULL, status INTEGER NOT NULL, ver INTEGER NOT NULL, prio INTEGER NOT NULL, run_at INTEGER NOT NULL,
	worker TEXT NOT NULL, lease INTEGER NOT NULL, attempt INTEGER NOT NULL, evseq INTEGER NOT NULL, created INTEGER NOT NULL,
	body TEXT NOT NULL, result TEXT);
CREATE INDEX tasks_queue  ON tasks (agent, prio, run_at, n) WHERE status = 0;
CREATE INDEX tasks_lease  ON tasks (lease) WHERE status = 1;
CREATE INDEX tasks_agent  ON tasks (agent, n);
CREATE INDEX tasks_usr    ON tasks (usr, n);
CREATE INDEX tasks_status ON tasks (agent, status, n);
CREATE INDEX tasks_parent ON tasks (parent, n);
CREATE INDEX tasks_org    ON tasks (org, n);
CREATE TABLE events (task TEXT NOT NULL, seq INTEGER NOT NULL, ts INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (task, seq)) WITHOUT ROWID;
`

// The statements by number.
const (
	rawInsert = iota
	rawClaim
	rawFinish
	rawCount
	rawAppend
)

var rawStatements = [...]string{ //nolint:gochecknoglobals // a constant in all but name
	rawInsert: `INSERT INTO tasks (id, agent, org, usr, parent, status, ver, prio, run_at, worker, lease, attempt, evseq, created, body)
		VALUES (?, 'bench', 'o', 'u', '', 0, 1, 0, 0, '', 0, 0, 0, 0, ?)`,
	rawClaim: `UPDATE tasks SET status = 1, worker = 'w', lease = 1, attempt = attempt + 1, ver = ver + 1
		WHERE n = (SELECT n FROM tasks WHERE agent = 'bench' AND status = 0 ORDER BY prio, run_at, n LIMIT 1) RETURNING id`,
	rawFinish: `UPDATE tasks SET status = 2, result = ?, ver = ver + 1 WHERE id = ?`,
	rawCount:  `UPDATE tasks SET evseq = evseq + ? WHERE id = ? RETURNING evseq`,
	rawAppend: `INSERT INTO events (task, seq, ts, body) VALUES (?, ?, 0, ?)`,
}

// rawWrite is one caller's part of a commit.
type rawWrite struct {
	do   func(context.Context, *rawStore) error
	err  error
	done chan struct{}
}

func (b *bench) rawStore(ctx context.Context) (*rawStore, error) {
	dir, err := os.MkdirTemp(b.dir, "raw-")
	if err != nil {
		return nil, err
	}
	_, _ = sqlite.Fdatasync(true) // as Errand does
	s := &rawStore{queue: make(chan *rawWrite), stopped: make(chan struct{}), dir: dir}
	s.db, err = sql.Open("sqlite", "file:"+filepath.Join(dir, "raw.db")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(4000)&_pragma=cache_size(-64000)")
	if err != nil {
		return nil, err
	}
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return nil, err
	}
	for statement := range strings.SplitSeq(strings.TrimSpace(rawSchema), ";\n") {
		if _, err := s.conn.ExecContext(ctx, statement); err != nil {
			return nil, fmt.Errorf("%s: %w", statement, err)
		}
	}
	for i, text := range rawStatements {
		if s.stmts[i], err = s.conn.PrepareContext(ctx, text); err != nil { //nolint:sqlclosecheck // they end with the connection
			return nil, fmt.Errorf("%s: %w", text, err)
		}
	}
	go s.run(ctx)
	return s, nil
}

func (s *rawStore) close() error {
	close(s.queue)
	<-s.stopped
	return errors.Join(s.conn.Close(), s.db.Close(), os.RemoveAll(s.dir))
}

// write hands a write to the loop and waits for its commit.
func (s *rawStore) write(do func(context.Context, *rawStore) error) error {
	w := &rawWrite{do: do, done: make(chan struct{})}
	s.queue <- w
	<-w.done
	return w.err
}

// run is the loop: whoever waits when the connection is free goes into the
// next commit.
func (s *rawStore) run(ctx context.Context) {
	defer close(s.stopped)
	for first := range s.queue {
		batch := []*rawWrite{first}
		for more := true; more && len(batch) < 256; {
			select {
			case w, ok := <-s.queue:
				if more = ok; ok {
					batch = append(batch, w)
				}
			default:
				more = false
			}
		}
		err := s.commit(ctx, batch)
		for _, w := range batch {
			w.err = err
			close(w.done)
		}
	}
}

func (s *rawStore) commit(ctx context.Context, batch []*rawWrite) error {
	if _, err := s.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for _, w := range batch {
		if err := w.do(ctx, s); err != nil {
			_, undo := s.conn.ExecContext(ctx, "ROLLBACK")
			return errors.Join(err, undo)
		}
	}
	_, err := s.conn.ExecContext(ctx, "COMMIT")
	return err
}

func (s *rawStore) create(id, body string) error {
	return s.write(func(ctx context.Context, s *rawStore) error {
		_, err := s.stmts[rawInsert].ExecContext(ctx, id, body)
		return err
	})
}

// claimAndFinish takes the first task of the queue and ends it: two commits.
func (s *rawStore) claimAndFinish(result string) error {
	var id string
	if err := s.write(func(ctx context.Context, s *rawStore) error {
		return s.stmts[rawClaim].QueryRowContext(ctx).Scan(&id)
	}); err != nil {
		return err
	}
	return s.write(func(ctx context.Context, s *rawStore) error {
		_, err := s.stmts[rawFinish].ExecContext(ctx, result, id)
		return err
	})
}

func (s *rawStore) append(id string, n int, body string) error {
	return s.write(func(ctx context.Context, s *rawStore) error {
		var last int
		if err := s.stmts[rawCount].QueryRowContext(ctx, n, id).Scan(&last); err != nil {
			return err
		}
		for i := range n {
			if _, err := s.stmts[rawAppend].ExecContext(ctx, id, last-n+i+1, body); err != nil {
				return err
			}
		}
		return nil
	})
}

// dryIfNoRows tells an empty queue from what went wrong.
func dryIfNoRows(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return errDry
	}
	return err
}
