package httpapi_test

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

// TestA2VersionsOfAnAgent on the Python client's routes: a task may pin one,
// and a worker that asks for it gets that version's record.
func TestA2VersionsOfAnAgent(t *testing.T) {
	t.Parallel()
	s := start(t)
	put := func(model string) map[string]any {
		t.Helper()
		return s.must(t, 200, call{method: "PUT", path: "/v1/agents/agent-1", body: `{"name": "A", "model_name": "` + model + `", "deep_planning": ` + map[bool]string{true: "true", false: "false"}[model == "old"] + `}`})
	}
	put("old")
	put("new")
	if again := put("new"); again["version"] != 2.0 {
		t.Errorf("equal content made version %v", again["version"])
	}
	with := func(version string) map[string]string { return map[string]string{"x-agent-version": version} }
	create := call{method: "POST", path: "/agent-execution/agent-1", body: `{"id": "one", "input": {"text": "x"}}`, header: with("1")}
	task := s.must(t, 200, create)
	if task["agent_version"] != "1" {
		t.Errorf("the task shows version %v", task["agent_version"])
	}
	if plan := task["deep_planning"].(map[string]any); plan["enabled"] != true {
		t.Errorf("the turn began with the plan of another version: %v", plan)
	}
	for version, model := range map[string]string{"1": "old", "2": "new", "": "new"} {
		got := s.must(t, 200, call{method: "GET", path: "/agents/agent-1", key: workerKey, header: with(version)})
		if got["model_name"] != model || version != "" && got["version"] != map[string]any{"1": 1.0, "2": 2.0}[version] {
			t.Errorf("version %q: model %v, version %v", version, got["model_name"], got["version"])
		}
	}
	before := s.stored(t)
	for _, version := range []string{"3", "0", "-1", "1.0", "draft", "99999999999999999999"} {
		create.header = with(version)
		create.body = `{"input": {"text": "x"}}`
		s.must(t, 404, create)
		s.must(t, 404, call{method: "GET", path: "/agents/agent-1", header: with(version)})
	}
	if after := s.stored(t); after != before {
		t.Errorf("something was stored\nbefore: %s\nafter:  %s", before, after)
	}
	create.header, create.body = with(""), `{"input": {"text": "x"}}`
	if newest := s.must(t, 200, create); newest["agent_version"] != nil {
		t.Errorf("nothing was pinned, and the task shows %v", newest["agent_version"])
	}
}

// TestA5CredentialsAreReplacedAndRemoved: null removes them, leaving them out
// keeps them, and what is gone is gone from the disk.
func TestA5CredentialsAreReplacedAndRemoved(t *testing.T) {
	t.Parallel()
	s := start(t)
	put := func(more string) {
		s.must(t, 200, call{method: "PUT", path: "/v1/agents/agent-1", body: `{"name": "A"` + more + `}`})
	}
	sealed := func() []byte {
		t.Helper()
		var all []byte
		row := s.db.QueryRowContext(t.Context(), `SELECT sealed FROM secrets WHERE owner = 'agent' AND id = 'agent-1'`)
		if err := row.Scan(&all); err != nil && !errors.Is(err, sql.ErrNoRows) {
			t.Fatal(err)
		}
		return all
	}
	shown := func() string {
		t.Helper()
		got := s.must(t, 200, call{method: "GET", path: "/agents/agent-1", key: workerKey, header: map[string]string{"x-agent-version": "1"}})
		credentials, _ := got["llm_credentials"].(map[string]any)
		value, _ := credentials["value"].(string)
		return value
	}
	put(`, "llm_credentials": {"name": "n", "value": "first-value"}`)
	first := sealed()
	put(`, "llm_credentials": {"name": "n", "value": "second-value"}`)
	second := sealed()
	if shown() != "second-value" || len(first) == 0 || bytes.Equal(first, second) {
		t.Fatalf("replaced: %q", shown())
	}
	put(`, "description": "said nothing of them"`)
	if shown() != "second-value" {
		t.Errorf("left out: %q", shown())
	}
	if !contains(t, s.dir, second) {
		t.Error("they are not on the disk: the test shows nothing")
	}
	put(`, "description": "said nothing of them", "llm_credentials": null`)
	if shown() != "" || len(sealed()) != 0 {
		t.Errorf("removed: %q", shown())
	}
	put(`, "llm_credentials": null`) // nothing is there to be removed

	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if contains(t, s.dir, first) || contains(t, s.dir, second) {
		t.Error("the database still holds them")
	}
}

// contains reports whether some bytes stand in a file of the database; on PostgreSQL,
// whose files are not the server's, in a row.
func contains(t *testing.T, dir string, part []byte) bool {
	t.Helper()
	if teststore.OnPostgres() {
		for _, rows := range teststore.Rows(t, dir) {
			if strings.Contains(strings.Join(rows, "\n"), string(part)) {
				return true
			}
		}
		return false
	}
	files, err := filepath.Glob(filepath.Join(dir, "errand.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no database files: %v", err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(content, part)
	})
}
