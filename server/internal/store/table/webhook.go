package table

import (
	"context"
	"fmt"
	"slices"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/deliver"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func webhookColumns(w *deliver.Webhook) []column {
	return []column{
		{"org", &w.Organization},
		{"id", &w.ID},
		{"owner", &w.Owner},
		{"grp", &w.Group},
		{"created_at", &w.CreatedAt},
		{"created_by", &w.CreatedBy},
		{"url", &w.URL},
		{"target", &w.Target},
		{"types", jsonField{&w.Types}},
		{"agents", jsonField{&w.Agents}},
		{"secret", &w.Secret},
		{"enabled", &w.Enabled},
		{"pos", &w.Place.Commit},
		{"n", &w.Place.N},
		{"taken_at", &w.TakenAt},
		{"failures", &w.Failures},
		{"failed_at", &w.FailedAt},
		{"failure", &w.Failure},
	}
}

// Statements that are made of lists of columns.
var (
	upsertWebhook  = upsert("webhooks", 2, webhookColumns(new(deliver.Webhook)))
	selectWebhooks = "SELECT " + names(webhookColumns(new(deliver.Webhook)), "") + " FROM webhooks WHERE "
	selectListed   = selectWebhooks + "org = ? ORDER BY created_at, id"
	selectEnabled  = selectWebhooks + "enabled = 1 ORDER BY pos, n"
	spreadPush     = insert("pushes", pushColumns(new(deliver.Push))) + " ON CONFLICT (org, task, turn, id) DO UPDATE SET since_seq = excluded.since_seq"
)

func readWebhooks(ctx context.Context, db DB, query string, args ...any) ([]deliver.Webhook, error) {
	found, err := all(ctx, db, query, args, webhookColumns)
	if err != nil {
		return nil, fmt.Errorf("read webhooks: %w", err)
	}
	return found, nil
}

// Webhook implements deliver.Store.
func (r *Reader) Webhook(ctx context.Context, org, id string) (deliver.Webhook, error) {
	return webhookIn(ctx, r.DB, auth.All(org), id, "")
}

// webhookIn reads one that is in a scope.
func webhookIn(ctx context.Context, db DB, in auth.Scope, id, lock string) (deliver.Webhook, error) {
	found, err := readWebhooks(ctx, db, selectWebhooks+"org = ? AND id = ?"+lock, in.Organization, id)
	if err != nil {
		return deliver.Webhook{}, err
	}
	if len(found) == 0 || !in.Sees(found[0].Owner, found[0].Group) {
		return deliver.Webhook{}, deliver.NoWebhook(id)
	}
	return found[0], nil
}

// Webhooks implements deliver.Store.
func (r *Reader) Webhooks(ctx context.Context, in auth.Scope) ([]deliver.Webhook, error) {
	found, err := readWebhooks(ctx, r.DB, selectListed, in.Organization)
	return slices.DeleteFunc(found, func(w deliver.Webhook) bool { return !in.Sees(w.Owner, w.Group) }), err
}

// EnabledWebhooks implements deliver.Store.
func (r *Reader) EnabledWebhooks(ctx context.Context) ([]deliver.Webhook, error) {
	return readWebhooks(ctx, r.DB, selectEnabled)
}

// PutWebhook implements deliver.Store.
func (w *Writer) PutWebhook(ctx context.Context, hook deliver.Webhook) error {
	return w.Edit(ctx, func(db DB, _ task.Stamp) ([]Op, error) {
		others, err := count(ctx, db, "SELECT count(*) FROM webhooks WHERE org = ?", hook.Organization)
		if err != nil {
			return nil, err
		}
		if others >= deliver.MaxWebhooks {
			return nil, fault.New(fault.Conflict, "the organization has %d webhooks already: delete some", others)
		}
		return []Op{putWebhook(hook)}, nil
	})
}

func putWebhook(w deliver.Webhook) Op {
	return Op{SQL: upsertWebhook, Args: values(webhookColumns(&w)), In: Webhooks}
}

// ChangeWebhook implements deliver.Store.
func (w *Writer) ChangeWebhook(ctx context.Context, in auth.Scope, id string, change func(*deliver.Webhook)) (changed deliver.Webhook, err error) {
	err = w.Edit(ctx, func(db DB, _ task.Stamp) (_ []Op, err error) {
		if changed, err = webhookIn(ctx, db, in, id, " FOR UPDATE"); err != nil {
			return nil, err
		}
		change(&changed)
		return []Op{putWebhook(changed)}, nil
	})
	return changed, err
}

// DropWebhook implements deliver.Store. What there is to be told it goes when it is due.
func (w *Writer) DropWebhook(ctx context.Context, in auth.Scope, id string) error {
	return w.Edit(ctx, func(db DB, _ task.Stamp) ([]Op, error) {
		if _, err := webhookIn(ctx, db, in, id, " FOR UPDATE"); err != nil {
			return nil, err
		}
		return []Op{{SQL: "DELETE FROM webhooks WHERE org = ? AND id = ?", Args: []any{in.Organization, id}, In: Webhooks}}, nil
	})
}

