package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/search"
	"github.com/errand-dev/errand/server/internal/task"
)

func searchParts() []part {
	return []part{
		{"FeedKeepsWhatIsNotIndexed", feedWaitsForSearch},
		{"WhatWasThereBeforeIsIndexed", indexCatchesUp},
		{"WhatTheFeedHasLostIsIndexed", lostNewsAreIndexed},
		{"PromptsAreFoundWhileTheirAnswersStream", streamsAreIndexed},
		{"LongLogsAreIndexedInSteps", longLogsAreIndexed},
		{"WordsAreNotCut", wordsAreNotCut},
		{"DeletedTasksAreNotFound", deletedIsNotFound},
		{"AStepIsDoneOnce", stepOnce},
		{"SearchGoesOnBehindAPlace", searchPages},
	}
}

// searchedTo says that the search has read the feed up to a place.
func (e *env) searchedTo(end feed.Position) {
	e.t.Helper()
	at, err := e.SearchPlace(e.t.Context())
	e.ok(err)
	at.Feed, at.Walked = end, true
	e.ok(e.PutDocuments(e.t.Context(), nil, nil, at))
}

// index indexes all there is, and says in how many steps.
func (e *env) index() (steps int) {
	e.t.Helper()
	e.settle()
	for more := true; more; steps++ {
		var err error
		more, err = search.NewIndexer(e).Step(e.t.Context())
		e.ok(err)
		if steps > 1000 {
			e.t.Fatal("it never ends")
		}
	}
	return steps
}

// finds lists the places that have words, as task/number, newest first.
func (e *env) finds(question string) []string {
	e.t.Helper()
	return e.findsIn(auth.All(home), lifecycle.Filter{}, question, 1000)
}

func (e *env) findsIn(in auth.Scope, f lifecycle.Filter, question string, limit int) []string {
	e.t.Helper()
	all := []string{}
	for before := int64(0); ; {
		found, next, err := search.NewFinder(e).Find(e.t.Context(), in, question, f, before, limit)
		e.ok(err)
		for _, x := range found {
			all = append(all, fmt.Sprintf("%s/%d", x.Task, x.Seq))
		}
		if next == 0 {
			return all
		}
		before = next
	}
}

// asked gives a task a prompt.
func asked(text string) func(*task.Begin) {
	return func(b *task.Begin) { b.Spec.Input.Text = &text }
}

// feedWaitsForSearch: entries that are not indexed stay, however old they are.
func feedWaitsForSearch(e *env) {
	for i := range 5 {
		e.begin(fmt.Sprint("t-", i), asked("zebra"))
	}
	all := e.feed()
	e.clock.advance(time.Hour)
	old := e.clock.stamp()
	e.ok(e.DropFeed(e.t.Context(), old))
	e.same("before the first step", all, e.feed())
	e.searchedTo(all[2].Position)
	e.ok(e.DropFeed(e.t.Context(), old))
	e.same("of which three were read", all[2:], e.feed())
	e.index()
	e.ok(e.DropFeed(e.t.Context(), old))
	e.same("of which all were read", all[4:], e.feed())
	e.same("found", []string{"t-4/1", "t-3/1"}, e.finds("zebra"))
}

// forgetful is a store whose feed was cut off by somebody who did not look whether it was
// indexed.
type forgetful struct {
	search.Store
	begin feed.Position
}

func (f forgetful) FeedBegin(context.Context) (feed.Position, error) { return f.begin, nil }

func (f forgetful) Feed(ctx context.Context, after feed.Position, limit int) ([]feed.Entry, error) {
	all, err := f.Store.Feed(ctx, after, limit)
	return slices.DeleteFunc(all, func(e feed.Entry) bool { return e.Before(f.begin) }), err
}

// lostNewsAreIndexed: when the feed does not tell any more of what came, as after a
// release that knew of no index, that is found by walking.
func lostNewsAreIndexed(e *env) {
	add := func(id string) {
		e.begin(id, asked("zebra"))
		e.clock.advance(time.Second)
	}
	add("a")
	e.index()
	add("b")
	add("c")
	e.settle()
	all := e.feed()
	index := search.NewIndexer(forgetful{e, all[len(all)-1].Position})
	for more := true; more; {
		var err error
		more, err = index.Step(e.t.Context())
		e.ok(err)
	}
	e.same("found", []string{"c/1", "b/1", "a/1"}, e.finds("zebra"))
}

