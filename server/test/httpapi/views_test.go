package httpapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// asksPeople lets the attempt that holds a task ask something.
func (s *server) asksPeople(t *testing.T, id, token, body string) map[string]any {
	t.Helper()
	return s.must(t, 201, call{method: "POST", path: "/v1/tasks/" + id + "/approvals", body: fmt.Sprintf(`{"lease_token": %q, %s}`, token, body)})
}

// H5, S10: a row says what a person is asked, and what may still be spent; counts say
// in how many tasks a person is asked something, and until when.
func TestH5RowsSayWhatAPersonIsAsked(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	deadline := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "one", "input": {}, "budget": {"tokens": 100}}`})
	first := s.asksPeople(t, "one", s.claim(t), `"key": "a", "kind": "approval", "title": "`+strings.Repeat("ü", 210)+`", "deadline": "`+deadline.Format(time.RFC3339)+`"`)
	s.task(t, "two")
	_, by := s.rows(t, "", "")
	asked := by["one"]["approval"].(map[string]any)
	if asked["id"] != first["id"] || asked["kind"] != "approval" || asked["title"] != strings.Repeat("ü", 200) || asked["deadline"] != deadline.Format(time.RFC3339) {
		t.Errorf("is asked: %v", asked)
	}
	if by["one"]["budget"].(map[string]any)["tokens"] != 100.0 || by["one"]["spent"].(map[string]any)["task_id"] != "one" {
		t.Errorf("the budget: %v, %v", by["one"]["budget"], by["one"]["spent"])
	}
	if by["two"]["approval"] != nil || by["two"]["budget"] != nil || by["two"]["spent"] != nil {
		t.Errorf("of nobody: %v", by["two"])
	}
	counts := s.must(t, 200, call{method: "GET", path: "/v1/tasks/counts"})
	if counts["needs_you"] != 1.0 || counts["next_deadline"] != deadline.Format(time.RFC3339) {
		t.Errorf("counts: %v", counts)
	}
	s.must(t, 200, call{method: "POST", path: fmt.Sprintf("/v1/approvals/%s/answer", first["id"]), body: `{"answer": "approve"}`})
	if counts = s.must(t, 200, call{method: "GET", path: "/v1/tasks/counts"}); counts["needs_you"] != 0.0 || counts["next_deadline"] != nil {
		t.Errorf("counts after the answer: %v", counts)
	}
}

// H5, S9: lists, counts and stops are narrowed by what a person is asked, by tags, and by
// what tasks wait for: as each task itself says it.
func TestH5FiltersByWhatIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, agent := range []string{"agent-1", "idle"} {
		s.agent(t, agent)
	}
	create := func(id, agent, more string) {
		s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: fmt.Sprintf(`{"agent_id": %q, "id": %q, "input": {}%s}`, agent, id, more)})
	}
	create("asks", "agent-1", `, "tags": ["nightly", "red"]`)
	s.asksPeople(t, "asks", s.claim(t), `"key": "a", "message": "m"`)
	create("waits", "agent-1", "")
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/waits/wait", body: fmt.Sprintf(`{"lease_token": %q, "until": "2100-01-01T00:00:00Z"}`, s.claim(t))})
	create("runs", "agent-1", `, "tags": ["nightly"]`)
	s.claim(t)
	create("first", "agent-1", "")
	create("second", "agent-1", `, "tags": ["nightly"]`)
	create("pinned", "agent-1", `, "worker_id": "nobody"`)
	create("later", "agent-1", `, "run_at": "2100-01-01T00:00:00Z"`)
	create("held", "idle", "")
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/held/pause"})
	create("alone", "idle", "")
	create("own", "idle", `, "run_locally": true`)
	_, rows := s.rows(t, "&per_page=200", "")
	for reason, want := range map[string]string{
		"person": "[asks]", "timer": "[waits]", "workers_busy": "[first]", "behind": "[second]", "pinned_worker_absent": "[pinned]", "scheduled": "[later]",
		"paused": "[held]", "no_worker": "[alone]", "run_locally": "[own]", "child": "[]", "retry": "[]", "budget": "[]", "assigned": "[]",
	} {
		ids, _ := s.rows(t, "&waiting_reason="+reason, "")
		if fmt.Sprint(ids) != want {
			t.Errorf("%s: %v, want %s", reason, ids, want)
		}
		for _, id := range ids {
			if got := rows[id]["waiting"].(map[string]any)["reason"]; got != reason {
				t.Errorf("%s says that it waits for %v, not %s", id, got, reason)
			}
		}
		if list := s.must(t, 200, call{method: "GET", path: "/v1/tasks?waiting_reason=" + reason}); list["total"] != float64(len(ids)) {
			t.Errorf("%s: %v are listed", reason, list["total"])
		}
	}
	for query, want := range map[string]string{
		"&needs=you":                  "[asks]",
		"&tag=nightly":                "[second runs asks]",
		"&tag=nightly&status=pending": "[second]",
		"&tag=nightly&status=pending&status=paused":   "[second asks]",
		"&tag=red&needs=you&agent_id=agent-1":         "[asks]",
		"&tag=nightly&needs=you&waiting_reason=timer": "[]",
		"&tag=none":                           "[]",
		"&tag=nightly&per_page=1&page=2":      "[runs]",
		"&roots=true&tag=nightly&worker_id=w": "[runs asks]",
	} {
		if ids, _ := s.rows(t, query, ""); fmt.Sprint(ids) != want {
			t.Errorf("%s: %v, want %s", query, ids, want)
		}
		if ids, _ := s.rows(t, query, strangerKey); len(ids) > 0 {
			t.Errorf("%s: a stranger sees %v", query, ids)
		}
	}
	s.must(t, 422, call{method: "GET", path: "/v1/tasks?needs=me"})
	s.must(t, 422, call{method: "GET", path: "/v1/tasks?waiting_reason=nothing"})
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/second/stop"})
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "second", "input": {}, "tags": ["blue"]}`})
	if ids, _ := s.rows(t, "&tag=nightly", ""); fmt.Sprint(ids) != "[runs asks]" {
		t.Errorf("after the next turn: %v", ids)
	}
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/asks"})
	if ids, _ := s.rows(t, "&tag=red", ""); len(ids) > 0 {
		t.Errorf("a deleted task has tags: %v", ids)
	}
}

