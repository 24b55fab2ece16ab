package httpapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2aclient"
	"github.com/a2aproject/a2a-go/v2/a2aclient/agentcard"
)

// sequence names the extension that numbers a stream's updates.
const sequence = "urn:errand:a2a:sequence:1"

// bindings are the two ways in which the protocol is spoken.
func bindings() []string { return []string{"JSONRPC", "HTTP+JSON"} }

// speaking is a call of the protocol to agent-1, by one of its bindings.
func speaking(binding, method string, params map[string]any) call {
	c := call{method: "POST", path: "/a2a/agent-1", key: userKey, header: map[string]string{"A2A-Version": "1.0"}}
	id, _ := params["id"].(string)
	if binding == "JSONRPC" {
		body, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": "r-1", "method": method, "params": params})
		c.body = string(body)
		return c
	}
	switch method {
	case "SendMessage":
		c.path += "/message:send"
	case "SendStreamingMessage":
		c.path += "/message:stream"
	case "GetTask":
		c.method, c.path = "GET", c.path+"/tasks/"+id
		return c
	case "CancelTask":
		c.path += "/tasks/" + id + ":cancel"
	case "SubscribeToTask":
		c.path += "/tasks/" + id + ":subscribe"
	case "CreateTaskPushNotificationConfig":
		c.path += pushes(params)
	case "ListTaskPushNotificationConfigs":
		c.method, c.path = "GET", c.path+pushes(params)
		return c
	case "GetTaskPushNotificationConfig":
		c.method, c.path = "GET", c.path+pushes(params)+"/"+id
		return c
	case "DeleteTaskPushNotificationConfig":
		c.method, c.path = "DELETE", c.path+pushes(params)+"/"+id
		return c
	case "ListTasks":
		c.method, c.path = "GET", c.path+"/tasks?"
		for name, value := range params {
			c.path += fmt.Sprintf("%s=%v&", name, value)
		}
		return c
	}
	body, _ := json.Marshal(params)
	c.body = string(body)
	return c
}

// pushes is where the pushes of a task are.
func pushes(of map[string]any) string {
	return fmt.Sprintf("/tasks/%v/pushNotificationConfigs", of["taskId"])
}

// userMessage is what a user says, with other members.
func userMessage(id, words string, more map[string]any) map[string]any {
	m := map[string]any{"messageId": id, "role": "ROLE_USER", "parts": []any{map[string]any{"text": words}}}
	maps.Copy(m, more)
	return map[string]any{"message": m, "configuration": map[string]any{"returnImmediately": true}}
}

// speaks makes a call that has to succeed, and reads its result.
func (s *server) speaks(t *testing.T, binding, method string, params map[string]any) map[string]any {
	t.Helper()
	got := s.must(t, 200, speaking(binding, method, params))
	if binding != "JSONRPC" {
		return got
	}
	result, ok := got["result"].(map[string]any)
	if !ok || got["id"] != "r-1" || got["jsonrpc"] != "2.0" {
		t.Fatalf("%s: answered %v", method, got)
	}
	return result
}

// refuses makes a call that has to fail for a reason.
func (s *server) refuses(t *testing.T, reason string, c call) {
	t.Helper()
	before := s.stored(t)
	got := s.do(t, c)
	if !strings.Contains(string(got.body), `"reason":"`+reason+`"`) || c.path == "/a2a/agent-1" && got.status != 200 {
		t.Errorf("%s %s: answered %d, %s, want %s", c.path, c.body, got.status, clip(got.body), reason)
	}
	if after := s.stored(t); after != before {
		t.Errorf("%s %s: stored something: %s, before %s", c.path, c.body, after, before)
	}
}

// updates reads a stream of the protocol to its end, a line an update.
func updates(t *testing.T, binding string, s *stream) []string {
	t.Helper()
	var lines []string
	for _, m := range s.rest(t) {
		u := object(t, []byte(m.data))
		if binding == "JSONRPC" {
			u, _ = u["result"].(map[string]any)
		}
		lines = append(lines, m.id+" "+told(t, m.id, u))
	}
	return lines
}

