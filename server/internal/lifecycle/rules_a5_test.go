package lifecycle_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

// withSecrets gives a submission one secret of each kind.
func withSecrets(s *lifecycle.Submission) {
	s.Spec.UserOIDCToken = new("oidc")
	s.Spec.UserTokens = json.RawMessage(`{"x":"token"}`)
	s.Spec.MCPServers = json.RawMessage(`[{"name":"m","url":"https://m","api_key":"key","headers":{"h":"header"}}]`)
}

// sealed checks whether the database keeps secrets of the task t, past the store.
func (b *bench) sealed(when string, want bool) {
	b.t.Helper()
	rows := teststore.Rows(b.tb, b.dir)["secrets"]
	if got := len(rows) > 0; got != want {
		b.t.Fatalf("A5: %s: the database has the secrets %s, want some: %v", when, strings.Join(rows, "; "), want)
	}
	x, err := b.TaskSecrets(b.ctx(), org, "t")
	b.must(err)
	if got := x.UserOIDCToken != nil; got != want {
		b.t.Fatalf("A5: %s: opened %+v, want some: %v", when, x, want)
	}
}

// Secrets go in the commit that ends the turn, when no attempt holds it.
func TestA5SecretsGoWhenTheTurnHasEnded(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(b *bench){
		"finished":            func(b *bench) { b.must(second(b.finish("t", b.take("t"), task.EndCompleted, "r"))) },
		"stopped when queued": func(b *bench) { b.stop("t") },
		"ended by a person":   func(b *bench) { b.patch("t", fields{"status": "completed", "result": "r"}) },
		"expired":             func(b *bench) { b.later(time.Hour + time.Second) },
		"its creator's own": func(b *bench) {
			b.patch("t", fields{"status": "executing"})
			b.patch("t", fields{"status": "failed", "result": "r"})
		},
		"given up": func(b *bench) { b.must(b.GiveUp(b.ctx(), org, "t", "cannot")) },
		"overruled": func(b *bench) {
			b.take("t")
			b.patch("t", fields{"status": "failed", "result": "r"})
		},
		"lost too often": func(b *bench) {
			for range 3 {
				b.take("t")
				b.later(lease + time.Second)
				left := b.get("t")
				b.sealed("after an attempt was lost", left.Ended() == "")
				b.clock.forward(time.Minute)
			}
		},
		"deleted": func(b *bench) { b.must(b.Delete(b.ctx(), who(), "t")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			b.submit("t", func(s *lifecycle.Submission) {
				withSecrets(s)
				s.Spec.ExpiresIn, s.Spec.RunLocally = 3600, name == "its creator's own"
			})
			b.sealed("before the end", true)
			end(b)
			b.sealed("after the end", false)
		})
	}
}

func second[T any](_ T, err error) error { return err }

// What has not let go may still need them: a stop that is not answered, and a Python
// worker whatever becomes of its turn (L10).
func TestA5SecretsStayUntilTheAttemptLetsGo(t *testing.T) {
	t.Parallel()
	t.Run("a stop that is answered", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		token := b.run("t", withSecrets)
		b.stop("t")
		b.sealed("before the answer", true)
		b.must(second(b.Release(b.ctx(), org, "t", token)))
		b.sealed("after the answer", false)
	})
	t.Run("a stop that nobody answers", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.run("t", withSecrets)
		b.stop("t")
		b.later(lease - time.Second)
		b.sealed("before it is given up", true)
		b.later(2 * time.Second)
		b.sealed("when it is given up", false)
	})
	t.Run("a Python worker's own end", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.runPython("t", withSecrets)
		b.patch("t", b.body("t", fields{"status": "completed", "result": "r"}))
		b.sealed("after the report", false)
	})
	t.Run("a Python worker that is overruled", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.runPython("t", withSecrets)
		mine := b.body("t", nil)
		b.patch("t", fields{"status": "completed", "result": "a person's"})
		b.sealed("while its handler runs", true)
		b.patch("t", mine.with(fields{"status": "completed", "result": "late"}))
		b.sealed("after its late report", false)
	})
	t.Run("a Python worker that is stopped and dies", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		w := b.runPython("t", withSecrets)
		b.stop("t")
		b.cut(w)
		b.sealed("while its handler may run", true)
		b.later(time.Hour)
		b.sealed("when it is given up", false)
	})
}

// A next turn has its own, and only those: also while an attempt of the last one has
// not let go.
func TestA5ANextTurnBringsItsOwnSecrets(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]bool{"secrets": true, "none": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			b.runPython("t", withSecrets)
			mine := b.body("t", nil)
			b.patch("t", fields{"status": "completed", "result": "a person's"})
			b.submit("t", func(s *lifecycle.Submission) {
				if next {
					withSecrets(s)
				}
			})
			b.sealed("in the next turn", next)
			b.patch("t", mine.with(fields{"status": "completed", "result": "late"}))
			b.sealed("when the last turn's attempt has let go", next)
			b.stop("t")
			b.sealed("after the next turn", false)
		})
	}
}
