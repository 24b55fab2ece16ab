package table

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// insertApproval notes which event asks.
func insertApproval(of task.Task, a task.Approval) Op {
	return Op{
		SQL:  "INSERT INTO approvals (org, task, seq, id, turn, key, state, at, owner, grp) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		Args: []any{of.OrganizationID, of.ID, a.Seq, a.ID, a.Turn, a.Key, string(a.State), int64(a.At), of.Owner, of.Group}, In: Approvals,
	}
}

// settleApproval notes what has become of one.
func settleApproval(org string, s task.Settled) Op {
	return Op{
		SQL:  "UPDATE approvals SET state = ?, answered_seq = ? WHERE org = ? AND id = ?",
		Args: []any{string(s.State), s.Seq, org, s.ID}, In: Approvals, Must: true,
	}
}

// readingApprovals begins a query; by names the index that it goes along, "" for the key.
func readingApprovals(by string) string {
	if by != "" {
		by = " INDEXED BY " + by
	}
	return `SELECT a.task, t.agent_id, a.state, e.seq, e.turn, e.time, e.own, e.attempt, x.time, x.own
	FROM approvals a` + by + ` JOIN tasks t ON t.org = a.org AND t.id = a.task
	JOIN events e ON e.org = a.org AND e.task = a.task AND e.seq = a.seq
	LEFT JOIN events x ON x.org = a.org AND x.task = a.task AND x.seq = a.answered_seq
	WHERE a.org = ? AND `
}

// readApprovals reads those that a query finds, until they are long enough.
func readApprovals(ctx context.Context, db DB, query string, args ...any) ([]task.Approval, error) {
	var found []task.Approval
	size := 0
	err := each(ctx, db, query, args, func(rows Rows) error {
		var id, agent, state, own string
		var asked task.Event
		var at *int64
		var answer *string
		if err := rows.Scan(&id, &agent, &state, &asked.Seq, &asked.Turn, &asked.Time, &own, &asked.Author.Attempt, &at, &answer); err != nil {
			return err
		}
		asked.Own = json.RawMessage(own)
		size += len(own)
		var answered *task.Event
		if at != nil && answer != nil {
			answered = &task.Event{Time: task.Stamp(*at), Own: json.RawMessage(*answer)}
			size += len(*answer)
		}
		a, err := task.ApprovalOf(asked, answered)
		a.TaskID, a.AgentID, a.State = id, agent, task.ApprovalState(state)
		found = append(found, a)
		if err == nil && size >= maxBytes {
			return errEnough
		}
		return err
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("read approvals: %w", err)
	}
	return found, nil
}

func firstApproval(found []task.Approval, err error) (*task.Approval, error) {
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// ReadApproval reads an approval by its id, nil when there is none.
func ReadApproval(ctx context.Context, db DB, org, id string) (*task.Approval, error) {
	return firstApproval(readApprovals(ctx, db, readingApprovals("approvals_id")+"a.id = ?", org, id))
}

// ReadApprovalOf reads an approval of a turn by its key, nil when there is none.
func ReadApprovalOf(ctx context.Context, db DB, org, id string, turn int, key string) (*task.Approval, error) {
	return firstApproval(readApprovals(ctx, db, readingApprovals("approvals_key")+"a.task = ? AND a.turn = ? AND a.key = ?", org, id, turn, key))
}

// Approval implements lifecycle.TaskReader.
func (r *Reader) Approval(ctx context.Context, in auth.Scope, id string) (task.Approval, error) {
	query, args := readingApprovals("approvals_id")+"a.id = ?", []any{in.Organization, id}
	switch {
	case in.Owner != "":
		query, args = query+" AND a.owner = ?", append(args, in.Owner)
	case in.Group != "":
		query, args = query+" AND a.grp = ? AND a.grp <> ''", append(args, in.Group)
	}
	found, err := firstApproval(readApprovals(ctx, r.DB, query, args...))
	if err == nil && found == nil {
		err = fault.New(fault.NotFound, "no approval %q", id)
	}
	if err != nil {
		return task.Approval{}, err
	}
	return *found, nil
}

// Approvals implements lifecycle.TaskReader.
func (r *Reader) Approvals(ctx context.Context, in auth.Scope, state task.ApprovalState, behind lifecycle.Cursor, limit int) ([]task.Approval, error) {
	if behind == (lifecycle.Cursor{}) {
		behind.CreatedAt = math.MaxInt64
	}
	index, where, args := "approvals_all", "(a.at, a.id) < (?, ?)", []any{in.Organization, behind.CreatedAt, behind.ID}
	add := func(part string, arg any) { where, args = where+" AND "+part, append(args, arg) }
	if state != "" {
		index = "approvals_state"
		add("a.state = ?", string(state))
	}
	switch {
	case in.Owner != "":
		index = "approvals_owner"
		add("a.owner = ?", in.Owner)
	case in.Group != "":
		index = "approvals_group"
		add("a.grp = ? AND a.grp <> ''", in.Group)
	}
	return readApprovals(ctx, r.DB, readingApprovals(index)+where+" ORDER BY a.at DESC, a.id DESC LIMIT ?", append(args, limit)...)
}

// ApprovalsSince implements lifecycle.TaskReader.
func (r *Reader) ApprovalsSince(ctx context.Context, org, id string, from int64, limit int) ([]task.Approval, error) {
	return readApprovals(ctx, r.DB, readingApprovals("")+"a.task = ? AND (a.seq >= ? OR a.answered_seq >= ? OR a.state = ?) ORDER BY a.seq DESC LIMIT ?",
		org, id, from, from, string(task.ApprovalClosed), limit)
}

// firstAsked reads what people are asked first in rows, of the few that ask something.
func (r *Reader) firstAsked(ctx context.Context, org string, rows []lifecycle.Row) error {
	asking := map[string]*lifecycle.Row{}
	var ids []string
	for i := range rows {
		if open := rows[i].Task.Open; len(open) > 0 {
			asking[rows[i].Task.ID] = &rows[i]
			ids = append(ids, open[0].ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	places, args := among(ids)
	found, err := readApprovals(ctx, r.DB, readingApprovals("approvals_id")+"a.id IN "+places, append([]any{org}, args...)...)
	for i := range found {
		if row := asking[found[i].TaskID]; row != nil {
			row.Asked = &found[i]
		}
	}
	return err
}

// ApprovalsOf implements lifecycle.TaskReader.
func (r *Reader) ApprovalsOf(ctx context.Context, org, id string, turn int, after int64, limit int) ([]task.Approval, error) {
	return readApprovals(ctx, r.DB, readingApprovals("")+"a.task = ? AND a.seq > ? AND a.turn = ? ORDER BY a.seq LIMIT ?", org, id, after, turn, limit)
}
