package storetest

import (
	"errors"
	"strconv"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/stats"
	"github.com/errand-dev/errand/server/internal/task"
)

func statsParts() []part {
	return []part{
		{"StatsAreSums", statsAreSums},
		{"StatsAreOfAScope", statsOfAScope},
		{"OldStatsAreDropped", oldStats},
	}
}

// someCounts are some of an agent, for nobody in particular.
func someCounts(agent string, n float64) stats.Counted {
	return stats.Counted{Of: stats.Of{Org: home, Agent: agent}, Counts: stats.Counts{stats.Begun: n, stats.Waiting: -n, stats.Tokens: 1 << 40, stats.Cost: 0.25}}
}

func (e *env) addStats(all ...stats.Counted) {
	e.t.Helper()
	for _, x := range all {
		e.write(func(tx lifecycle.Tx) error { tx.AddStats(x); return nil })
	}
}

// stats are sums of a scope, by the steps and ids of their rows.
func (e *env) stats(in auth.Scope, q stats.Query) map[string]stats.Counts {
	e.t.Helper()
	rows, err := e.Stats(e.t.Context(), in, q)
	e.ok(err)
	sums := map[string]stats.Counts{}
	for _, r := range rows {
		of := strconv.Itoa(r.Step) + r.ID
		if sums[of] == nil {
			sums[of] = stats.Counts{}
		}
		sums[of][r.What] = r.N
	}
	return sums
}

func summed(all ...stats.Counted) stats.Counts {
	sum := stats.Counts{}
	for _, x := range all {
		sum.Add(x.Counts)
	}
	return sum
}

// hours is a query by hours of what is there at all.
func (e *env) hours() stats.Query {
	hour := task.Stamp(time.Hour.Microseconds())
	begin := e.clock.stamp() / hour * hour
	return stats.Query{From: begin - hour, To: begin + hour, Step: 2 * time.Hour, Span: time.Hour, By: stats.ByStep}
}

// statsAreSums: what was counted in a minute and in an hour is the sum of all, by steps and
// agents, after a restart too; an error has counted nothing.
func statsAreSums(e *env) {
	e.clock.us.Store(someday(2).Time().Add(10 * time.Hour).UnixMicro())
	begin := e.clock.stamp()
	e.addStats(someCounts("a", 1), someCounts("a", 2), someCounts("b", 4))
	failed := errors.New("no")
	if err := e.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error { tx.AddStats(someCounts("a", 8)); return failed }); !errors.Is(err, failed) {
		e.t.Fatal(err)
	}
	e.clock.advance(3 * time.Minute)
	e.addStats(someCounts("a", 16))
	e.ok(e.Close())
	e.open()

	a, b := []stats.Counted{someCounts("a", 1), someCounts("a", 2)}, someCounts("b", 4)
	later := someCounts("a", 16)
	minutes := stats.Query{By: stats.ByStep, From: begin, To: begin.Add(10 * time.Minute), Step: 2 * time.Minute, Span: time.Minute}
	e.same("by two minutes", map[string]stats.Counts{"0": summed(append(a, b)...), "1": summed(later)}, e.stats(auth.All(home), minutes))
	minutes.By = stats.ByAgent
	e.same("by agents", map[string]stats.Counts{"0a": summed(append(a, later)...), "0b": summed(b)}, e.stats(auth.All(home), minutes))
	minutes.Agent = "b"
	e.same("of an agent", map[string]stats.Counts{"0b": summed(b)}, e.stats(auth.All(home), minutes))
	minutes.From = begin.Add(time.Minute)
	e.same("of another time", 0, len(e.stats(auth.All(home), minutes)))
	e.same("of another organization", 0, len(e.stats(auth.All(away), e.hours())))
	e.same("by hours", map[string]stats.Counts{"0": summed(append(a, b, later)...)}, e.stats(auth.All(home), e.hours()))
}

// statsOfAScope: an owner and a group see what counts for them, and by models.
func statsOfAScope(e *env) {
	own, groups := someCounts("a", 1), someCounts("a", 2)
	own.Owner, own.Model = "key:é", "m"
	groups.Group = "g"
	e.addStats(own, groups, someCounts("a", 4))
	q := e.hours()
	q.By = stats.ByModel
	for _, c := range []struct {
		in   auth.Scope
		want map[string]stats.Counts
	}{
		{auth.All(home), map[string]stats.Counts{"0m": summed(own), "0": summed(groups, someCounts("a", 4))}},
		{auth.Scope{Organization: home, Owner: "key:é"}, map[string]stats.Counts{"0m": summed(own)}},
		{auth.Scope{Organization: home, Group: "g"}, map[string]stats.Counts{"0": summed(groups)}},
		{auth.Scope{Organization: home, Owner: "g"}, map[string]stats.Counts{}},
		{auth.Scope{Organization: away, Owner: "key:é"}, map[string]stats.Counts{}},
	} {
		e.same("what a scope sees", c.want, e.stats(c.in, q))
	}
}

// oldStats: what is older than it is kept goes, and nothing else.
func oldStats(e *env) {
	e.clock.us.Store(someday(2).Time().UnixMicro())
	begin := e.clock.stamp()
	e.addStats(someCounts("a", 1))
	for _, span := range stats.Spans() {
		there := func() int {
			q := stats.Query{By: stats.ByStep, From: begin, To: begin + 1, Step: span.Length, Span: span.Length}
			return len(e.stats(auth.All(home), q))
		}
		e.ok(e.DropStats(e.t.Context(), begin.Add(span.Keep)))
		e.same("what is kept just so long", 1, there())
		e.ok(e.DropStats(e.t.Context(), begin.Add(span.Keep)+1))
		e.same("what is older", 0, there())
	}
}
