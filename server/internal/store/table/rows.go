package table

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// rowNames is what a row is read from: of a long spec the two ends, in which the
// prompt begins and the tags stand.
var rowNames = "SELECT " + names(new(Row).columns(), "t.") + ", " + names(attemptColumns(new(task.Attempt), new(int64)), "a.") + `,
	CASE WHEN octet_length(u.spec) <= 8192 THEN u.spec ELSE substr(u.spec, 1, 2560) END,
	CASE WHEN octet_length(u.spec) <= 8192 THEN '' WHEN length(u.spec) <= 4096 THEN u.spec ELSE substr(u.spec, length(u.spec) - 4095) END,
	COALESCE(` + resultSize + `, 0), octet_length(t.side), COALESCE(e.by_whom, ''), ` + failure + `,
	CASE WHEN t.subtasks > 0 THEN (SELECT count(*) FROM (SELECT 1 FROM tasks c
		WHERE c.org = t.org AND c.parent_id = t.id AND c.parent_id <> '' AND c.ended = '' LIMIT 1000) counted) ELSE 0 END`

// resultText is what is shown of how a turn u has ended, and resultSize how long that is.
// SQLite reads no text to tell its length only where octet_length is given a column.
const (
	resultText = "COALESCE(u.shown_result, u.result)"
	resultSize = "COALESCE(octet_length(u.shown_result), octet_length(u.result))"
)

// failure is the two ends of the result of a turn that says there why it has failed. Of
// one that is long nothing is read.
var failure = fmt.Sprintf(`CASE WHEN %[1]s THEN substr(%[2]s, 1, 2000) ELSE '' END,
	CASE WHEN %[1]s AND length(%[2]s) > 2000 THEN substr(%[2]s, length(%[2]s) - 1999) ELSE '' END`,
	fmt.Sprintf("t.end_reason IN ('%s', '%s') AND %s <= 65536", task.EndFailed, task.EndWorkerError, resultSize), resultText)

// rowTables is what joins a task t.
const rowTables = ` JOIN turns u ON u.org = t.org AND u.task = t.id AND u.n = t.turn
	LEFT JOIN attempts a ON a.org = t.org AND a.task = t.id AND a.number = t.execution_attempts
	LEFT JOIN events e ON e.org = t.org AND e.task = t.id AND e.seq = t.first_seq`

// Rows implements lifecycle.TaskReader.
func (r *Reader) Rows(ctx context.Context, in auth.Scope, f lifecycle.Filter, p lifecycle.Page) (lifecycle.RowList, error) {
	var found lifecycle.RowList
	var err error
	if found.Total, found.More, err = r.total(ctx, in, f, p); err != nil {
		return found, err
	}
	page, args, err := r.pageOf(ctx, in, f, p)
	if err != nil {
		return found, err
	}
	query := rowNames + " FROM (SELECT t.org, t.id FROM " + page + ") q JOIN tasks t ON t.org = q.org AND t.id = q.id" + rowTables + newestFirst
	var cut bool
	if found.Items, cut, err = r.rows(ctx, query, args); err != nil {
		return found, err
	}
	if n := len(found.Items); n > p.Size || cut {
		found.Items = found.Items[:min(n, p.Size)]
		last := found.Items[len(found.Items)-1].Task
		found.Next = lifecycle.Cursor{CreatedAt: last.CreatedAt, ID: last.ID}
	}
	return found, errors.Join(r.lastWords(ctx, in.Organization, found.Items), r.firstAsked(ctx, in.Organization, found.Items))
}

