package lifecycle_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// Only the holder of the lease tells what the agent is given, and what holds it has to
// be there; the next attempt's word stands in the place of it.
func TestO3GivenUnderTheLease(t *testing.T) {
	t.Parallel()
	b := open(t)
	lost := b.run("t", nil)
	give := func(token string, list ...task.Given) []string {
		t.Helper()
		missing, err := b.Give(b.ctx(), org, "t", token, list)
		b.must(err)
		return missing
	}
	gone := strings.Repeat("a", 64)
	b.unchanged("t", func() {
		missing := give(lost, task.Given{Number: 1, Name: "a", Text: gone, TextSize: 1, Parts: []task.GivenPart{{As: task.AsPicture, Picture: gone}}})
		if diff := cmp.Diff([]string{gone}, missing); diff != "" {
			t.Errorf("O3: missing (-want +got):\n%s", diff)
		}
	})
	give(lost, task.Given{Number: 1, Name: "a", Parts: []task.GivenPart{{As: task.AsNothing, Why: "w"}}}, task.Given{Number: 2, Name: "b", Failed: "f"})
	if e := b.of("t", task.FileGiven); len(e) != 2 || string(e[0].Data()) != `{"number":1,"name":"a","given":[{"as":"nothing","why":"w"}]}` || e[0].Author.Attempt != 1 {
		t.Errorf("O3: its events are %+v", e)
	}
	b.clock.forward(2 * lease)
	b.must(b.Sweep(b.ctx()))
	_, err := b.Give(b.ctx(), org, "t", lost, []task.Given{{Number: 1, Name: "late"}})
	b.refused(err, fault.Conflict)
	_, err = b.Give(b.ctx(), org, "t", "", nil)
	b.refused(err, fault.Invalid)
	b.clock.forward(2 * lease)
	give(b.claim("w", 1)[0].Token, task.Given{Number: 1, Name: "again"})
	g, err := b.GivenOf(b.ctx(), org, "t", 1, 1)
	b.must(err)
	if g.Name != "again" || g.Turn != 1 {
		t.Errorf("O3: the first is %+v", g)
	}
	for _, of := range [][2]int{{1, 3}, {2, 1}, {1, 0}} {
		_, err := b.GivenOf(b.ctx(), org, "t", of[0], of[1])
		b.refused(err, fault.NotFound)
	}
	_, err = b.GivenOf(b.ctx(), "other", "t", 1, 1)
	b.refused(err, fault.NotFound)
}
