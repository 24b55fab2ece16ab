package table

import (
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
		if !inserts(sorted[i]) {
			merged = append(merged, sorted[i:i+n]...)
			i += n
			continue
		}
		for n > 0 {
			size := most
			for size > n {
				size /= 2
			}
			merged = append(merged, together(sorted[i:i+size]))
			i, n = i+size, n-size
		}
	}
	return merged
}

// inserts reports whether a statement makes just one row.
func inserts(op Op) bool {
	return strings.HasPrefix(op.SQL, "INSERT ") && strings.HasSuffix(op.SQL, "?)")
}

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

// widened is a statement that inserts one row, for several.
func widened(sql string, rows int) string {
	type key struct {
		sql  string
		rows int
	}
	kept, _ := wide.Load(key{sql, rows})
	made, ok := kept.(string)
	if !ok {
		made = sql + strings.Repeat(", "+sql[strings.LastIndexByte(sql, '('):], rows-1)
		wide.Store(key{sql, rows}, made)
	}
	return made
}
