package storetest

import (
	"fmt"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/deliver"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/task"
)

func webhookParts() []part {
	return []part{
		{"WebhooksAreKept", webhooksAreKept},
		{"WebhooksAreToldOfTurns", webhooksAreTold},
		{"APushForAWebhookIsOverWhenAllWasTaken", webhookPushesEnd},
		{"TheFeedIsKeptForWebhooks", feedIsKeptForWebhooks},
	}
}

// webhook is one of the whole organization in which every field is set.
func webhook(id string) deliver.Webhook {
	return deliver.Webhook{
		Scope: auth.All(home), ID: id, CreatedAt: 5, CreatedBy: "key k", URL: "https://example.org/é", Target: "example.org:443",
		Types: []deliver.MessageType{"task.completed"}, Agents: []string{agent}, Secret: []byte{0, 255, 7}, Enabled: true,
		Place: feed.Position{Commit: 1, N: 2}, Health: deliver.Health{TakenAt: 6, Failures: 2, FailedAt: 7, Failure: "answered 500"},
	}
}

func webhooksAreKept(e *env) {
	ctx := e.t.Context()
	a, b := webhook("a"), webhook("b")
	b.Owner, b.Enabled, b.CreatedAt = "user:anna", false, 6
	e.ok(e.PutWebhook(ctx, b))
	e.ok(e.PutWebhook(ctx, a))
	listed := func(what string, in auth.Scope, want ...deliver.Webhook) {
		e.t.Helper()
		found, err := e.Webhooks(ctx, in)
		e.ok(err)
		e.same(what, want, append([]deliver.Webhook(nil), found...))
	}
	listed("webhooks", auth.All(home), a, b)
	listed("webhooks of one owner", b.Scope, b)
	listed("webhooks of another organization", auth.All(away))
	found, err := e.EnabledWebhooks(ctx)
	e.ok(err)
	e.same("enabled webhooks", []deliver.Webhook{a}, found)
	rename := func(w *deliver.Webhook) { w.URL, w.Types = "http://example.org", nil }
	for _, in := range []auth.Scope{b.Scope, auth.All(away)} {
		_, err = e.ChangeWebhook(ctx, in, "a", rename)
		e.missing("webhook out of a scope", err)
		e.missing("webhook out of a scope", e.DropWebhook(ctx, in, "a"))
	}
	got, err := e.ChangeWebhook(ctx, auth.All(home), "a", rename)
	e.ok(err)
	rename(&a)
	e.same("changed webhook", a, got)
	e.ok(e.WebhookFailed(ctx, a, "answered 502", false))
	got, err = e.Webhook(ctx, home, "a")
	e.ok(err)
	e.same("failures", "3 answered 502 true", fmt.Sprint(got.Failures, " ", got.Failure, " ", got.Enabled))
	e.ok(e.WebhookTook(ctx, a))
	e.ok(e.WebhookFailed(ctx, b, "answered 410", true))
	got, err = e.Webhook(ctx, home, "a")
	e.ok(err)
	e.same("one that has taken again", "0 true", fmt.Sprint(got.Failures, " ", got.TakenAt > 6))
	e.ok(e.DropWebhook(ctx, b.Scope, "b"))
	_, err = e.Webhook(ctx, home, "b")
	e.missing("dropped webhook", err)
	for i := 1; i < deliver.MaxWebhooks; i++ {
		e.ok(e.PutWebhook(ctx, webhook(fmt.Sprint("w", i))))
	}
	if err := e.PutWebhook(ctx, webhook("more")); fault.CodeOf(err) != fault.Conflict {
		e.t.Errorf("one more: %v", err)
	}
}

// following makes a webhook that is told of what comes.
func (e *env) following(edit func(*deliver.Webhook)) deliver.Webhook {
	e.t.Helper()
	w := webhook("w")
	w.Types, w.Agents, w.Place = nil, nil, e.feedEnd()
	edit(&w)
	e.ok(e.PutWebhook(e.t.Context(), w))
	return w
}