// Summed implements lifecycle.TaskReader.
func (r *Reader) Summed(ctx context.Context, in auth.Scope, root string, limit int) (sum lifecycle.Sum, more bool, err error) {
	page, args, err := r.pageOf(ctx, in, lifecycle.Filter{Root: root}, lifecycle.Page{Size: limit})
	if err != nil {
		return sum, false, err
	}
	query := "SELECT t.time_used, CASE WHEN octet_length(t.side) <= 65536 THEN t.side ELSE '{}' END FROM (SELECT t.org, t.id FROM " + page + ") q JOIN tasks t ON t.org = q.org AND t.id = q.id"
	err = each(ctx, r.DB, query, args, func(rows Rows) error {
		var used int64
		var text string
		if err := rows.Scan(&used, &text); err != nil {
			return err
		}
		if more = sum.Tasks == limit; more {
			return errEnough
		}
		var x side
		if err := json.Unmarshal([]byte(text), &x); err != nil {
			return err
		}
		sum.Tasks++
		sum.Executed += time.Duration(used) * time.Microsecond
		if k := x.Tokens; k != nil {
			sum.Tokens.Prompt += k.Prompt
			sum.Tokens.Completion += k.Completion
			sum.Tokens.CacheRead += k.CacheRead
			sum.Tokens.CacheWrite += k.CacheWrite
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return sum, false, fmt.Errorf("add up a tree: %w", err)
	}
	return sum, more, nil
}

// RowsOf implements lifecycle.TaskReader.
func (r *Reader) RowsOf(ctx context.Context, in auth.Scope, f lifecycle.Filter, ids []string) ([]lifecycle.Row, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	where, args := conditions(facets(in, f))
	places, names := among(ids)
	found, _, err := r.rows(ctx, rowNames+" FROM tasks t"+rowTables+" WHERE "+where+" AND t.id IN "+places, append(args, names...))
	if err != nil {
		return nil, err
	}
	return found, errors.Join(r.lastWords(ctx, in.Organization, found), r.firstAsked(ctx, in.Organization, found))
}

// rows reads what rowNames name. cut says that there may be more: it ends with the
// row that makes it long.
func (r *Reader) rows(ctx context.Context, query string, args []any) (found []lifecycle.Row, cut bool, err error) {
	size := 0
	err = each(ctx, r.DB, query, args, func(rows Rows) error {
		x, n, err := readRow(rows)
		if err != nil {
			return err
		}
		found = append(found, x)
		if size += n; size >= maxBytes {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, false, fmt.Errorf("read rows of tasks: %w", err)
	}
	return found, err != nil, r.earlier(ctx, found)
}

// earlier reads the attempts of earlier turns that have not let go, of the few rows that
// have one.
func (r *Reader) earlier(ctx context.Context, rows []lifecycle.Row) error {
	for i := range rows {
		t := &rows[i].Task
		if t.Earlier == nil {
			continue
		}
		earlier, err := ReadAttempt(ctx, r.DB, t.OrganizationID, t.ID, t.Earlier.Number)
		if err != nil {
			return err
		}
		if t.Earlier = earlier; !earlier.Attached() {
			t.Earlier = nil
		}
	}
	return nil
}

// readRow reads one row, and how much it holds in memory.
func readRow(rows Rows) (x lifecycle.Row, size int, err error) {
	var (
		row              Row
		run              task.Attempt
		lease            int64
		head, tail       string
		begin, end       string
		current, earlier *task.Attempt
	)
	if err := scan(rows, append(row.columns(), attemptColumns(&run, &lease)...),
		&head, &tail, &x.ResultBytes, &size, &x.CreatedBy, &begin, &end, &x.OpenChildren); err != nil {
		return x, 0, err
	}
	if run.Number > 0 {
		current = &run
	}
	if row.earlier > 0 { // Reader.earlier reads the rest
		earlier = &task.Attempt{Number: row.earlier}
	}
	if x.Task, err = row.Restore(current, earlier, nil); err != nil {
		return x, 0, err
	}
	x.Prompt, x.Tags = asked(head, tail)
	x.Failure = failureIn(begin, end)
	return x, size + len(x.Prompt), nil
}

// asked is the beginning of the prompt and the tags in a spec, of which there are the
// ends if it is long: package task writes the prompt first and the tags last.
func asked(head, tail string) (prompt string, tags []string) {
	const text, label = `"input":{"text":"`, `,"tags":`
	if tail == "" {
		tail = head
	}
	if _, rest, ok := strings.Cut(head, text); ok {
		prompt = firstWords(rest, lifecycle.RowPrompt)
	}
	if at := strings.LastIndex(tail, label); at >= 0 {
		_ = json.NewDecoder(strings.NewReader(tail[at+len(label):])).Decode(&tags) // what is none is none
	}
	return prompt, tags
}

// failureIn is the line of a result that says why a task has failed: the first, or of a
// Python traceback the last. There are the ends of the result if it is long.
func failureIn(begin, end string) string {
	const trace = "Traceback (most recent call last):"
	line, more, _ := strings.Cut(strings.TrimSpace(begin), "\n")
	if before, _, is := strings.Cut(line, trace); is && more != "" {
		last := strings.TrimSpace(cmp.Or(end, more))
		at := strings.LastIndexByte(last, '\n')
		if end != "" && at < 0 { // where that line begins was not read
			before += "…"
		}
		line = before + last[at+1:]
	}
	if all := []rune(line); len(all) > lifecycle.RowFailure {
		line = string(all[:lifecycle.RowFailure])
	}
	return strings.TrimSpace(line)
}

// firstWords are the first so many code points of a JSON text, whose end may be cut off.
func firstWords(raw string, limit int) string {
	var words strings.Builder
	for n := 0; raw != "" && raw[0] != '"' && n < limit; n++ {
		size := pointSize(raw)
		if size > len(raw) {
			break
		}
		var one string
		if json.Unmarshal([]byte(`"`+raw[:size]+`"`), &one) != nil {
			break
		}
		words.WriteString(one)
		raw = raw[size:]
	}
	return words.String()
}

// pointSize is how many bytes the first code point of a JSON text takes.
func pointSize(raw string) int {
	switch {
	case strings.HasPrefix(raw, `\u`) && len(raw) >= 12 && raw[6] == '\\' && strings.ContainsRune("dD", rune(raw[2])) && strings.ContainsRune("89abAB", rune(raw[3])):
		return 12 // a pair
	case strings.HasPrefix(raw, `\u`):
		return 6
	case raw[0] == '\\':
		return 2
	}
	_, size := utf8.DecodeRuneInString(raw)
	return size
}

const (
	// lastEvents is how far from the end of a log its last words are looked for.
	lastEvents = 40
	// longWords are passed over: chunks are short.
	longWords = 4096
)

// lastWords says in rows what turns that have not ended have said last.
func (r *Reader) lastWords(ctx context.Context, org string, rows []lifecycle.Row) error {
	said := map[string]*lifecycle.Row{}
	var ids []string
	for i := range rows {
		if t := &rows[i].Task; t.Ended() == "" && t.LastSeq > t.FirstSeq+1 {
			said[t.ID] = &rows[i]
			ids = append(ids, t.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	places, args := among(ids)
	query := "SELECT " + logColumns + `, e.task FROM tasks t JOIN events e ON e.org = t.org AND e.task = t.id AND e.seq > t.last_seq - ? AND e.seq > t.first_seq
		WHERE t.org = ? AND t.id IN ` + places + " AND e.type = 'chunk' AND octet_length(e.own) <= ? ORDER BY e.task, e.seq"
	err := each(ctx, r.DB, query, slices.Concat([]any{lastEvents, org}, args, []any{longWords}), func(found Rows) error {
		var id string
		var row logRow
		if err := row.scan(found, &id); err != nil {
			return err
		}
		events, err := row.events(0)
		if err != nil {
			return err
		}
		for _, e := range events[max(0, len(events)-lastEvents):] {
			var words string
			if json.Unmarshal(e.Own, &words) == nil {
				said[id].LastText = lastRunes(said[id].LastText+words, lifecycle.RowText)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read last words: %w", err)
	}
	return nil
}

// lastRunes are the last so many code points of a text.
func lastRunes(text string, limit int) string {
	at := len(text)
	for n := 0; at > 0 && n < limit; n++ {
		_, size := utf8.DecodeLastRuneInString(text[:at])
		at -= size
	}
	return text[at:]
}
