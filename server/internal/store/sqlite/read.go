package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// rowScanner is the part of sql.Rows that reads one row.
type rowScanner interface{ Scan(dest ...any) error }

// prepared keeps the readers' statements. database/sql prepares each again on
// whichever connection it runs.
type prepared struct {
	mu    sync.RWMutex
	stmts map[string]*sql.Stmt
}

func (p *prepared) get(ctx context.Context, db *sql.DB, query string) (*sql.Stmt, error) {
	p.mu.RLock()
	s, ok := p.stmts[query]
	p.mu.RUnlock()
	if ok {
		return s, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.stmts[query]; ok {
		return s, nil
	}
	s, err := db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if p.stmts == nil {
		p.stmts = map[string]*sql.Stmt{}
	}
	p.stmts[query] = s
	return s, nil
}

func (s *Store) statements() *statements { return s.made }

// query implements querier beside the writer.
func (s *Store) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := s.stmts.get(ctx, s.read, query)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	return stmt.QueryContext(ctx, args...)
}

// Task implements lifecycle.Store.
func (s *Store) Task(ctx context.Context, org, id string) (lifecycle.Snapshot, error) {
	var found lifecycle.Snapshot
	var err error
	found.Task, _, err = readTask(ctx, s, org, id, &found.Spec)
	return found, err
}

// maxEventBytes bounds what one read of a log holds in memory.
const maxEventBytes = 4 << 20

// Events implements lifecycle.Store.
func (s *Store) Events(ctx context.Context, org, id string, after int64, limit int) ([]task.Event, error) {
	var found []task.Event
	size := 0
	rows, err := s.query(ctx, `SELECT e.seq, e.turn, e.type, e.time, e.own, e.client_id,
			CASE e.type WHEN 'task_created' THEN u.spec END, CASE e.type WHEN 'task_finished' THEN u.result END
		FROM events e LEFT JOIN turns u ON e.type IN ('task_created', 'task_finished')
			AND u.org = e.org AND u.task = e.task AND u.n = e.turn
		WHERE e.org = ? AND e.task = ? AND e.seq > ? ORDER BY e.seq LIMIT ?`, org, id, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	defer rows.Close() //nolint:errcheck // Err tells what went wrong
	for rows.Next() {
		var e task.Event
		var own string
		var clientID, spec, result *string
		if err := rows.Scan(&e.Seq, &e.Turn, &e.Type, &e.Time, &own, &clientID, &spec, &result); err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		e.Own = json.RawMessage(own)
		if clientID != nil {
			e.ClientID = *clientID
		}
		switch {
		case spec != nil:
			e.Kept = json.RawMessage(*spec)
		case e.Type == task.TaskFinished:
			if e.Kept, err = task.KeptResult(result); err != nil {
				return nil, fmt.Errorf("read events: %w", err)
			}
		}
		found = append(found, e)
		if size += len(e.Own) + len(e.Kept); size >= maxEventBytes {
			break
		}
	}
	return found, rows.Err()
}

// Turns implements lifecycle.Store.
func (s *Store) Turns(ctx context.Context, org, id string) ([]lifecycle.Turn, error) {
	var found []lifecycle.Turn
	err := each(ctx, s, `SELECT u.n, e.time, u.finished_at, json_extract(u.spec, '$.input.text'),
			COALESCE(u.shown_result, u.result), u.tokens
		FROM turns u JOIN events e ON e.org = u.org AND e.task = u.task AND e.seq = u.first_seq
		WHERE u.org = ? AND u.task = ? ORDER BY u.n`, []any{org, id}, func(rows rowScanner) error {
		var x lifecycle.Turn
		var tokens *string
		if err := rows.Scan(&x.Number, &x.CreatedAt, &x.FinishedAt, &x.Prompt, &x.Result, &tokens); err != nil {
			return err
		}
		found = append(found, x)
		if tokens == nil {
			return nil
		}
		return json.Unmarshal([]byte(*tokens), &found[len(found)-1].Tokens)
	})
	if err != nil {
		return nil, fmt.Errorf("read turns: %w", err)
	}
	return found, nil
}

// Tasks implements lifecycle.Store.
func (s *Store) Tasks(ctx context.Context, org string, f lifecycle.Filter, p lifecycle.Page) (lifecycle.List, error) {
	where, args := condition(org, f)
	var found lifecycle.List
	if p.Count {
		if _, err := one(ctx, s, fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM tasks t WHERE %s LIMIT %d)",
			where, lifecycle.MaxCount+1), args, &found.Total); err != nil {
			return found, fmt.Errorf("count tasks: %w", err)
		}
	}
	offset := 0
	if p.Cursor != (lifecycle.Cursor{}) {
		where += " AND (t.created_at, t.id) < (?, ?)"
		args = append(args, p.Cursor.CreatedAt, p.Cursor.ID)
	} else {
		offset = (max(p.Number, 1) - 1) * p.Size
	}
	query := `SELECT t.id, t.agent_id, t.org, t.status, t.user_id, t.parent_id, COALESCE(t.triggering_agent_id, ''),
			t.source, t.title, t.internal_status, t.created_at, t.updated_at,
			(SELECT CASE WHEN octet_length(COALESCE(u.shown_result, u.result)) <= 65536 THEN COALESCE(u.shown_result, u.result) END
				FROM turns u WHERE u.org = t.org AND u.task = t.id AND u.n = t.turn)
		FROM tasks t WHERE ` + where + ` ORDER BY t.created_at DESC, t.id DESC LIMIT ? OFFSET ?`
	err := each(ctx, s, query, append(args, p.Size+1, offset), func(rows rowScanner) error {
		var x lifecycle.Listed
		if err := rows.Scan(&x.ID, &x.AgentID, &x.OrganizationID, &x.Status, &x.UserID, &x.ParentID,
			&x.TriggeringAgentID, &x.Source, &x.Title, &x.InternalStatus, &x.CreatedAt, &x.UpdatedAt, &x.Result); err != nil {
			return err
		}
		found.Items = append(found.Items, x)
		return nil
	})
	if err != nil {
		return found, fmt.Errorf("list tasks: %w", err)
	}
	if len(found.Items) > p.Size {
		found.Items = found.Items[:p.Size]
		last := found.Items[p.Size-1]
		found.Next = lifecycle.Cursor{CreatedAt: last.CreatedAt, ID: last.ID}
	}
	return found, nil
}

