package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
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

// notify sends one notification, and returns the connection if it is still good. One that
// was kept may have died since: then it sends it by another.
func (s *Store) notify(ctx context.Context, kept *pgx.Conn) *pgx.Conn {
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	if kept != nil && s.notifyBy(ctx, kept) {
		return kept
	}
	fresh, err := s.connect(ctx)
	if err != nil || !s.notifyBy(ctx, fresh) {
		return nil
	}
	return fresh
}

// notifyBy sends one notification by a connection, and hangs up if that fails.
func (s *Store) notifyBy(ctx context.Context, conn *pgx.Conn) bool {
	_, err := conn.Exec(ctx, "SELECT pg_notify($1, $2)", channel, s.opts.Node)
	if err != nil {
		hangUp(ctx, conn)
	}
	return err == nil
}

// listen takes what other nodes tell. While it cannot, the feed is still read every
// second, and it says so if the database can be reached: a pooler takes a LISTEN, and lets
// nothing through.
func (s *Store) listen(ctx context.Context) {
	var told atomic.Bool // the operator, since something has arrived
	deaf := func(why error) {
		if !told.Swap(true) {
			s.opts.Log.WarnContext(ctx, "what other servers commit is seen within a second, not at once: the database's notifications do not arrive",
				"from", place(s.listens), "error", why)
		}
	}
	for ctx.Err() == nil {
		proven, err := s.hear(ctx, deaf)
		switch {
		case proven:
			told.Store(false)
		case err != nil && ctx.Err() == nil && s.opts.ListenURL != "":
			deaf(fmt.Errorf("%w: is ERRAND_DATABASE_LISTEN_URL right?", bare(err)))
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry):
		}
	}
}

// Why nothing arrives although the database is reached.
var (
	errPooler = errors.New("a pooler in transaction mode lets none through: name the database itself with ERRAND_DATABASE_LISTEN_URL")
	errAside  = errors.New("ERRAND_DATABASE_LISTEN_URL has to lead to the same database, past any pooler")
)

// hear takes them until the connection is lost. It reports whether what this node tells
// itself has arrived, which is proof that what others tell does, too; if it does not in
// time, deaf is told.
func (s *Store) hear(ctx context.Context, deaf func(error)) (proven bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, s.listens.Copy())
	if err != nil {
		return false, err
	}
	defer hangUp(ctx, conn)
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return false, err
	}
	leave(s.hints) // some may have gone by
	why := errPooler
	if s.opts.ListenURL != "" {
		why = errAside
	}
	unproven := time.AfterFunc(proofTime, func() { deaf(why) })
	defer unproven.Stop()
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
			proven = true
			unproven.Stop()
		default:
			leave(s.hints)
		}
	}
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