// H10: a page is told of workers, and of what people are asked.
func TestH10APageIsToldOfWorkersAndApprovals(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	p, theirs := s.pageStream(t, "workers=true&approvals=true", ""), s.pageStream(t, "workers=true&approvals=true", strangerKey)
	if none := p.until(t, "workers")["items"].([]any); len(none) > 0 {
		t.Errorf("at first: %v", none)
	}
	theirs.until(t, "workers")
	s.task(t, "one")
	token := s.claim(t)
	w := p.until(t, "workers", `"id":"w"`)["items"].([]any)[0].(map[string]any)
	if w["kind"] != "fenced" || w["connected"] != true || fmt.Sprint(w["agents"]) != "[agent-1]" || fmt.Sprint(w["tasks"]) != "[one]" || w["slots"] != 1.0 || w["busy"] != true {
		t.Errorf("a worker: %v", w)
	}
	asked := s.asksPeople(t, "one", token, `"key": "a", "kind": "approval", "message": "Really?"`)
	if a := p.until(t, "approval"); a["id"] != asked["id"] || a["status"] != "open" || a["message"] != "Really?" {
		t.Errorf("is asked: %v", a)
	}
	p.until(t, "workers", `"at_work":0`)
	s.must(t, 200, call{method: "POST", path: fmt.Sprintf("/v1/approvals/%s/answer", asked["id"]), body: `{"answer": "approve"}`})
	if a := p.until(t, "approval"); a["status"] != "answered" {
		t.Errorf("was answered: %v", a)
	}
	s.asksPeople(t, "one", s.claim(t), `"key": "b", "message": "m"`)
	p.until(t, "approval", `"open"`)
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/stop"})
	p.until(t, "approval", `"closed"`)
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/one"})
	p.until(t, "reset", "approvals")
	s.must(t, 200, call{method: "PUT", path: "/v1/agents/agent-1", key: strangerKey, body: `{"name": "theirs"}`})
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: strangerKey, body: `{"agent_id": "agent-1", "id": "mine", "input": {}}`})
	s.must(t, 200, call{method: "POST", path: "/v1/claim", key: strangerKey, body: `{"agent_ids": ["agent-1"], "worker_id": "theirs"}`})
	for over := false; !over; {
		m := theirs.next(t)
		over = m.event == "workers" && strings.Contains(m.data, `"theirs"`)
		if strings.Contains(m.data, "one") || m.event == "approval" {
			t.Errorf("a stranger is told %v", m)
		}
	}
	list := s.must(t, 200, call{method: "GET", path: "/v1/workers?agent_id=agent-1"})["items"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["id"] != "w" {
		t.Errorf("workers: %v", list)
	}
	_, own := s.key(t, `{"name": "own", "role": "user", "sees": "own"}`)
	s.task(t, "hidden")
	s.claim(t)
	if w := s.must(t, 200, call{method: "GET", path: "/v1/workers", key: own})["items"].([]any)[0].(map[string]any); w["at_work"] != 1.0 || len(w["tasks"].([]any)) > 0 {
		t.Errorf("a key that does not see the task is told %v", w)
	}
	if none := s.must(t, 200, call{method: "GET", path: "/v1/workers?agent_id=x"})["items"].([]any); len(slices.Clone(none)) > 0 {
		t.Errorf("of no agent: %v", none)
	}
}