// streamsAreIndexed: what was said before a text that still streams is found.
func streamsAreIndexed(e *env) {
	e.begin("t", asked("zebra"))
	e.do(home, "t", claim("w"))
	e.say("t", words("", 0, `"one "`, `"two "`)...)
	e.index()
	e.same("found", []string{"t/1"}, e.finds("zebra"))
	e.same("of what still streams", []string{}, e.finds("two"))
}

// indexCatchesUp: what was there before the first step is found, by more steps than one,
// together with what comes meanwhile, and each place once.
func indexCatchesUp(e *env) {
	var want []string
	add := func(i int) {
		id := fmt.Sprintf("t-%03d", i)
		e.begin(id, asked("zebra "+id))
		want = append(want, id+"/1")
		e.clock.advance(time.Millisecond)
	}
	for i := range 230 { // of which one reading has not all
		add(i)
	}
	e.do(home, "t-100", claim("w"), settle(task.EndCompleted, "a zebra"))
	want = append(want, "t-100/4")
	for i := 230; i < 240; i++ {
		add(i)
	}
	e.clock.advance(time.Hour)
	meanwhile := 0
	for more := true; more; {
		var err error
		e.settle()
		more, err = search.NewIndexer(e).Step(e.t.Context())
		e.ok(err)
		if len(want) < 260 {
			add(len(want))
			e.begin(fmt.Sprint("a-", meanwhile), asked("okapi")) // where the walk has been
			meanwhile++
		}
	}
	e.index()
	slices.Reverse(want)
	e.same("found", want, e.finds("zebra"))
	e.same("found of what came meanwhile", meanwhile, len(e.finds("okapi")))
	e.same("nothing new", 1, e.index())
}

// longLogsAreIndexed: a log that is longer than a step indexes, and than one reading of
// the store has, is found whole, and no place of it twice.
func longLogsAreIndexed(e *env) {
	e.begin("t", asked("first"))
	e.do(home, "t", claim("w"))
	for i := range 30 { // 3 MB: the store reads one of them at once
		e.say("t", task.Event{Type: task.Think, Own: json.RawMessage(fmt.Sprintf(`"zebra mark%d %s"`, i, strings.Repeat("word ", 20_000)))})
	}
	for i := range 2100 {
		e.say("t", task.Event{Type: task.AgentMessage, Own: json.RawMessage(fmt.Sprintf(`"okapi%d"`, i))})
	}
	e.do(home, "t", settle(task.EndCompleted, "last"))
	if steps := e.index(); steps < 30 {
		e.t.Fatalf("%d steps", steps)
	}
	e.same("long ones", 30, len(e.finds("zebra")))
	for _, word := range []string{"first", "mark0", "mark17", "mark29", "okapi0", "okapi1999", "okapi2099", "last"} {
		e.same(word, 1, len(e.finds(word)))
	}
}

// wordsAreNotCut: a text that is being streamed is found when something else follows, or
// when it is longer than one reading of the log.
func wordsAreNotCut(e *env) {
	e.begin("t")
	e.do(home, "t", claim("w"))
	e.index()
	e.say("t", words("", 0, `"the ele"`)...)
	e.index()
	e.say("t", words("", 0, `"phant "`)...)
	e.index()
	e.same("before it is whole", []string{}, e.finds("elephant"))
	e.say("t", task.Event{Type: task.Think, Own: json.RawMessage(`"so"`)})
	e.index()
	e.same("whole", []string{"t/4"}, e.finds("the elephant"))
	e.same("what follows", []string{"t/6"}, e.finds("so"))
	for i := range 30 {
		var many []string
		for j := range 50 {
			many = append(many, fmt.Sprintf(`"piece%d "`, i*50+j))
		}
		e.say("t", words("", 0, many...)...)
	}
	e.index()
	e.same("of a long text", []string{"t/7"}, e.finds("piece0 piece900"))
	e.same("its end", []string{}, e.finds("piece1400"))
	e.do(home, "t", settle(task.EndCompleted, "r"))
	e.index()
	e.same("its end", []string{"t/1007"}, e.finds("piece1400"))
}

