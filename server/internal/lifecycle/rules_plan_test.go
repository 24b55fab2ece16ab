package lifecycle_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/plan"
	"github.com/errand-dev/errand/server/internal/task"
)

// Rules T3, T4 and T6 for plans: whatever is called in whatever order, over
// turns and restarts, the log tells every plan, a repeat changes nothing, and an
// ended turn's plan stays as it is.
func TestAnyOrderOfPlanCallsIsTold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		b := &bench{t: r, tb: t, dir: t.TempDir()}
		stop := b.start()
		defer func() { b.must(stop()) }()
		_, err := b.PutAgent(b.ctx(), org, bot, agent.Record{Name: bot, DeepPlanning: true})
		b.must(err)
		b.submit("t", nil)
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			switch rapid.IntRange(0, 9).Draw(r, "step") {
			case 0:
				b.stop("t")
			case 1:
				_, _, err := b.Submit(b.ctx(), who(), submission("t", nil))
				if code := fault.CodeOf(err); code != "" && code != fault.Conflict {
					r.Fatalf("submit: %v", err)
				}
			case 2:
				b.must(stop())
				stop = b.start()
			default:
				b.callPlan(r)
			}
			b.checkLog("t")
			b.checkPlan("t")
		}
	})
}

// callPlan calls a random tool, perhaps once more under the same id.
func (b *bench) callPlan(r *rapid.T) {
	before := b.get("t")
	was, err := plan.Read(before.State().DeepPlanning)
	b.must(err)
	ids := []string{"nope"}
	for _, item := range was.Items {
		ids = append(ids, item.ID)
	}
	id := rapid.SampledFrom(ids).Draw(r, "item")
	tool := rapid.SampledFrom(plan.Tools()).Draw(r, "tool")
	c := lifecycle.PlanCall{Tool: tool, RequestID: rapid.SampledFrom([]string{"", "r1", "r2", "r3"}).Draw(r, "request")}
	c.Arguments = json.RawMessage(fmt.Sprintf(`{"tasks": [{"title": "a"}, {"title": "b"}], "auto_start": %v, "ids": [%q], "id": %q, "title": "c", "completed": %v, "question": "?"}`,
		rapid.Bool().Draw(r, "start"), id, id, rapid.Bool().Draw(r, "completed")))
	after, err := b.CallPlan(b.ctx(), who(), "t", c)
	if code := fault.CodeOf(err); !slices.Contains([]fault.Code{"", fault.Conflict, fault.NotFound}, code) {
		r.Fatalf("%s: %v", tool.ID, err)
	}
	if err != nil || tool.Reads || before.Ended() != "" {
		if now := b.state("t").DeepPlanning; string(now) != string(before.State().DeepPlanning) {
			r.Fatalf("%s (%v) made the plan %s", tool.ID, err, now)
		}
		return
	}
	if c.RequestID == "" {
		return
	}
	b.unchanged("t", func() {
		again, err := b.CallPlan(b.ctx(), who(), "t", c)
		b.must(err)
		if fmt.Sprint(again) != fmt.Sprint(after) {
			r.Fatalf("%s again: %v, first %v", tool.ID, again, after)
		}
	})
}

// checkPlan checks that the last plan that viewers of the turn were told is the
// task's.
func (b *bench) checkPlan(id string) {
	now := b.get(id)
	shown := now.State().DeepPlanning
	var told json.RawMessage
	for _, e := range b.log(id) {
		if e.Turn == now.Terms.Turn && e.Type == task.PlanUpdated {
			told = e.Data()
		}
	}
	if told != nil && string(told) != string(shown) {
		b.t.Fatalf("T4: viewers of %s were told %s, the plan is %s", id, told, shown)
	}
}
