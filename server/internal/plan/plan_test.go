package plan_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/plan"
)

// enabled is the plan of a turn that begins.
func enabled() plan.Plan { return plan.Plan{Enabled: true, Enforce: true, Items: []plan.Item{}} }

// counter gives the ids 1, 2, 3 and so on.
func counter() func() string {
	n := 0
	return func() string { n++; return strconv.Itoa(n) }
}

// call calls a tool by its name.
func call(p plan.Plan, tool, args string, ids func() string) (plan.Plan, error) {
	t, ok := plan.Find(tool)
	if !ok {
		return p, fmt.Errorf("no tool %s", tool)
	}
	return t.Call(p, json.RawMessage(args), ids)
}

// shown writes a plan down: [x] done, [ ] open, * started, ? asks.
func shown(p plan.Plan) string {
	var b strings.Builder
	for _, i := range p.Items {
		mark := " "
		if i.Completed {
			mark = "x"
		}
		fmt.Fprintf(&b, "[%s]%s:%s ", mark, i.ID, i.Title)
	}
	if p.Started {
		b.WriteString("*")
	}
	if p.QuestionRaised {
		b.WriteString("?")
	}
	return strings.TrimSpace(b.String())
}

// TestPlanIsWorkedOff walks a whole plan, as a model would.
func TestPlanIsWorkedOff(t *testing.T) {
	t.Parallel()
	p, ids := enabled(), counter()
	for _, step := range []struct{ tool, args, want string }{
		{plan.Get, ``, ""},
		{plan.Create, `{"tasks": [{"title": " Read the file "}, {"title": "Write"}]}`, "[ ]1:Read the file [ ]2:Write"},
		{plan.Create, `{"tasks": [{"title": "Read"}, {"title": "Write"}]}`, "[ ]3:Read [ ]4:Write"}, // nothing has started: planned anew
		{plan.Start, `{}`, "[ ]3:Read [ ]4:Write *"},
		{plan.Start, ``, "[ ]3:Read [ ]4:Write *"},
		{plan.Add, `{"title": "Check", "completed": false}`, "[ ]3:Read [ ]4:Write [ ]5:Check *"},
		{plan.Update, `{"id": "4", "title": "Write it"}`, "[ ]3:Read [ ]4:Write it [ ]5:Check *"},
		{plan.Update, `{"id": "3", "completed": true}`, "[x]3:Read [ ]4:Write it [ ]5:Check *"},
		{plan.Ask, `{"question": "Which file?"}`, "[x]3:Read [ ]4:Write it [ ]5:Check *?"},
		{plan.Get, `{}`, "[x]3:Read [ ]4:Write it [ ]5:Check *?"},
		{plan.Delete, `{"id": "5"}`, "[x]3:Read [ ]4:Write it *"}, // it goes on, so nothing is asked any more
		{plan.Complete, `{"ids": ["3", "4"]}`, "[x]3:Read [x]4:Write it *"},
		{plan.Create, `{"tasks": [{"title": "More"}], "auto_start": true}`, "[ ]6:More *"},
	} {
		before := shown(p)
		next, err := call(p, step.tool, step.args, ids)
		if err != nil || shown(next) != step.want {
			t.Fatalf("%s %s: %s, %v; want %s", step.tool, step.args, shown(next), err, step.want)
		}
		if shown(p) != before {
			t.Fatalf("%s changed the plan that it was given: %s", step.tool, shown(p))
		}
		p = next
	}
}