// turnsFor lists what there is to tell a webhook, as task/turn first-last.
func (e *env) turnsFor(w deliver.Webhook) (pushes []deliver.Push, told []string) {
	e.t.Helper()
	pushes, err := e.TurnsFor(e.t.Context(), w, w.Place, e.feedEnd())
	e.ok(err)
	for _, p := range pushes {
		told = append(told, fmt.Sprintf("%s/%d %d-%d", p.Task, p.Turn, p.First, p.Since))
	}
	return pushes, told
}

func webhooksAreTold(e *env) {
	e.begin("before")
	w := e.following(func(*deliver.Webhook) {})
	e.begin("t")
	e.do(home, "t", chunk("a"), chunk("b"), claim("w"))
	e.do(home, "before", chunk("c"))
	last := e.task(home, "t").Task.LastSeq
	_, told := e.turnsFor(w)
	e.same("told", []string{fmt.Sprintf("t/1 1-%d", last)}, told)
	w.Types = []deliver.MessageType{"task.completed"}
	_, told = e.turnsFor(w)
	e.same("told of ends", []string(nil), told)
	w.Types, w.Agents = nil, []string{"another"}
	_, told = e.turnsFor(w)
	e.same("told of another agent", []string(nil), told)
	w.Agents, w.Owner = nil, "user:nobody"
	_, told = e.turnsFor(w)
	e.same("told of another owner", []string(nil), told)
}

func webhookPushesEnd(e *env) {
	ctx := e.t.Context()
	w := e.following(func(*deliver.Webhook) {})
	e.begin("t")
	pushes, _ := e.turnsFor(w)
	for range 2 { // the second one is of a node that comes too late
		e.ok(e.Spread(ctx, w, pushes, e.feedEnd()))
	}
	due, err := e.DuePushes(ctx, pushes[0].Due, nil, []string{"another"}, 9)
	e.ok(err)
	others, err := e.DuePushes(ctx, pushes[0].Due, nil, []string{w.ID}, 9)
	e.ok(err)
	e.same("due but for its own", 0, len(others))
	e.same("due", pushes, []deliver.Push{due[0].Push})
	e.same("its agent", agent, due[0].Agent)
	listed, err := e.Pushes(ctx, home, "t", 1)
	e.ok(err)
	e.same("those that clients have named", 0, len(listed))
	e.ok(e.DropPush(ctx, pushes[0].Key)) // which is no client's
	w.Place = e.feedEnd()
	e.do(home, "t", claim("w"))
	more, _ := e.turnsFor(w)
	e.ok(e.Spread(ctx, w, more, e.feedEnd()))
	was := pushes[0]
	is := was
	is.Progress = deliver.Progress{Taken: 2}
	moved, err := e.MovePush(ctx, was, is)
	e.ok(err)
	got, err2 := e.Push(ctx, was.Key)
	e.ok(err2)
	e.same("one that was told of more meanwhile", fmt.Sprint(true, 2, more[0].Since, was.Due), fmt.Sprint(moved, got.Taken, got.Since, got.Due))
	is = got
	is.Progress = deliver.Progress{Taken: deliver.Behind(got.Since)}
	_, err = e.MovePush(ctx, got, is)
	e.ok(err)
	_, err = e.Push(ctx, was.Key)
	e.missing("one of which all was taken", err)
	e.ok(e.Spread(ctx, w, []deliver.Push{{Key: deliver.Key{Organization: home, Task: "gone", Turn: 1, ID: "/w"}}}, e.feedEnd()))
	_, err = e.Push(ctx, deliver.Key{Organization: home, Task: "gone", Turn: 1, ID: "/w"})
	e.missing("one of no task", err)
}

func feedIsKeptForWebhooks(e *env) {
	ctx := e.t.Context()
	w := e.following(func(*deliver.Webhook) {})
	for _, id := range []string{"t", "u", "v"} {
		e.begin(id)
	}
	const later = task.Stamp(1 << 60)
	e.dropFeed(later)
	_, told := e.turnsFor(w)
	e.same("told", []string{"t/1 1-1", "u/1 1-1", "v/1 1-1"}, told)
	e.ok(e.Spread(ctx, w, nil, e.feedEnd()))
	e.dropFeed(later)
	begin, err := e.FeedBegin(ctx)
	e.ok(err)
	e.same("the first that is kept", e.feedEnd(), begin)
}