// told is an update in a few words; it carries its number.
func told(t *testing.T, id string, u map[string]any) string {
	t.Helper()
	for kind, value := range u {
		x := value.(map[string]any)
		numbered, _ := x["metadata"].(map[string]any)[sequence].(map[string]any)
		if numbered["seq"] != id {
			t.Errorf("update %s is numbered %v", id, numbered)
		}
		if kind == "artifactUpdate" {
			part := x["artifact"].(map[string]any)["parts"].([]any)[0].(map[string]any)
			return fmt.Sprintf("%v %v", part["text"], x["append"] == true)
		}
		return kind + " " + strings.TrimPrefix(x["status"].(map[string]any)["state"].(string), "TASK_STATE_")
	}
	return ""
}

// says lets the attempt of agent-1's task one say something.
func (s *server) says(t *testing.T, token, words string) {
	t.Helper()
	s.must(t, 200, call{
		method: "POST", path: "/v1/tasks/one/events", key: workerKey,
		body: fmt.Sprintf(`{"lease_token": %q, "events": [{"type": "chunk", "data": %q}]}`, token, words),
	})
}

func (s *server) finishes(t *testing.T, id, token, members string) {
	t.Helper()
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/" + id + "/finish", key: workerKey, body: fmt.Sprintf(`{"lease_token": %q, %s}`, token, members)})
}

// A card says at which address the agent is spoken to: the one at which it was asked.
func TestH16Card(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.agent(t, "agent-2")
	card := s.must(t, 200, call{method: "GET", path: "/a2a/agent-1/.well-known/agent-card.json", key: userKey})
	for i, binding := range bindings() {
		x := card["supportedInterfaces"].([]any)[i].(map[string]any)
		if x["url"] != s.url+"/a2a/agent-1" || x["protocolBinding"] != binding || x["protocolVersion"] != "1.0" {
			t.Errorf("H16: interface %v", x)
		}
	}
	page := s.must(t, 200, call{method: "GET", path: "/a2a?pageSize=1", key: userKey})
	second := s.must(t, 200, call{method: "GET", path: "/a2a?pageSize=1&pageToken=" + page["nextPageToken"].(string), key: userKey})
	if fmt.Sprint(page["agents"]) != fmt.Sprint([]any{card}) || second["agents"].([]any)[0].(map[string]any)["name"] != "agent-2" {
		t.Errorf("H16: the directory is %v, %v", page, second)
	}
	tag := s.do(t, call{method: "GET", path: "/a2a/agent-1/.well-known/agent-card.json"}).header.Get("ETag")
	s.must(t, 304, call{method: "GET", path: "/a2a/agent-1/.well-known/agent-card.json", header: map[string]string{"If-None-Match": tag}})
	none := s.do(t, call{method: "GET", path: "/a2a/agent-1/.well-known/agent-card.json", key: "-"})
	if none.status != 401 || none.header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("H16: without a key %d, %v", none.status, none.header)
	}
	s.must(t, 403, call{method: "GET", path: "/a2a/agent-1/.well-known/agent-card.json", key: workerKey})
	s.must(t, 404, call{method: "GET", path: "/a2a/agent-1/.well-known/agent-card.json", key: strangerKey})
	s.must(t, 404, call{method: "POST", path: "/a2a/nobody", body: `{}`})
	s.must(t, 405, call{method: "DELETE", path: "/a2a/agent-1"})
}

