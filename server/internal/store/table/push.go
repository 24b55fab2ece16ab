package table

import (
	"context"
	"fmt"

	"github.com/errand-dev/errand/server/internal/deliver"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

func pushColumns(p *deliver.Push) []column {
	return []column{
		{"org", &p.Organization},
		{"task", &p.Task},
		{"turn", &p.Turn},
		{"id", &p.ID},
		{"put_at", &p.PutAt},
		{"url", &p.URL},
		{"target", &p.Target},
		{"headers", &p.Headers},
		{"first_seq", &p.First},
		{"since_seq", &p.Since},
		{"taken", &p.Taken},
		{"due", &p.Due},
		{"failures", &p.Failures},
		{"failed_at", &p.FailedAt},
		{"failure", &p.Failure},
		{"webhook", &p.Webhook},
	}
}

// Statements that are made of lists of columns.
var (
	upsertPush   = upsert("pushes", 4, pushColumns(new(deliver.Push)))
	selectPushes = "SELECT " + names(pushColumns(new(deliver.Push)), "") + " FROM pushes WHERE org = ? AND task = ? AND turn = ?"
	selectDue    = "SELECT " + names(pushColumns(new(deliver.Push)), "p.") + ", t.last_seq, t.agent_id " + duePushes + " AND p.target NOT IN "
)

// duePushes are those that are due, and behind which their logs have grown.
const duePushes = `FROM pushes p INDEXED BY pushes_due CROSS JOIN tasks t
		WHERE p.due > 0 AND p.due <= ? AND t.org = p.org AND t.id = p.task AND t.last_seq * 2 > p.taken`

// sameAs finds a push that is as it was read.
const sameAs = "SELECT since_seq FROM pushes WHERE org = ? AND task = ? AND turn = ? AND id = ? AND put_at = ? AND taken = ? AND failures = ? FOR UPDATE"

// Push implements deliver.Store.
func (r *Reader) Push(ctx context.Context, k deliver.Key) (deliver.Push, error) {
	found, err := all(ctx, r.DB, selectPushes+" AND id = ?", []any{k.Organization, k.Task, k.Turn, k.ID}, pushColumns)
	if err != nil {
		return deliver.Push{}, fmt.Errorf("read push: %w", err)
	}
	if len(found) == 0 {
		return deliver.Push{}, deliver.NoPush(k.ID)
	}
	return found[0], nil
}

// Pushes implements deliver.Store.
func (r *Reader) Pushes(ctx context.Context, org, id string, turn int) ([]deliver.Push, error) {
	found, err := all(ctx, r.DB, selectPushes+" AND webhook = '' ORDER BY id", []any{org, id, turn}, pushColumns)
	if err != nil {
		return nil, fmt.Errorf("read pushes: %w", err)
	}
	return found, nil
}

// DuePushes implements deliver.Store.
func (r *Reader) DuePushes(ctx context.Context, now task.Stamp, targets, webhooks []string, limit int) ([]deliver.Due, error) {
	full, args := among(append(targets, ""))     // no target is empty
	resting, ids := among(append(webhooks, "/")) // no webhook is called so
	var found []deliver.Due
	query := selectDue + full + " AND p.webhook NOT IN " + resting + " ORDER BY p.due LIMIT ?"
	args = append(append([]any{int64(now)}, append(args, ids...)...), limit)
	err := each(ctx, r.DB, query, args, func(rows Rows) error {
		var d deliver.Due
		err := scan(rows, pushColumns(&d.Push), &d.End, &d.Agent)
		found = append(found, d)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read pushes that are due: %w", err)
	}
	return found, nil
}

// PutPush implements deliver.Store.
func (w *Writer) PutPush(ctx context.Context, p deliver.Push) error {
	return w.Edit(ctx, func(db DB, _ task.Stamp) ([]Op, error) {
		there, err := exists(ctx, db, "SELECT 1 FROM tasks WHERE org = ? AND id = ? FOR KEY SHARE", p.Organization, p.Task)
		if err != nil {
			return nil, err
		}
		if !there {
			return nil, fault.New(fault.NotFound, "no task %q", p.Task)
		}
		others, err := count(ctx, db, "SELECT count(*) FROM pushes WHERE org = ? AND task = ? AND turn = ? AND id <> ? AND webhook = ''", p.Organization, p.Task, p.Turn, p.ID)
		if err != nil {
			return nil, err
		}
		if others >= deliver.MaxPushes {
			return nil, fault.New(fault.Conflict, "%d addresses are told of this turn already: remove some", others)
		}
		return []Op{{SQL: upsertPush, Args: values(pushColumns(&p)), In: Pushes}}, nil
	})
}

// DropPush implements deliver.Store.
func (w *Writer) DropPush(ctx context.Context, k deliver.Key) error {
	return w.put(ctx, func(task.Stamp) []Op {
		drop := dropPush(k)
		drop.SQL += " AND webhook = ''"
		return []Op{drop}
	})
}

// MovePush implements deliver.Store.
func (w *Writer) MovePush(ctx context.Context, was, is deliver.Push) (moved bool, err error) {
	err = w.Edit(ctx, func(db DB, _ task.Stamp) (_ []Op, err error) {
		var since int64
		moved, err = one(ctx, db, sameAs, []any{was.Organization, was.Task, was.Turn, was.ID, int64(was.PutAt), was.Taken, was.Failures}, &since)
		if !moved || err != nil {
			return nil, err
		}
		to := is
		if to.Webhook != "" && to.Due == 0 {
			if since == was.Since {
				return []Op{dropPush(was.Key)}, nil
			}
			to.Due = was.Due
		}
		return []Op{{
			SQL:  "UPDATE pushes SET headers = ?, taken = ?, due = ?, failures = ?, failed_at = ?, failure = ? WHERE org = ? AND task = ? AND turn = ? AND id = ?",
			Args: []any{to.Headers, to.Taken, int64(to.Due), to.Failures, int64(to.FailedAt), to.Failure, is.Organization, is.Task, is.Turn, is.ID},
			In:   Pushes, Must: true,
		}}, nil
	})
	return moved, err
}

func dropPush(k deliver.Key) Op {
	return Op{SQL: "DELETE FROM pushes WHERE org = ? AND task = ? AND turn = ? AND id = ?", Args: []any{k.Organization, k.Task, k.Turn, k.ID}, In: Pushes}
}
