// Package copier copies a record from one database into another, of either kind: row
// by row, as the values that are stored, so that both hold the same texts and bytes.
package copier

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"
	"strings"
	"time"
)

// table is a table that is copied, with its key, in whose order it is read.
type table struct {
	name string
	key  []string
}

// tables are all that make up a record. What is about a database or its servers is not
// copied: the feed's places are a database's own, and the index of words is made anew.
//
//nolint:gochecknoglobals // never changed
var tables = []table{
	{"organizations", []string{"id"}},
	{"keys", []string{"org", "id"}},
	{"sessions", []string{"org", "hash"}},
	{"passes", []string{"org", "task", "id"}},
	{"agents", []string{"org", "id"}},
	{"agent_versions", []string{"org", "id", "version"}},
	{"tasks", []string{"org", "id"}},
	{"tags", []string{"org", "tag", "created_at", "task"}},
	{"turns", []string{"org", "task", "n"}},
	{"attempts", []string{"org", "task", "number"}},
	{"events", []string{"org", "task", "seq"}},
	{"steps", []string{"org", "task", "seq"}},
	{"approvals", []string{"org", "task", "seq"}},
	{"outputs", []string{"org", "task", "seq"}},
	{"given_files", []string{"org", "task", "seq"}},
	{"graves", []string{"org", "task"}},
	{"secrets", []string{"org", "owner", "id"}},
	{"pushes", []string{"org", "task", "turn", "id"}},
	{"webhooks", []string{"org", "id"}},
	{"replays", []string{"org", "route", "key"}},
	{"files", []string{"org", "id"}},
	{"file_owners", []string{"org", "id", "owner", "grp"}},
	{"file_uses", []string{"org", "id", "task"}},
	{"transit", []string{"id"}},
	{"pieces", []string{"id", "n"}},
	{"usage", []string{"org", "kind", "id", "day", "writer"}},
	{"stats", []string{"org", "scope", "span", "at", "agent", "model", "what", "writer"}},
	{"workers", []string{"org", "id", "agent"}},
	{"worker_posts", []string{"org", "worker", "id"}},
	{"nodes", []string{"id"}},
	{"alive", []string{"one"}},
}

// Base is one of the two databases.
type Base struct {
	DB *sql.DB
	// Spell makes the statement of one whose arguments are written ?.
	Spell func(string) string
}

// Progress is how far a copy is.
type Progress struct {
	// Table is what is copied or, when Checked, compared.
	Table   string
	Checked bool
	// Rows of Of are done.
	Rows, Of int64
	// Hash is that of all rows, when they are compared and the same in both.
	Hash string
}

// Report is what a copy has found.
type Report struct {
	Tables int
	Rows   int64
}

const (
	// maxRows, maxBytes and maxArgs bound what is read, and written by one commit.
	maxRows  = 500
	maxBytes = 4 << 20
	maxArgs  = 30_000
	// tellEvery is how often progress is told within a table.
	tellEvery = 2 * time.Second
)

// Empty reports the first table of a database that holds anything, "" for none.
func Empty(ctx context.Context, b *Base) (string, error) {
	for _, t := range tables {
		if t.name == "alive" { // its row is always there
			continue
		}
		n, err := b.count(ctx, t)
		if err != nil || n > 0 {
			return t.name, err
		}
	}
	return "", nil
}

// Copy makes what is stored in a database that of another. What an earlier copy has
// brought there already is compared and left, so that one that was interrupted goes on,
// even if the first database has changed in between. In the end all is read once more
// from both, and counts and hashes are compared.
func Copy(ctx context.Context, from, to *Base, tell func(Progress)) (r Report, err error) {
	for _, t := range tables {
		if err := copyTable(ctx, from, to, t, tell); err != nil {
			return r, fmt.Errorf("copy the table %s: %w", t.name, err)
		}
	}
	for _, t := range tables {
		n, err := compare(ctx, from, to, t, tell)
		if err != nil {
			return r, fmt.Errorf("compare the table %s: %w", t.name, err)
		}
		r.Tables, r.Rows = r.Tables+1, r.Rows+n
	}
	return r, nil
}

