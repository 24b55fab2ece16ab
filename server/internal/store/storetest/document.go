package storetest

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func documentParts() []part {
	return []part{
		{"DocumentsArriveAsTheyWere", documents},
		{"TextsArriveAsTheyWere", texts},
	}
}

// documents are such on which databases differ, if they look into them: a store
// is to keep the bytes, and to find nothing in them.
func documents(e *env) {
	for i, doc := range []string{
		`{"a":1,"a":2}`,
		`{"by":"x","by":"y","org":"away","status":"completed"}`,
		`{"text":"\u0000","\u0000":0}`,
		`"\u0000"`,
		`{"high":"\ud800","low":"\udfff","turned":"\udc00\ud800"}`,
		`["\ud83d\ude00","😀"]`,
		`1e200000`,
		`{"n":[1e200000,-1e200000,1e-200000]}`,
		`18446744073709551615`,
		`{"n":[18446744073709551615,9223372036854775807,-9223372036854775808,9007199254740993]}`,
		`{"n":[0.1,0.10,1.0,-0,-0.0,1E5,0.30000000000000004441]}`,
		`{"b":1,"a":{"z":null,"y":{}}}`,
		`{"":""}`,
		`{"long":"` + strings.Repeat("x", 300_000) + `"}`,
		`[` + strings.Repeat(`[`, 500) + strings.Repeat(`]`, 500) + `]`,
	} {
		id, name, raw := fmt.Sprint("t-", i), doc[:min(len(doc), 60)], json.RawMessage(doc)
		same := func(what string, got json.RawMessage) {
			e.t.Helper()
			if string(got) != doc {
				e.t.Errorf("%s: %s became %.200s", name, what, got)
			}
		}
		e.begin(id, func(b *task.Begin) {
			b.Spec.OutputSchema, b.Spec.MCPServers, b.Spec.Input.User = raw, raw, raw
			b.Spec.Input.Text = new("for " + id)
		})
		side := json.RawMessage(fmt.Sprintf(`{"hitl_request":%s,"pending_eca_request":%s,"deep_planning":%s}`, doc, doc, doc))
		e.do(home, id,
			task.Append{Events: []task.Event{{Type: task.AgentMessage, Own: raw, ClientID: "c"}}},
			task.Edit{Who: "p", Side: side},
			task.Patch{Status: task.Executing},
			task.Judged{
				Command: task.Settle{By: "p", Reason: task.EndCompleted, Result: new(doc), Correct: true, Side: side},
				Result:  new(doc), Errors: []string{doc[:min(len(doc), 60)]},
			})

		snap := e.task(home, id)
		again := read(e, func(tx lifecycle.Tx) (lifecycle.Snapshot, error) { return tx.Snapshot(home, id) })
		for _, s := range []lifecycle.Snapshot{snap, again} {
			var spec task.Spec
			e.ok(json.Unmarshal(s.Spec, &spec))
			same("a part of the spec", spec.OutputSchema)
			same("another", spec.MCPServers)
			same("the user", spec.Input.User)
			state := s.Task.State()
			same("a side field", state.HITLRequest)
			same("another", state.PendingECARequest)
			same("the plan", state.DeepPlanning)
			same("the result", json.RawMessage(*state.Result))
			if task.HasSchema(raw) {
				e.same(name+": the check of its result", &task.ResultCheck{State: task.CheckInvalid, Errors: []string{name}}, state.ResultCheck)
			}
			e.same(name+": whether it is checked", task.HasSchema(raw), s.Task.Terms.Schema)
		}
		e.same(name+": snapshots", string(snap.Spec), string(again.Spec))
		log := e.log(id)
		same("the data of an event", log[1].Own)
		e.same(name+": its client_id", "c", log[1].ClientID)
		kept, err := task.KeptResult(&doc)
		e.ok(err)
		e.same(name+": the result in the log", string(kept), string(log[len(log)-1].Kept))
		e.same(name+": the spec in the log", string(snap.Spec), string(log[0].Kept))
		for j, told := range e.told.events(home, id) {
			if string(told.Own) != string(log[j].Own) || string(told.Kept) != string(log[j].Kept) {
				e.t.Errorf("%s: event %d was told as %.200s %.200s", name, j, told.Own, told.Kept)
			}
		}
		listed := e.list(lifecycle.Filter{}, lifecycle.Page{Size: 1000}).Items
		for _, x := range listed {
			if x.ID == id && len(doc) < 64<<10 {
				same("the listed result", json.RawMessage(*x.Result))
			}
		}
		turns, err := e.Turns(e.t.Context(), home, id, 0, 1000)
		e.ok(err)
		e.same(name+": the prompt of its turn", "for "+id, *turns[0].Prompt)
	}
}

