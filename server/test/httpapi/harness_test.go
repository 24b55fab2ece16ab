package httpapi_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/testkit/teststore" // and the drivers "sqlite", "pgx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The keys of every test server, by what they are for.
const (
	adminKey      = "admin-key-of-the-default-organization"
	userKey       = "user-key-of-the-default-organization"
	workerKey     = "worker-key-of-the-default-organization"
	narrowKey     = "worker-key-for-the-agent-narrow-only"
	strangerKey   = "admin-key-of-the-organization-stranger"
	otherUserKey  = "user-key-of-the-organization-stranger"
	wrongKey      = "a-key-that-nobody-has-ever-been-given"
	organization  = auth.DefaultOrganization
	strangerGroup = "stranger"
)

// patience bounds every wait of a test.
const patience = time.Minute

// server is a running server with its database beside it.
type server struct {
	*app.App
	url  string
	dir  string
	db   *sql.DB
	http *http.Client
}

// start runs a server over a folder that already has two organizations and a
// key of every role.
func start(tb testing.TB, change ...func(*app.Options)) *server {
	tb.Helper()
	o := app.DefaultOptions()
	o.Addr, o.Data, o.AdminKey = "127.0.0.1:0", tb.TempDir(), adminKey
	o.KeepAlive, o.Drain = 50*time.Millisecond, time.Second
	o.Log = slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelError})) // the cause of a 500
	for _, c := range change {
		c(&o)
	}
	o.DatabaseURL = teststore.DatabaseURL(tb, o.Data)
	seed(tb, o.Data)
	a, err := app.Start(tb.Context(), o)
	if err != nil {
		tb.Fatalf("start: %v", err)
	}
	db := beside(tb, o.Data, "?_pragma=query_only(ON)&_pragma=busy_timeout(10000)")
	transport := &http.Transport{}
	s := &server{App: a, url: a.URL(), dir: o.Data, db: db, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	tb.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := db.Close(); err != nil {
			tb.Errorf("close the database: %v", err)
		}
		if err := a.Stop(); err != nil {
			tb.Errorf("stop: %v", err)
		}
	})
	return s
}

// beside opens the database of a folder beside the server; SQLite with options.
func beside(tb testing.TB, dir, options string) *sql.DB {
	tb.Helper()
	driver, source := "sqlite", "file:"+filepath.Join(dir, "errand.db")+options
	if url := teststore.DatabaseURL(tb, dir); url != "" {
		driver, source = "pgx", url
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		tb.Fatalf("open the database beside the server: %v", err)
	}
	return db
}

// seed makes the organizations and keys before the server takes the folder.
func seed(tb testing.TB, dir string) {
	tb.Helper()
	ctx := tb.Context()
	store := teststore.Open(tb, tb, teststore.Options{Dir: dir})
	defer store.Close() //nolint:errcheck // a write that failed has failed the test
	for _, org := range []string{organization, strangerGroup} {
		if err := store.PutOrganization(ctx, org, org); err != nil {
			tb.Fatalf("make organization %s: %v", org, err)
		}
	}
	narrow := auth.NewKey(organization, "narrow", auth.Worker, narrowKey, time.Now())
	narrow.Agents = []string{"narrow"}
	for _, k := range []auth.Key{
		auth.NewKey(organization, "user", auth.User, userKey, time.Now()),
		auth.NewKey(organization, "worker", auth.Worker, workerKey, time.Now()),
		narrow,
		auth.NewKey(strangerGroup, "stranger", auth.Admin, strangerKey, time.Now()),
		auth.NewKey(strangerGroup, "other user", auth.User, otherUserKey, time.Now()),
	} {
		if err := store.PutKey(ctx, k); err != nil {
			tb.Fatalf("make key %s: %v", k.Name, err)
		}
	}
}

// call is a request. An empty key is the admin's; "-" is none.
type call struct {
	method string
	path   string
	key    string
	header map[string]string
	body   string
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// do makes a call and reads the whole answer.
func (s *server) do(tb testing.TB, c call) answer {
	tb.Helper()
	res := s.open(tb, tb.Context(), c)
	defer res.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatalf("%s %s: read answer: %v", c.method, c.path, err)
	}
	got := answer{res.StatusCode, res.Header, body}
	checkDocumented(tb, c, got)
	return got
}

// open makes a call and leaves the answer's body open.
func (s *server) open(tb testing.TB, ctx context.Context, c call) *http.Response { //nolint:revive // t comes first in helpers
	tb.Helper()
	var body io.Reader
	if c.body != "" {
		body = strings.NewReader(c.body)
	}
	req, err := http.NewRequestWithContext(ctx, c.method, s.url+c.path, body)
	if err != nil {
		tb.Fatalf("%s %s: %v", c.method, c.path, err)
	}
	switch c.key {
	case "-":
	case "":
		req.Header.Set("x-api-key", adminKey)
	default:
		req.Header.Set("x-api-key", c.key)
	}
	for name, value := range c.header {
		req.Header.Set(name, value)
	}
	res, err := s.http.Do(req)
	if err != nil {
		tb.Fatalf("%s %s: %v", c.method, c.path, err)
	}
	return res
}