func copyTable(ctx context.Context, from, to *Base, t table, tell func(Progress)) error {
	names, err := sameColumns(ctx, from, to, t)
	if err != nil {
		return err
	}
	reading, err := from.read(ctx, t, names, tell)
	if err != nil {
		return err
	}
	for last := []any(nil); ; {
		rows, err := reading.next(ctx)
		if err != nil {
			return err
		}
		upTo := []any(nil) // behind the last row nothing may stand
		if len(rows) > 0 {
			upTo = reading.after
		}
		if err := to.make(ctx, t, names, rows, last, upTo); err != nil || len(rows) == 0 {
			return err
		}
		last = upTo
	}
}

// sameColumns are the columns of a table, which both databases have.
func sameColumns(ctx context.Context, from, to *Base, t table) ([]string, error) {
	names, err := from.columns(ctx, t)
	if err != nil {
		return nil, err
	}
	others, err := to.columns(ctx, t)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(others))) {
		return nil, errors.New("its columns are not the same in both databases")
	}
	return names, nil
}

// compare reads a table in both databases and returns how many rows it has.
func compare(ctx context.Context, from, to *Base, t table, tell func(Progress)) (int64, error) {
	names, err := from.columns(ctx, t)
	if err != nil {
		return 0, err
	}
	var counts [2]int64
	var hashes [2]hash.Hash
	for i, b := range []*Base{from, to} {
		hashes[i] = sha256.New()
		r, err := b.read(ctx, t, names, func(p Progress) {
			p.Checked = true
			tell(p)
		})
		if err != nil {
			return 0, err
		}
		for {
			rows, err := r.next(ctx)
			if err != nil {
				return 0, err
			}
			if len(rows) == 0 {
				break
			}
			counts[i] += int64(len(rows))
			hashes[i].Write(encode(rows))
		}
	}
	sums := [2]string{hex.EncodeToString(hashes[0].Sum(nil)), hex.EncodeToString(hashes[1].Sum(nil))}
	if counts[0] != counts[1] || sums[0] != sums[1] {
		return 0, fmt.Errorf("the copy differs: %d rows of hash %.12s became %d of %.12s; copy again when nobody writes to either", counts[0], sums[0], counts[1], sums[1])
	}
	tell(Progress{Table: t.name, Checked: true, Rows: counts[0], Of: counts[0], Hash: sums[0]})
	return counts[0], nil
}

// rows tells what a query finds, each row as the values of its columns.
func (b *Base) rows(ctx context.Context, query string, args ...any) (found [][]any, err error) {
	got, err := b.DB.QueryContext(ctx, b.Spell(query), args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, got.Close()) }()
	names, err := got.Columns()
	if err != nil {
		return nil, err
	}
	for size := 0; size < maxBytes && got.Next(); {
		row, into := make([]any, len(names)), make([]any, len(names))
		for i := range row {
			into[i] = &row[i]
		}
		if err := got.Scan(into...); err != nil {
			return nil, err
		}
		for i, x := range row {
			if blob, yes := x.([]byte); yes && blob == nil { // so SQLite's driver tells an empty one, and PostgreSQL's takes it for NULL
				row[i] = []byte{}
			}
			size += length(x)
		}
		found = append(found, row)
	}
	return found, got.Err()
}

func length(value any) int {
	switch x := value.(type) {
	case string:
		return len(x)
	case []byte:
		return len(x)
	}
	return 8
}

func (b *Base) count(ctx context.Context, t table) (n int64, err error) {
	err = b.DB.QueryRowContext(ctx, "SELECT count(*) FROM "+quoted(t.name)).Scan(&n)
	return n, err
}

func (b *Base) columns(ctx context.Context, t table) ([]string, error) {
	got, err := b.DB.QueryContext(ctx, "SELECT * FROM "+quoted(t.name)+" LIMIT 0") //nolint:gosec // a table of ours
	if err != nil {
		return nil, err
	}
	defer got.Close() //nolint:errcheck // Err tells what went wrong
	names, err := got.Columns()
	return names, errors.Join(err, got.Err())
}

