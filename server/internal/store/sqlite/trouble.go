package sqlite

import (
	"cmp"
	"context"
	"errors"
	"strings"

	driver "modernc.org/sqlite"
	"zombiezen.com/go/sqlite"

	"github.com/errand-dev/errand/server/internal/durable"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/store/table"
	"github.com/errand-dev/errand/server/internal/task"
)

// refusal says in words for a client why the disk did not take a write, and ""
// if it was not the disk.
func refusal(err error) string {
	code := sqlite.ErrCode(err)
	if e, ok := errors.AsType[*driver.Error](err); ok {
		code = sqlite.ResultCode(e.Code()) //nolint:gosec // it was one
	}
	switch code.ToPrimary() { //nolint:exhaustive // the others are not the disk's
	case sqlite.ResultFull:
		return durable.Full
	case sqlite.ResultReadOnly:
		return durable.ReadOnly
	case sqlite.ResultIOErr:
		return "the server's disk cannot be written"
	default:
		return ""
	}
}

// failed notes that a write did not reach the disk. The log is told once, not by
// everybody who is turned away meanwhile.
func (s *Store) failed(what string, err error) error {
	told := fault.New(fault.Unavailable, "%s now; try again", cmp.Or(refusal(err), "the store cannot write"))
	if was := s.trouble.Swap(told); was == nil || was.Message != told.Message {
		s.opts.Log.Error("the store cannot write", "step", what, "error", err)
	}
	return told
}

// recovered notes that a write has reached the disk.
func (s *Store) recovered() {
	if s.trouble.Swap(nil) != nil {
		s.opts.Log.Info("the store can write again")
	}
}

// probe changes nothing, but is written to disk: a page that is touched is, even
// when it becomes again what it was.
const probe = `INSERT INTO replays (org, route, key, hash, task, at) VALUES ('', 'probe', '', '', '', 0);
	DELETE FROM replays WHERE org = '' AND route = 'probe'`

// Writable reports why nothing can be stored now. If the last write has failed
// it tries another one, so that a server recovers although nobody writes to it.
func (s *Store) Writable(ctx context.Context) error {
	if s.trouble.Load() == nil {
		return nil
	}
	err := s.writers.Edit(ctx, func(table.DB, task.Stamp) ([]table.Op, error) {
		var ops []table.Op
		for query := range strings.SplitSeq(probe, ";") {
			ops = append(ops, table.Op{SQL: strings.TrimSpace(query), In: table.Replays})
		}
		return ops, nil
	})
	if err == nil {
		s.recovered()
	}
	return err
}