// H5, X1: many tasks are stopped by any filter or by their ids, are counted before, and what
// was counted is what is stopped.
func TestX1ManyAreCountedAndStopped(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.agent(t, "agent-2")
	create := func(id, more string) {
		s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: fmt.Sprintf(`{"agent_id": "agent-1", "id": %q, "input": {}%s}`, id, more)})
	}
	create("one", `, "tags": ["red"]`)
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-2", "id": "below", "parent_execution": "one", "input": {}}`})
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-2", "id": "far-below", "parent_execution": "below", "input": {}}`})
	for i := range 4 {
		create(fmt.Sprint("red-", i), `, "tags": ["red", "x"]`)
	}
	create("blue", "")
	stop := func(body string, matched, stopped, below int) map[string]any {
		t.Helper()
		got := s.must(t, 200, call{method: "POST", path: "/v1/tasks/stop", body: body})
		if got["matched"] != float64(matched) || got["stopped"] != float64(stopped) || got["subtasks"] != float64(below) {
			t.Errorf("%s: %v", body, got)
		}
		return got
	}
	counted := stop(`{"filter": {"tag": "red"}, "dry_run": true}`, 5, 0, 2)
	var sample []string
	for _, x := range counted["sample"].([]any) {
		sample = append(sample, x.(map[string]any)["id"].(string))
	}
	if fmt.Sprint(sample) != "[red-3 red-2 red-1]" {
		t.Errorf("the sample: %v", sample)
	}
	stop(`{"filter": {"tag": "red", "agent_id": "agent-1", "roots": true}, "dry_run": true}`, 5, 0, 2)
	stop(`{"filter": {"status": ["pending"], "waiting_reason": "no_worker"}, "dry_run": true}`, 8, 0, 0)
	stop(`{"ids": ["one", "below", "nobody"], "dry_run": true}`, 2, 0, 1)
	stop(`{"ids": [], "dry_run": true}`, 0, 0, 0)
	create("late", `, "tags": ["red"]`)
	stop(fmt.Sprintf(`{"filter": {"tag": "red", "to_date": %q}}`, counted["to_date"]), 5, 5, 2)
	stop(`{"ids": ["one", "late", "blue"]}`, 2, 2, 0)
	if got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/counts"})["by_status"].(map[string]any); got["stopped"] != 9.0 || got["pending"] != 0.0 {
		t.Errorf("at last: %v", got)
	}
}