// reading is a table that is read in the order of its key.
type reading struct {
	b     *Base
	t     table
	names []string
	at    []int // where the key's columns are
	after []any // the key of the last row that was read
	limit int
	done  Progress
	told  time.Time
	tell  func(Progress)
}

func (b *Base) read(ctx context.Context, t table, names []string, tell func(Progress)) (*reading, error) {
	r := &reading{b: b, t: t, names: names, limit: maxRows, done: Progress{Table: t.name}, told: time.Now(), tell: tell}
	for _, k := range t.key {
		r.at = append(r.at, slices.Index(names, k))
	}
	var err error
	r.done.Of, err = b.count(ctx, t)
	return r, err
}

// next reads on; no rows are the end.
func (r *reading) next(ctx context.Context) ([][]any, error) {
	query := "SELECT " + list(r.names) + " FROM " + quoted(r.t.name)
	if r.after != nil {
		query += " WHERE (" + list(r.t.key) + ") > " + places(len(r.t.key))
	}
	query += fmt.Sprintf(" ORDER BY %s LIMIT %d", list(r.t.key), r.limit)
	rows, err := r.b.rows(ctx, query, r.after...)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	r.limit = min(maxRows, 2*len(rows)) // what is too long to be taken was read in vain
	last := rows[len(rows)-1]
	r.after = nil
	for _, i := range r.at {
		r.after = append(r.after, last[i])
	}
	r.done.Rows += int64(len(rows))
	if time.Since(r.told) >= tellEvery {
		r.told = time.Now()
		r.tell(r.done)
	}
	return rows, nil
}

// make lets a table have certain rows, and no others, behind one key up to another; nil is
// the beginning, or the end. It writes only if it is not so already.
func (b *Base) make(ctx context.Context, t table, names []string, rows [][]any, after, upTo []any) error {
	var bounds []string
	if after != nil {
		bounds = append(bounds, "("+list(t.key)+") > "+places(len(t.key)))
	}
	if upTo != nil {
		bounds = append(bounds, "("+list(t.key)+") <= "+places(len(t.key)))
	}
	where, keys := "", slices.Concat(after, upTo)
	if len(bounds) > 0 {
		where = " WHERE " + strings.Join(bounds, " AND ")
	}
	there, err := b.rows(ctx, fmt.Sprintf("SELECT %s FROM %s%s ORDER BY %s LIMIT %d", list(names), quoted(t.name), where, list(t.key), len(rows)+1), keys...)
	if err != nil || bytes.Equal(encode(there), encode(rows)) {
		return err
	}
	tx, err := b.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it is committed if all went well
	if len(there) > 0 {
		if _, err := tx.ExecContext(ctx, b.Spell("DELETE FROM "+quoted(t.name)+where), keys...); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(rows, maxArgs/len(names)) {
		insert := "INSERT INTO " + quoted(t.name) + " (" + list(names) + ") VALUES " + strings.TrimSuffix(strings.Repeat(places(len(names))+", ", len(part)), ", ")
		if _, err := tx.ExecContext(ctx, b.Spell(insert), slices.Concat(part...)...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// encode is a form of rows that differs if any value does.
func encode(rows [][]any) []byte {
	var into []byte
	for _, row := range rows {
		for _, value := range row {
			switch x := value.(type) {
			case nil:
				into = append(into, 'n')
			case int64:
				into = binary.BigEndian.AppendUint64(append(into, 'i'), uint64(x)) //nolint:gosec // its bits
			case float64:
				into = binary.BigEndian.AppendUint64(append(into, 'f'), math.Float64bits(x))
			case string:
				into = append(binary.BigEndian.AppendUint64(append(into, 't'), uint64(len(x))), x...)
			case []byte:
				into = append(binary.BigEndian.AppendUint64(append(into, 'b'), uint64(len(x))), x...)
			default:
				into = fmt.Appendf(into, "%T %v;", x, x)
			}
		}
	}
	return into
}

func quoted(name string) string { return `"` + name + `"` }

func list(names []string) string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = quoted(n)
	}
	return strings.Join(all, ", ")
}

func places(n int) string { return "(" + strings.TrimSuffix(strings.Repeat("?, ", n), ", ") + ")" }
