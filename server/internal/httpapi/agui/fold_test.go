package agui

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/storytest"
)

// lines are what a run tells of a log, an event a line, without its moment.
func lines(t *testing.T, r *run, log []string) string {
	t.Helper()
	var b strings.Builder
	for _, e := range storytest.Log(t, log...) {
		events, more, err := r.add(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			e.Timestamp = 0
			data, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(append(data, '\n'))
		}
		if !more {
			break
		}
	}
	return b.String()
}

func request1(current bool) *run {
	return &run{
		thread: "t", id: "r", current: current, state: json.RawMessage(`{"x":1}`), url: func(o task.Output) string { return o.File },
		messages: []json.RawMessage{json.RawMessage(`{"id":"u1","role":"user","content":"Hi"}`)},
	}
}

func TestH17WhatIsTold(t *testing.T) {
	t.Parallel()
	storytest.Golden(t, func(t *testing.T, log []string) map[string]string {
		t.Helper()
		all := map[string]string{"": lines(t, request1(true), log)}
		if old := lines(t, request1(false), log); strings.ReplaceAll(all[""], `,"protocolVersion":"1.0"`, "") != old {
			all[" before 1.0"] = old
		}
		return all
	})
}

// logOf is the log of a case.
func logOf(t *testing.T, name string) []string {
	t.Helper()
	for _, c := range storytest.Cases() {
		if c.Name == name {
			return c.Log
		}
	}
	t.Fatalf("no case %q", name)
	return nil
}

// types are those of the events in what a run tells.
func types(lines string) (all []string) {
	for line := range strings.Lines(lines) {
		var e event
		_ = json.Unmarshal([]byte(line), &e)
		all = append(all, strings.TrimSpace(e.Type+" "+e.Delta))
	}
	return all
}

func TestH17ARunThatAnswersGoesOnBehindTheQuestion(t *testing.T) {
	t.Parallel()
	r := request1(true)
	r.Since = []string{"ap1"}
	want := []string{"RUN_STARTED", "TOOL_CALL_RESULT", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT Paid.", "TEXT_MESSAGE_END", "RUN_FINISHED"}
	if diff := cmp.Diff(want, types(lines(t, r, logOf(t, "an approval")))); diff != "" {
		t.Error(diff)
	}
}

func TestH17AReplayBeginsWithTheMessagesOfTheRequestAlone(t *testing.T) {
	t.Parallel()
	r := request1(true)
	r.replay = true
	r.messages = append(r.messages, json.RawMessage(`{"id":"msg_3","role":"assistant","content":"Hel"}`))
	got := strings.Split(lines(t, r, logOf(t, "text")), "\n")
	if want := `{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"u1","role":"user","content":"Hi"}]}`; got[1] != want {
		t.Errorf("after the start it says %s, want %s", got[1], want)
	}
}

func TestH17TheReplayOfARunThatAnswersKeepsWhatStandsBeforeTheQuestion(t *testing.T) {
	t.Parallel()
	r := request1(true)
	r.replay, r.Since = true, []string{"q1"}
	r.messages = append(r.messages, json.RawMessage(`{"id":"msg_3","role":"assistant","content":"Asking"}`), json.RawMessage(`{"id":"msg_9","role":"assistant","content":"Ann"}`))
	got := lines(t, r, logOf(t, "a question"))
	want := []string{"RUN_STARTED", "MESSAGES_SNAPSHOT", "MESSAGES_SNAPSHOT", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT Ann it is", "TEXT_MESSAGE_END", "RUN_FINISHED"}
	if diff := cmp.Diff(want, types(got)); diff != "" {
		t.Error(diff)
	}
	if first := strings.Split(got, "\n")[1]; !strings.Contains(first, "msg_3") || strings.Contains(first, "msg_9") {
		t.Errorf("it begins with %s", first)
	}
}

func TestH17NewsAreWhatStandsBehindWhatTheThreadKnows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, known, messages, news, history string }{
		{"a new thread", "", `[{"id":"a","role":"user","content":"1"}]`, "a", ""},
		{"a history of another's", "", `[{"id":"a","role":"user"},{"id":"b","role":"assistant"},{"id":"c","role":"user"},{"id":"d","role":"user"}]`, "c d", "a b"},
		{"behind an answer", "a", `[{"id":"a","role":"user"},{"id":"msg_7","role":"assistant"},{"id":"c","role":"user"}]`, "c", "a msg_7"},
		{"behind a failure", "a", `[{"id":"a","role":"user"},{"id":"b","role":"user"}]`, "b", "a"},
		{"nothing", "a", `[{"id":"a","role":"user"},{"id":"msg_7","role":"assistant"}]`, "", "a msg_7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			q, err := read([]byte(`{"threadId":"t","runId":"r","messages":` + c.messages + `}`))
			if err != nil {
				t.Fatal(err)
			}
			ids := func(list []message) string {
				var all []string
				for _, m := range list {
					all = append(all, m.ID)
				}
				return strings.Join(all, " ")
			}
			if news, history := q.news(c.known); ids(news) != c.news || ids(history) != c.history {
				t.Errorf("news are %q behind %q, want %q behind %q", ids(news), ids(history), c.news, c.history)
			}
		})
	}
}

// H17: whatever a log says, what begins is over before the run ends, once, and the client
// then has the result and no other text of the run.
func TestH17AnyLogIsARun(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		log, result := storytest.Any(rt)
		var texts []string // of the client's messages
		ended, text, open := 0, 0, map[string]bool{}
		begin := func(id string) {
			if open[id] {
				rt.Fatalf("%s begins twice", id)
			}
			open[id] = true
		}
		over := func(id string) {
			if !open[id] {
				rt.Fatalf("%s is over and has not begun", id)
			}
			delete(open, id)
		}
		for line := range strings.Lines(lines(t, request1(true), log)) {
			var e event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				rt.Fatal(err)
			}
			if ended > 0 {
				rt.Fatalf("%s after the end", e.Type)
			}
			kind, what := e.Type, e.MessageID+e.ToolCallID+e.SubagentRunID
			if text > 0 && kind != "TEXT_MESSAGE_CONTENT" && kind != "TEXT_MESSAGE_END" {
				rt.Fatalf("%s in the middle of a text", kind)
			}
			switch {
			case kind == "TOOL_CALL_RESULT":
			case kind == "TEXT_MESSAGE_CONTENT":
				if !open["TEXT_MESSAGE"+what] {
					rt.Fatalf("%s of what has not begun", kind)
				}
				texts[len(texts)-1] += e.Delta
			case kind == "RUN_FINISHED":
				ended++
			case kind == "MESSAGES_SNAPSHOT":
				texts = nil
			case strings.HasSuffix(kind, "_START"), kind == "SUBAGENT_STARTED":
				begin(strings.TrimSuffix(strings.TrimSuffix(kind, "_START"), "_STARTED") + what)
				if kind == "TEXT_MESSAGE_START" {
					texts, text = append(texts, ""), 1
				}
			case strings.HasSuffix(kind, "_END"), kind == "SUBAGENT_FINISHED", kind == "SUBAGENT_ERROR":
				if kind == "TEXT_MESSAGE_END" {
					text = 0
				}
				over(strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(kind, "_END"), "_FINISHED"), "_ERROR") + what)
			}
		}
		if ended != 1 || len(open) > 0 {
			rt.Fatalf("it has ended %d times, with %v open", ended, open)
		}
		if all := strings.Join(texts, ""); all != result && (len(texts) == 0 || texts[len(texts)-1] != result) {
			rt.Fatalf("the client has %q, and the result is %q", texts, result)
		}
	})
}