// must makes a call that has to be answered with a status, and reads the JSON.
func (s *server) must(tb testing.TB, status int, c call) map[string]any {
	tb.Helper()
	got := s.do(tb, c)
	if got.status != status {
		tb.Fatalf("%s %s: answered %d, want %d: %s", c.method, c.path, got.status, status, clip(got.body))
	}
	if len(got.body) == 0 {
		return nil
	}
	return object(tb, got.body)
}

func object(tb testing.TB, body []byte) map[string]any {
	tb.Helper()
	var o map[string]any
	if err := json.Unmarshal(body, &o); err != nil {
		tb.Fatalf("answer is not a JSON object: %v: %s", err, clip(body))
	}
	return o
}

func clip(b []byte) string {
	if len(b) > 400 {
		return string(b[:400]) + "…"
	}
	return string(bytes.TrimSpace(b))
}

// stored sums up the whole record: a request that stores nothing leaves it
// as it is.
func (s *server) stored(tb testing.TB) string {
	tb.Helper()
	var all string
	err := s.db.QueryRowContext(tb.Context(), `SELECT
		(SELECT count(*) || ' tasks, latest ' || coalesce(max(updated_at), 0) || ', seqs ' || coalesce(sum(last_seq), 0) FROM tasks) || '; ' ||
		(SELECT count(*) || ' turns' FROM turns) || '; ' ||
		(SELECT count(*) || ' events' FROM events) || '; ' ||
		(SELECT count(*) || ' attempts' FROM attempts) || '; ' ||
		(SELECT count(*) || ' agents' FROM agents) || '; ' ||
		(SELECT count(*) || ' agent versions' FROM agent_versions) || '; ' ||
		(SELECT count(*) || ' keys, revoked ' || count(CASE WHEN revoked_at > 0 THEN 1 END) FROM keys) || '; ' ||
		(SELECT count(*) || ' secrets' FROM secrets WHERE owner <> 'servers') || '; ' ||
		(SELECT count(*) || ' pushes' FROM pushes) || '; ' ||
		(SELECT count(*) || ' replays' FROM replays) || '; ' ||
		(SELECT count(*) || ' files' FROM files)`).Scan(&all)
	if err != nil {
		tb.Fatalf("sum up the record: %v", err)
	}
	return all
}

// agent applies an agent for remote workers whose leases outlive any test.
func (s *server) agent(tb testing.TB, id string) {
	tb.Helper()
	s.must(tb, 200, call{method: "PUT", path: "/v1/agents/" + id, body: `{"name": "` + id + `", "lease_seconds": 3600}`})
}

// task creates a task for agent-1 with an id.
func (s *server) task(tb testing.TB, id string) {
	tb.Helper()
	s.must(tb, 201, call{
		method: "POST", path: "/v1/tasks",
		body: fmt.Sprintf(`{"agent_id": "agent-1", "id": %q, "input": {"text": "do it"}}`, id),
	})
}

// claim starts the only task that waits for agent-1 and returns the lease's token.
func (s *server) claim(t *testing.T) string {
	t.Helper()
	got := s.must(t, 200, call{
		method: "POST", path: "/v1/claim", body: `{"agent_ids": ["agent-1"], "worker_id": "w"}`,
	})
	claims, _ := got["claims"].([]any)
	if len(claims) != 1 {
		t.Fatalf("claimed %d tasks, want 1", len(claims))
	}
	return claims[0].(map[string]any)["lease"].(map[string]any)["token"].(string)
}

// patch is a Python client's PATCH.
func (s *server) patch(t *testing.T, id, body string) map[string]any {
	t.Helper()
	return s.must(t, 200, call{method: "PATCH", path: "/agent-execution/" + id + "/update", body: body})
}

// events reads a task's whole log.
func (s *server) events(t *testing.T, id string) []map[string]any {
	t.Helper()
	page := s.must(t, 200, call{method: "GET", path: "/v1/tasks/" + id + "/events?turns=all&limit=1000"})
	items, _ := page["items"].([]any)
	events := make([]map[string]any, 0, len(items))
	for _, item := range items {
		events = append(events, item.(map[string]any))
	}
	return events
}

// waitFor polls until a task has a status.
func (s *server) waitFor(t *testing.T, id, status string) map[string]any {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/" + id})
		if got["status"] == status {
			return got
		}
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("task %s is %v, want %s", id, got["status"], status)
		}
	}
}