// WebhookTook implements deliver.Store.
func (w *Writer) WebhookTook(ctx context.Context, hook deliver.Webhook) error {
	return w.put(ctx, func(now task.Stamp) []Op {
		return []Op{{
			SQL:  "UPDATE webhooks SET taken_at = ?, failures = 0 WHERE org = ? AND id = ?",
			Args: []any{int64(now), hook.Organization, hook.ID}, In: Webhooks,
		}}
	})
}

// WebhookFailed implements deliver.Store.
func (w *Writer) WebhookFailed(ctx context.Context, hook deliver.Webhook, why string, last bool) error {
	return w.put(ctx, func(now task.Stamp) []Op {
		ops := []Op{{
			SQL:  "UPDATE webhooks SET failures = failures + 1, failed_at = ?, failure = ? WHERE org = ? AND id = ?",
			Args: []any{int64(now), why, hook.Organization, hook.ID}, In: Webhooks,
		}}
		if last {
			ops = append(ops, Op{SQL: "UPDATE webhooks SET enabled = 0 WHERE org = ? AND id = ?", Args: []any{hook.Organization, hook.ID}, In: Webhooks})
		}
		return ops
	})
}

// TurnsFor implements deliver.Store.
func (r *Reader) TurnsFor(ctx context.Context, w deliver.Webhook, after, to feed.Position) ([]deliver.Push, error) {
	where, args := conditions(facets(w.Scope, lifecycle.Filter{}))
	args = append([]any{w.Organization, after.Commit, after.N, to.Commit, to.N}, args...)
	if len(w.Agents) > 0 {
		places, ids := among(w.Agents)
		where, args = where+" AND t.agent_id IN "+places, append(args, ids...)
	}
	places, types := among(w.Events())
	query := `SELECT e.task, e.turn, min(e.seq), max(e.seq) FROM feed f CROSS JOIN tasks t CROSS JOIN events e
		WHERE f.org = ? AND f.first_seq > 0 AND (f.pos, f.n) > (?, ?) AND (f.pos, f.n) <= (?, ?) AND t.id = f.task AND ` + where + `
		AND e.org = f.org AND e.task = f.task AND e.seq >= f.first_seq AND e.seq <= f.last_seq
		AND e.type IN ` + places + ` AND (e.type = 'approval_requested' OR e.own LIKE '%"status":"%') GROUP BY e.task, e.turn`
	now := r.Now()
	var found []deliver.Push
	err := each(ctx, r.DB, query, append(args, types...), func(rows Rows) error {
		p := deliver.Push{Webhook: w.ID, PutAt: now, Target: w.Target, Progress: deliver.Progress{Due: now}}
		p.Organization, p.ID = w.Organization, "/"+w.ID // as no client may call its own
		err := rows.Scan(&p.Task, &p.Turn, &p.First, &p.Since)
		p.Taken = deliver.Behind(p.First - 1)
		found = append(found, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what webhooks are told: %w", err)
	}
	return found, nil
}

// Spread implements deliver.Store.
func (w *Writer) Spread(ctx context.Context, hook deliver.Webhook, pushes []deliver.Push, to feed.Position) error {
	return w.Edit(lifecycle.Long(ctx, max(1, len(pushes))), func(db DB, _ task.Stamp) ([]Op, error) {
		current, err := exists(ctx, db, "SELECT 1 FROM webhooks WHERE org = ? AND id = ? AND enabled = 1 AND pos = ? AND n = ? FOR UPDATE",
			hook.Organization, hook.ID, hook.Place.Commit, hook.Place.N)
		if !current || err != nil {
			return nil, err
		}
		ops := []Op{{
			SQL:  "UPDATE webhooks SET pos = ?, n = ? WHERE org = ? AND id = ?",
			Args: []any{to.Commit, to.N, hook.Organization, hook.ID}, In: Webhooks,
		}}
		there, err := tasksAmong(ctx, db, hook.Organization, pushes)
		if err != nil {
			return nil, err
		}
		for _, p := range pushes {
			if slices.Contains(there, p.Task) {
				ops = append(ops, Op{SQL: spreadPush, Args: values(pushColumns(&p)), In: Pushes})
			}
		}
		return ops, nil
	})
}

// tasksAmong lists the tasks of pushes that are there; they stay until the commit.
func tasksAmong(ctx context.Context, db DB, org string, pushes []deliver.Push) ([]string, error) {
	if len(pushes) == 0 {
		return nil, nil
	}
	ids := make([]string, len(pushes))
	for i, p := range pushes {
		ids[i] = p.Task
	}
	places, args := among(ids)
	return texts(ctx, db, "SELECT id FROM tasks WHERE org = ? AND id IN "+places+" ORDER BY id FOR KEY SHARE", append([]any{org}, args...)...)
}
