package httpapi_test

import (
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

// D1: a server that is told for how long deletes what has been over for so long, with its
// uploads a day later, and without being told nothing.
func TestD1RetentionDeletesWhatIsOld(t *testing.T) {
	t.Parallel()
	if teststore.OnPostgres() {
		t.Skip("the clock is the database's, which nobody here puts forward: lifecycle tests the rule on it")
	}
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "old")
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/old/stop"})
	s.task(t, "waits")
	later := func(o *app.Options) {
		o.Now = func() time.Time { return time.Now().Add(72 * time.Hour) }
	}
	s.again(t, later)
	s.must(t, 200, call{method: "GET", path: "/v1/tasks/old"})
	s.again(t, later, func(o *app.Options) { o.Retention = task.Retention{{For: 48 * time.Hour}} })
	s.gone(t, "/v1/tasks/old")
	s.must(t, 200, call{method: "GET", path: "/v1/tasks/waits"})
}