// A stream tells the text in pieces and then whole, and goes on behind any update, also
// when the turn has ended.
func TestH16AStreamGoesOnBehindAnyUpdate(t *testing.T) {
	t.Parallel()
	for _, binding := range bindings() {
		t.Run(binding, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.agent(t, "agent-1")
			live := s.follow(t, speaking(binding, "SendStreamingMessage", userMessage("m", "hello", map[string]any{"contextId": "one"})))
			first := live.next(t)
			token := s.claim(t)
			s.says(t, token, "Hi")
			s.says(t, token, " there")
			s.finishes(t, "one", token, `"status": "completed", "result": "Hi there."`)
			want := []string{"3 statusUpdate WORKING", "4 Hi false", "5  there true", "5.5 Hi there. false", "6 statusUpdate COMPLETED"}
			if got := updates(t, binding, live); first.id != "1" || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("H16: told %q after %v", got, first)
			}
			for i, line := range want {
				id, _, _ := strings.Cut(line, " ")
				c := speaking(binding, "SubscribeToTask", map[string]any{"id": "one~1"})
				c.header["A2A-Extensions"], c.header["Last-Event-ID"] = "urn:other, "+sequence, id
				again := s.follow(t, c)
				if got := updates(t, binding, again); fmt.Sprint(got) != fmt.Sprint(want[i+1:]) || again.Header.Get("A2A-Extensions") != sequence {
					t.Errorf("H16: behind %s %q, %v", id, got, again.Header)
				}
			}
			s.refuses(t, "UNSUPPORTED_OPERATION", speaking(binding, "SubscribeToTask", map[string]any{"id": "one~1"}))
			if got := updates(t, binding, s.follow(t, speaking(binding, "SendStreamingMessage", userMessage("m", "hello", map[string]any{"contextId": "one"})))); fmt.Sprint(got) != "[6 task COMPLETED]" {
				t.Errorf("H16: a repeat is told %q", got)
			}
		})
	}
}

// What the agent asks is answered by a message, once, however often it is sent.
func TestH16AMessageAnswersWhatIsAsked(t *testing.T) {
	t.Parallel()
	for _, binding := range bindings() {
		t.Run(binding, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.agent(t, "agent-1")
			state := func(want string) map[string]any {
				t.Helper()
				got := s.speaks(t, binding, "GetTask", map[string]any{"id": "one~1"})
				if status := got["status"].(map[string]any); status["state"] != "TASK_STATE_"+want {
					t.Fatalf("H16: stands %v, want %s", status, want)
				}
				return got
			}
			s.speaks(t, binding, "SendMessage", userMessage("m", "refund", map[string]any{"contextId": "one"}))
			if why := state("SUBMITTED")["status"].(map[string]any)["message"]; why == nil {
				t.Error("H16: nobody says what it waits for")
			}
			token := s.claim(t)
			state("WORKING")
			for range 2 { // a context that is at work has another task beside
				other := s.speaks(t, binding, "SendMessage", userMessage("m2", "more", map[string]any{"contextId": "one"}))["task"].(map[string]any)
				list := s.speaks(t, binding, "ListTasks", map[string]any{"contextId": "one"})["tasks"].([]any)
				if id := other["id"].(string); other["contextId"] != "one" || !strings.HasPrefix(id, "one:") || len(list) != 2 || list[0].(map[string]any)["id"] != id {
					t.Errorf("H16: beside the first task %v, of %v", other, list)
				}
				if other["status"].(map[string]any)["state"] == "TASK_STATE_SUBMITTED" {
					s.speaks(t, binding, "CancelTask", map[string]any{"id": other["id"]})
				}
			}
			s.asks(t, 201, token, `"key": "n", "message": "how many?", "schema": {"type": "integer"}, "stay": true`)
			s.asks(t, 201, token, `"key": "p", "kind": "approval", "tool_name": "pay"`)
			blocking := userMessage("m", "refund", map[string]any{"contextId": "one"})
			delete(blocking, "configuration")
			if got := s.speaks(t, binding, "SendMessage", blocking)["task"].(map[string]any)["status"].(map[string]any); got["state"] != "TASK_STATE_AUTH_REQUIRED" {
				t.Errorf("H16: a repeat of the first message finds %v", got)
			}
			s.refuses(t, "INVALID_PARAMS", speaking(binding, "SendMessage", userMessage("m3", "perhaps", map[string]any{"taskId": "one~1"})))
			for range 2 {
				s.speaks(t, binding, "SendMessage", userMessage("m3", "Yes.", map[string]any{"taskId": "one~1", "contextId": "one"}))
				state("WORKING")
			}
			s.refuses(t, "INVALID_PARAMS", speaking(binding, "SendMessage", userMessage("m4", "many", map[string]any{"contextId": "one"})))
			for range 2 {
				s.speaks(t, binding, "SendMessage", userMessage("m4", "7", map[string]any{"contextId": "one"}))
			}
			for range 2 { // workers may read what they are told meanwhile
				s.speaks(t, binding, "SendMessage", userMessage("m5", "8", map[string]any{"taskId": "one~1"}))
				var said []string
				for _, m := range state("WORKING")["history"].([]any) {
					said = append(said, m.(map[string]any)["messageId"].(string))
				}
				if got := strings.Join(said, " "); !strings.HasPrefix(got, "m ") || !strings.HasSuffix(got, " m4 m5") {
					t.Errorf("H16: the history is %s", got)
				}
			}
			again := s.asks(t, 200, s.claim(t), `"key": "n", "message": "how many?"`)
			if answered, _ := again["answered"].(map[string]any); answered["value"] != 7.0 {
				t.Errorf("H16: answered %v", again)
			}
			s.refuses(t, "INVALID_PARAMS", speaking(binding, "SendMessage", userMessage("m6", "x", map[string]any{"taskId": "one~1", "contextId": "two"})))
			s.refuses(t, "TASK_NOT_FOUND", speaking(binding, "SendMessage", userMessage("m6", "x", map[string]any{"taskId": "one~2"})))
			if got := s.speaks(t, binding, "CancelTask", map[string]any{"id": "one~1"}); got["status"].(map[string]any)["state"] != "TASK_STATE_CANCELED" {
				t.Errorf("H16: canceled, it is %v", got)
			}
			s.refuses(t, "TASK_NOT_CANCELABLE", speaking(binding, "CancelTask", map[string]any{"id": "one~1"}))
			before := s.stored(t)
			repeated := s.speaks(t, binding, "SendMessage", userMessage("m4", "7", map[string]any{"contextId": "one"}))["task"].(map[string]any)
			if after := s.stored(t); repeated["id"] != "one~1" || after != before {
				t.Errorf("H16: an answer is sent again when the turn has ended: %v, stored %s, before %s", repeated["id"], after, before)
			}
			s.refuses(t, "UNSUPPORTED_OPERATION", speaking(binding, "SendMessage", userMessage("m6", "x", map[string]any{"taskId": "one~1"})))
		})
	}
}

