package httpapi_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

// found returns where something is found, as "task part event: snippet", once as many
// places as are wanted are in the index.
func (s *server) found(t *testing.T, key, query string, want int) []string {
	t.Helper()
	var got []string
	for end := time.Now().Add(20 * time.Second); ; {
		got = nil
		for cursor := ""; ; {
			page := s.must(t, 200, call{method: "GET", path: "/v1/search?limit=2&" + query + cursor, key: key})
			for _, x := range page["items"].([]any) {
				x := x.(map[string]any)
				var text strings.Builder
				for _, p := range x["snippet"].([]any) {
					if p := p.(map[string]any); p["hit"] == true {
						text.WriteString("[" + p["text"].(string) + "]")
					} else {
						text.WriteString(p["text"].(string))
					}
				}
				got = append(got, fmt.Sprintf("%s %s: %s", x["task_id"], x["part"], text.String()))
			}
			next, more := page["next_cursor"].(string)
			if !more {
				break
			}
			cursor = "&cursor=" + url.QueryEscape(next)
		}
		if len(got) == want || time.Now().After(end) {
			break
		}
	}
	if len(got) != want {
		t.Errorf("%s: %d places, want %d: %q", query, len(got), want, got)
	}
	return got
}

// H11: tasks are found by the words of their title, prompt, result and events.
func TestH11TasksAreFoundByTheirWords(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "one", "title": "Quarterly zebra", "input": {"text": "Sum up the <b>giraffe</b> invoices"}, "user_tokens": {"x": "hippopotamus"}}`})
	token := s.claim(t)
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/events", key: workerKey, body: fmt.Sprintf(
		`{"lease_token": %q, "events": [{"type": "chunk", "data": "The ele"}, {"type": "chunk", "data": "phant waits"}, {"type": "tool_call_request", "data": {"tool_name": "okapi", "payload": {"q": "lion's den"}}}]}`, token)})
	for query, want := range map[string]string{
		"q=ZEBRA":                  "one title: Quarterly [zebra]",
		"q=invoices+giraffe":       "one prompt: Sum up the <b>[giraffe]</b> [invoices]",
		"q=elephant":               "one event: The [elephant] waits",
		"q=%22lion+s+den%22":       "one event: ",
		"q=zebra&status=executing": "one title: Quarterly [zebra]",
		"q=zebra&agent_id=agent-1": "one title: Quarterly [zebra]",
	} {
		if got := s.found(t, "", query, 1); len(got) == 1 && !strings.HasPrefix(got[0], want) {
			t.Errorf("%s: %q, want %q", query, got[0], want)
		}
	}
	for _, query := range []string{"q=hippopotamus", "q=zebra+nowhere", "q=zebra&status=failed", "q=zebra&agent_id=other", "q=%22invoices+giraffe%22"} {
		s.found(t, "", query, 0)
	}
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/finish", key: workerKey, body: fmt.Sprintf(`{"lease_token": %q, "status": "completed", "result": "A walrus, %s"}`, token, strings.Repeat("and more ", 50))})
	s.found(t, "", "q=walrus", 1)
	hit := s.must(t, 200, call{method: "GET", path: "/v1/search?q=walrus"})["items"].([]any)[0].(map[string]any)
	if hit["title"] != "Quarterly zebra" || hit["prompt"] != "Sum up the <b>giraffe</b> invoices" {
		t.Errorf("what was found: %v", hit)
	}
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/one"})
	for _, word := range []string{"zebra", "giraffe", "elephant", "walrus"} {
		s.found(t, "", "q="+word, 0)
	}
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "one", "input": {"text": "a new one, panda"}}`})
	s.found(t, "", "q=panda", 1)
	s.found(t, "", "q=zebra", 0)
}

// A3, H11: nobody finds what they do not see.
func TestH11NobodyFindsWhatTheyDoNotSee(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	_, mine := s.key(t, `{"name": "mine", "role": "user", "sees": "own"}`)
	_, team := s.key(t, `{"name": "team", "role": "user", "sees": "group", "group": "g"}`)
	for _, key := range []string{mine, team, userKey} {
		s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: key, body: `{"agent_id": "agent-1", "input": {"text": "penguin"}}`})
	}
	s.found(t, userKey, "q=penguin", 3)
	s.found(t, mine, "q=penguin", 1)
	s.found(t, team, "q=penguin", 1)
	s.must(t, 403, call{method: "GET", path: "/v1/search?q=penguin", key: workerKey})
}

// H11: a question that cannot be asked is told, and no sign is more than a sign.
func TestH11BadQuestions(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, q := range []string{"", "%22", "*", strings.Repeat("x", 257), strings.Repeat("x+", 17), "%FF", "%00", strings.Repeat("x", 10<<10)} {
		s.must(t, 422, call{method: "GET", path: "/v1/search?q=" + q})
	}
	s.must(t, 422, call{method: "GET", path: "/v1/search"})
	s.must(t, 400, call{method: "GET", path: "/v1/search?q=x&cursor=none"})
	for _, q := range []string{`a"b`, `x' OR 1=1 --`, `NEAR(a b)`, `said:x`, `a AND`, `x <-> y`, `x & !y`, `^x`, `{a b}: c`, `ａ`, `x\y`, `'x':1`, "a\x00b", `"unbalanced`, "発票", "x OR"} {
		s.must(t, 200, call{method: "GET", path: "/v1/search?q=" + url.QueryEscape(q)})
	}
}
