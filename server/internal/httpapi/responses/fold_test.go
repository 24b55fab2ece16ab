package responses

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/storytest"
)

// history is the log of a turn, an event a line: its type and its data.
func history(lines ...string) []task.Event {
	events := []task.Event{{
		Type: task.TaskCreated, Own: json.RawMessage(`{"status":"pending"}`),
		Kept: json.RawMessage(`{"agent_id":"a","turn":1,"input":{"text":"Go on."},"client_tools":[{"name":"theirs"}]}`),
	}}
	for _, line := range lines {
		kind, data, _ := strings.Cut(line, " ")
		events = append(events, task.Event{Type: task.Type(kind), Own: json.RawMessage(data)})
	}
	for i := range events {
		events[i].Seq, events[i].Turn, events[i].Time = int64(i+1), 1, 1_790_000_000_000_000
	}
	return events
}

const finished = `task_finished {"status":"completed","end_reason":"completed","result":"Hello"}`

// folded is what is sent of a log: of each frame its type and what it is about.
func folded(t *testing.T, part int, events []task.Event) (frames []string, last response) {
	t.Helper()
	f := newFold(reference{task: "t_1", turn: 1, part: part}, func(x frame) error {
		about := x.ItemID
		switch {
		case x.Item != nil:
			about = x.Item.common().ID + " " + x.Item.common().Status
		case x.Response != nil:
			about, last = x.Response.Status, *x.Response
		}
		for _, words := range []*string{x.Delta, x.Text, x.Arguments} {
			if words != nil {
				about += " " + *words
			}
		}
		frames = append(frames, strings.TrimSpace(strings.TrimPrefix(x.Type, "response.")+" "+about))
		return nil
	})
	for _, e := range events {
		done, err := f.add(e)
		if err != nil {
			t.Fatal(err)
		}
		if done {
			break
		}
	}
	return frames, last
}

