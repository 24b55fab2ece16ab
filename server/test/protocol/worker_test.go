package protocol

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// command is what the worker runs: it answers in capitals, fails when it is
// asked to, and hangs when it is asked to.
const command = `read -r line; case $line in fail) echo no luck; exit 1 ;; hang) sleep 600 ;; *) echo "$line" | tr a-z A-Z ;; esac`

// TestTheWorkerOfThePage runs it: it works, fails, is stopped, and works on.
func TestTheWorkerOfThePage(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "worker.sh")
	if err := os.WriteFile(file, []byte(script(t, "worker.sh")), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t)
	spawn(t, s.environment(), "bash", file, agent, "bash", "-c", command)

	invoke := func(prompt string) map[string]any {
		t.Helper()
		return s.call(t, http.MethodPost, "/v1/agents/"+agent+"/invoke?wait=60", `{"input": {"text": "`+prompt+`"}}`)
	}
	if got := invoke("hello"); got["status"] != "completed" || got["result"] != "HELLO\n" {
		t.Errorf("answered %v %q", got["status"], got["result"])
	}
	if got := invoke("fail"); got["status"] != "failed" || got["result"] != "no luck\n" {
		t.Errorf("failed with %v %q", got["status"], got["result"])
	}

	// A stop reaches it within a second, and it confirms. On a busy machine a
	// single try says little, so the best of some counts.
	best := time.Hour
	for range 5 {
		if best = min(best, stopOne(t, s)); best < time.Second {
			break
		}
	}
	if best >= time.Second {
		t.Errorf("the fastest stop took %v to be confirmed", best)
	}
	if got := invoke("still there"); got["result"] != "STILL THERE\n" {
		t.Errorf("after the stops: %v %q", got["status"], got["result"])
	}
}

// stopOne stops a task at work and returns how long its worker took to confirm.
func stopOne(t *testing.T, s *server) time.Duration {
	t.Helper()
	id := s.call(t, http.MethodPost, "/v1/agents/"+agent+"/invoke/async", `{"input": {"text": "hang"}}`)["id"].(string)
	path := "/v1/tasks/" + id
	within(t, patience, "the task executes", func() bool {
		return s.call(t, http.MethodGet, path, "")["status"] == "executing"
	})
	if got := s.call(t, http.MethodPost, path+"/stop", ""); got["status"] != "stopped" {
		t.Errorf("a stopped task is %v", got["status"])
	}
	var stop map[string]any
	within(t, patience, "the stop is confirmed", func() bool {
		stop = s.call(t, http.MethodGet, path, "")["stop"].(map[string]any)
		return stop["confirmed_at"] != nil || stop["abandoned_at"] != nil
	})
	if !strings.Contains(s.types(t, id), "stop_confirmed") {
		t.Errorf("nobody confirmed the stop: %v", stop)
	}
	return moment(t, stop["confirmed_at"]).Sub(moment(t, stop["requested_at"]))
}

func moment(t *testing.T, value any) time.Time {
	t.Helper()
	text, _ := value.(string)
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatalf("no moment: %v", value)
	}
	return at
}

// TestTheStepsOfThePage makes them by hand, with the function of the worker.
func TestTheStepsOfThePage(t *testing.T) {
	t.Parallel()
	steps := script(t, "by-hand.sh") + script(t, "together.sh")
	var api string
	for line := range strings.Lines(script(t, "worker.sh")) {
		if strings.HasPrefix(line, "api()") {
			api = line
		}
	}
	s := start(t)
	var ids []string
	for range 2 {
		ids = append(ids, s.call(t, http.MethodPost, "/v1/agents/"+agent+"/invoke/async", `{"input": {"text": "x"}}`)["id"].(string))
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", api+steps)
	cmd.Env = append(os.Environ(), s.environment()...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	id := ids[0]
	got := s.call(t, http.MethodGet, "/v1/tasks/"+id, "")
	if got["status"] != "completed" || got["result"] != "done" || got["internal_status"] != "half way" || got["tokens"] == nil {
		t.Errorf("%v %v %v %v\n%s", got["status"], got["result"], got["internal_status"], got["tokens"], out)
	}
	if types := s.types(t, id); !strings.Contains(types, "think chunk ") {
		t.Errorf("events: %s", types)
	}
	if got := s.call(t, http.MethodGet, "/v1/tasks/"+ids[1], ""); got["status"] != "completed" || got["result"] != "done" {
		t.Errorf("ended with a claim: %v %v\n%s", got["status"], got["result"], out)
	}
	if !strings.Contains(string(out), `"status":"completed"}]`) {
		t.Errorf("of the end that came with a claim it was told\n%s", out)
	}
}
