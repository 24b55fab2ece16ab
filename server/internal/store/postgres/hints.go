package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// channel is where nodes tell one another that the feed has grown.
	channel = "errand_feed"
	// tellTime bounds the telling: a hint that does not get through costs the others
	// a second, and must hold up nobody.
	tellTime = 2 * time.Second
	// retry is how long a lost connection is left alone.
	retry = time.Second
	// proofTime is within what time what a node tells itself has to arrive.
	proofTime = 5 * time.Second
)

// Hints yields a token when another node may have added to the feed.
func (s *Store) Hints() <-chan struct{} { return s.hints }

// hint asks for the others to be told. It never waits.
func (s *Store) hint() { leave(s.changed) }

// leave leaves a token in a channel unless there is one.
func leave(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tell tells the other nodes that the feed has grown: once for all commits since it
// told them last. It does so in a transaction of its own, which writes nothing: the
// lock that NOTIFY takes for the whole database would otherwise be held for as
// long as a commit waits for a synchronous standby.
func (s *Store) tell(ctx context.Context) {
	var conn *pgx.Conn
	defer func() { hangUp(ctx, conn) }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		}
		conn = s.notify(ctx, conn)
	}
}

// notify sends one notification, and returns the connection if it is still good.
func (s *Store) notify(ctx context.Context, conn *pgx.Conn) *pgx.Conn {
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	if conn == nil {
		var err error
		if conn, err = s.connect(ctx); err != nil {
			return nil
		}
	}
	if _, err := conn.Exec(ctx, "SELECT pg_notify($1, $2)", channel, s.opts.Node); err != nil {
		hangUp(ctx, conn)
		return nil
	}
	return conn
}

// listen takes what other nodes tell. While it cannot, the feed is still read every
// second, and it says so: a pooler takes a LISTEN, and lets nothing through.
func (s *Store) listen(ctx context.Context) {
	deaf := time.AfterFunc(proofTime, func() { s.tellDeaf(ctx) })
	defer deaf.Stop()
	for ctx.Err() == nil {
		proven, err := s.hear(ctx, deaf)
		if err != nil && ctx.Err() == nil {
			s.opts.Log.DebugContext(ctx, "hints of other nodes do not arrive now", "error", bare(err))
		}
		if proven {
			deaf.Reset(proofTime)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry):
		}
	}
}

// hear takes them until the connection is lost. It stops a timer when what this node tells
// itself arrives, which is proof that what others tell does, too, and reports whether it did.
func (s *Store) hear(ctx context.Context, deaf *time.Timer) (proven bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, s.listens.Copy())
	if err != nil {
		return false, err
	}
	defer hangUp(ctx, conn)
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return false, err
	}
	leave(s.hints) // some may have gone by
	s.hint()
	for {
		told, err := conn.WaitForNotification(ctx)
		if err != nil {
			s.breaks.Add(1)
			return proven, err
		}
		switch {
		case told.Channel != channel:
		case told.Payload == s.opts.Node:
			deaf.Stop()
			proven = true
		default:
			leave(s.hints)
		}
	}
}

// tellDeaf tells the operator that no hints arrive, and what to do.
func (s *Store) tellDeaf(ctx context.Context) {
	help := "a pooler in transaction mode lets none through: name the database itself with ERRAND_DATABASE_LISTEN_URL"
	if s.opts.ListenURL != "" {
		help = "ERRAND_DATABASE_LISTEN_URL has to lead to the same database, past any pooler"
	}
	s.opts.Log.WarnContext(ctx, "what other servers commit is seen within a second, not at once: the database's notifications do not arrive",
		"from", place(s.listens), "help", help)
}

// hangUp ends a connection, if there is one.
func hangUp(ctx context.Context, conn *pgx.Conn) {
	if conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	_ = conn.Close(ctx)
}
