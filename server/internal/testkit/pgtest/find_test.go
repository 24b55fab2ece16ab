package pgtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Of many versions the newest is taken, by number; what is no server is passed over.
func TestNewest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for folder, programs := range map[string][]string{
		"9.6/bin": {"postgres", "initdb"}, "15/bin": {"postgres", "initdb"}, "postgresql@17/bin": {"postgres", "initdb"},
		"18/bin": {"psql"}, // clients only
	} {
		folder = filepath.Join(dir, folder)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, p := range programs {
			if err := os.WriteFile(filepath.Join(folder, p), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	for pattern, want := range map[string]string{"*/bin": "postgresql@17/bin", "[0-9]*/bin": "15/bin", "9*/bin": "9.6/bin"} {
		if got, err := newest(filepath.Join(dir, pattern)); err != nil || got != filepath.Join(dir, want) {
			t.Errorf("%s: %s, %v, not %s", pattern, got, err, want)
		}
	}
	if got, err := newest(filepath.Join(dir, "18/bin")); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("%q, %v", got, err)
	}
}

// verdict is a test that notes how it was ended.
type verdict struct {
	testing.TB
	said string
}

func (v *verdict) Helper()          {}
func (v *verdict) Skip(args ...any) { v.end("skip", args) }
func (v *verdict) Fatal(args ...any) {
	v.end("fail", args)
}

func (v *verdict) end(how string, args []any) {
	v.said = how + ": " + fmt.Sprint(args...)
	runtime.Goexit()
}

// A missing PostgreSQL is an excuse, but not in CI; a broken one never is.
func TestGiveUp(t *testing.T) { //nolint:paralleltest // it sets the environment
	broken := errors.New("broken")
	for _, c := range []struct {
		ci   string
		err  error
		want string
	}{
		{"", ErrNotInstalled, "skip: " + ErrNotInstalled.Error()},
		{"true", ErrNotInstalled, "fail: " + ErrNotInstalled.Error()},
		{"", broken, "fail: broken"},
		{"true", broken, "fail: broken"},
	} {
		t.Setenv("CI", c.ci)
		v := &verdict{}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			giveUp(v, c.err)
		}()
		<-ended
		if v.said != c.want {
			t.Errorf("CI=%q, %v: %q", c.ci, c.err, v.said)
		}
	}
}
