package crash

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// pythonView reads the Python client's stream of a task to its end, and holds
// it to that client's wire: lines of data and nothing else.
func pythonView(a *audience, c *client, id string) ([]string, error) {
	req, err := c.request(a.ctx, http.MethodGet, "/default/agent-execution/"+id+"/events", nil, "Accept", "text/event-stream")
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // it was read to its end, or has failed
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s", errOdd, res.Status)
	}
	lines := bufio.NewReader(res.Body)
	var got []string
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		line = strings.TrimSuffix(line, "\n")
		data, found := strings.CutPrefix(line, "data: ")
		switch {
		case found:
			got = append(got, data)
		case line == "", strings.HasPrefix(line, ":"):
		default:
			return got, fmt.Errorf("%w: the line %q", errOdd, line)
		}
	}
}

// TestPythonViewers compares what the Python client's stream shows at
// different times: the same bytes, but for signatures.
func TestPythonViewers(t *testing.T) {
	t.Parallel()
	const events = 200
	s := newServer(t, "--keep-alive", "30ms")
	f := newFed(t, s.client())
	a := newAudience(t)
	views := map[string][]string{}
	var mu sync.Mutex
	look := func(who string) {
		got, err := pythonView(a, s.client(), f.id)
		if err != nil {
			t.Errorf("%s: %v", who, err)
		}
		mu.Lock()
		defer mu.Unlock()
		views[who] = got
	}
	a.all.Go(func() { look("from the start") })
	eventually(t, viewLimit, "the first viewer is there", func() bool { return openStreams(t, s) >= 1 })
	f.feed(a.ctx, t, events/2, 300)
	f.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/"+f.id+"/heartbeat", obj{"lease_token": f.token, "internal_status": "half way"})
	f.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/"+f.id+"/events",
		obj{"lease_token": f.token, "events": []obj{{"type": "chunk", "data": "said"}, {"type": "analyze", "data": nil}}})
	f.must(t, http.StatusOK, http.MethodPatch, "/default/agent-execution/"+f.id+"/update", obj{"title": "renamed"})
	a.all.Go(func() { look("late") })
	f.feed(a.ctx, t, events, 300)
	f.finish(a.ctx, t)
	a.all.Wait()
	look("after the end")
	s.kill(t)
	s.start(t)
	look("after a kill")

	want := views["from the start"]
	checkPython(t, s.client(), f, want)
	for who, got := range views {
		same(t, who, got, want)
	}
	t.Logf("%d viewers have seen the same %d events", len(views), len(want))
	s.quiet(t)
}

// checkPython looks at every message: its members, its type, and a whole task
// where one is due.
func checkPython(t *testing.T, c *client, f *fed, messages []string) {
	t.Helper()
	known := []string{
		"task_created", "task_updated", "task_finished", "task_compactization", "chunk", "auth_event",
		"tool_call_request", "tool_call_result", "sub_agent_trigger", "think", "analyze", "plan_updated",
	}
	var full map[string]json.RawMessage
	c.must(t, http.StatusOK, http.MethodGet, "/default/agent-execution/"+f.id+"/status", nil).into(t, &full)
	// Members of one moment, and whose the task is, which a log does not tell.
	for _, name := range []string{"updated_at", "stop", "waiting", "last_event_seq", "spent", "owner", "group"} {
		delete(full, name)
	}
	wantKeys := slices.Sorted(maps.Keys(full))
	counts := map[string]int{}
	for i, text := range messages {
		var message map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &message); err != nil {
			t.Fatalf("message %d: %v: %s", i, err, text)
		}
		if keys := slices.Sorted(maps.Keys(message)); !slices.Equal(keys, []string{"data", "organization_id", "task_id", "time", "type"}) {
			t.Fatalf("message %d has the members %v", i, keys)
		}
		kind := strings.Trim(string(message["type"]), `"`)
		counts[kind]++
		if !slices.Contains(known, kind) {
			t.Errorf("message %d is a %s, of which the Python client dies", i, kind)
		}
		if !strings.HasPrefix(kind, "task_") || kind == "task_compactization" {
			continue
		}
		var whole map[string]json.RawMessage
		if err := json.Unmarshal(message["data"], &whole); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		for _, name := range wantKeys {
			if _, there := whole[name]; !there {
				t.Errorf("message %d (%s) lacks the task's %s", i, kind, name)
			}
		}
		if !strings.Contains(string(whole["input"]), "/sales.csv") || strings.Contains(string(whole["input"]), "file:") {
			t.Errorf("message %d (%s) has no URL of the file: %s", i, kind, whole["input"])
		}
		if kind == "task_finished" {
			if i != len(messages)-1 {
				t.Errorf("task_finished is message %d of %d", i, len(messages))
			}
			for _, name := range []string{"status", "result", "title", "tokens", "used_tools", "internal_status"} {
				if string(whole[name]) != string(full[name]) {
					t.Errorf("task_finished says %s %s, the task %s", name, whole[name], full[name])
				}
			}
		}
	}
	if counts["task_created"] != 1 || counts["task_finished"] != 1 || counts["task_updated"] < 3 || counts["chunk"] < 50 {
		t.Errorf("the stream has %v", counts)
	}
}
