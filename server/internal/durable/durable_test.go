package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/errand-dev/errand/server/internal/durable"
)

func TestWriteFileReplacesWholeAndLeavesNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	for _, content := range []string{"first", "", "second"} {
		if err := durable.WriteFile(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Fatalf("read %q, %v", got, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d files left, %v", len(entries), err)
	}
}

func TestMkdirTwice(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a")
	for range 2 {
		if err := durable.Mkdir(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := durable.Mkdir(filepath.Join(path, "b", "c")); err == nil {
		t.Fatal("made a folder without a parent")
	}
}