// A message answers what its sender may answer, or what it names; and each stream ends
// where its viewer has been told how the turn rests.
func TestH16WhatWaitsForOthers(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	const binding = "HTTP+JSON"
	message := func(id, words string, metadata map[string]any) map[string]any {
		return userMessage(id, words, map[string]any{"taskId": "one~1", "metadata": metadata})
	}
	resumed := func(behind string) *stream {
		t.Helper()
		c := speaking(binding, "SubscribeToTask", map[string]any{"id": "one~1"})
		c.header["A2A-Extensions"], c.header["Last-Event-ID"] = sequence, behind
		return s.follow(t, c)
	}
	s.speaks(t, binding, "SendMessage", userMessage("m", "refund", map[string]any{"contextId": "one"}))
	token := s.claim(t)
	s.asks(t, 201, token, `"key": "b", "message": "bob?", "approvers": ["user:bob"], "stay": true`)
	mine := s.asks(t, 201, token, `"key": "n", "message": "how many?"`)["id"].(string)
	s.speaks(t, "JSONRPC", "GetTask", map[string]any{"id": "one~1"})
	s.refuses(t, "INVALID_PARAMS", speaking(binding, "SendMessage", message("m1", "7", map[string]any{"approval_id": "nobody's"})))
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/events", body: `{"events": [{"type": "agent_message", "data": "hi", "client_id": "a2a:odd"}]}`})
	if got := updates(t, binding, s.follow(t, speaking(binding, "SendStreamingMessage", userMessage("m", "refund", map[string]any{"contextId": "one"})))); len(got) != 1 || !strings.HasSuffix(got[0], "task INPUT_REQUIRED") {
		t.Errorf("H16: a repeat finds %q", got)
	}
	asked := updates(t, binding, resumed("3"))
	if len(asked) != 1 || !strings.HasSuffix(asked[0], "statusUpdate INPUT_REQUIRED") {
		t.Fatalf("H16: who comes back before the question is told %q", asked)
	}
	id, _, _ := strings.Cut(asked[0], " ")
	waits := resumed(id)
	s.speaks(t, binding, "SendMessage", message("m2", "7", nil))
	if a := s.must(t, 200, call{method: "GET", path: "/v1/approvals/" + mine}); a["status"] != "answered" {
		t.Errorf("H16: what the sender may answer is %v", a)
	}
	s.refuses(t, "UNSUPPORTED_OPERATION", speaking(binding, "SendMessage", message("m3", "8", map[string]any{"approval_id": mine})))
	s.finishes(t, "one", s.claim(t), `"status": "completed", "result": "done"`)
	told := updates(t, binding, waits)
	if len(told) != 3 || !strings.HasSuffix(told[2], "statusUpdate COMPLETED") {
		t.Fatalf("H16: who comes back to a question is told %q", told)
	}
	s.must(t, 200, call{method: "PATCH", path: "/v1/tasks/one", body: `{"status": "failed", "override": true}`})
	end, _, _ := strings.Cut(told[2], " ")
	if got := updates(t, binding, resumed(id)); fmt.Sprint(got) != fmt.Sprint(told) {
		t.Errorf("H16: since an override it is %q, and was %q", got, told)
	}
	if got := updates(t, binding, resumed(end)); len(got) != 0 {
		t.Errorf("H16: behind the end %q", got)
	}
}

