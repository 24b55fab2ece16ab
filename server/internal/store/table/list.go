package table

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// Reader answers what can be read beside the commits. It is safe for concurrent
// use if its DB is.
type Reader struct {
	DB DB
	// Clock is the store's clock.
	Clock func() task.Stamp
	// Words is how the store spells words.
	Words Words
}

// Now implements lifecycle.TaskReader.
func (r *Reader) Now() task.Stamp { return r.Clock() }

// Task implements lifecycle.TaskReader.
func (r *Reader) Task(ctx context.Context, in auth.Scope, id string) (lifecycle.Snapshot, error) {
	var found lifecycle.Snapshot
	var err error
	found.Task, _, err = ReadTask(ctx, r.DB, in, id, &found.Spec)
	return found, err
}

// maxBytes bounds what one read of rows that may be long holds in memory: it ends
// with the row that reaches it.
const maxBytes = 1 << 20

// Events implements lifecycle.TaskReader.
func (r *Reader) Events(ctx context.Context, org, id string, after int64, limit int, types ...task.Type) ([]task.Event, error) {
	return r.events(ctx, "u.spec", "u.result", org, id, after, limit, types)
}

// Outline implements lifecycle.TaskReader.
func (r *Reader) Outline(ctx context.Context, org, id string, after int64, limit int, types ...task.Type) ([]task.Event, error) {
	return r.events(ctx, "u.spec", fmt.Sprintf("substr(u.result, 1, %d)", lifecycle.OutlineResult), org, id, after, limit, types)
}

// Bare implements deliver.Store.
func (r *Reader) Bare(ctx context.Context, org, id string, after int64, limit int, types ...task.Type) ([]task.Event, error) {
	return r.events(ctx, "NULL", "NULL", org, id, after, limit, types)
}

