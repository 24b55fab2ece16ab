package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	agents "github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/board"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func feedParts() []part {
	return []part{
		{"FeedShowsEveryChange", feedShows},
		{"FeedIsToldBeforeTheAnswer", feedIsTold},
		{"FeedIsReadInParts", feedInParts},
		{"FeedGoesOnAfterAReopen", feedGoesOn},
		{"OldEntriesAreDropped", feedIsDropped},
		{"FeedHasNoGap", feedHasNoGap},
		{"CursorsAreGoodUntilSomethingIsMissed", cursors},
	}
}

// feed reads all of the feed.
func (e *env) feed() []feed.Entry {
	e.t.Helper()
	return e.feedAfter(feed.Position{})
}

// settle waits until all that the store has told of can be read: in a database
// that others share, an entry cannot before all transactions that began earlier
// have ended.
func (e *env) settle() {
	e.t.Helper()
	var last feed.Position
	for _, x := range e.told.all() {
		if last.Before(x.Position) {
			last = x.Position
		}
	}
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	for {
		end, err := e.FeedEnd(ctx)
		if err != nil {
			e.t.Fatalf("the feed ends at %v, and %v was told: %v", end, last, err)
		}
		if !end.Before(last) {
			return
		}
	}
}

// patience is how long the suite waits for what must happen soon.
const patience = 30 * time.Second

func (e *env) feedAfter(after feed.Position) []feed.Entry {
	e.t.Helper()
	e.settle()
	found, err := e.Feed(e.t.Context(), after, 1<<20)
	e.ok(err)
	for i, x := range found {
		if x.Change != nil {
			e.t.Fatalf("an entry that was read has a change: %+v", x)
		}
		if before := append([]feed.Entry{{Position: after}}, found...)[i]; !before.Before(x.Position) {
			e.t.Fatalf("entry %v comes after %v", x.Position, before.Position)
		}
	}
	return append([]feed.Entry{}, found...)
}

func (e *env) feedEnd() feed.Position {
	e.t.Helper()
	e.settle()
	end, err := e.FeedEnd(e.t.Context())
	e.ok(err)
	return end
}

// dropFeed drops old entries of a feed that the search has read.
func (e *env) dropFeed(old task.Stamp) {
	e.t.Helper()
	e.searchedTo(e.feedEnd())
	e.ok(e.DropFeed(e.t.Context(), old))
}

// ends checks that the feed's end is behind all that can be read, and behind
// nothing that is yet to come.
func (e *env) ends(what string, last feed.Position) {
	e.t.Helper()
	end := e.feedEnd()
	if end.Before(last) {
		e.t.Fatalf("%s: the feed ends at %v, and %v can be read", what, end, last)
	}
	e.same(what+": behind the end", []feed.Entry{}, e.feedAfter(end))
}

// bare is an entry without what only its own node knows, and without its place.
func bare(x feed.Entry) feed.Entry {
	x.Change, x.Position = nil, feed.Position{}
	return x
}