// changes reads a part of the feed.
func (s *server) changes(t *testing.T, query, key string) (lines []string, next string) {
	t.Helper()
	page := s.must(t, 200, call{method: "GET", path: "/v1/events?feed=true" + query, key: key})
	for _, x := range page["items"].([]any) {
		c := x.(map[string]any)
		lines = append(lines, fmt.Sprint(c["kind"], " ", c["task_id"], " ", c["first_seq"], "-", c["last_seq"]))
	}
	return lines, page["next_after"].(string)
}

// H10: a program reads the changes of all tasks that match a filter, in parts or live, and
// goes on behind any of them without a gap.
func TestH10TheFeedForPrograms(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.agent(t, "agent-2")
	none, begin := s.changes(t, "", userKey)
	if len(none) > 0 {
		t.Errorf("nothing has happened but %v", none)
	}
	live := s.follow(t, call{method: "GET", path: "/v1/events?feed=true&agent_id=agent-1", key: userKey, header: map[string]string{"Accept": "text/event-stream", "Last-Event-ID": begin}})
	if m := live.next(t); m.event != "cursor" || m.id != begin {
		t.Errorf("it begins with %+v, not at %s", m, begin)
	}
	s.task(t, "one")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-2", "id": "other", "input": {}}`})
	token := s.claim(t)
	for i := range 3 {
		s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/events", body: fmt.Sprintf(`{"lease_token": %q, "events": [{"type": "chunk", "data": "%d"}, {"type": "chunk", "data": "x"}]}`, token, i)})
	}
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/finish", body: fmt.Sprintf(`{"lease_token": %q, "status": "completed"}`, token)})
	last := len(s.events(t, "one"))
	covers := func(what string, next func() (task string, first, to float64)) {
		t.Helper()
		for seen := 0; seen < last; {
			task, first, to := next()
			if task != "one" || int(first) != seen+1 {
				t.Fatalf("%s: behind %d comes %s %v-%v", what, seen, task, first, to)
			}
			seen = int(to)
		}
	}
	var cursors []string
	covers("live", func() (string, float64, float64) {
		for {
			m := live.next(t)
			if m.event != "change" {
				continue
			}
			c := object(t, []byte(m.data))
			if m.id != c["cursor"] {
				t.Errorf("id %s of %s", m.id, m.data)
			}
			cursors = append(cursors, m.id)
			return c["task_id"].(string), c["first_seq"].(float64), c["last_seq"].(float64)
		}
	})
	whole, _ := s.changes(t, "&after="+begin, userKey)
	if len(whole) != len(cursors)+1 {
		t.Errorf("the whole: %v", whole)
	}
	for i, cursor := range cursors { // from any of them
		rest, _ := s.changes(t, "&agent_id=agent-1&after="+cursor, userKey)
		if len(rest) != len(cursors)-i-1 {
			t.Errorf("behind %d of %d come %v", i+1, len(cursors), rest)
		}
	}
	var one []string
	for after := begin; ; { // in parts of one
		part, next := s.changes(t, "&limit=1&after="+after, userKey)
		if one = append(one, part...); next == after {
			break
		}
		after = next
	}
	if !slices.Equal(one, whole) {
		t.Errorf("one by one: %v, want %v", one, whole)
	}
	if theirs, _ := s.changes(t, "&after=0", strangerKey); len(theirs) > 0 {
		t.Errorf("a stranger is told %v", theirs)
	}
	_, own := s.key(t, `{"name": "own", "role": "user", "sees": "own"}`)
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/one"})
	if hidden, _ := s.changes(t, "&after=0", own); len(hidden) > 0 {
		t.Errorf("a key that sees its own is told %v", hidden)
	}
	s.eventually(t, "the deletion is not told", func() bool { // on PostgreSQL others' transactions may have to end first
		gone, _ := s.changes(t, "&after="+cursors[len(cursors)-1], userKey)
		return fmt.Sprint(gone) == "[deleted one 0-0]"
	})
	for query, want := range map[string]int{"feed=true&after=x": 400, "feed=true&after=1": 400, "feed=true&rows=true": 422, "rows=true&after=0": 422, "feed=true&limit=501": 422, "feed=true&after=1-0": 410, "feed=true&after=fffffffffffffff-0": 410} {
		if got := s.do(t, call{method: "GET", path: "/v1/events?" + query}); got.status != want && !(strings.HasSuffix(query, "=1-0") && got.status == 200) {
			t.Errorf("%s: %d, want %d: %s", query, got.status, want, got.body)
		}
	}
}

