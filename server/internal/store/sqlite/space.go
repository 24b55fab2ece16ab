package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/errand-dev/errand/server/internal/store/table"
	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// shrinkStep is how many pages of 4 KiB one commit gives back: others wait for it.
	shrinkStep = 64
	// What stays free for new tasks is a part of the file, and at least some pages;
	// else pages would be given back only to be taken again.
	spareShare, sparePages = 16, 256
	// maxLog is how long the write-ahead log may become before a shrink leaves the rest
	// to the next one, in bytes: something, such as a backup, keeps it from being
	// copied into the database.
	maxLog = 64 << 20
	// restsAfter is when nobody has written for so long that the log is cut.
	restsAfter = 30 * time.Second
	// rebuiltAtOnce is the largest database, in bytes, that a start rebuilds so that
	// it can shrink: about half a second.
	rebuiltAtOnce = 64 << 20
)

// shrinkable makes a database in which pages that become free can be given back.
// It has to come before anything is written; in a database that is there it takes
// effect with the next VACUUM.
const shrinkable = "auto_vacuum(INCREMENTAL)"

// shrinks reports whether the database gives free pages back.
func shrinks(ctx context.Context, db *sql.DB) (bool, error) {
	var mode int
	err := db.QueryRowContext(ctx, "PRAGMA auto_vacuum").Scan(&mode)
	return mode != 0, err
}

// letShrink rebuilds a small database of a release whose files could not shrink.
// A larger one stays as it is: a copy by Backup can shrink.
func letShrink(ctx context.Context, db *sql.DB, log *slog.Logger) error {
	can, err := shrinks(ctx, db)
	if can || err != nil {
		return err
	}
	var size int64
	if err := db.QueryRowContext(ctx, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").Scan(&size); err != nil {
		return err
	}
	if size > rebuiltAtOnce {
		return nil
	}
	if _, err := db.ExecContext(ctx, "VACUUM"); err != nil { // it is whole all the same
		log.WarnContext(ctx, "the database's file stays as large as it is; the next start tries again to let it shrink", "error", err)
	}
	return nil
}

// Shrink gives the disk back what deleted tasks have taken: free pages in small
// commits, between which others write, and the write-ahead log when the database
// rests. It keeps some of it for new tasks. A database that was made by an older
// release may be unable to shrink; then it only cuts the log.
func (s *Store) Shrink(ctx context.Context) error {
	given := false
	for more := s.shrinks; more && ctx.Err() == nil; {
		size, _, err := s.logFile()
		if err != nil {
			return err
		}
		if size > maxLog {
			break
		}
		if err := s.writers.Edit(ctx, func(db table.DB, _ task.Stamp) ([]table.Op, error) {
			free, err := number(ctx, db, "PRAGMA freelist_count")
			if err != nil {
				return nil, err
			}
			all, err := number(ctx, db, "PRAGMA page_count")
			if more = free-shrinkStep >= max(all/spareShare, sparePages); !more || err != nil {
				return nil, err
			}
			return []table.Op{{SQL: fmt.Sprintf("PRAGMA incremental_vacuum(%d)", shrinkStep)}}, nil
		}); err != nil {
			return fmt.Errorf("shrink database: %w", err)
		}
		given = given || more
	}
	size, written, err := s.logFile()
	if rests := time.Since(written) >= restsAfter; size > 0 && err == nil && (given || rests) {
		return s.copyLog(rests)
	}
	return err
}

// number is what a question answers that has one number for an answer.
func number(ctx context.Context, db table.DB, question string) (n int64, err error) {
	rows, err := db.Query(ctx, question)
	if err != nil {
		return 0, err
	}
	defer rows.Close() //nolint:errcheck // Err tells what went wrong
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			return 0, err
		}
	}
	return n, rows.Err()
}

// logFile is how long the write-ahead log is, in bytes, and when it was written last.
func (s *Store) logFile() (size int64, written time.Time, err error) {
	info, err := os.Stat(s.path() + "-wal")
	if errors.Is(err, fs.ErrNotExist) {
		return 0, time.Time{}, nil
	}
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("look at the database's log: %w", err)
	}
	return info.Size(), info.ModTime(), nil
}

// copyLog copies the log into the database, which takes its size on only then, and
// may cut it. It waits for nobody; what somebody still reads is left.
func (s *Store) copyLog(cut bool) (err error) {
	c, err := dial(s.path(), "synchronous(FULL)", "busy_timeout(0)")
	if err != nil {
		return fmt.Errorf("copy the database's log: %w", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	err = c.set("wal_checkpoint(PASSIVE)") // writers go on meanwhile
	if err == nil && cut {
		err = c.set("wal_checkpoint(TRUNCATE)")
	}
	if refusal(err) != "" {
		return s.failed("copy the database's log", err)
	}
	return err
}