// feedShows: what every change leaves in the feed, in its order.
func feedShows(e *env) {
	e.same("feed at first", []feed.Entry{}, e.feed())
	e.ends("at first", feed.Position{})
	entry := func(id string, kind feed.Kind, first, last int64) feed.Entry {
		return feed.Entry{Organization: home, Task: id, Agent: agent, Kind: kind, First: first, Last: last, Node: e.node}
	}
	step := func(what string, fn func(), want ...feed.Entry) {
		e.t.Helper()
		before := e.feedEnd()
		fn()
		got := e.feedAfter(before)
		commit, bared := int64(0), []feed.Entry{}
		for i, x := range got {
			if i == 0 {
				commit = x.Commit
			}
			if x.Commit != commit || x.N != got[0].N+i {
				e.t.Fatalf("%s: entry %d of one commit stands at %v, the first at %v", what, i, x.Position, got[0].Position)
			}
			bared = append(bared, bare(x))
		}
		e.same(what, append([]feed.Entry{}, want...), bared)
		if len(got) > 0 {
			e.ends(what, got[len(got)-1].Position)
		}
	}
	do := func(id string, commands ...task.Command) func() { return func() { e.do(home, id, commands...) } }

	step("begun", func() { e.begin("t") }, entry("t", feed.Grew|feed.Ready, 1, 1))
	step("claimed", do("t", claim("w")), entry("t", feed.Grew, 2, 3))
	step("two events", do("t", task.Append{Events: []task.Event{{Type: task.AgentMessage, Own: []byte("1")}, {Type: task.AgentMessage, Own: []byte("2")}}}), entry("t", feed.Grew, 4, 5))
	step("a heartbeat", do("t", task.Renew{By: task.Writer{Fenced: true, Attempt: e.task(home, "t").Task.Run}}))
	step("a sub-task counted", do("t", task.AddChild{}))
	by := func(worker string, x feed.Entry) feed.Entry {
		x.Worker = worker
		return x
	}
	step("lost", do("t", lose(1)), by("w", entry("t", feed.Grew|feed.Ready|feed.Freed, 6, 7)))
	step("nothing at all", func() { e.write(func(lifecycle.Tx) error { return nil }) })
	step("stopped", do("t", task.RequestStop{}), entry("t", feed.Grew, 8, 10))
	step("local", func() { e.begin("local", func(b *task.Begin) { b.Spec.RunLocally = true }) }, entry("local", feed.Grew, 1, 1))
	elsewhere := entry("t", feed.Grew|feed.Ready, 1, 1)
	elsewhere.Organization, elsewhere.Agent = away, "agent-2"
	step("elsewhere", func() { e.begin("t", func(b *task.Begin) { b.Spec.OrganizationID, b.Spec.AgentID = away, "agent-2" }) }, elsewhere)
	e.begin("py")
	e.do(home, "py", assign("py"), start(), settle(task.EndFailed, "r"))
	step("let go after its end", do("py", lose(1)), by("py", entry("py", feed.Freed, 0, 0)))
	step("a worker freed, and an agent defined and dropped", func() {
		e.write(func(tx lifecycle.Tx) error {
			return errors.Join(
				tx.Freed(home, agent, "py"), tx.PutAgent(agents.Agent{OrganizationID: home, ID: agent, Version: 1}), tx.DeleteAgent(home, agent),
			)
		}, lifecycle.Key{Of: lifecycle.AgentKey, Organization: home, ID: agent})
	}, by("py", entry("", feed.Freed, 0, 0)), entry("", feed.Redefined, 0, 0), entry("", feed.Redefined, 0, 0))
	step("undone", func() {
		err := e.Write(e.t.Context(), about(home, "local"), func(tx lifecycle.Tx) error {
			return errors.Join(change(tx, home, "local", chunk("x"), e.clock.stamp()), tx.Delete(home, "t"), errUndo)
		})
		if !errors.Is(err, errUndo) {
			e.t.Fatal(err)
		}
	})
	gone := feed.Entry{Organization: home, Task: "t", Kind: feed.Deleted, Node: e.node}
	step("several in one commit, in the order in which they were saved", func() {
		e.write(func(tx lifecycle.Tx) error {
			failed := []error{
				change(tx, home, "py", beginning(home, "py"), e.clock.stamp()),
				create(tx, beginning(home, "b"), e.clock.stamp()), create(tx, beginning(home, "a"), e.clock.stamp()),
				tx.Delete(home, "t"), change(tx, home, "b", chunk("x"), e.clock.stamp()),
			}
			_, err := tx.Children(home, "py", 1000) // what is sent early stands in its place
			return errors.Join(append(failed, err, change(tx, home, "py", chunk("y"), e.clock.stamp()))...)
		}, about(home, "py", "t")...)
	}, entry("py", feed.Grew|feed.Ready, e.task(home, "py").Task.LastSeq+1, e.task(home, "py").Task.LastSeq+1),
		entry("b", feed.Grew|feed.Ready, 1, 1), entry("a", feed.Grew|feed.Ready, 1, 1), gone, entry("b", feed.Grew|feed.Ready, 2, 2),
		entry("py", feed.Grew|feed.Ready, e.task(home, "py").Task.LastSeq+2, e.task(home, "py").Task.LastSeq+2))
	e.checkTold()
}

