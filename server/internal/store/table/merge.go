package table

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// most is how many rows one merged statement inserts. Sizes are powers of two, so
// that few statements need to be prepared.
const most = 32

// Merge puts writes that are to be sent together into fewer statements. Those of
// each table keep their order; tables do not refer to one another.
func Merge(ops []Op) []Op {
	if len(ops) < 2 {
		return ops
	}
	sorted := slices.Clone(ops)
	slices.SortStableFunc(sorted, func(a, b Op) int { return int(a.In) - int(b.In) })
	merged := sorted[:0:0]
	for i := 0; i < len(sorted); {
		n := 1
		for i+n < len(sorted) && sorted[i+n].SQL == sorted[i].SQL {
			n++
		}
		same := sorted[i : i+n]
		i += n
		if !inserts(same[0]) {
			merged = append(merged, same...)
			continue
		}
		for same = lasting(same); len(same) > 0; {
			size := most
			for size > len(same) {
				size /= 2
			}
			merged = append(merged, together(same[:size]))
			same = same[size:]
		}
	}
	return merged
}

// inserts reports whether a statement makes just one row, or overwrites it.
func inserts(op Op) bool {
	return op.Key > 0 || strings.HasPrefix(op.SQL, "INSERT ") && strings.HasSuffix(op.SQL, "?)")
}

// lasting leaves out upserts that a later one overwrites: a statement may write each row
// once.
func lasting(ops []Op) []Op {
	if ops[0].Key == 0 {
		return ops
	}
	last := make(map[string]int, len(ops))
	for i, op := range ops {
		last[op.row()] = i
	}
	left := make([]Op, 0, len(last))
	for i, op := range ops {
		if last[op.row()] == i {
			left = append(left, op)
		}
	}
	return left
}

// row names the row that an upsert writes.
func (op Op) row() string { return fmt.Sprintf("%#v", op.Args[:op.Key]) }

// together makes the rows of several statements in one.
func together(ops []Op) Op {
	if len(ops) == 1 {
		return ops[0]
	}
	op := Op{SQL: widened(ops[0].SQL, len(ops)), Args: make([]any, 0, len(ops)*len(ops[0].Args)), In: ops[0].In}
	for _, x := range ops {
		op.Args = append(op.Args, x.Args...)
	}
	return op
}

// wide are the statements that were widened: few, and used again and again.
var wide sync.Map

// widened is a statement that writes one row, for several.
func widened(sql string, rows int) string {
	type key struct {
		sql  string
		rows int
	}
	kept, _ := wide.Load(key{sql, rows})
	made, ok := kept.(string)
	if !ok {
		begin := strings.Index(sql, "VALUES ") + len("VALUES ")
		end := begin + strings.IndexByte(sql[begin:], ')') + 1
		made = sql[:end] + strings.Repeat(", "+sql[begin:end], rows-1) + sql[end:]
		wide.Store(key{sql, rows}, made)
	}
	return made
}