// H10, T7: a log is read backwards, with texts joined, and nothing of it is left out or comes
// twice.
func TestH10LogsBackwardsAndFolded(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	token := s.claim(t)
	for i := range 30 {
		kind := `{"type": "chunk", "data": "%d "}`
		if i%10 == 9 {
			kind = `{"type": "think", "data": {"n": %d}}`
		}
		s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/events", body: fmt.Sprintf(`{"lease_token": %q, "events": [`+kind+`]}`, token, i)})
	}
	whole := s.events(t, "one")
	for _, query := range []string{"", "&types=chunk", "&types=think,task_created"} {
		var got []string
		for before := float64(len(whole) + 1); before > 0; {
			page := s.must(t, 200, call{method: "GET", path: fmt.Sprintf("/v1/tasks/one/events?limit=7&before=%v%s", before, query)})
			var ids []string
			for _, x := range page["items"].([]any) {
				e := x.(map[string]any)
				ids = append(ids, fmt.Sprint(e["id"], e["type"]))
			}
			got = append(ids, got...)
			before, _ = page["next_before"].(float64) // left out at the beginning
		}
		var want []string
		for _, x := range s.must(t, 200, call{method: "GET", path: "/v1/tasks/one/events?limit=1000" + query})["items"].([]any) {
			e := x.(map[string]any)
			want = append(want, fmt.Sprint(e["id"], e["type"]))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s backwards: %v, want %v", query, got, want)
		}
	}
	folded := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one/events?limit=1000&fold=text"})["items"].([]any)
	if len(folded) != len(whole)-24 {
		t.Fatalf("%d of %d events are left", len(folded), len(whole))
	}
	for _, x := range folded {
		if e := x.(map[string]any); e["type"] == "chunk" {
			if e["data"] != "0 1 2 3 4 5 6 7 8 " || e["to"] != e["id"].(float64)+8 {
				t.Errorf("the first texts: %v", e)
			}
			break
		}
	}
	for _, query := range []string{"before=3&after=1", "before=0", "fold=all"} {
		s.must(t, 422, call{method: "GET", path: "/v1/tasks/one/events?" + query})
	}
	s.must(t, 400, call{method: "GET", path: "/v1/tasks/one/events?before=1000"})
	s.must(t, 422, call{method: "GET", path: "/v1/tasks/one/events?before=3", header: map[string]string{"Accept": "text/event-stream"}})
}

// H5: a tree is listed whole from any of its tasks, with what it has used.
func TestH5Trees(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "top")
	token := s.claim(t)
	for _, pair := range [][2]string{{"left", "top"}, {"right", "top"}, {"far", "left"}} {
		s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: fmt.Sprintf(`{"agent_id": "agent-1", "id": %q, "parent_execution": %q, "input": {}}`, pair[0], pair[1])})
	}
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/top/finish", body: fmt.Sprintf(`{"lease_token": %q, "status": "completed", "tokens": {"prompt_tokens": 7}}`, token)})
	for _, from := range []string{"top", "far"} {
		tree := s.must(t, 200, call{method: "GET", path: "/v1/tasks/" + from + "/tree"})
		var shape []string
		for _, x := range tree["items"].([]any) {
			row := x.(map[string]any)
			shape = append(shape, fmt.Sprint(row["id"], row["depth"]))
		}
		totals := tree["totals"].(map[string]any)
		if fmt.Sprint(shape) != "[far2 right1 left1 top0]" || totals["tasks"] != 4.0 || totals["tokens"].(map[string]any)["prompt_tokens"] != 7.0 || totals["more"] != false {
			t.Errorf("from %s: %v, %v", from, shape, totals)
		}
	}
	part := s.must(t, 200, call{method: "GET", path: "/v1/tasks/top/tree?limit=3"})
	if rest := s.must(t, 200, call{method: "GET", path: fmt.Sprint("/v1/tasks/top/tree?cursor=", part["next_cursor"])}); len(rest["items"].([]any)) != 1 || rest["next_cursor"] != nil {
		t.Errorf("the rest: %v", rest)
	}
}