// H19: the frames of a log, and what of it is the answer.
func TestH19Fold(t *testing.T) {
	t.Parallel()
	whole := func(id, words string) []string {
		return []string{
			"output_item.added " + id + " in_progress", "content_part.added " + id, "output_text.delta " + id + " " + words,
			"output_text.done " + id + " " + words, "content_part.done " + id, "output_item.done " + id + " completed",
		}
	}
	for _, c := range []struct {
		what   string
		part   int
		log    []string
		frames []string
		output string // ids of the last output
		status string
	}{{
		what: "a result alone is the text", log: []string{`attempt_started {}`, finished},
		frames: append(append([]string{"created queued", "in_progress in_progress"}, whole("msg_t_1_3", "Hello")...), "completed completed"),
		output: "msg_t_1_3", status: completed,
	}, {
		what: "chunks are its beginning", log: []string{`attempt_started {}`, `chunk "Hel"`, finished},
		frames: []string{
			"created queued", "in_progress in_progress", "output_item.added msg_t_1_3 in_progress", "content_part.added msg_t_1_3", "output_text.delta msg_t_1_3 Hel",
			"output_text.delta msg_t_1_3 lo", "output_text.done msg_t_1_3 Hello", "content_part.done msg_t_1_3", "output_item.done msg_t_1_3 completed", "completed completed",
		},
		output: "msg_t_1_3", status: completed,
	}, {
		what: "what a lost attempt has said is taken back", log: []string{`attempt_started {}`, `chunk "Half"`, `attempt_lost {}`, `attempt_started {}`, finished},
		frames: append(append([]string{
			"created queued", "in_progress in_progress", "output_item.added msg_t_1_3 in_progress", "content_part.added msg_t_1_3", "output_text.delta msg_t_1_3 Half",
			"output_text.done msg_t_1_3 Half", "content_part.done msg_t_1_3", "output_item.done msg_t_1_3 incomplete",
		}, whole("msg_t_1_6", "Hello")...), "completed completed"),
		output: "msg_t_1_6", status: completed,
	}, {
		what: "another result than what was said", log: []string{`chunk "Half"`, finished},
		frames: append(append([]string{
			"created queued", "in_progress in_progress", "output_item.added msg_t_1_2 in_progress", "content_part.added msg_t_1_2", "output_text.delta msg_t_1_2 Half",
			"output_text.done msg_t_1_2 Half", "content_part.done msg_t_1_2", "output_item.done msg_t_1_2 incomplete",
		}, whole("msg_t_1_3", "Hello")...), "completed completed"),
		output: "msg_t_1_3", status: completed,
	}, {
		what: "thoughts and tools; the caller's calls at the end", log: []string{
			`think {"title":"Thinking","thought":"Hm"}`, `think {"title":"Thinking","thought":"m."}`,
			`tool_call_request {"request_id":"1","tool_name":"own","payload":{"n":1}}`, `tool_call_request {"request_id":"2","tool_name":"theirs","payload":{}}`,
			`tool_call_result {"request_id":"1","tool_name":"own","result":"no","is_error":true}`,
			`task_finished {"status":"completed","end_reason":"completed","result":"","open_calls":[{"id":"2","name":"theirs","arguments":{}}]}`,
		},
		frames: []string{
			"created queued", "in_progress in_progress", "output_item.added rs_t_1_2 in_progress", "reasoning_summary_part.added rs_t_1_2",
			"reasoning_summary_text.delta rs_t_1_2 Hm", "reasoning_summary_text.delta rs_t_1_2 m.", "reasoning_summary_text.done rs_t_1_2 Hmm.",
			"reasoning_summary_part.done rs_t_1_2", "output_item.done rs_t_1_2 completed",
			"output_item.added mcp_t_1_4 in_progress", "mcp_call.in_progress mcp_t_1_4", `mcp_call_arguments.delta mcp_t_1_4 {"n":1}`, `mcp_call_arguments.done mcp_t_1_4 {"n":1}`,
			"mcp_call.failed mcp_t_1_4", "output_item.done mcp_t_1_4 failed",
			"output_item.added fc0_t_1_7 in_progress", "function_call_arguments.delta fc0_t_1_7 {}", "function_call_arguments.done fc0_t_1_7 {}", "output_item.done fc0_t_1_7 completed",
			"completed completed",
		},
		output: "rs_t_1_2 mcp_t_1_4 fc0_t_1_7", status: completed,
	}, {
		what: "no half answer of one that failed", log: []string{`chunk "Half"`, `task_finished {"status":"error","end_reason":"worker_lost"}`},
		frames: []string{
			"created queued", "in_progress in_progress", "output_item.added msg_t_1_2 in_progress", "content_part.added msg_t_1_2", "output_text.delta msg_t_1_2 Half",
			"output_text.done msg_t_1_2 Half", "content_part.done msg_t_1_2", "output_item.done msg_t_1_2 incomplete", "failed failed",
		},
		status: failed,
	}, {
		what: "nor of one that was stopped", log: []string{`task_finished {"status":"stopped","end_reason":"stopped"}`},
		frames: []string{"created queued", "in_progress in_progress", "failed cancelled"}, status: cancelled,
	}, {
		what: "a budget leaves a part", log: []string{`chunk "Hel"`, `task_finished {"status":"failed","end_reason":"budget","result":"Hel"}`},
		frames: []string{
			"created queued", "in_progress in_progress", "output_item.added msg_t_1_2 in_progress", "content_part.added msg_t_1_2", "output_text.delta msg_t_1_2 Hel",
			"output_text.done msg_t_1_2 Hel", "content_part.done msg_t_1_2", "output_item.done msg_t_1_2 incomplete", "incomplete incomplete",
		},
		output: "msg_t_1_2", status: unfinished,
	}, {
		what: "until people are asked", log: []string{
			`attempt_started {}`, `approval_requested {"id":"x","key":"k","kind":"approval","tool_name":"mail"}`, `paused {"cause":"approval","approvals":["x"]}`, finished,
		},
		frames: []string{
			"created queued", "in_progress in_progress", "output_item.added mcpr_x", "output_item.done mcpr_x", "completed completed",
		},
		output: "mcpr_x", status: completed,
	}, {
		what: "and what follows", part: 1, log: []string{
			`approval_requested {"id":"x","key":"k","kind":"approval","tool_name":"mail"}`, `paused {"cause":"approval","approvals":["x"]}`, `resumed {"cause":"approval"}`, finished,
		},
		frames: append(append([]string{"created queued", "in_progress in_progress"}, whole("msg_t_1_5", "Hello")...), "completed completed"),
		output: "msg_t_1_5", status: completed,
	}, {
		what: "and those who have not answered are asked again", part: 1, log: []string{
			`approval_requested {"id":"x","key":"k","kind":"approval","tool_name":"mail"}`, `approval_requested {"id":"y","key":"l","kind":"approval","tool_name":"call"}`,
			`paused {"cause":"approval","approvals":["x","y"],"any":true}`, `approval_answered {"id":"x"}`, `resumed {"cause":"approval"}`, `attempt_started {}`,
			`paused {"cause":"approval","approvals":["y"],"any":true}`, finished,
		},
		frames: []string{"created queued", "in_progress in_progress", "output_item.added mcpr_y", "output_item.done mcpr_y", "completed completed"},
		output: "mcpr_y", status: completed,
	}} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			frames, last := folded(t, c.part, history(c.log...))
			if diff := cmp.Diff(c.frames, frames); diff != "" {
				t.Error(diff)
			}
			var ids []string
			for _, x := range last.Output {
				if x, is := x.(item); is {
					ids = append(ids, x.common().ID)
				}
			}
			if got := strings.Join(ids, " "); got != c.output || last.Status != c.status {
				t.Errorf("the last output is %q, %s; want %q, %s", got, last.Status, c.output, c.status)
			}
		})
	}
}