// CountOpen implements lifecycle.Store.
func (s *Store) CountOpen(ctx context.Context, org string, f lifecycle.Filter) (int, error) {
	where, args := condition(org, f)
	var n int
	// In the list's order, so that it walks the list's index.
	if _, err := one(ctx, s, "SELECT count(*) FROM (SELECT 1 FROM tasks t WHERE "+where+
		" AND t.ended = '' ORDER BY t.created_at DESC, t.id DESC LIMIT -1)", args, &n); err != nil {
		return 0, fmt.Errorf("count open tasks: %w", err)
	}
	return n, nil
}

// Open implements lifecycle.Store.
func (s *Store) Open(ctx context.Context, org string, f lifecycle.Filter, behind lifecycle.Cursor, limit int) ([]lifecycle.Cursor, error) {
	where, args := condition(org, f)
	if behind != (lifecycle.Cursor{}) {
		where += " AND (t.created_at, t.id) < (?, ?)"
		args = append(args, behind.CreatedAt, behind.ID)
	}
	var found []lifecycle.Cursor
	err := each(ctx, s, "SELECT t.created_at, t.id FROM tasks t WHERE "+where+" AND t.ended = '' ORDER BY t.created_at DESC, t.id DESC LIMIT ?",
		append(args, limit), func(rows rowScanner) error {
			var c lifecycle.Cursor
			if err := rows.Scan(&c.CreatedAt, &c.ID); err != nil {
				return err
			}
			found = append(found, c)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("list open tasks: %w", err)
	}
	return found, nil
}

// condition is a filter in SQL. Each single filter matches an index.
func condition(org string, f lifecycle.Filter) (string, []any) {
	parts, args := []string{"t.org = ?"}, []any{org}
	add := func(part string, wanted bool, arg any) {
		if wanted {
			parts, args = append(parts, part), append(args, arg)
		}
	}
	add("t.agent_id = ?", f.Agent != "", f.Agent)
	add("t.user_id = ? AND t.user_id <> ''", f.User != "", f.User)
	add("t.parent_id = ? AND t.parent_id <> ''", f.Parent != "", f.Parent)
	add("t.triggering_agent_id = ?", f.Trigger != "", f.Trigger)
	add("t.status = ?", f.Status != "", f.Status)
	add("t.internal_status = ?", f.InternalStatus != "", f.InternalStatus)
	add("t.created_at >= ?", f.From != 0, f.From)
	add("t.created_at < ?", f.To != 0, f.To)
	return strings.Join(parts, " AND "), args
}

// texts reads one text column.
func texts(ctx context.Context, q querier, query string, args ...any) ([]string, error) {
	var found []string
	err := each(ctx, q, query, args, func(rows rowScanner) error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		found = append(found, text)
		return nil
	})
	return found, err
}

// Secret implements lifecycle.Store.
func (s *Store) Secret(ctx context.Context, org string, of lifecycle.SecretOf, id string) ([]byte, error) {
	var sealed []byte
	_, err := one(ctx, s, `SELECT sealed FROM secrets WHERE org = ? AND owner = ? AND id = ?`, []any{org, of, id}, &sealed)
	return sealed, err
}

// Organizations implements lifecycle.Store.
func (s *Store) Organizations(ctx context.Context) ([]string, error) {
	return texts(ctx, s, `SELECT id FROM organizations`)
}