// H5: the server says of itself what it is, to whoever sees tasks.
func TestH5TheServerSaysWhatItIs(t *testing.T) {
	t.Parallel()
	s := start(t)
	got := s.must(t, 200, call{method: "GET", path: "/v1/server"})
	if store := got["store"]; store != "sqlite" && store != "postgres" || got["ui"] != true || got["node"] == "" {
		t.Errorf("the server: %v", got)
	}
	nodes := got["nodes"].([]any)
	if len(nodes) != 1 || nodes[0].(map[string]any)["id"] != got["node"] || nodes[0].(map[string]any)["last_heard"] == nil {
		t.Errorf("the nodes: %v", got)
	}
}

// H5, A3: tasks are found by how their ids begin, those that the key sees, in one bounded
// read; a beginning that too many have is told to be too short.
func TestH5TasksAreFoundByHowTheirIDsBegin(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	_, own := s.key(t, `{"name": "own", "role": "user", "sees": "own"}`)
	for _, id := range []string{"abcdef1", "abcdef2", "abcdeg1", "abcde"} {
		s.task(t, id)
	}
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: own, body: `{"agent_id": "agent-1", "id": "abcdef-own", "input": {"text": "mine"}}`})
	found := func(key, query string) (ids []string) {
		t.Helper()
		page := s.must(t, 200, call{method: "GET", path: "/v1/tasks?view=row&" + query, key: key})
		for _, x := range page["items"].([]any) {
			ids = append(ids, x.(map[string]any)["id"].(string))
		}
		if page["total"] != float64(len(ids)) || page["next_cursor"] != nil {
			t.Errorf("%s: %v", query, page)
		}
		return ids
	}
	for _, c := range []struct {
		key, query string
		want       []string
	}{
		{"", "id_prefix=abcdef", []string{"abcdef-own", "abcdef2", "abcdef1"}},
		{"", "id_prefix=abcdef2", []string{"abcdef2"}},
		{"", "id_prefix=abcdeh", nil},
		{"", "id_prefix=abcdef&status=completed", nil},
		{own, "id_prefix=abcdef", []string{"abcdef-own"}},
		{own, "id_prefix=abcdef2", nil},
	} {
		if got := found(c.key, c.query); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.query, got, c.want)
		}
	}
	for _, bad := range []string{"id_prefix=abcde&view=row", "id_prefix=abc*ef&view=row", "id_prefix=abcdef", "id_prefix=abcdef&view=item"} {
		if got := s.must(t, 422, call{method: "GET", path: "/v1/tasks?" + bad}); got["field"] != "id_prefix" {
			t.Errorf("%s: %v", bad, got)
		}
	}
	var many []string
	for i := range 201 {
		many = append(many, fmt.Sprintf(`{"agent_id": "agent-1", "id": "many-%d-x", "input": {}}`, 1000+i))
	}
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/batch", body: `{"tasks": [` + strings.Join(many, ",") + `]}`})
	if got := s.must(t, 422, call{method: "GET", path: "/v1/tasks?view=row&id_prefix=many-1"}); got["field"] != "id_prefix" {
		t.Errorf("too many: %v", got)
	}
	if got := found("", "id_prefix=many-10"); len(got) != 100 {
		t.Errorf("%d of 100 are found", len(got))
	}
}