// A list has every turn once, whatever the size of its pages.
func TestH16List(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.agent(t, "agent-2")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-2", "id": "other", "input": {"text": "x"}}`})
	for _, context := range []string{"one", "two"} {
		for turn := range 3 {
			id := s.speaks(t, "HTTP+JSON", "SendMessage", userMessage(fmt.Sprintf("%s-%d", context, turn), "x", map[string]any{"contextId": context}))["task"].(map[string]any)["id"]
			if turn < 2 {
				s.speaks(t, "JSONRPC", "CancelTask", map[string]any{"id": id})
			}
		}
	}
	list := func(more map[string]any) (ids []string) {
		t.Helper()
		for token := ""; ; {
			params := map[string]any{"pageSize": 2, "pageToken": token}
			maps.Copy(params, more)
			got := s.speaks(t, bindings()[len(ids)%2], "ListTasks", params)
			for _, x := range got["tasks"].([]any) {
				ids = append(ids, x.(map[string]any)["id"].(string))
			}
			if token = got["nextPageToken"].(string); token == "" {
				return ids
			}
		}
	}
	for _, c := range []struct {
		more map[string]any
		want string
	}{
		{nil, "[two~3 two~2 two~1 one~3 one~2 one~1]"},
		{map[string]any{"contextId": "one"}, "[one~3 one~2 one~1]"},
		{map[string]any{"status": "TASK_STATE_SUBMITTED"}, "[two~3 one~3]"},
		{map[string]any{"contextId": "other"}, "[]"},
		{map[string]any{"statusTimestampAfter": "2100-01-01T00:00:00Z"}, "[]"},
	} {
		if got := fmt.Sprint(list(c.more)); got != c.want {
			t.Errorf("H16: %v lists %s, want %s", c.more, got, c.want)
		}
	}
	if got := s.speaks(t, "JSONRPC", "ListTasks", map[string]any{"status": "TASK_STATE_CANCELED"}); got["totalSize"] != 4.0 || got["pageSize"] != 4.0 {
		t.Errorf("H16: a whole list says of itself %v, %v", got["totalSize"], got["pageSize"])
	}
	for _, bad := range []map[string]any{{"pageSize": 0}, {"pageSize": 101}, {"pageToken": "x"}, {"status": "x"}, {"historyLength": -1}, {"statusTimestampAfter": "x"}} {
		for _, binding := range bindings() {
			s.refuses(t, "INVALID_PARAMS", speaking(binding, "ListTasks", bad))
		}
	}
}