// events reads a log, and of specs and results this SQL.
func (r *Reader) events(ctx context.Context, spec, result, org, id string, after int64, limit int, types []task.Type) ([]task.Event, error) {
	var found []task.Event
	size := 0
	where, args := "e.org = ? AND e.task = ? AND e.seq > ?", []any{org, id, after}
	if len(types) > 0 {
		where += " AND e.type IN (?" + strings.Repeat(", ?", len(types)-1) + ")"
		for _, t := range types {
			args = append(args, string(t))
		}
	}
	err := each(ctx, r.DB, "SELECT "+logColumns+`,
			CASE e.type WHEN 'task_created' THEN `+spec+` END, CASE e.type WHEN 'task_finished' THEN `+result+` END
		FROM events e LEFT JOIN turns u ON e.type IN ('task_created', 'task_finished')
			AND u.org = e.org AND u.task = e.task AND u.n = e.turn
		WHERE `+where+" ORDER BY e.seq LIMIT ?", append(args, limit), func(rows Rows) error {
		var row logRow
		var spec, result *string
		if err := row.scan(rows, &spec, &result); err != nil {
			return err
		}
		var err error
		switch e := &row.last; {
		case spec != nil:
			e.Kept = json.RawMessage(*spec)
		case e.Type == task.TaskFinished:
			if e.Kept, err = task.KeptResult(result); err != nil {
				return err
			}
		}
		events, err := row.events(after)
		if err != nil {
			return err
		}
		for _, e := range events {
			found = append(found, e)
			if size += len(e.Own) + len(e.Kept); size >= maxBytes || len(found) == limit {
				return errEnough
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return found, nil
}

// BeganAt implements lifecycle.TaskReader.
func (r *Reader) BeganAt(ctx context.Context, org, id string, at task.Stamp) (turn int, first int64, err error) {
	_, err = one(ctx, r.DB, `SELECT u.n, u.first_seq FROM turns u JOIN events e ON e.org = u.org AND e.task = u.task AND e.seq = u.first_seq
		WHERE u.org = ? AND u.task = ? AND e.time = ? ORDER BY u.n DESC LIMIT 1`, []any{org, id, int64(at)}, &turn, &first)
	return turn, first, err
}

// errEnough ends the reading of rows that hold as many bytes as they may.
var errEnough = errors.New("enough")

// Turns implements lifecycle.TaskReader.
func (r *Reader) Turns(ctx context.Context, org, id string, after, limit int) ([]lifecycle.Turn, error) {
	var found []lifecycle.Turn
	size := 0
	err := each(ctx, r.DB, `SELECT u.n, u.first_seq, e.time, u.finished_at, u.spec, COALESCE(u.shown_result, u.result), u.tokens
		FROM turns u JOIN events e ON e.org = u.org AND e.task = u.task AND e.seq = u.first_seq
		WHERE u.org = ? AND u.task = ? AND u.n > ? ORDER BY u.n LIMIT ?`, []any{org, id, after, limit}, func(rows Rows) error {
		var x lifecycle.Turn
		var spec string
		var tokens *string
		if err := rows.Scan(&x.Number, &x.FirstSeq, &x.CreatedAt, &x.FinishedAt, &spec, &x.Result, &tokens); err != nil {
			return err
		}
		var asked struct {
			Input struct {
				Text *string `json:"text"`
			} `json:"input"`
			ToolResults []struct{} `json:"tool_results"`
		}
		if err := json.Unmarshal([]byte(spec), &asked); err != nil {
			return err
		}
		x.Prompt, x.Answers = asked.Input.Text, len(asked.ToolResults) > 0
		if tokens != nil {
			if err := json.Unmarshal([]byte(*tokens), &x.Tokens); err != nil {
				return err
			}
		}
		if found = append(found, x); x.Result != nil {
			size += len(*x.Result)
		}
		if size += len(spec); size >= maxBytes {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("read turns: %w", err)
	}
	return found, nil
}

// Tasks implements lifecycle.TaskReader.
func (r *Reader) Tasks(ctx context.Context, in auth.Scope, f lifecycle.Filter, p lifecycle.Page) (lifecycle.List, error) {
	var found lifecycle.List
	var err error
	if found.Total, found.More, err = r.total(ctx, in, f, p); err != nil {
		return found, err
	}
	page, args, err := r.pageOf(ctx, in, f, p)
	if err != nil {
		return lifecycle.List{}, err
	}
	query := `SELECT t.id, t.agent_id, t.org, t.status, t.user_id, t.parent_id, COALESCE(t.triggering_agent_id, ''),
			t.source, t.owner, t.grp, CASE WHEN octet_length(t.title) <= 65536 THEN t.title END, t.internal_status, t.created_at, t.updated_at,
			(SELECT CASE WHEN ` + resultSize + ` <= 65536 THEN ` + resultText + ` END
				FROM turns u WHERE u.org = t.org AND u.task = t.id AND u.n = t.turn)
		FROM ` + page
	err = each(ctx, r.DB, query, args, func(rows Rows) error {
		var x lifecycle.Listed
		if err := rows.Scan(&x.ID, &x.AgentID, &x.OrganizationID, &x.Status, &x.UserID, &x.ParentID,
			&x.TriggeringAgentID, &x.Source, &x.Owner, &x.Group, &x.Title, &x.InternalStatus, &x.CreatedAt, &x.UpdatedAt, &x.Result); err != nil {
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

// total counts for a page that asks for it.
func (r *Reader) total(ctx context.Context, in auth.Scope, f lifecycle.Filter, p lifecycle.Page) (n int, more bool, err error) {
	if !p.Count {
		return 0, false, nil
	}
	return r.Count(ctx, in, f)
}

// newestFirst is the order of lists.
const newestFirst = " ORDER BY t.created_at DESC, t.id DESC"

// pageOf is the tasks t of a page, one more than it holds, in their order: what stands
// behind FROM, with its arguments.
func (r *Reader) pageOf(ctx context.Context, in auth.Scope, f lifecycle.Filter, p lifecycle.Page) (string, []any, error) {
	offset := 0
	if p.Cursor == (lifecycle.Cursor{}) {
		offset = (max(p.Number, 1)-1)*p.Size + p.Skip
	}
	walks, err := r.walksOf(ctx, in, f)
	if err != nil {
		return "", nil, err
	}
	for i := range walks {
		walks[i].behind(p.Cursor)
	}
	if w := walks[0]; len(walks) == 1 && !w.tagged {
		return w.from() + newestFirst + " LIMIT ? OFFSET ?", append(w.args, p.Size+1, offset), nil
	}
	union, args := joined(walks, offset+p.Size+1)
	return "(SELECT * FROM (" + union + ") t" + newestFirst + " LIMIT ? OFFSET ?) p JOIN tasks t ON t.org = p.org AND t.id = p.id" + newestFirst,
		append(args, p.Size+1, offset), nil
}

// joined is what walks find in their order, each at most limit: the columns of a
// place in a list.
func joined(walks []walk, limit int) (string, []any) {
	var parts []string
	var args []any
	for i, w := range walks {
		parts = append(parts, fmt.Sprintf("SELECT * FROM (SELECT t.org, t.created_at, t.id FROM %s%s LIMIT ?) walk_%d", w.from(), w.order(), i))
		args = append(append(args, w.args...), limit)
	}
	return strings.Join(parts, " UNION ALL "), args
}

// Matching implements lifecycle.TaskReader.
func (r *Reader) Matching(ctx context.Context, in auth.Scope, f lifecycle.Filter, ids []string) ([]string, error) {
	where, args := conditions(facets(in, f))
	places, names := among(ids)
	found, err := texts(ctx, r.DB, "SELECT t.id FROM tasks t WHERE "+where+" AND t.id IN "+places, append(args, names...)...)
	if err != nil {
		return nil, fmt.Errorf("match tasks: %w", err)
	}
	return found, nil
}

// Count implements lifecycle.TaskReader.
func (r *Reader) Count(ctx context.Context, in auth.Scope, f lifecycle.Filter) (n int, more bool, err error) {
	walks, err := r.walksOf(ctx, in, f)
	if err != nil {
		return 0, false, err
	}
	for _, w := range walks {
		limit := lifecycle.MaxCount
		if w.rest != "" {
			limit = lifecycle.MaxLooked
		}
		query, args := w.counted(limit + 1)
		var looked, hits int
		if _, err := one(ctx, r.DB, query, args, &looked, &hits); err != nil {
			return 0, false, fmt.Errorf("count tasks: %w", err)
		}
		n, more = n+hits, more || looked > limit
	}
	return min(n, lifecycle.MaxCount), more || n > lifecycle.MaxCount, nil
}

// NextDeadline implements lifecycle.TaskReader.
func (r *Reader) NextDeadline(ctx context.Context, in auth.Scope, f lifecycle.Filter) (task.Stamp, error) {
	f.Asks = true
	where, args := conditions(facets(in, f))
	var next *task.Stamp
	_, err := one(ctx, r.DB, "SELECT min(t.asked_until) FROM tasks t INDEXED BY tasks_asks WHERE "+where+" AND t.asked_until > 0", args, &next)
	if err != nil || next == nil {
		return 0, err
	}
	return *next, nil
}

// CountOpen implements lifecycle.TaskReader.
func (r *Reader) CountOpen(ctx context.Context, in auth.Scope, f lifecycle.Filter) (int, error) {
	walks, err := r.walksOf(ctx, in, f)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, w := range walks {
		w.where += " AND t.ended = ''"
		// In the list's order, so that it walks the list's index.
		n, err := count(ctx, r.DB, "SELECT count(*) FROM (SELECT 1 FROM "+w.from()+w.order()+" LIMIT 1000000000) counted", w.args...)
		if err != nil {
			return 0, fmt.Errorf("count open tasks: %w", err)
		}
		total += n
	}
	return total, nil
}

// CountBelow implements lifecycle.TaskReader.
func (r *Reader) CountBelow(ctx context.Context, in auth.Scope, f lifecycle.Filter, tops, limit int) (int, error) {
	walks, err := r.walksOf(ctx, in, f)
	if err != nil {
		return 0, err
	}
	for i := range walks {
		walks[i].where += " AND t.ended = '' AND t.subtasks > 0"
	}
	top, args := joined(walks, tops)
	where, more := conditions(facets(in, f))
	n, err := count(ctx, r.DB, `WITH RECURSIVE below (id) AS (
			SELECT c.id FROM (`+top+`) top JOIN tasks c ON c.org = top.org AND c.parent_id = top.id AND c.parent_id <> '' AND (c.ended = '' OR c.subtasks > 0)
			UNION
			SELECT c.id FROM below JOIN tasks c ON c.org = ? AND c.parent_id = below.id AND c.parent_id <> '' AND (c.ended = '' OR c.subtasks > 0)
		) SELECT count(*) FROM (SELECT 1 FROM below JOIN tasks t ON t.org = ? AND t.id = below.id
			WHERE t.ended = '' AND CASE WHEN `+where+` THEN 0 ELSE 1 END = 1 LIMIT ?) counted`,
		slices.Concat(args, []any{in.Organization, in.Organization}, more, []any{limit})...)
	if err != nil {
		return 0, fmt.Errorf("count sub-tasks: %w", err)
	}
	return n, nil
}

// Open implements lifecycle.TaskReader.
func (r *Reader) Open(ctx context.Context, in auth.Scope, f lifecycle.Filter, behind lifecycle.Cursor, limit int) ([]lifecycle.Cursor, error) {
	walks, err := r.walksOf(ctx, in, f)
	if err != nil {
		return nil, err
	}
	for i := range walks {
		walks[i].behind(behind)
		walks[i].where += " AND t.ended = ''"
	}
	w := walks[0]
	query, args := "SELECT t.created_at, t.id FROM "+w.from()+w.order()+" LIMIT ?", append(w.args, limit)
	if len(walks) > 1 {
		query, args = joined(walks, limit)
		query, args = "SELECT t.created_at, t.id FROM ("+query+") t"+newestFirst+" LIMIT ?", append(args, limit)
	}
	var found []lifecycle.Cursor
	err = each(ctx, r.DB, query, args, func(rows Rows) error {
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

// walk is a condition on tasks t that is looked for along one index, in the order of
// lists.
type walk struct {
	// index is its name for SQLite, "" for the one that it takes by itself.
	index string
	// tagged walks go along the tags g.
	tagged bool
	where  string
	args   []any
	// along is the part of where that the index finds, if there is more to look at in
	// each task: rest.
	along, rest string
	alongArgs   []any
	restArgs    []any
}

// counted counts what the walk finds, among the first so many tasks that it looks at:
// how many these are, and how many of them match. It asks in the list's order, for
// without SQLite may walk all of an organization instead.
func (w *walk) counted(limit int) (string, []any) {
	if w.rest == "" {
		return fmt.Sprintf("SELECT count(*), count(*) FROM (SELECT 1 FROM %s%s LIMIT %d) counted", w.from(), w.order(), limit), w.args
	}
	x := *w
	x.where = w.along
	return fmt.Sprintf("SELECT count(*), COALESCE(sum(hit), 0) FROM (SELECT CASE WHEN %s THEN 1 ELSE 0 END AS hit FROM %s%s LIMIT %d) counted", w.rest, x.from(), x.order(), limit),
		slices.Concat(w.restArgs, w.alongArgs)
}

// from is what stands behind FROM.
func (w *walk) from() string {
	if w.tagged {
		return "tags g JOIN tasks t ON t.org = g.org AND t.id = g.task WHERE " + w.where
	}
	if w.index != "" {
		return "tasks t INDEXED BY " + w.index + " WHERE " + w.where
	}
	return "tasks t WHERE " + w.where
}

// order is the order of lists, as the walk's index has it.
func (w *walk) order() string {
	if w.tagged {
		return " ORDER BY g.created_at DESC, g.task DESC"
	}
	return newestFirst
}

// behind leaves out what does not stand behind a cursor.
func (w *walk) behind(c lifecycle.Cursor) {
	if c == (lifecycle.Cursor{}) {
		return
	}
	w.args = append(w.args, c.CreatedAt, c.ID)
	if w.tagged {
		w.where += " AND (g.created_at, g.task) < (?, ?)"
		return
	}
	w.where += " AND (t.created_at, t.id) < (?, ?)"
}

// walksOf is a filter in SQL: a walk for each of several values, of which no index has
// all in one order, and one for the root of a tree, which no index of trees has.
func (r *Reader) walksOf(ctx context.Context, in auth.Scope, f lifecycle.Filter) ([]walk, error) {
	probes := probes{}
	var walks []walk
	for _, f := range singly(f) {
		parts := facets(in, f)
		if f.Root == "" {
			w, err := r.walkOf(ctx, in, parts, probes)
			if err != nil {
				return nil, err
			}
			walks = append(walks, w)
			continue
		}
		below := slices.Clone(parts)
		tree := slices.IndexFunc(below, func(p facet) bool { return p.index == treeIndex })
		below[tree].where += " AND t.depth > 0" // it holds no roots
		w, err := r.walkOf(ctx, in, below, probes)
		if err != nil {
			return nil, err
		}
		where, args := conditions(append(parts, facet{where: "t.depth = 0 AND t.id = ?", args: []any{f.Root}}))
		walks = append(walks, w, walk{where: where, args: args})
	}
	return walks, nil
}

// singly is a filter as several that have one status, and one way to stand, each.
func singly(f lifecycle.Filter) []lifecycle.Filter {
	var each []lifecycle.Filter
	statuses := f.Status.List()
	if len(statuses) == 0 {
		statuses = []task.Status{""}
	}
	for _, status := range statuses {
		if one := f; f.Stands == nil || len(f.Stands.As) < 2 {
			one.Status = lifecycle.Among(status)
			each = append(each, one)
			continue
		}
		for _, as := range f.Stands.As {
			one, stands := f, *f.Stands
			stands.As = []task.Standing{as}
			one.Status, one.Stands = lifecycle.Among(status), &stands
			each = append(each, one)
		}
	}
	return each
}

// facet is a part of a condition on tasks t.
type facet struct {
	where string
	args  []any
	// index finds it in the order of lists; "" is none that is worth it.
	index string
	// tag is for what stands in the tags, instead of an index.
	tag string
	// every says that every index has it.
	every bool
}

// conditions are parts that all hold.
func conditions(parts []facet) (string, []any) {
	texts, args := make([]string, len(parts)), []any(nil)
	for i, p := range parts {
		texts[i] = p.where
		args = append(args, p.args...)
	}
	return strings.Join(texts, " AND "), args
}

// treeIndex holds what is below a root.
const treeIndex = "tasks_root"

// facets is a filter in SQL. Each single filter matches an index.
func facets(in auth.Scope, f lifecycle.Filter) []facet {
	parts := []facet{{where: "t.org = ?", args: []any{in.Organization}, every: true}}
	add := func(index, where string, wanted bool, args ...any) {
		if wanted {
			parts = append(parts, facet{where: where, args: args, index: index})
		}
	}
	add("tasks_owner", "t.owner = ? AND t.scoped = 1", in.Owner != "", in.Owner)
	add("tasks_group", "t.grp = ? AND t.grp <> ''", in.Group != "", in.Group)
	add("tasks_agent", "t.agent_id = ?", f.Agent != "", f.Agent)
	add("tasks_user", "t.user_id = ? AND t.user_id <> ''", f.User != "", f.User)
	add("tasks_parent", "t.parent_id = ? AND t.parent_id <> ''", f.Parent != "", f.Parent)
	add("tasks_trigger", "t.triggering_agent_id = ?", f.Trigger != "", f.Trigger)
	if statuses := f.Status.List(); len(statuses) > 0 {
		places, names := among(statuses)
		add("", "t.status IN "+places, len(statuses) > 1, names...)
		add("tasks_status", "t.status = ?", len(statuses) == 1, names...)
	}
	add("tasks_note", "t.internal_status = ?", f.InternalStatus != "", f.InternalStatus)
	add("tasks_worker", "t.worker_id = ?", f.Worker != "", f.Worker)
	add("tasks_status", "t.status = ?", f.EndReason == task.EndCompleted, string(task.Completed))
	add("tasks_reason", "t.end_reason = ? AND t.end_reason NOT IN ('', 'completed')", f.EndReason != "" && f.EndReason != task.EndCompleted, string(f.EndReason))
	add(treeIndex, "t.root_id = ?", f.Root != "", f.Root)
	add("tasks_roots", "t.parent_id = ''", f.Roots)
	add("tasks_asks", "t.asks = 1", f.Asks)
	if f.Tag != "" {
		parts = append(parts, facet{
			where: "EXISTS (SELECT 1 FROM tags g WHERE g.org = t.org AND g.tag = ? AND g.created_at = t.created_at AND g.task = t.id)",
			args:  []any{f.Tag}, tag: f.Tag,
		})
	}
	parts = append(parts, stands(f.Stands)...)
	if f.Only != nil {
		places, names := among(append([]string{""}, *f.Only...)) // no task is called so
		add("", "t.id IN "+places, true, names...)
	}
	for _, bound := range []struct {
		at   task.Stamp
		than string
	}{{f.From, ">="}, {f.To, "<"}} {
		if bound.at != 0 {
			parts = append(parts, facet{where: "t.created_at " + bound.than + " ?", args: []any{bound.at}, every: true})
		}
	}
	return parts
}

// stands is what tasks wait for in SQL.
func stands(s *lifecycle.Stands) []facet {
	if s == nil {
		return nil
	}
	if len(s.As) == 0 || s.Agents != nil && len(s.Agents) == 0 || s.Heads != nil && len(s.Heads) == 0 || s.Pinned && s.Free {
		return []facet{{where: "1 = 0"}}
	}
	places, args := among(s.As)
	parts := []facet{{where: "t.standing IN " + places, args: args}}
	if len(s.As) == 1 {
		parts[0] = facet{where: "t.standing = ? AND t.standing <> ''", args: args, index: "tasks_standing"}
	}
	add := func(where string, wanted bool, args ...any) {
		if wanted {
			parts = append(parts, facet{where: where, args: args})
		}
	}
	of := func(column string, some []string, not, wanted bool) {
		if wanted && len(some) > 0 {
			places, names := among(some)
			add(column+map[bool]string{false: " IN ", true: " NOT IN "}[not]+places, true, names...)
		}
	}
	add("t.ready_at > ?", s.Until != 0, s.Until)
	add("t.ready_at <= ?", s.From != 0, s.From)
	of("t.agent_id", s.Agents, false, true)
	add("t.pin <> ''", s.Pinned)
	of("t.pin", s.Workers, true, s.Pinned)
	of("t.pin", append([]string{""}, s.Workers...), false, s.Free)
	of("t.id", s.Heads, false, true)
	of("t.id", s.NotHeads, true, true)
	return parts
}

// Beginning implements lifecycle.TaskReader. No id has a letter that comes behind those
// between which it looks.
func (r *Reader) Beginning(ctx context.Context, org, prefix string, limit int) ([]string, error) {
	return texts(ctx, r.DB, "SELECT id FROM tasks WHERE org = ? AND id >= ? AND id < ? ORDER BY id LIMIT ?", org, prefix, prefix+"~", limit)
}

// FromOldest implements lifecycle.TaskReader.
func (r *Reader) FromOldest(ctx context.Context, org string, behind lifecycle.Cursor, before task.Stamp, limit int) ([]lifecycle.Aged, error) {
	return readAged(ctx, r.DB, "WHERE org = ? AND (created_at, id) > (?, ?) AND created_at < ? ORDER BY created_at, id LIMIT ?",
		org, int64(behind.CreatedAt), behind.ID, int64(before), limit)
}

func readAged(ctx context.Context, db DB, where string, args ...any) ([]lifecycle.Aged, error) {
	var found []lifecycle.Aged
	err := each(ctx, db, "SELECT id, created_at, agent_id, ended, COALESCE(finished_at, 0), parent_id FROM tasks "+where, args, func(rows Rows) error {
		var x lifecycle.Aged
		var ended task.EndReason
		var parent string
		if err := rows.Scan(&x.ID, &x.CreatedAt, &x.Agent, &ended, &x.At, &parent); err != nil {
			return err
		}
		if ended != "" {
			x.Status = ended.Status()
		}
		x.Top = parent == ""
		found = append(found, x)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at when tasks have ended: %w", err)
	}
	return found, nil
}

// AgedBelow reads what Retain has to know of the tasks below one.
func AgedBelow(ctx context.Context, db DB, org, id string) ([]lifecycle.Aged, error) {
	return readAged(ctx, db, "INDEXED BY tasks_root WHERE org = ? AND root_id = ? AND depth > 0 FOR UPDATE", org, id)
}

// SubTasks implements lifecycle.TaskReader.
func (r *Reader) SubTasks(ctx context.Context, org, id string, until task.Stamp, limit int) ([]string, error) {
	return texts(ctx, r.DB, "SELECT id FROM tasks WHERE org = ? AND parent_id = ? AND parent_id <> '' AND created_at <= ? ORDER BY created_at, id LIMIT ?",
		org, id, until, limit)
}

// Children reads the ids of a task's sub-tasks.
func Children(ctx context.Context, db DB, org, id string, limit int) ([]string, error) {
	return texts(ctx, db, "SELECT id FROM tasks INDEXED BY tasks_parent WHERE org = ? AND parent_id = ? AND parent_id <> '' ORDER BY created_at, id LIMIT ?", org, id, limit)
}

// Below reads the ids of those sub-tasks that a stop has to visit.
func Below(ctx context.Context, db DB, org, id, after string, limit int) ([]string, error) {
	return texts(ctx, db, `SELECT id FROM tasks INDEXED BY tasks_below
		WHERE org = ? AND parent_id = ? AND id > ? AND parent_id <> '' AND (ended = '' OR subtasks > 0) ORDER BY id LIMIT ?`, org, id, after, limit)
}

// Unfinished implements lifecycle.TaskReader.
func (r *Reader) Unfinished(ctx context.Context, org string, limit int) ([]string, error) {
	going, err := texts(ctx, r.DB, "SELECT id FROM tasks INDEXED BY tasks_descending WHERE org = ? AND descending = 1 ORDER BY id LIMIT ?", org, limit)
	if err != nil {
		return nil, fmt.Errorf("read stops under way: %w", err)
	}
	left, err := texts(ctx, r.DB, "SELECT task FROM graves WHERE org = ? ORDER BY task LIMIT ?", org, limit)
	if err != nil {
		return nil, fmt.Errorf("read what was deleted: %w", err)
	}
	return append(going, left...), nil
}

// Unpacked implements lifecycle.TaskReader.
func (r *Reader) Unpacked(ctx context.Context, org string, limit int) ([]string, error) {
	ids, err := texts(ctx, r.DB, "SELECT id FROM tasks INDEXED BY tasks_unpacked WHERE org = ? AND unpacked = 1 ORDER BY id LIMIT ?", org, limit)
	if err != nil {
		return nil, fmt.Errorf("read logs that can be packed: %w", err)
	}
	return ids, nil
}

// TurnEnd reads how a turn ended.
func TurnEnd(ctx context.Context, db DB, org, id string, turn int) (reason task.EndReason, result *string, err error) {
	_, err = one(ctx, db, "SELECT end_reason, result FROM turns WHERE org = ? AND task = ? AND n = ?", []any{org, id, turn}, &reason, &result)
	return reason, result, err
}

// SeqsOfClients reads the numbers of the events of a turn that carry some client_ids,
// at least one.
func SeqsOfClients(ctx context.Context, db DB, org, id string, turn int, clientIDs []string) (map[string]int64, error) {
	var seqs map[string]int64
	note := func(name string, seq int64) {
		if seqs == nil {
			seqs = map[string]int64{}
		}
		seqs[name] = seq
	}
	others, err := seqsOfNumbered(ctx, db, org, id, turn, clientIDs, note)
	if err != nil || len(others) == 0 {
		return seqs, err
	}
	places, names := among(others)
	query := "SELECT client_id, seq FROM events INDEXED BY events_client WHERE org = ? AND task = ? AND turn = ? AND client_id IN " + places
	err = each(ctx, db, query, append([]any{org, id, turn}, names...), func(rows Rows) error {
		var name string
		var seq int64
		err := rows.Scan(&name, &seq)
		note(name, seq)
		return err
	})
	return seqs, err
}

// TopOfClients reads the highest number of the client_ids of a turn that begin like
// this, 0 for none: see task.NumberedID.
func TopOfClients(ctx context.Context, db DB, org, id string, turn int, of string) (top int64, err error) {
	_, err = one(ctx, db, `SELECT client_no FROM events INDEXED BY events_numbered
		WHERE org = ? AND task = ? AND turn = ? AND client_of = ? ORDER BY client_no DESC LIMIT 1`, []any{org, id, turn, of}, &top)
	return top, err
}

// seqsOfNumbered notes the numbers of the events whose client_ids are numbered, and
// returns the other client_ids.
func seqsOfNumbered(ctx context.Context, db DB, org, id string, turn int, clientIDs []string, note func(string, int64)) (others []string, err error) {
	wanted := map[string][]int64{}
	for _, name := range clientIDs {
		if n, ok := task.Numbered(name); ok {
			wanted[n.Of] = append(wanted[n.Of], n.No)
		} else {
			others = append(others, name)
		}
	}
	for of, numbers := range wanted {
		slices.Sort(numbers)
		for begin, end := 0, 0; begin < len(numbers); begin = end {
			for end < len(numbers) && numbers[end] < numbers[begin]+packEvents {
				end++
			}
			if err := seqsOfRange(ctx, db, org, id, turn, of, numbers[begin:end], note); err != nil {
				return nil, err
			}
		}
	}
	return others, nil
}

// seqsOfRange notes those of numbers in their order that are not far apart.
func seqsOfRange(ctx context.Context, db DB, org, id string, turn int, of string, numbers []int64, note func(string, int64)) error {
	low, high := numbers[0], numbers[len(numbers)-1]
	return each(ctx, db, `SELECT client_no, seq, first_seq FROM events INDEXED BY events_numbered
		WHERE org = ? AND task = ? AND turn = ? AND client_of = ? AND client_no >= ? ORDER BY client_no LIMIT ?`,
		[]any{org, id, turn, of, low, high - low + 1}, func(rows Rows) error { // each row has one of them, or is behind all
			var last, seq, first int64
			if err := rows.Scan(&last, &seq, &first); err != nil {
				return err
			}
			if first == 0 {
				first = seq
			}
			for _, no := range numbers {
				if no <= last && no >= last-(seq-first) {
					note(task.NumberedID{Of: of, No: no}.Before(0), seq-(last-no))
				}
			}
			return nil
		})
}
