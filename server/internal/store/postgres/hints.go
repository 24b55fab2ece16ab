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
// second.
func (s *Store) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.hear(ctx); err != nil && ctx.Err() == nil {
			s.opts.Log.DebugContext(ctx, "hints of other nodes do not arrive now", "error", bare(err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry):
		}
	}
}

func (s *Store) hear(ctx context.Context) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer hangUp(ctx, conn)
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	leave(s.hints) // some may have gone by
	for {
		told, err := conn.WaitForNotification(ctx)
		if err != nil {
			s.breaks.Add(1)
			return err
		}
		if told.Channel == channel && told.Payload != s.opts.Node {
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