// What is wrong is told in the protocol's words, and nothing is stored.
func TestH16BadRequests(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "mine", "input": {"text": "x"}}`})
	for _, binding := range bindings() {
		for _, m := range []map[string]any{
			{"parts": []any{}},
			{"parts": []any{map[string]any{}}},
			{"parts": []any{map[string]any{"text": "x", "url": "http://a"}}},
			{"parts": []any{map[string]any{"url": "file:///etc/passwd"}}},
			{"parts": []any{map[string]any{"raw": "%"}}},
			{"parts": "x"},
			{"role": "ROLE_AGENT"},
			{"messageId": ""},
			{"messageId": strings.Repeat("m", 121)},
			{"messageId": 7},
			{"contextId": "a b"},
			{"message_id": "twice"},
		} {
			s.refuses(t, "INVALID_PARAMS", speaking(binding, "SendMessage", userMessage("m", "x", m)))
		}
		s.refuses(t, "INVALID_PARAMS", speaking(binding, "SendMessage", map[string]any{}))
		s.refuses(t, "CONTENT_TYPE_NOT_SUPPORTED", speaking(binding, "SendMessage", userMessage("m", "x", map[string]any{"parts": []any{map[string]any{"text": "x", "mediaType": "application/x-odd"}}})))
		for _, id := range []string{"nobody~1", "mine~2", "mine~0", "mine~01", "mine", "~1", "x~y"} {
			for _, method := range []string{"GetTask", "CancelTask", "SubscribeToTask"} {
				s.refuses(t, "TASK_NOT_FOUND", speaking(binding, method, map[string]any{"id": id}))
			}
		}
		odd := speaking(binding, "SendStreamingMessage", userMessage("m", "x", nil))
		odd.path += "?on_disconnect=perhaps"
		s.refuses(t, "INVALID_PARAMS", odd)
		old := speaking(binding, "ListTasks", nil)
		old.header["A2A-Version"] = "0.3"
		s.refuses(t, "VERSION_NOT_SUPPORTED", old)
		stranger := speaking(binding, "GetTask", map[string]any{"id": "mine~1"})
		stranger.key = strangerKey
		s.must(t, 404, stranger)
		s.must(t, 200, call{method: "PUT", path: "/v1/agents/agent-1", key: strangerKey, body: `{"name": "theirs"}`})
		s.refuses(t, "TASK_NOT_FOUND", stranger)
	}
	for body, reason := range map[string]string{
		`{`: "PARSE_ERROR", `[]`: "INVALID_REQUEST", `{"jsonrpc": "2.0", "id": 1}`: "INVALID_REQUEST", `{"id": 1, "method": "GetTask"}`: "INVALID_REQUEST",
		`{"jsonrpc": "2.0", "id": {}, "method": "GetTask"}`:                              "INVALID_REQUEST",
		`{"jsonrpc": "2.0", "id": 1, "method": "message/send"}`:                          "METHOD_NOT_FOUND",
		`{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": []}`:                 "INVALID_PARAMS",
		`{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "id": 2}`:                      "INVALID_PARAMS",
		`{"jsonrpc": "2.0", "id": 1, "method": "GetExtendedAgentCard"}`:                  "EXTENDED_AGENT_CARD_NOT_CONFIGURED",
		`{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "a\u0000b"}}`: "INVALID_PARAMS",
	} {
		s.refuses(t, reason, call{method: "POST", path: "/a2a/agent-1", key: userKey, body: body})
	}
}

