package aisdk

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/storytest"
)

// lines are what a message tells of a log, a chunk a line.
func lines(t *testing.T, m *message, log []string) string {
	t.Helper()
	var b strings.Builder
	for _, e := range storytest.Log(t, log...) {
		chunks, more, err := m.add(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range chunks {
			data, err := json.Marshal(c)
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

func TestH18WhatIsTold(t *testing.T) {
	t.Parallel()
	storytest.Golden(t, func(t *testing.T, log []string) map[string]string {
		t.Helper()
		all := map[string]string{"": lines(t, &message{task: "t", id: "t_1", url: func(o task.Output) string { return o.File }}, log)}
		for _, question := range []string{"ap1", "q1"} {
			if strings.Contains(strings.Join(log, ""), `"id":"`+question+`"`) {
				goes := &message{task: "t", id: "t_1", url: func(o task.Output) string { return o.File }}
				goes.Since = []string{question}
				all[" goes on"] = lines(t, goes, log)
				whole := &message{task: "t", id: "t_1", url: func(o task.Output) string { return o.File }}
				whole.Open = func(string, int64) bool { return false }
				all[" resumed"] = lines(t, whole, log)
			}
		}
		return all
	})
}

// H18: whatever a log says, each part has begun before it goes on, and the client then
// has the result in the last step, or in all of them.
func TestH18AnyLogIsAMessage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		log, result := storytest.Any(rt)
		var steps []string // the texts of each
		parts, calls, running := map[string]bool{}, map[string]bool{}, false
		last := ""
		for line := range strings.Lines(lines(t, &message{task: "t", id: "t_1", url: func(o task.Output) string { return o.File }}, log)) {
			var c chunk
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				rt.Fatal(err)
			}
			last = c.Type
			kind, what, _ := strings.Cut(c.Type, "-")
			switch {
			case c.Type == "start-step":
				steps, running = append(steps, ""), true
			case c.Type == "finish-step":
				running = false
			case c.Type == "reset-step":
				steps[len(steps)-1], parts = "", map[string]bool{}
			case c.Type == "tool-input-start":
				calls[c.ToolCallID] = true
			case kind == "tool" && !calls[c.ToolCallID]:
				rt.Fatalf("%s of a call that was not told", c.Type)
			case kind == "text" || kind == "reasoning":
				if what == "start" {
					parts[c.ID] = true
				}
				if !parts[c.ID] || !running {
					rt.Fatalf("%s of what has not begun", c.Type)
				}
				if kind == "text" {
					steps[len(steps)-1] += c.Delta
				}
			}
		}
		if last != "finish" || running {
			rt.Fatalf("it ends with %s", last)
		}
		if all := strings.Join(steps, ""); all != result && (len(steps) == 0 || !strings.HasSuffix(steps[len(steps)-1], result)) {
			rt.Fatalf("the client has %q, and the result is %q", steps, result)
		}
	})
}

// What is told again behind a reset is kept for each viewer: a thought in one piece, not in
// as many as the model has thought it.
func TestH18AThoughtIsToldAgainInOnePiece(t *testing.T) {
	t.Parallel()
	m := &message{task: "t", id: "t_1"}
	log := []string{
		`task_created {}`, `think {"thought":"Let "}`, `think {"thought":"me see"}`, `chunk "Hel"`, `attempt_lost {"attempt":1}`, `think {"thought":"Again"}`,
		`task_finished {"status":"completed","end_reason":"completed","result":"Done"}`,
	}
	_, again, _ := strings.Cut(lines(t, m, log), `{"type":"reset-step"}`)
	want := `
{"type":"reasoning-start","id":"think_2"}
{"type":"reasoning-delta","id":"think_2","delta":"Let me see"}
{"type":"reasoning-end","id":"think_2"}
{"type":"reasoning-start","id":"think_6"}
{"type":"reasoning-delta","id":"think_6","delta":"Again"}
{"type":"reasoning-end","id":"think_6"}
`
	if !strings.HasPrefix(again, want) {
		t.Errorf("behind the reset it says %s, want %s first", again, want)
	}
}
