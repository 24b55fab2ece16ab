package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/blob"
	"github.com/errand-dev/errand/server/internal/deliver"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/observe"
	"github.com/errand-dev/errand/server/internal/search"
	"github.com/errand-dev/errand/server/internal/store/postgres"
	"github.com/errand-dev/errand/server/internal/store/sqlite"
	"github.com/errand-dev/errand/server/internal/task"
)

// keepFeed is how long entries of the feed are kept: nobody here reads it from
// further back.
const keepFeed = 10 * time.Minute

// store is what a server needs of its store.
type store interface {
	lifecycle.Store
	auth.Store
	files.Store
	blob.Rows
	observe.Store
	feed.Source
	search.Store
	deliver.Store
	// DropFeed drops entries of the feed that are older than a moment, but for the newest
	// of them.
	DropFeed(ctx context.Context, before task.Stamp) error
	// DropStats drops what is not kept any more at a moment.
	DropStats(ctx context.Context, at task.Stamp) error
	// Writable reports why nothing can be stored now.
	Writable(ctx context.Context) error
	Close() error
}

// sharedStore is a store whose database other nodes write, too.
type sharedStore interface {
	store
	feed.Live
	// Hints yields a token when there may be something in the feed.
	Hints() <-chan struct{}
}

// shrinker is a store whose file does not become smaller by itself.
type shrinker interface {
	// Shrink gives the disk back what deleted tasks have taken.
	Shrink(ctx context.Context) error
}

// hearers hear of a store's commits.
type hearers struct {
	decided, committed func([]feed.Entry)
	measure            func(int, time.Duration)
}

// openStore opens the database that the options name.
func openStore(ctx context.Context, o Options, node string, h hearers) (store, error) {
	if o.DatabaseURL != "" {
		if err := os.MkdirAll(o.Data, 0o700); err != nil {
			return nil, fmt.Errorf("make data folder: %w", err)
		}
		s, err := postgres.Open(ctx, postgres.Options{URL: o.DatabaseURL, ListenURL: o.ListenURL, Node: node, Log: o.Log, OnCommit: h.committed, OnBatch: h.measure})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := sqlite.Open(ctx, sqlite.Options{
		Dir: o.Data, Now: o.Now, Log: o.Log, Node: node, OnDecided: h.decided, OnCommit: h.committed, OnBatch: h.measure,
	})
	if errors.Is(err, sqlite.ErrLocked) {
		return nil, fmt.Errorf("the data folder %s is in use by another errand server: stop that one, or choose another folder with --data", o.Data)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// startLock is the file that servers which share a data folder lock while they start.
const startLock = "start"

// alone runs what a start makes in the data folder while no other server that shares
// the folder does.
func alone(o Options, begin func() error) (err error) {
	if o.DatabaseURL == "" { // the store has locked the folder
		return begin()
	}
	lock := flock.New(filepath.Join(o.Data, startLock))
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("lock data folder: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	return begin()
}

// nodeName names this server among those that share its database. It is another
// one after each start: what the last start left behind is found silent.
func nodeName(o Options) string {
	if o.DatabaseURL == "" {
		return lifecycle.DefaultNode
	}
	return "node-" + newID()
}

var (
	_ sharedStore = (*postgres.Store)(nil)
	_ shrinker    = (*sqlite.Store)(nil)
)