// Files come as bytes or by URL; what the agent writes is an artifact of its own.
func TestH16Files(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.speaks(t, "JSONRPC", "SendMessage", userMessage("m", "", map[string]any{"context_id": "one", "parts": []any{
		map[string]any{"raw": "YSxiCjEsMgo=", "filename": "a.csv", "media_type": "text/csv"},
		map[string]any{"url": "https://example.com/b.csv"},
		map[string]any{"data": map[string]any{"snake_case": 1}},
		map[string]any{"text": "sum it"},
	}}))
	asked := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"})["input"].(map[string]any)
	list := asked["files"].([]any)
	if asked["text"] != "{\"snake_case\":1}\nsum it" || len(list) != 2 || !strings.Contains(list[0].(string), "/a.csv") || list[1] != "https://example.com/b.csv" {
		t.Errorf("H16: the task is asked %v", asked)
	}
	token := s.claim(t)
	s.must(t, 201, writing("one", token, "c.txt", "three"))
	s.finishes(t, "one", token, `"status": "completed", "result": "done"`)
	got := s.speaks(t, "HTTP+JSON", "GetTask", map[string]any{"id": "one~1"})
	artifacts := got["artifacts"].([]any)
	part := artifacts[0].(map[string]any)["parts"].([]any)[0].(map[string]any)
	if len(artifacts) != 2 || part["filename"] != "c.txt" {
		t.Fatalf("H16: made %v", artifacts)
	}
	if content := s.do(t, call{method: "GET", path: strings.TrimPrefix(part["url"].(string), s.url), key: "-"}); string(content.body) != "three" {
		t.Errorf("H16: the file is %s", clip(content.body))
	}
}

// bearer shows a key as the Go library's client sends any header.
type bearer struct{ key string }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.key)
	return http.DefaultTransport.RoundTrip(r)
}

// The Go library's client does what it does with servers of its own.
func TestH16GoClient(t *testing.T) {
	t.Parallel()
	for _, binding := range bindings() {
		t.Run(binding, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.agent(t, "agent-1")
			ctx := t.Context()
			caller := &http.Client{Transport: bearer{userKey}}
			card, err := (&agentcard.Resolver{Client: caller}).Resolve(ctx, s.url+"/a2a/agent-1")
			if err != nil {
				t.Fatal(err)
			}
			client, err := a2aclient.NewFromCard(ctx, card, a2aclient.WithJSONRPCTransport(caller), a2aclient.WithRESTTransport(caller),
				a2aclient.WithConfig(a2aclient.Config{PreferredTransports: []a2a.TransportProtocol{a2a.TransportProtocol(binding)}}))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			var id a2a.TaskID
			for e, err := range client.SendStreamingMessage(ctx, &a2a.SendMessageRequest{Message: a2a.NewMessage(a2a.MessageRoleUser, a2a.NewTextPart("hello"))}) {
				if err != nil {
					t.Fatal(err)
				}
				switch x := e.(type) {
				case *a2a.Task:
					id = x.ID
					of, _, _ := strings.Cut(string(id), "~")
					s.finishes(t, of, s.claim(t), `"status": "completed", "result": "Hi."`)
				case *a2a.TaskStatusUpdateEvent:
					got = append(got, string(x.Status.State))
				case *a2a.TaskArtifactUpdateEvent:
					got = append(got, x.Artifact.Parts[0].Text())
				}
			}
			if fmt.Sprint(got) != "[TASK_STATE_WORKING Hi. TASK_STATE_COMPLETED]" {
				t.Errorf("H16: told %v", got)
			}
			list, err := client.ListTasks(ctx, &a2a.ListTasksRequest{})
			if err != nil || len(list.Tasks) == 0 || list.Tasks[0].ID != id {
				t.Errorf("H16: lists %+v, %v", list, err)
			}
			if _, err := client.CancelTask(ctx, &a2a.CancelTaskRequest{ID: id}); !errors.Is(err, a2a.ErrTaskNotCancelable) {
				t.Errorf("H16: cancel: %v", err)
			}
			if _, err := client.GetTask(ctx, &a2a.GetTaskRequest{ID: "nobody~1"}); !errors.Is(err, a2a.ErrTaskNotFound) {
				t.Errorf("H16: get: %v", err)
			}
			for _, err := range client.SubscribeToTask(ctx, &a2a.SubscribeToTaskRequest{ID: id}) {
				if !errors.Is(err, a2a.ErrUnsupportedOperation) {
					t.Errorf("H16: subscribe: %v", err)
				}
			}
		})
	}
}
