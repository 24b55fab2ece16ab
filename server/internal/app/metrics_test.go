package app_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/app"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const adminKey = "the-admin-key-of-this-test-of-a-server"

// start runs a server and returns a client of it.
func start(t *testing.T) (*app.App, *errand.Client) {
	t.Helper()
	o := app.DefaultOptions()
	o.Addr, o.Data, o.AdminKey, o.Drain, o.Version = "127.0.0.1:0", t.TempDir(), adminKey, time.Second, "v1.2.3"
	a, err := app.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
	})
	client, err := errand.NewClient(errand.WithURL(a.URL()), errand.WithKey(adminKey), errand.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	return a, client
}

// scrape is what /metrics shows: the families with their types, and every
// sample by its name and labels.
type scrape struct {
	families map[string]string
	samples  map[string]float64
}

func scraped(t *testing.T, a *app.App) scrape {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminKey) // as Prometheus sends it
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	defer http.DefaultClient.CloseIdleConnections()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("/metrics: %d %v %s", res.StatusCode, err, text)
	}
	s := scrape{map[string]string{}, map[string]float64{}}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if words := strings.Fields(line); strings.HasPrefix(line, "# TYPE ") {
			s.families[words[2]] = words[3]
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		if s.samples[line[:at]], err = strconv.ParseFloat(line[at+1:], 64); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	return s
}

// served is /metrics of a server that has done a task.
func served(t *testing.T) scrape {
	t.Helper()
	a, client := start(t)
	if _, err := client.Agents.Apply(t.Context(), "w", errand.Agent{Name: "w"}); err != nil {
		t.Fatal(err)
	}
	for _, prompt := range []string{"do it", "fail"} {
		if _, err := client.Tasks.Create(t.Context(), errand.TaskRequest{AgentID: "w", Prompt: prompt}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	left := 2
	worker := errand.NewWorker(client, errand.WorkerOptions{Slots: 1})
	worker.Handle("w", func(ctx context.Context, at *errand.Attempt) (string, error) {
		if left--; left == 0 {
			defer stop()
		}
		if at.Task.Input.Text == "fail" {
			return "", errand.Failf("it cannot be done")
		}
		return "done", at.Think(ctx, errand.Thought{Thought: "hm"})
	})
	if err := worker.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Tasks.Create(t.Context(), errand.TaskRequest{AgentID: "w", Prompt: "wait"}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Tasks.Get(t.Context(), "nothing"); err == nil {
		t.Fatal("there is a task that nobody made")
	}
	return scraped(t, a)
}

func TestMetricsTellWhatHappened(t *testing.T) {
	t.Parallel()
	got := served(t)
	for sample, want := range map[string]float64{
		`errand_tasks{organization="default",status="pending"}`:                                    1,
		`errand_tasks{organization="default",status="executing"}`:                                  0,
		`errand_queue_depth{agent="w",organization="default"}`:                                     1,
		`errand_tasks_created_total{turn="first"}`:                                                 3,
		`errand_tasks_created_total{turn="next"}`:                                                  0,
		`errand_tasks_finished_total{reason="completed",status="completed"}`:                       1,
		`errand_tasks_finished_total{reason="failed",status="failed"}`:                             1,
		`errand_tasks_finished_total{reason="worker_lost",status="error"}`:                         0,
		`errand_queue_wait_seconds_count`:                                                          2,
		`errand_attempt_duration_seconds_count{outcome="finished"}`:                                2,
		`errand_leases_expired_total`:                                                              0,
		`errand_late_writes_refused_total{write="end"}`:                                            0,
		`errand_events_total{type="task_created"}`:                                                 3,
		`errand_events_total{type="think"}`:                                                        1,
		`errand_events_total{type="attempt_started"}`:                                              2,
		`errand_http_request_duration_seconds_count{code="2xx",route="POST /v1/tasks"}`:            3,
		`errand_http_request_duration_seconds_count{code="4xx",route="GET /v1/tasks/{task_id}"}`:   1,
		`errand_http_request_duration_seconds_count{code="2xx",route="PUT /v1/agents/{agent_id}"}`: 1,
	} {
		if got, there := got.samples[sample]; !there || got != want {
			t.Errorf("%s: %v, want %v", sample, got, want)
		}
	}
	for _, sample := range []string{"errand_commit_duration_seconds_count", "errand_commit_batch_size_sum", "errand_store_size_bytes"} {
		if got.samples[sample] < 1 {
			t.Errorf("%s: %v", sample, got.samples[sample])
		}
	}
	build := func(name string) bool {
		return strings.HasPrefix(name, "errand_build_info{") && strings.Contains(name, `version="v1.2.3"`)
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(got.samples)), build) {
		t.Error("nothing says which version runs")
	}
}

// The documentation, the dashboard and the server speak of the same metrics.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	families := served(t).families
	page := read(t, "../../../docs/OPERATIONS.md")
	told := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(errand_[a-z_]+)` \\| (\\w+) \\|").FindAllStringSubmatch(page, -1) {
		told[row[1]] = row[2]
	}
	ours := maps.Clone(families)
	maps.DeleteFunc(ours, func(name, _ string) bool { return !strings.HasPrefix(name, "errand_") })
	if diff := cmp.Diff(ours, told); diff != "" {
		t.Errorf("docs/OPERATIONS.md and /metrics differ (- served, + documented):\n%s", diff)
	}

	used := map[string]bool{}
	var board any
	if err := json.Unmarshal([]byte(read(t, "../../../deploy/grafana/errand.json")), &board); err != nil {
		t.Fatal(err)
	}
	eachQuery(board, func(query string) {
		names := regexp.MustCompile(`\b(errand|go|process)_[a-z_]+`).FindAllString(query, -1)
		if len(names) == 0 {
			t.Errorf("the dashboard asks for nothing of ours: %s", query)
		}
		for _, name := range names {
			family := name
			if _, there := families[name]; !there {
				family = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			}
			if used[family] = true; families[family] == "" {
				t.Errorf("the dashboard asks for %s, which is not served", name)
			}
		}
	})
	for name := range ours {
		if !used[name] {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}

// eachQuery finds the queries in a dashboard.
func eachQuery(part any, found func(query string)) {
	switch part := part.(type) {
	case map[string]any:
		for name, value := range part {
			query, text := value.(string)
			if text && (name == "expr" || name == "definition") {
				found(query)
			}
			eachQuery(value, found)
		}
	case []any:
		for _, value := range part {
			eachQuery(value, found)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
