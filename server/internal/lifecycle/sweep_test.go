package lifecycle_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// L2, L4: however many leases are lost at once, a sweep goes on until all are, and no
// organization waits for another that has very many.
func TestL2VeryManyLeasesAreLostAtOnce(t *testing.T) {
	t.Parallel()
	b := open(t)
	const many = 2500
	other := who()
	other.Organization, other.Scope = "other", auth.All("other")
	fill := func(who lifecycle.Caller, n int) {
		for i := range n {
			_, _, err := b.Submit(b.ctx(), who, submission(fmt.Sprint("t-", i), nil))
			b.must(err)
		}
		for left := n; left > 0; {
			got, err := b.Claim(b.ctx(), who, lifecycle.ClaimRequest{Agents: []string{bot}, Worker: "w", Slots: min(left, 100)})
			b.must(err)
			left -= len(got)
		}
	}
	fill(who(), many)
	fill(other, 1)
	count := func(who lifecycle.Caller) int {
		found, err := b.Service.List(b.ctx(), who.Scope, lifecycle.Filter{Status: lifecycle.Among(task.Executing)}, lifecycle.Page{Number: 1, Size: 1, Count: true})
		b.must(err)
		return found.Total
	}
	b.clock.forward(lease)
	rounds := 0
	for more := true; more; rounds++ {
		var err error
		more, err = b.Service.Sweep(b.ctx(), b.pulse(b.ctx()))
		b.must(err)
		if rounds == 0 && count(other) != 0 {
			t.Error("the other organization waits")
		}
	}
	if left := count(who()); left != 0 || rounds < 3 {
		t.Errorf("%d of %d are not queued again after %d rounds", left, many, rounds)
	}
	if more, err := b.Service.Sweep(b.ctx(), b.pulse(b.ctx())); more || err != nil {
		t.Errorf("nothing is due, and there is more: %v, %v", more, err)
	}
}

// X2: answers to stops that are awaited anew after a silence are no reason to look at
// their tasks again and again.
func TestX2ManyAwaitedAnswersAfterASilence(t *testing.T) {
	t.Parallel()
	b := open(t)
	for i := range 5 {
		id := fmt.Sprint("t-", i)
		b.run(id, nil)
		b.stop(id)
	}
	b.clock.forward(time.Hour)
	b.RenewLeases()
	due := func() int {
		p := b.pulse(b.ctx())
		ids, err := b.store.Due(b.ctx(), org, p.AsOf, p.Renewed, 100)
		b.must(err)
		return len(ids)
	}
	if due() != 5 {
		t.Fatal("nothing is due")
	}
	b.must(b.Sweep(b.ctx()))
	if n := due(); n != 0 || b.get("t-0").Stop.AbandonedAt != 0 {
		t.Errorf("%d are due again", n)
	}
	b.later(lease)
	if b.get("t-4").Stop.AbandonedAt == 0 {
		t.Error("not abandoned after a lease")
	}
}