// deletedIsNotFound: a task that is deleted is found no more, also if it was being
// indexed, nor by the words that another of its id has not.
func deletedIsNotFound(e *env) {
	e.begin("t", asked("zebra"))
	e.clock.advance(time.Millisecond)
	e.begin("other", asked("zebra"))
	e.index()
	e.same("before", []string{"other/1", "t/1"}, e.finds("zebra"))
	e.begin("late", asked("zebra"))
	late := e.task(home, "late").Task.CreatedAt
	e.write(func(tx lifecycle.Tx) error { return tx.Delete(home, "t") }, about(home, "t")...)
	e.same("at once", []string{"other/1"}, e.finds("zebra"))
	e.write(erasing(home, "t"), about(home, "t")...)
	// Whoever reads a task while it is deleted adds documents of one that is no more.
	e.write(func(tx lifecycle.Tx) error { return tx.Delete(home, "late") }, about(home, "late")...)
	e.write(erasing(home, "late"), about(home, "late")...)
	at, err := e.SearchPlace(e.t.Context())
	e.ok(err)
	e.ok(e.PutDocuments(e.t.Context(), []search.Document{{
		Of: search.Of{Org: home, ID: "late", CreatedAt: late}, First: 1, Last: 1, At: late,
		Words: append(search.Bounds(auth.All(home), agent), "zebra"),
	}}, nil, at))
	e.clock.advance(time.Second)
	for _, id := range []string{"t", "late"} {
		e.begin(id, asked("okapi"))
	}
	e.same("of the id's next task", []string{"other/1"}, e.finds("zebra"))
	e.index()
	e.same("of the id's next task", []string{"other/1"}, e.finds("zebra"))
	e.same("the next tasks", 2, len(e.finds("okapi")))
	unindexed, err := e.UnindexedOf(e.t.Context(), home, []string{"late"})
	e.ok(err)
	e.same("indexed to", int64(1), unindexed[0].Last)
	e.write(func(tx lifecycle.Tx) error { return tx.Delete(home, "other") }, about(home, "other")...)
	e.same("all deleted", []string{}, e.finds("zebra"))
}

// stepOnce: of two that do the same step one is refused.
func stepOnce(e *env) {
	e.begin("t", asked("zebra"))
	at, err := e.SearchPlace(e.t.Context())
	e.ok(err)
	e.index()
	of := search.Of{Org: home, ID: "t", CreatedAt: e.task(home, "t").Task.CreatedAt}
	e.ok(e.PutDocuments(e.t.Context(), []search.Document{{Of: of, First: 1, Last: 1, At: 1, Words: append(search.Bounds(auth.All(home), agent), "zebra")}}, nil, at))
	e.same("found", []string{"t/1"}, e.finds("zebra"))
	after, err := e.SearchPlace(e.t.Context())
	e.ok(err)
	e.same("step", true, after.Step > at.Step && after.Walked)
}

// searchPages: parts of any length have all places once, of one organization, owner or
// group, and as a filter narrows them.
func searchPages(e *env) {
	for i := range 10 {
		e.begin(fmt.Sprint("t-", i), asked(fmt.Sprint("zebra n", i%2)), func(b *task.Begin) {
			b.Owner, b.Group, b.Scoped = fmt.Sprint("o-", i%2), fmt.Sprint("g-", i%5), true
		})
	}
	e.write(func(tx lifecycle.Tx) error { return create(tx, beginning(away, "t", asked("zebra")), e.clock.stamp()) }, about(away, "t")...)
	e.do(home, "t-3", claim("w"))
	e.index()
	all := e.finds("zebra")
	e.same("all", 10, len(all))
	for limit := range 12 {
		e.same(fmt.Sprint("by ", limit+1), all, e.findsIn(auth.All(home), lifecycle.Filter{}, "zebra", limit+1))
	}
	e.same("of the other organization", []string{"t/1"}, e.findsIn(auth.All(away), lifecycle.Filter{}, "zebra", 3))
	e.same("of an owner", 5, len(e.findsIn(auth.Scope{Organization: home, Owner: "o-1"}, lifecycle.Filter{}, "zebra", 2)))
	e.same("of an owner, of other words", 0, len(e.findsIn(auth.Scope{Organization: home, Owner: "o-1"}, lifecycle.Filter{}, "n0", 2)))
	e.same("of a group", []string{"t-7/1", "t-2/1"}, e.findsIn(auth.Scope{Organization: home, Group: "g-2"}, lifecycle.Filter{}, "zebra", 1))
	e.same("of a status", []string{"t-3/1"}, e.findsIn(auth.All(home), lifecycle.Filter{Status: lifecycle.Among(task.Executing)}, "zebra", 2))
	e.same("of an agent", all, e.findsIn(auth.All(home), lifecycle.Filter{Agent: agent}, "zebra", 3))
	e.same("of another agent", []string{}, e.findsIn(auth.All(home), lifecycle.Filter{Agent: "x"}, "zebra", 3))
}