// checkTold compares what was told of a store's own commits with the feed.
func (e *env) checkTold() {
	e.t.Helper()
	told := e.told.all()
	for i, x := range told {
		if (x.Change == nil) != (x.Kind&feed.Deleted != 0 || x.Task == "") {
			e.t.Fatalf("told of %+v", x)
		}
		if c := x.Change; c != nil && (c.Task.ID != x.Task || len(c.Events) > 0 && (c.Events[0].Seq != x.First || x.Last != c.Task.LastSeq)) {
			e.t.Fatalf("told of %+v with the change %+v", x, c)
		}
		told[i].Change = nil
	}
	if e.kind.Parallel { // it is told of commits about one task in their order
		slices.SortStableFunc(told, func(a, b feed.Entry) int {
			if a.Before(b.Position) {
				return -1
			}
			return 1
		})
	}
	own := slices.DeleteFunc(e.feed(), func(x feed.Entry) bool { return x.Node != e.node })
	e.same("what was told", own, append([]feed.Entry{}, told...))
}

// feedIsTold: whoever has been answered finds its entry told, and in the feed as
// soon as nobody who began before is still at it.
func feedIsTold(e *env) {
	const callers, each = 16, 8
	failures := make([]error, callers)
	together(callers, func(i int) {
		id := fmt.Sprint("t-", i)
		for n := range each {
			failures[i] = errors.Join(failures[i], e.Write(e.t.Context(), about(home, id), func(tx lifecycle.Tx) error {
				if n == 0 {
					return create(tx, beginning(home, id), e.clock.stamp())
				}
				return change(tx, home, id, chunk("x"), e.clock.stamp())
			}))
			if !slices.ContainsFunc(e.told.all(), func(x feed.Entry) bool { return x.Task == id && x.Last == int64(n+1) }) {
				failures[i] = errors.Join(failures[i], fmt.Errorf("event %d of %s is not told when its writer is answered", n+1, id))
			}
		}
	})
	e.ok(errors.Join(failures...))
	e.same("entries", callers*each, len(e.feed()))
	e.checkTold()
}

// feedInParts: whoever reads from a position on sees each entry once.
func feedInParts(e *env) {
	for i := range 5 {
		e.begin(fmt.Sprint("t-", i))
	}
	e.write(func(tx lifecycle.Tx) error {
		for i := range 7 {
			if err := create(tx, beginning(home, fmt.Sprint("u-", i)), e.clock.stamp()); err != nil {
				return err
			}
		}
		return nil
	})
	all := e.feed()
	e.same("entries", 12, len(all))
	for limit := 1; limit <= 13; limit++ {
		got, at := []feed.Entry{}, feed.Position{}
		for {
			part, err := e.Feed(e.t.Context(), at, limit)
			e.ok(err)
			if len(part) == 0 {
				break
			}
			if len(part) > limit {
				e.t.Fatalf("%d entries, at most %d were asked for", len(part), limit)
			}
			if got, at = append(got, part...), part[len(part)-1].Position; len(got) > len(all) {
				break // it may never end
			}
		}
		e.same(fmt.Sprint("in parts of ", limit), all, got)
		e.ends("in parts", at)
	}
	e.same("far behind it", []feed.Entry{}, e.feedAfter(feed.Position{Commit: 1 << 60}))
}