// TestPlanRefusals say what is wrong, in words that a model can act on, and
// change nothing.
func TestPlanRefusals(t *testing.T) {
	t.Parallel()
	empty := enabled()
	started := enabled()
	started.Started, started.Items = true, []plan.Item{{ID: "a", Title: "A"}}
	full := enabled()
	for i := range plan.MaxItems {
		full.Items = append(full.Items, plan.Item{ID: strconv.Itoa(i), Title: "x"})
	}
	many := `{"tasks": [` + strings.TrimSuffix(strings.Repeat(`{"title": "x"},`, plan.MaxItems+1), ",") + `]}`
	long := strings.Repeat("ü", plan.MaxTitle+1)
	for _, c := range []struct {
		p          plan.Plan
		tool, args string
		code       fault.Code
		says       string
	}{
		{plan.Plan{}, plan.Get, ``, fault.Conflict, "not enabled"},
		{empty, plan.Create, ``, fault.Invalid, "tasks"},
		{empty, plan.Create, `{"tasks": []}`, fault.Invalid, "tasks"},
		{empty, plan.Create, `{"tasks": ["Read"]}`, fault.Invalid, "tasks"},
		{empty, plan.Create, `{"tasks": [{"title": "A"}, {"title": " "}]}`, fault.Invalid, "tasks[1].title"},
		{empty, plan.Create, `{"tasks": [{"title": "` + long + `"}]}`, fault.Invalid, "tasks[0].title"},
		{empty, plan.Create, many, fault.Invalid, "100"},
		{empty, plan.Create, `[]`, fault.Invalid, "object"},
		{started, plan.Create, `{"tasks": [{"title": "B"}]}`, fault.Conflict, plan.Add},
		{empty, plan.Start, ``, fault.NotFound, plan.Create},
		{empty, plan.Complete, `{"ids": ["a"]}`, fault.NotFound, plan.Create},
		{started, plan.Complete, `{"ids": []}`, fault.Invalid, "ids"},
		{started, plan.Complete, `{"ids": ["a", "nope"]}`, fault.NotFound, `no item "nope"`},
		{started, plan.Add, `{"title": ""}`, fault.Invalid, "title"},
		{started, plan.Add, `{"title": 7}`, fault.Invalid, "title"},
		{full, plan.Add, `{"title": "one too many"}`, fault.Invalid, "100"},
		{started, plan.Update, `{"id": "b", "completed": true}`, fault.NotFound, plan.Get},
		{started, plan.Update, `{"id": "a"}`, fault.Invalid, "nothing to change"},
		{started, plan.Update, `{"id": "a", "title": "  "}`, fault.Invalid, "title"},
		{started, plan.Delete, `{}`, fault.NotFound, plan.Get},
		{started, plan.Ask, `{"question": " "}`, fault.Invalid, "question"},
	} {
		before := shown(c.p)
		_, err := call(c.p, c.tool, c.args, counter())
		if fault.CodeOf(err) != c.code || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %.60s: %v (%s), want %s that says %s", c.tool, c.args, err, fault.CodeOf(err), c.code, c.says)
		}
		if after := shown(c.p); after != before {
			t.Errorf("%s %.60s: the plan is now %s", c.tool, c.args, after)
		}
	}
}

// TestRead takes what the client writes back, and nothing else.
func TestRead(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]plan.Plan{
		``:     {Items: []plan.Item{}},
		`null`: {Items: []plan.Item{}},
		`{"enabled": true, "enforce": null, "started": true, "question_raised": false, "tasks": null, "more": 1}`: {Enabled: true, Started: true, Items: []plan.Item{}},
		`{"tasks": [{"id": "a", "title": "A", "completed": null}]}`:                                               {Items: []plan.Item{{ID: "a", Title: "A"}}},
	} {
		if got, err := plan.Read(json.RawMessage(raw)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", raw, got, err, want)
		}
	}
	for _, raw := range []string{`[]`, `{"tasks": {}}`, `{"started": "yes"}`, `{"tasks": [{"title": "A"}]}`, `{"tasks": [{"id": "a"}]}`} {
		if got, err := plan.Read(json.RawMessage(raw)); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
}

// TestToolsAreForTheClient checks what the Python client makes functions of.
func TestToolsAreForTheClient(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, tool := range plan.Tools() {
		var schema struct {
			Type       string                     `json:"type"`
			Properties map[string]json.RawMessage `json:"properties"`
			Required   []string                   `json:"required"`
		}
		if err := json.Unmarshal(tool.Arguments, &schema); err != nil || schema.Type != "object" || schema.Properties == nil {
			t.Errorf("%s: schema %s: %v", tool.ID, tool.Arguments, err)
		}
		for _, name := range schema.Required {
			if schema.Properties[name] == nil {
				t.Errorf("%s wants %s and does not describe it", tool.ID, name)
			}
		}
		if seen[tool.ID] || !strings.HasPrefix(tool.ID, "xp") || tool.Description == "" {
			t.Errorf("tool %q: %q", tool.ID, tool.Description)
		}
		seen[tool.ID] = true
	}
	if len(seen) != 8 {
		t.Errorf("there are %d tools", len(seen))
	}
}
