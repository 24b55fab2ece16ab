package httpapi_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// FuzzRequests sends anything to the whole server, on both faces, byte for byte
// as it is: no answer is the server's fault, what is JSON by its header is JSON,
// and a refusal has stored nothing.
func FuzzRequests(f *testing.F) {
	s := start(f)
	s.agent(f, "agent-1")
	s.task(f, "one")
	for _, seed := range [][4]string{
		{"POST", "/v1/tasks", "", `{"agent_id": "agent-1", "input": {"text": "a", "files": ["http://example.com/"], "user": {"email": "e"}}, "tags": ["t"], "run_at": "2030-01-01T00:00:00Z"}`},
		{"POST", "/v1/tasks", "Idempotency-Key: k", `{"agent_id": "agent-1", "id": "two", "input": {}, "mcp_servers": [{"headers": {"a": "b"}}], "user_tokens": {"a": "b"}}`},
		{"PATCH", "/v1/tasks/one", "", `{"title": "t", "priority": 3, "tokens": {"prompt_tokens": 1}, "payload_extension": {"a": [1, {"b": null}]}}`},
		{"GET", "/v1/tasks?status=pending&from_date=2020-01-01T00:00:00Z&cursor=MCAw&per_page=2", "", ""},
		{"GET", "/v1/tasks/one/events?after=0&turns=all&limit=5", "Last-Event-ID: 1", ""},
		{"POST", "/v1/tasks/one/events", "", `{"events": [{"type": "chunk", "data": "x", "client_id": "c"}]}`},
		{"POST", "/v1/claim", "", `{"agent_ids": ["nobody"], "worker_id": "w", "slots": 2}`},
		{"POST", "/v1/tasks/one/finish", "", `{"lease_token": "l", "status": "completed", "result": "r", "tokens": {}, "used_tools": ["a"], "duration": 1e3}`},
		{"POST", "/v1/tasks/batch", "", `{"all": true, "tasks": [{"agent_id": "nobody", "input": {"text": "x"}, "idempotency_key": "k"}]}`},
		{"POST", "/v1/tasks/stop", "", `{"filter": {"agent_id": "nobody", "to_date": "2020-01-01T00:00:00Z"}, "dry_run": true}`},
		{"PUT", "/v1/agents/agent-2", "", `{"name": "n", "instructions": {"role": ["r"]}, "llm_credentials": {"name": "n", "value": "v"}, "output_schema": {}}`},
		{"POST", "/v1/agents/agent-1/report", "", `{"input": "i", "result": "r", "tokens": {"prompt_tokens": 1}, "used_tools": []}`},
		{"POST", "/v1/keys", "", `{"name": "n", "role": "worker", "agents": ["a"]}`},
		{"GET", "/v1/files?per_page=2&cursor=x", "", ""},
		{"DELETE", "/v1/files/x", "", ""},
		{"POST", "/v1/files?name=a.csv", "", "a,b\n"},
		{"POST", "/v1/files", "Content-Type: multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nb\r\n--x--\r\n"},
		{"POST", "/agent-execution/agent-1", "", `{"input": {"text": "a", "files": [], "attachments": [{"url": "http://example.com/"}]}, "worker_id": null}`},
		{"PATCH", "/default/agent-execution/one/update", "", `{"id": "one", "status": "executing", "execution_attempts": 1, "result": null, "deep_planning": {"enabled": true, "tasks": []}}`},
		{"PATCH", "/agent-execution/one/update", "", "{\"status\": \"completed\", \"result\": \"\xff\\u0000\"}"},
		{"POST", "/agent-execution/one/events/push", "", `[{"type": "chunk", "data": "x"}, {"type": "tool_call_request", "data": {"request_id": "r"}}]`},
		{"GET", "/agent-execution/executions/history/agent-1?page=1&per_page=2&status=AgentExecutionStatus.Completed", "", ""},
		{"POST", "/agents/agent-1/operations/xpcreate_agent_plan", "x-task-id: one", `{"body_params": {"tasks": [{"title": "t"}]}}`},
		{"POST", "/events/w", "", `{"type": "heartbeat", "data": {"is_busy": false}, "id": "i"}`},
		{"POST", "/agents-metrics/agent-1/execution", "", `{"execution_id": "one", "duration": 1, "llm_tokens": {"worker": {"prompt_tokens": 1}}, "api_calls_made": ["a"]}`},
		{"GET", "//%2e%2e/f/a/b/c%zz", "", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, method, target, header, body string) {
		if method == "" || strings.ContainsFunc(method, notToken) || !strings.HasPrefix(target, "/") ||
			strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r == 0x7f }) || strings.ContainsAny(header, "\r\n") {
			t.Skip("not a request: net/http refuses it itself")
		}
		send := func() answer { return s.raw(t, method, target, header, body) }
		before := s.stored(t)
		got := send()
		if got.status >= 500 && got.status != http.StatusNotImplemented {
			t.Fatalf("answered %d: %s", got.status, clip(got.body))
		}
		if got.header.Get("Content-Type") == "application/json" && method != http.MethodHead && !json.Valid(got.body) {
			t.Errorf("answered what is no JSON: %s", clip(got.body))
		}
		// A conflict is told in the log (rule T6); and time changes things, too, so
		// once is no proof.
		if got.status < 400 || got.status == http.StatusConflict || s.stored(t) == before {
			return
		}
		if before = s.stored(t); before != "" {
			send()
		}
		if after := s.stored(t); after != before {
			t.Errorf("answered %d and stored something:\n%s\n%s", got.status, before, after)
		}
	})
}

func notToken(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') }

// raw sends a request byte for byte and reads what is answered within a
// moment: status 0, if the server is waiting for something by then or has cut
// the connection.
func (s *server) raw(t *testing.T, method, target, header, body string) answer {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // it was read as far as it matters
	if err := conn.SetDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if header != "" {
		header += "\r\n"
	}
	_, err = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: h\r\nX-Api-Key: %s\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n%s",
		method, target, adminKey, len(body), header, body)
	if err != nil {
		return answer{} // refused before the body was sent
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return answer{}
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(res.Body)
	var cut net.Error
	if err != nil && !errors.As(err, &cut) {
		t.Errorf("%s %s: the answer broke off: %v", method, target, err)
	}
	if err != nil {
		return answer{} // a stream
	}
	return answer{res.StatusCode, res.Header, content}
}
