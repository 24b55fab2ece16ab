package table

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// written is one row that a statement writes.
type written struct {
	sql  string
	args string
	must bool
}

// rows takes statements apart again, by their tables.
func rows(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, ops []Op,
) map[Name][]written {
	t.Helper()
	found := map[Name][]written{}
	for _, op := range ops {
		first, rest, several := strings.Cut(op.SQL, "), (")
		n, each := 1, len(op.Args)
		if several {
			first += ")"
			n, each = 2+strings.Count(rest, "), ("), strings.Count(first, "?")
			if !strings.HasPrefix(op.SQL, "INSERT ") || op.Must {
				t.Fatalf("rows that cannot be inserted together are: %s", op.SQL)
			}
		}
		if n*each != len(op.Args) || n&(n-1) != 0 || n > most {
			t.Fatalf("%d rows of %d values have %d arguments: %s", n, each, len(op.Args), op.SQL)
		}
		for i := range n {
			found[op.In] = append(found[op.In], written{first, fmt.Sprint(op.Args[i*each : (i+1)*each]...), op.Must})
		}
	}
	return found
}

// Of upserts of one row the last one is left, as the others would be overwritten; those of
// different rows go together.
func TestMergeOfUpserts(t *testing.T) {
	t.Parallel()
	put := func(key string, value int) Op {
		return Op{SQL: "INSERT INTO a (x, y) VALUES (?, ?) ON CONFLICT (x) DO UPDATE SET y = excluded.y", Args: []any{key, value}, In: Tasks, Key: 1}
	}
	drop := Op{SQL: "DELETE FROM a WHERE x = ?", Args: []any{"one"}, In: Tasks}
	const both = "INSERT INTO a (x, y) VALUES (?, ?), (?, ?) ON CONFLICT (x) DO UPDATE SET y = excluded.y"
	want := []Op{
		{SQL: both, Args: []any{"two", 2, "one", 3}, In: Tasks},
		drop,
		put("one", 4),
	}
	if d := cmp.Diff(want, Merge([]Op{put("one", 1), put("two", 2), put("one", 3), drop, put("one", 4)})); d != "" {
		t.Errorf("upserts became (-want +got):\n%s", d)
	}
}

// Rows whose keys are numbers are told apart by all of these.
func TestUpsertsOfOtherNumbersAreOthers(t *testing.T) {
	t.Parallel()
	for _, other := range []any{int64(0x110001), int64(0xd800), "\ufffd"} {
		ops := []Op{{Args: []any{int64(0x110000)}, Key: 1}, {Args: []any{other}, Key: 1}}
		if left := lasting(ops); len(left) != 2 {
			t.Errorf("%v is taken for %v", ops[0].Args, ops[1].Args)
		}
	}
}

// Whatever is merged, each table gets the rows that were recorded, in their order,
// and statements become fewer where inserts follow one another.
func TestMergeKeepsTheOrderOfEachTable(t *testing.T) {
	t.Parallel()
	kinds := []Op{
		{SQL: "INSERT INTO a (x, y) VALUES (?, ?)", In: Tasks},
		{SQL: "INSERT INTO b (x) VALUES (?)", In: Events},
		{SQL: "INSERT INTO b (x, y, z) VALUES (?, ?, ?)", In: Events},
		{SQL: "INSERT INTO c (x) VALUES (?) ON CONFLICT (x) DO NOTHING", In: Workers},
		{SQL: "UPDATE a SET x = ? WHERE y = (?)", In: Tasks, Must: true},
		{SQL: "DELETE FROM b WHERE x = ?", In: Events},
		{SQL: "DELETE FROM d", In: Posts},
	}
	rapid.Check(t, func(rt *rapid.T) {
		n := 0
		var ops []Op
		for range rapid.IntRange(0, 12).Draw(rt, "runs") {
			op := rapid.SampledFrom(kinds).Draw(rt, "kind")
			for range rapid.SampledFrom([]int{1, 1, 2, 3, 7, 31, 32, 33, 70}).Draw(rt, "length") {
				own := op
				for range strings.Count(op.SQL, "?") {
					n++
					own.Args = append(own.Args, n)
				}
				ops = append(ops, own)
			}
		}
		before := slices.Clone(ops)
		merged := Merge(ops)
		if d := cmp.Diff(before, ops); d != "" {
			rt.Fatalf("what was recorded has changed:\n%s", d)
		}
		if d := cmp.Diff(rows(rt, ops), rows(rt, merged), cmp.AllowUnexported(written{})); d != "" {
			rt.Fatalf("the merged statements write something else (-want +got):\n%s", d)
		}
		for i := 1; i < len(merged); i++ {
			if merged[i].In < merged[i-1].In {
				rt.Fatalf("statements for one table are not together: %v", merged)
			}
		}
	})
}

func TestMergeMakesFewStatements(t *testing.T) {
	t.Parallel()
	insert := Op{SQL: "INSERT INTO a (x, y) VALUES (?, ?)", Args: []any{1, 2}, In: Tasks}
	other := Op{SQL: "INSERT INTO b (x) VALUES (?)", Args: []any{1}, In: Events}
	for _, c := range []struct {
		ops  []Op
		want int
	}{
		{nil, 0},
		{[]Op{insert}, 1},
		{slices.Repeat([]Op{insert}, 2), 1},
		{slices.Repeat([]Op{insert}, 3), 2}, // of two and of one row
		{slices.Repeat([]Op{insert}, 32), 1},
		{slices.Repeat([]Op{insert}, 64), 2},
		{slices.Repeat([]Op{insert}, 63), 6},
		{slices.Repeat([]Op{insert, other}, 32), 2}, // of different tables, in turn
		{[]Op{insert, {SQL: "DELETE FROM a", In: Tasks}, insert}, 3},
	} {
		merged := Merge(c.ops)
		if len(merged) != c.want {
			t.Errorf("%d statements became %d, want %d", len(c.ops), len(merged), c.want)
		}
	}
	two := Merge(slices.Repeat([]Op{insert}, 2))[0]
	if two.SQL != "INSERT INTO a (x, y) VALUES (?, ?), (?, ?)" || len(two.Args) != 4 || two.In != Tasks {
		t.Errorf("two rows are %+v", two)
	}
}
