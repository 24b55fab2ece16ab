package sqlite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A folder in which a database has left its log gets no copy, which would have that log
// played into it.
func TestCopyIntoAFolderWithALog(t *testing.T) {
	t.Parallel()
	for _, left := range []string{"errand.db-wal", "errand.db-shm", "errand.db-journal"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, left), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := CopyInto(t.Context(), dir)
		if err == nil {
			t.Errorf("beside %s it begins", left)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		if said := err.Error(); !strings.Contains(said, left) || !strings.Contains(said, "move it") || strings.Contains(said, "\n") {
			t.Errorf("beside %s it says %s", left, said)
		}
		if err := os.Remove(filepath.Join(dir, left)); err != nil {
			t.Fatal(err)
		}
		if c, err = CopyInto(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
