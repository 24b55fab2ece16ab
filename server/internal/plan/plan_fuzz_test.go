package plan_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/plan"
)

// FuzzPlanTools calls any two tools with any arguments on any plan: the plan
// given stays as it is, the one answered is one that can be stored and read, and
// errors are words for a model.
func FuzzPlanTools(f *testing.F) {
	stored := `{"enabled": true, "started": true, "tasks": [{"id": "a", "title": "A"}, {"id": "b", "title": "B", "completed": true}]}`
	for i, seed := range []string{
		`{"tasks": [{"title": "A"}, {"title": " B "}], "auto_start": true}`, ``, `{"ids": ["a", "a", "b"]}`, `{"title": "C", "completed": true}`,
		`{"id": "a", "title": "x"}`, `{"id": "a"}`, `{}`, `{"question": "?"}`,
	} {
		f.Add(stored, byte(i), seed, byte(1), ``)
		f.Add(`{"enabled": true}`, byte(i), seed, byte(i+1), seed)
		f.Add(`null`, byte(0), seed, byte(i), `[]`)
	}
	f.Fuzz(func(t *testing.T, raw string, first byte, args string, second byte, more string) {
		p, err := plan.Read(json.RawMessage(raw))
		if err != nil {
			if fault.CodeOf(err) != fault.Invalid {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		ids := counter()
		for _, call := range []struct {
			tool byte
			args string
		}{{first, args}, {second, more}} {
			tool := plan.Tools()[int(call.tool)%len(plan.Tools())]
			before := shown(p)
			next, err := tool.Call(p, json.RawMessage(call.args), ids)
			if shown(p) != before {
				t.Fatalf("%s %q changed the plan that it was given: %s, before %s", tool.ID, call.args, shown(p), before)
			}
			if err != nil {
				if f, ok := errors.AsType[*fault.Error](err); !ok || f.Message == "" {
					t.Fatalf("%s %q: %v is not an error for callers", tool.ID, call.args, err)
				}
				return
			}
			if tool.Reads && !reflect.DeepEqual(next, p) {
				t.Fatalf("%s changed the plan: %s, before %s", tool.ID, shown(next), before)
			}
			kept, err := json.Marshal(next)
			if err != nil {
				t.Fatal(err)
			}
			read, err := plan.Read(kept)
			if err != nil || utf8.ValidString(raw+call.args) && !reflect.DeepEqual(read, next) {
				t.Fatalf("%s %q: the plan is stored as %s and read as %+v, %v", tool.ID, call.args, kept, read, err)
			}
			if next.Complete() && next.Unfinished() {
				t.Errorf("%s is both done and not", kept)
			}
			p = next
		}
	})
}
