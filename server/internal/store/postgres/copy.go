package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/errand-dev/errand/server/internal/store/copier"
)

const (
	// unfinished is added to the version of a database while a copy is made in it, so
	// that no release serves it.
	unfinished = 1_000_000
	// silence is after which a server is taken for stopped, if it was not heard meanwhile.
	silence = 4 * time.Second
)

// Copy is a database that is copied, or in which a copy is made.
type Copy struct {
	copier.Base
	config  *pgx.ConnConfig
	version int
	// guard holds, in a transaction, the lock that keeps others away.
	guard *pgx.Conn
}

// CopyFrom opens a database to be copied, which no server may use. None can write to it
// until it is closed.
func CopyFrom(ctx context.Context, url string) (*Copy, error) {
	return openCopy(ctx, url, func(ctx context.Context, c *Copy) error {
		version := 0
		if err := c.guard.QueryRow(ctx, "SELECT version FROM schema_version").Scan(&version); err != nil {
			if code(err) == "42P01" {
				return errors.New("there are no tables of Errand in it")
			}
			return err
		}
		switch {
		case version >= unfinished:
			return errors.New("a copy into it was interrupted: it holds a part of a record")
		case version > c.version:
			return newer(version, c.version)
		case version < c.version:
			return errors.New("its tables are of an older release: start this one's server on it once")
		}
		if err := c.awaitSilence(ctx); err != nil {
			return err
		}
		return c.lock(ctx)
	})
}

// CopyInto makes the tables of an empty database, or opens one in which an earlier copy
// was interrupted. No server takes it before Finish.
func CopyInto(ctx context.Context, url string) (*Copy, error) {
	return openCopy(ctx, url, func(ctx context.Context, c *Copy) error {
		version := 0
		err := c.guard.QueryRow(ctx, "SELECT version FROM schema_version").Scan(&version)
		if err != nil && code(err) != "42P01" {
			return err
		}
		if version >= unfinished {
			if version != unfinished+c.version {
				return errors.New("another release has begun a copy into it: go on with that one, or name an empty database")
			}
			return c.lock(ctx)
		}
		if err := migrate(ctx, c.guard); err != nil {
			return fmt.Errorf("%w%s", err, missingRight(c.config, err))
		}
		if err := c.lock(ctx); err != nil {
			return err
		}
		full, err := copier.Empty(ctx, &c.Base)
		if full != "" {
			err = fmt.Errorf("it has a record already (in the table %s): name an empty database", full)
		}
		if err == nil {
			_, err = c.DB.ExecContext(ctx, "UPDATE schema_version SET version = $1", unfinished+c.version)
		}
		return err
	})
}

// openCopy connects to a database and lets begin lock it.
func openCopy(ctx context.Context, url string, begin func(context.Context, *Copy) error) (*Copy, error) {
	pooled, err := configure(url)
	if err != nil {
		return nil, err
	}
	steps, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	c := &Copy{config: pooled.ConnConfig, version: len(steps)}
	var spelled spellings
	c.Spell, c.DB = spelled.of, stdlib.OpenDB(*c.config)
	if c.guard, err = pgx.ConnectConfig(ctx, c.config.Copy()); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to the database at %s: %w (%s)", place(c.config), bare(err), advice(err)), c.Close())
	}
	if err := begin(ctx, c); err != nil {
		return nil, errors.Join(fmt.Errorf("open the database at %s: %w", place(c.config), err), c.Close())
	}
	return c, nil
}

// awaitSilence waits until no server is heard, and gives up when one goes on.
func (c *Copy) awaitSilence(ctx context.Context) error {
	const ago = "SELECT COALESCE(extract(epoch FROM clock_timestamp()) - max(heard) / 1000000.0, 1000000)::float8 FROM nodes"
	for begun := time.Now(); ; {
		var seconds float64
		if err := c.guard.QueryRow(ctx, ago).Scan(&seconds); err != nil {
			return err
		}
		left := silence - time.Duration(seconds*float64(time.Second))
		if left <= 0 {
			return nil
		}
		if time.Since(begun) > silence {
			return errors.New("a server uses it: stop all of its servers")
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(left):
		}
	}
}

// lock keeps servers from writing, and other copies, until this one is closed or
// finished: each commit of a server locks a row of that table.
func (c *Copy) lock(ctx context.Context) error {
	for _, s := range []string{
		"BEGIN", fmt.Sprintf("SET LOCAL lock_timeout = %d", silence.Milliseconds()), "LOCK TABLE writers IN EXCLUSIVE MODE",
		"SET LOCAL idle_in_transaction_session_timeout = 0", // nothing is said on this connection until the copy is made
	} {
		if _, err := c.guard.Exec(ctx, s); code(err) == "55P03" {
			return errors.New("a server or another copy uses it: stop that first")
		} else if err != nil {
			return err
		}
	}
	return nil
}

// Alone reports that nobody else could write to the database until now.
func (c *Copy) Alone(ctx context.Context) error {
	if _, err := c.guard.Exec(ctx, "SELECT 1"); err != nil {
		return fmt.Errorf("the lock that kept servers from writing to the database at %s is lost: give the command again: %w", place(c.config), bare(err))
	}
	return nil
}

// Finish lets servers use a copy.
func (c *Copy) Finish(ctx context.Context) error {
	for _, s := range []string{fmt.Sprintf("UPDATE schema_version SET version = %d", c.version), "COMMIT"} {
		if _, err := c.guard.Exec(ctx, s); err != nil {
			return fmt.Errorf("finish the copy: %w", err)
		}
	}
	return nil
}

// Close ends the connections, and with them the lock.
func (c *Copy) Close() error {
	hangUp(context.Background(), c.guard)
	return c.DB.Close()
}

func newer(version, known int) error {
	return fmt.Errorf("its tables are of a newer release (version %d, this one knows %d): use that release, or another database", version, known)
}
