package sqlite

import (
	"fmt"
	"testing"
)

// Whoever asks by ever new filters does not fill the memory with their statements.
func TestStatementsHaveABound(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // a test's
	for i := range 2 * maxStatements {
		rows, err := s.reads.Query(t.Context(), fmt.Sprintf("SELECT ?, %d FOR nobody", i), i)
		if err != nil {
			t.Fatal(err)
		}
		var a, b int
		if !rows.Next() || rows.Scan(&a, &b) != nil || a != i || b != i {
			t.Fatalf("query %d answered %d and %d: %v", i, a, b, rows.Err())
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.reads.stmts); n != maxStatements {
		t.Errorf("%d statements are kept, want %d", n, maxStatements)
	}
}
