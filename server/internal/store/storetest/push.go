package storetest

import (
	"fmt"

	"github.com/errand-dev/errand/server/internal/deliver"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func pushParts() []part {
	return []part{
		{"PushesAreKept", pushesAreKept},
		{"PushesAreDueBehindWhatWasTaken", pushesAreDue},
		{"APushIsMovedOnce", pushIsMovedOnce},
		{"ATurnHasSoManyPushes", soManyPushes},
	}
}

// push is one of a task's first turn in which every field is set.
func push(of, id string) deliver.Push {
	return deliver.Push{
		Key: deliver.Key{Organization: home, Task: of, Turn: 1, ID: id}, PutAt: 5, URL: "https://example.org/é?<b>", Target: "example.org:443",
		Headers: []byte{0, 255, 7}, First: 1, Since: 2,
		Progress: deliver.Progress{Taken: 1, Due: 10, Failures: 3, FailedAt: 4, Failure: "answered 500"},
	}
}

func pushesAreKept(e *env) {
	ctx := e.t.Context()
	e.missing("push of no task", e.PutPush(ctx, push("t", "a")))
	e.begin("t")
	e.begin("u")
	a, b, other := push("t", "a"), push("t", "b"), push("u", "a")
	next := a
	next.Turn = 2
	for _, p := range []deliver.Push{b, a, other, next} {
		e.ok(e.PutPush(ctx, p))
	}
	listed := func(what string, want ...deliver.Push) {
		e.t.Helper()
		found, err := e.Pushes(ctx, home, "t", 1)
		e.ok(err)
		e.same(what, want, found)
	}
	listed("pushes", a, b)
	a.URL, a.PutAt = "http://example.org", 6
	e.ok(e.PutPush(ctx, a))
	got, err := e.Push(ctx, a.Key)
	e.ok(err)
	e.same("push that was put again", a, got)
	foreign := a.Key
	foreign.Organization = away
	_, err = e.Push(ctx, foreign)
	e.missing("push of another organization", err)
	for range 2 {
		e.ok(e.DropPush(ctx, b.Key))
	}
	listed("pushes without the dropped one", a)
	e.write(func(tx lifecycle.Tx) error { return tx.Delete(home, "t") }, about(home, "t")...)
	listed("pushes of a deleted task")
	_, err = e.Push(ctx, next.Key)
	e.missing("push of its next turn", err)
	_, err = e.Push(ctx, other.Key)
	e.ok(err)
}

func pushesAreDue(e *env) {
	ctx := e.t.Context()
	for _, id := range []string{"t", "u"} {
		e.begin(id) // one event
	}
	put := func(of, id, target string, taken int64, due task.Stamp) {
		p := push(of, id)
		p.Target, p.Taken, p.Due = target, taken, due
		e.ok(e.PutPush(ctx, p))
	}
	put("t", "later", "x:1", 0, 30)
	put("t", "sooner", "y:1", 1, 20)
	put("u", "half", "x:1", 1, 25)
	put("u", "taken", "x:1", 2, 20)
	put("u", "over", "x:1", 0, 0)
	due := func(now task.Stamp, limit int, without ...string) string {
		e.t.Helper()
		found, err := e.DuePushes(ctx, now, without, nil, limit)
		e.ok(err)
		if len(without) == 0 {
			e.same("a push is due", len(found) > 0, e.dues(now).Pushes) //nolint:contextcheck // it has the test's
		}
		var ids []string
		for _, d := range found {
			ids = append(ids, fmt.Sprintf("%s/%d", d.ID, d.End))
		}
		return fmt.Sprint(ids)
	}
	e.same("all", "[sooner/1 half/1 later/1]", due(30, 9))
	e.same("at a moment", "[sooner/1]", due(20, 9))
	e.same("before", "[]", due(19, 9))
	e.same("at most one", "[sooner/1]", due(30, 1))
	e.same("without a target", "[sooner/1]", due(30, 9, "x:1", "z:1", "v:1"))
	e.do(home, "u", chunk("more"))
	e.same("when its log has grown", "[sooner/1 taken/2 half/2 later/1]", due(30, 9))
}

func pushIsMovedOnce(e *env) {
	ctx := e.t.Context()
	e.begin("t")
	was := push("t", "a")
	e.ok(e.PutPush(ctx, was))
	is := was
	is.Progress, is.Headers = deliver.Progress{Taken: 2}, nil
	move := func(what string, want bool) {
		e.t.Helper()
		moved, err := e.MovePush(ctx, was, is)
		e.ok(err)
		e.same(what, want, moved)
	}
	move("first", true)
	got, err := e.Push(ctx, was.Key)
	e.ok(err)
	e.same("push that was moved", is, got)
	move("again", false)
	was = is
	was.PutAt++
	move("after another was put", false)
	e.ok(e.DropPush(ctx, was.Key))
	was = is
	move("after it was dropped", false)
}

func soManyPushes(e *env) {
	ctx := e.t.Context()
	e.begin("t")
	for i := range deliver.MaxPushes {
		e.ok(e.PutPush(ctx, push("t", fmt.Sprint("p", i))))
	}
	e.ok(e.PutPush(ctx, push("t", "p0")))
	if err := e.PutPush(ctx, push("t", "more")); fault.CodeOf(err) != fault.Conflict {
		e.t.Errorf("one more: %v", err)
	}
}