// feedGoesOn: positions stay good when the store is opened again, even when all
// that was there has been dropped.
func feedGoesOn(e *env) {
	begin := func(id string) feed.Entry {
		e.t.Helper()
		end := e.feedEnd()
		e.begin(id)
		got := e.feedAfter(end)
		if len(got) != 1 || got[0].Task != id {
			e.t.Fatalf("behind %v come %+v, want %s", end, got, id)
		}
		return got[0]
	}
	reopen := func() {
		e.t.Helper()
		e.ok(e.Close())
		e.open()
	}
	begin("a")
	b := begin("b")
	reopen()
	if c := begin("c"); !b.Before(c.Position) {
		e.t.Fatalf("%v comes after a reopen, and %v before it", c.Position, b.Position)
	}
	last := begin("d")
	e.clock.advance(time.Hour)
	e.dropFeed(e.clock.stamp())
	reopen()
	e.begin("e")
	got := e.feedAfter(last.Position)
	if len(got) != 1 || got[0].Task != "e" {
		e.t.Fatalf("behind %v, when all before it was dropped, come %+v", last.Position, got)
	}
}

// feedIsDropped: entries of before a moment go, but for the newest of them.
func feedIsDropped(e *env) {
	e.begin("old")
	e.begin("older than the moment")
	e.clock.advance(time.Second)
	middle := e.clock.stamp()
	e.begin("new")
	e.do(home, "new", claim("w"))
	all := e.feed()
	e.dropFeed(middle - 1_000_000)
	e.same("none is older", all, e.feed())
	e.dropFeed(middle)
	e.same("those that are not older", all[1:], e.feed())
	e.clock.advance(time.Second)
	e.dropFeed(e.clock.stamp())
	e.same("the newest", all[3:], e.feed())
	e.same("log of a task whose entries were dropped", 3, len(e.log("new")))
}

// feedHasNoGap: what stands behind an entry that is not old stays, whatever its clock
// showed; so do all the others of a large commit but those in front of it.
func feedHasNoGap(e *env) {
	now := e.clock.stamp()
	e.clock.advance(time.Hour)
	e.begin("of a clock that is ahead")
	e.clock.advance(-time.Hour)
	e.begin("old")
	e.begin("newer")
	all := e.feed()
	e.dropFeed(now + 1)
	e.same("behind one that is not old", all, e.feed())
	e.write(func(tx lifecycle.Tx) error {
		for i := range 1100 { // more than one commit drops
			if err := create(tx, beginning(home, fmt.Sprint("t-", i)), e.clock.stamp()); err != nil {
				return err
			}
		}
		return nil
	})
	all = e.feed()
	e.dropFeed(now.Add(2 * time.Hour))
	e.same("of a large commit", all[len(all)-1:], e.feed())
}

// everyTask matches all tasks.
type everyTask struct{}

func (everyTask) Matching(_ context.Context, _ auth.Scope, _ lifecycle.Filter, ids []string) ([]string, error) {
	return ids, nil
}

// cursors: a place is good as long as all that stood behind it is there.
func cursors(e *env) {
	changes := board.NewChanges(nil, e, everyTask{})
	read := func(after feed.Position) string {
		e.t.Helper()
		found, next, _, err := changes.Read(e.t.Context(), auth.All(home), lifecycle.Filter{}, after, 100)
		if fault.CodeOf(err) == fault.Gone {
			e.same("goes on", after, next)
			return "gone"
		}
		e.ok(err)
		ids := []string{}
		for _, c := range found {
			ids = append(ids, c.Task)
		}
		return strings.Join(ids, " ")
	}
	e.begin("a")
	e.begin("b")
	a, b := e.feed()[0].Position, e.feedEnd()
	e.clock.advance(time.Hour)
	e.dropFeed(e.clock.stamp())
	e.same("nothing new", "", read(b))
	e.begin("c")
	e.feedEnd()
	e.dropFeed(e.clock.stamp())
	e.same("after a long silence", "c", read(b))
	e.same("from the oldest", "b c", read(feed.Position{}))
	e.clock.advance(time.Hour)
	e.begin("d")
	c := e.feed()[1].Position
	e.dropFeed(e.clock.stamp())
	e.same("what was missed", "gone", read(b))
	e.same("what was missed long ago", "gone", read(a))
	e.same("what was not", "d", read(c))
	e.same("of a time after the backup", "gone", read(feed.Position{Commit: e.feedEnd().Commit, N: 1}))
	e.same("of long after it", "gone", read(feed.Position{Commit: 1 << 60}))
}