// H19: ids name tasks whose own ids may hold what parts them.
func TestH19Ids(t *testing.T) {
	t.Parallel()
	for _, of := range []reference{{"t", 1, 0}, {"a_b.c:d", 12, 0}, {"a_1", 2, 3}} {
		read, call, err := parseCallID(of.callID("call_1_0"))
		if err != nil || read != of || call != "call_1_0" {
			t.Errorf("%s is read as %v %q, %v", of, read, call, err)
		}
	}
	for _, id := range []string{"", "resp_", "resp_t", "resp__1", "resp_t_0", "resp_t_01", "resp_t_1.", "resp_t_1.0", "resp_t_x", "t_1"} {
		if of, err := parseReference(id); err == nil {
			t.Errorf("%q is read as %v", id, of)
		}
	}
}

// H19: whatever a log says, its stream is one that the clients' helpers take, and the text
// of the last output is the result.
func TestH19AnyLogIsAnAnswer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		log, result := storytest.Any(rt)
		var kinds []string
		texts, open := map[string]string{}, map[string]int{} // by the ids of items
		var last *response
		f := newFold(reference{task: "t", turn: 1}, func(x frame) error {
			if x.Number != len(kinds) || last != nil && last.Status != queued && last.Status != inProgress {
				rt.Fatalf("%s is number %d behind %v", x.Type, x.Number, kinds)
			}
			kinds = append(kinds, strings.TrimPrefix(x.Type, "response."))
			switch {
			case x.Response != nil:
				last = x.Response
			case kinds[x.Number] == "output_item.added":
				if open[x.Item.common().ID] = *x.OutputIndex; *x.OutputIndex != len(open)-1 {
					rt.Fatalf("the place of an item is taken: %v", kinds)
				}
			case x.Item != nil:
				if m, is := x.Item.(*message); is && m.Content[0].Text != texts[m.ID] {
					rt.Fatalf("%s has said %q and not %q", m.ID, texts[m.ID], m.Content[0].Text)
				}
				open[x.Item.common().ID] = -1
			default:
				if at, is := open[x.ItemID]; !is || at != *x.OutputIndex {
					rt.Fatalf("%s of %s, which is not under way: %v", x.Type, x.ItemID, kinds)
				}
				if kinds[x.Number] == "output_text.delta" {
					texts[x.ItemID] += *x.Delta
				}
			}
			return nil
		})
		for _, e := range storytest.Log(t, log...) {
			if done, err := f.add(e); done || err != nil {
				if err != nil {
					rt.Fatal(err)
				}
				break
			}
		}
		text := ""
		for _, x := range last.Output {
			if m, is := x.(*message); is {
				text += m.Content[0].Text
			}
		}
		if kinds[0] != "created" || kinds[len(kinds)-1] != "completed" || text != result {
			rt.Fatalf("the text is %q, not %q: %v", text, result, kinds)
		}
		for id, at := range open {
			if at >= 0 {
				rt.Fatalf("%s is left under way: %v", id, kinds)
			}
		}
	})
}