// texts: what is text in columns of its own is kept as it is, and is compared by
// its bytes: in its case, its spaces, and its form.
func texts(e *env) {
	all := []string{
		"", " ", "a", "A", "a ", " a", "ä", "a\u0308", "Ä", "\uFFFD", "a\uFFFDb", "😀", "\u2028", "\x01\x7f\t\r\n", `\u0000`, "'", `"`, "%", "_",
		"?", "$1", "NULL", "null", "0", "1e5", strings.Repeat("é", 40_000), "\U0010FFFF", "e\u200dx",
	}
	for i, text := range all {
		id := fmt.Sprint("t-", i)
		e.begin(id, func(b *task.Begin) {
			b.State.Title, b.State.InternalStatus, b.State.TriggeringAgentID = &text, &text, &text
			b.State.VoiceID, b.State.AdditionalContext, b.State.Source = &text, &text, text
			b.Spec.Input.Text, b.Owner, b.Group, b.Scoped, b.TraceParent = &text, text, text, true, text
		})
		mine := chunk("x")
		mine.Events[0].ClientID = text
		e.do(home, id, mine, task.RequestStop{By: text}, settle(task.EndFailed, text))
		s := e.task(home, id)
		state := s.Task.State()
		for what, got := range map[string]string{
			"title": *state.Title, "internal status": *state.InternalStatus, "trigger": *state.TriggeringAgentID, "voice": *state.VoiceID,
			"context": *state.AdditionalContext, "source": state.Source, "owner": s.Task.Owner, "group": s.Task.Group,
			"trace": s.Task.TraceParent, "who stopped it": s.Task.Stop.By, "result": *state.Result,
			"client_id": e.log(id)[1].ClientID,
		} {
			if got != text {
				e.t.Errorf("%q became %q as %s", text, got, what)
			}
		}
	}
	for i, text := range all {
		if text == "" || len(text) > 1000 { // which an index may not hold
			continue
		}
		id := fmt.Sprint("t-", i)
		for what, found := range map[string]lifecycle.List{
			"internal status": e.list(lifecycle.Filter{InternalStatus: text}, lifecycle.Page{Size: 10}),
			"trigger":         e.list(lifecycle.Filter{Trigger: text}, lifecycle.Page{Size: 10}),
			"owner":           e.listIn(auth.Scope{Organization: home, Owner: text}, lifecycle.Filter{}, lifecycle.Page{Size: 10}),
			"group":           e.listIn(auth.Scope{Organization: home, Group: text}, lifecycle.Filter{}, lifecycle.Page{Size: 10}),
		} {
			if len(found.Items) != 1 || found.Items[0].ID != id {
				e.t.Errorf("by %s %q were found %d tasks: %+v", what, text, len(found.Items), found.Items)
			}
		}
		seqs := read(e, func(tx lifecycle.Tx) (map[string]int64, error) { return tx.SeqsOfClients(home, id, 1, []string{text}) })
		e.same(fmt.Sprintf("event with client_id %q", text), map[string]int64{text: 2}, seqs)
	}
	// Ids come in the order of their bytes.
	e.clock.advance(1000)
	for _, id := range []string{"z", "Z", "a", "ä", "_", "é", "A", "-", "10", "9"} {
		e.begin(id, func(b *task.Begin) { b.Spec.AgentID = "agent-2" })
	}
	var got []string
	for _, x := range e.list(lifecycle.Filter{Agent: "agent-2"}, lifecycle.Page{Size: 100}).Items {
		got = append(got, x.ID)
	}
	e.same("order of ids", []string{"é", "ä", "z", "a", "_", "Z", "A", "9", "10", "-"}, got)
}
