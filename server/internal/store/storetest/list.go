package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func listParts() []part {
	return []part{
		{"ListFilters", filters},
		{"ListShowsResults", listedResults},
		{"ListPagesWhileTasksArrive", arriving},
		{"ListTotalIsCapped", cappedTotal},
		{"RowsOfPeople", rowsOfPeople},
		{"RowsSayWhyTasksFailed", whyRowsFailed},
	}
}

func (e *env) list(f lifecycle.Filter, p lifecycle.Page) lifecycle.List {
	e.t.Helper()
	return e.listIn(auth.All(home), f, p)
}

func (e *env) listIn(in auth.Scope, f lifecycle.Filter, p lifecycle.Page) lifecycle.List {
	e.t.Helper()
	l, err := e.Tasks(e.t.Context(), in, f, p)
	e.ok(err)
	return l
}

// listed is what a list is to show of a task.
func listed(t task.Task) lifecycle.Listed {
	s := t.State()
	x := lifecycle.Listed{
		ID: t.ID, AgentID: t.AgentID, OrganizationID: t.OrganizationID, Status: s.Status,
		UserID: t.Terms.UserID, ParentID: t.Terms.ParentID, Source: s.Source, Owner: t.Owner, Group: t.Group, Title: s.Title,
		InternalStatus: s.InternalStatus, Result: s.Result, CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt,
	}
	if s.TriggeringAgentID != nil {
		x.TriggeringAgentID = *s.TriggeringAgentID
	}
	if x.Result != nil && len(*x.Result) > 64<<10 {
		x.Result = nil
	}
	return x
}

// matches is the plain reading of a filter.
func matches(f lifecycle.Filter, x lifecycle.Listed) bool {
	return (f.Agent == "" || f.Agent == x.AgentID) &&
		(f.User == "" || f.User == x.UserID) &&
		(f.Parent == "" || f.Parent == x.ParentID) &&
		(f.Trigger == "" || f.Trigger == x.TriggeringAgentID) &&
		(f.Status == 0 || f.Status&lifecycle.Among(x.Status) != 0) &&
		(!f.Roots || x.ParentID == "") &&
		(f.InternalStatus == "" || x.InternalStatus != nil && f.InternalStatus == *x.InternalStatus) &&
		(f.From == 0 || x.CreatedAt >= f.From) &&
		(f.To == 0 || x.CreatedAt < f.To)
}

// mixture creates tasks in which every combination of a filter finds
// something, several of them in the same microsecond.
func mixture(e *env) []lifecycle.Listed {
	var all []lifecycle.Listed
	for i := range 60 {
		bit := func(n int) bool { return i>>n&1 == 1 }
		b := beginning(home, fmt.Sprintf("t-%02d", (i*37)%60), func(b *task.Begin) {
			if bit(0) {
				b.Spec.AgentID = "agent-2"
			}
			if bit(1) {
				b.Spec.Input.User = []byte(`{"id":"user-1"}`)
			}
			if bit(2) {
				b.Spec.ParentExecution = new("parent-1")
			}
			if bit(3) {
				b.State.TriggeringAgentID = new("trigger-1")
			}
			if bit(4) {
				b.State.InternalStatus = new("note")
			}
			b.Owner, b.Group = []string{"key:1", "key:2", "user:1", "key:admin"}[i%4], []string{"g-1", "g-2", ""}[i/4%3]
			b.Scoped = b.Owner != "key:admin" // who sees more than its own
			if i%5 == 0 {
				b.State.Title = new(fmt.Sprint("Title ", i))
			}
		})
		e.begin(b.Spec.ID, func(begin *task.Begin) { *begin = b })
		if bit(5) {
			e.clock.advance(time.Microsecond)
			e.do(home, b.Spec.ID, settle(task.EndCompleted, fmt.Sprint("result ", i)))
		}
		all = append(all, listed(e.task(home, b.Spec.ID).Task))
		if i%3 == 0 {
			e.clock.advance(time.Second)
		}
	}
	e.begin("t-00", func(b *task.Begin) { b.Spec.OrganizationID = away })
	slices.SortFunc(all, func(a, b lifecycle.Listed) int {
		return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	return all
}

func filters(e *env) {
	all := mixture(e)
	singles := []lifecycle.Filter{
		{},
		{Agent: agent},
		{User: "user-1"},
		{Parent: "parent-1"},
		{Trigger: "trigger-1"},
		{Status: lifecycle.Among(task.Completed)},
		{Status: lifecycle.Among(task.Completed, task.Failed)},
		{Roots: true},
		{InternalStatus: "note"},
		{From: all[20].CreatedAt},
		{To: all[20].CreatedAt},
	}
	for _, f := range singles {
		if n := e.checkList(all, auth.All(home), f, 7); n == 0 || n == len(all) && f != (lifecycle.Filter{}) {
			e.t.Errorf("%+v matches %d of %d: it decides nothing", f, n, len(all))
		}
	}
	for _, none := range []lifecycle.Filter{
		{Agent: "x"},
		{User: "x"},
		{Parent: "x"},
		{Trigger: "x"},
		{Status: lifecycle.Among(task.Failed)},
		{InternalStatus: "x"},
		{From: all[0].CreatedAt + 1},
		{To: all[len(all)-1].CreatedAt},
	} {
		e.same(fmt.Sprintf("%+v", none), lifecycle.List{}, e.list(none, lifecycle.Page{Size: 10, Count: true}))
	}
	rapid.Check(e.t, func(t *rapid.T) {
		f := lifecycle.Filter{
			Agent:          rapid.SampledFrom([]string{"", "", agent, "agent-2"}).Draw(t, "agent"),
			User:           rapid.SampledFrom([]string{"", "", "user-1"}).Draw(t, "user"),
			Parent:         rapid.SampledFrom([]string{"", "", "parent-1"}).Draw(t, "parent"),
			Trigger:        rapid.SampledFrom([]string{"", "", "trigger-1"}).Draw(t, "trigger"),
			Status:         rapid.SampledFrom([]lifecycle.Statuses{0, 0, lifecycle.Among(task.Pending), lifecycle.Among(task.Completed), lifecycle.Among(task.Completed, task.Pending), lifecycle.Among(task.Failed, task.Completed)}).Draw(t, "status"),
			Roots:          rapid.Bool().Draw(t, "roots"),
			InternalStatus: rapid.SampledFrom([]string{"", "", "note"}).Draw(t, "note"),
			From:           rapid.SampledFrom([]task.Stamp{0, all[40].CreatedAt}).Draw(t, "from"),
			To:             rapid.SampledFrom([]task.Stamp{0, all[10].CreatedAt}).Draw(t, "to"),
		}
		e.checkList(all, auth.All(home), f, rapid.IntRange(1, 70).Draw(t, "size"))
	})
}

// checkOpen compares those of the tasks that have not ended, counted and by
// cursor, with what the store finds.
func (e *env) checkOpen(all []lifecycle.Listed, in auth.Scope, f lifecycle.Filter, size int) {
	e.t.Helper()
	want, got := []lifecycle.Cursor{}, []lifecycle.Cursor{}
	for _, x := range all {
		if !x.Status.Ends() {
			want = append(want, lifecycle.Cursor{CreatedAt: x.CreatedAt, ID: x.ID})
		}
	}
	n, err := e.CountOpen(e.t.Context(), in, f)
	e.ok(err)
	e.same(fmt.Sprintf("%+v: open", f), len(want), n)
	for behind := (lifecycle.Cursor{}); ; behind = got[len(got)-1] {
		part, err := e.Open(e.t.Context(), in, f, behind, size)
		e.ok(err)
		if len(part) == 0 {
			break
		}
		if got = append(got, part...); len(got) > len(want) {
			break // it may never end
		}
	}
	e.same(fmt.Sprintf("%+v: open, by cursor", f), want, got)
}

// checkList compares a filtered list of a scope, in one, by cursor and by page
// number, with the plain reading of the filter. It returns how many tasks match.
func (e *env) checkList(all []lifecycle.Listed, in auth.Scope, f lifecycle.Filter, size int) int {
	e.t.Helper()
	want := []lifecycle.Listed{}
	for _, x := range all {
		if matches(f, x) && in.Sees(x.Owner, x.Group) {
			want = append(want, x)
		}
	}
	name := fmt.Sprintf("%+v in %+v", f, in)
	whole := e.listIn(in, f, lifecycle.Page{Size: 1000, Count: true})
	e.same(name, want, append([]lifecycle.Listed{}, whole.Items...))
	e.same(name+": total", len(want), whole.Total)
	e.same(name+": cursor after the last", lifecycle.Cursor{}, whole.Next)
	e.same(name+": total not asked for", 0, e.listIn(in, f, lifecycle.Page{Size: 1}).Total)

	e.checkOpen(want, in, f, size)
	byCursor, byNumber := []lifecycle.Listed{}, []lifecycle.Listed{}
	var page lifecycle.Page
	for page.Size = size; ; {
		l := e.listIn(in, f, page)
		byCursor = append(byCursor, l.Items...)
		if l.Next == (lifecycle.Cursor{}) || len(byCursor) > len(want) { // it may never end
			break
		}
		e.same(name+": full page", size, len(l.Items))
		page.Cursor = l.Next
	}
	e.same(name+": by cursor", want, byCursor)
	for number := 1; number <= len(want)/size+1; number++ {
		byNumber = append(byNumber, e.listIn(in, f, lifecycle.Page{Number: number, Size: size}).Items...)
	}
	e.same(name+": by number", want, byNumber)
	return len(want)
}

// listedResults: up to 64 KiB, counted in bytes, and as last corrected.
func listedResults(e *env) {
	const limit = 64 << 10
	for name, c := range map[string]struct {
		results []string // the first ends the turn, the others override
		shown   bool
	}{
		"short":                {[]string{"r"}, true},
		"empty":                {[]string{""}, true},
		"largest":              {[]string{strings.Repeat("x", limit)}, true},
		"too large":            {[]string{strings.Repeat("x", limit+1)}, false},
		"too large in bytes":   {[]string{strings.Repeat("é", limit/2+1)}, false},
		"largest in bytes":     {[]string{strings.Repeat("é", limit/2)}, true},
		"corrected":            {[]string{"r", "s"}, true},
		"corrected, too large": {[]string{"r", strings.Repeat("x", limit+1)}, false},
		"corrected, shorter":   {[]string{strings.Repeat("x", limit+1), "s"}, true},
	} {
		e.begin(name)
		for _, r := range c.results {
			e.do(home, name, settle(task.EndCompleted, r))
		}
		l := e.list(lifecycle.Filter{}, lifecycle.Page{Size: 1000})
		i := slices.IndexFunc(l.Items, func(x lifecycle.Listed) bool { return x.ID == name })
		var want *string
		if c.shown {
			want = &c.results[len(c.results)-1]
		}
		got := l.Items[i].Result
		if (want == nil) != (got == nil) || want != nil && *want != *got {
			e.t.Errorf("%s: result shown: %v, want %v", name, got != nil, c.shown)
		}
		full := e.state(name).Result
		e.same(name+": in full", len(c.results[len(c.results)-1]), len(*full))
	}
	e.clock.advance(time.Second)
	e.begin("none")
	e.same("no result", (*string)(nil), e.list(lifecycle.Filter{}, lifecycle.Page{Size: 1000}).Items[0].Result)
}

// arriving: whoever follows the cursor sees each task that was there at the
// beginning exactly once, whatever arrives, changes or goes meanwhile.
func arriving(e *env) {
	const n, size = 40, 7
	want := []string{}
	for i := range n {
		id := fmt.Sprintf("old-%02d", i)
		e.begin(id)
		if i%4 == 0 { // others share their microsecond
			e.clock.advance(time.Microsecond)
		}
		want = append(want, id)
	}
	slices.Reverse(want)
	e.clock.advance(time.Second)
	got := []string{}
	page := lifecycle.Page{Size: size}
	for round := 0; ; round++ {
		l := e.list(lifecycle.Filter{Agent: agent}, page)
		for _, x := range l.Items {
			got = append(got, x.ID)
		}
		if l.Next == (lifecycle.Cursor{}) || len(got) > n {
			break
		}
		page.Cursor = l.Next
		for i := range 3 {
			e.begin(fmt.Sprintf("new-%d-%d", round, i))
		}
		last := l.Items[len(l.Items)-1].ID
		e.do(home, last, settle(task.EndFailed, "r"))
		e.write(func(tx lifecycle.Tx) error { return tx.Delete(home, last) }, about(home, last)...) // the cursor's own task
		e.clock.advance(time.Second)
	}
	e.same("tasks by cursor", want, got)
}

// cappedTotal: counting stops one beyond the cap (rule H5).
func cappedTotal(e *env) {
	// In steps: a store that shares its database gives up on who computes for seconds
	// in the middle of a transaction.
	const step = 500
	fill := func(from, to int) {
		for ; from < to; from += step {
			e.write(func(tx lifecycle.Tx) error {
				for i := from; i < min(from+step, to); i++ {
					if err := create(tx, beginning(home, fmt.Sprint("t-", i)), e.clock.stamp()); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	fill(0, lifecycle.MaxCount)
	page := lifecycle.Page{Size: 1, Count: true}
	e.same("total at the cap", lifecycle.MaxCount, e.list(lifecycle.Filter{}, page).Total)
	fill(lifecycle.MaxCount, lifecycle.MaxCount+3)
	beyond := e.list(lifecycle.Filter{Status: lifecycle.Among(task.Pending)}, page)
	e.same("total beyond the cap", lifecycle.MaxCount, beyond.Total)
	e.same("more than the cap", true, beyond.More)
	page.Number = lifecycle.MaxCount + 3
	e.same("items of the last page", 1, len(e.list(lifecycle.Filter{}, page).Items))
}

// rowsOfPeople are the tasks themselves, but for their results, with what stands in
// their turns and logs.
func rowsOfPeople(e *env) {
	ctx, long := e.t.Context(), strings.Repeat("é\"", 20<<10)
	e.begin("root", func(b *task.Begin) {
		b.Spec.Input.Text, b.Spec.Tags = new("<do> \U0001F600\n\"it\""), []string{"a", `","tags":["b"]`}
		b.State.Title = new("Title")
	})
	e.clock.advance(time.Second)
	root := e.task(home, "root").Task
	e.begin("child", func(b *task.Begin) {
		b.Parent = &root
		b.Spec.Input.Text, b.Spec.Tags, b.Spec.ParentExecution = &long, []string{"c"}, new("root")
	})
	e.clock.advance(time.Second)
	e.begin("ended", func(b *task.Begin) { b.Parent, b.Spec.ParentExecution = &root, new("root") })
	e.do(home, "ended", settle(task.EndTimeout, "0123456789"))
	e.clock.advance(time.Second)
	e.begin("alone", func(b *task.Begin) { b.Spec.AgentID = "agent-2" })
	for range 2 {
		e.do(home, "root", task.AddChild{})
	}
	page := func(f lifecycle.Filter, p lifecycle.Page) lifecycle.RowList {
		e.t.Helper()
		found, err := e.Rows(ctx, auth.All(home), f, p)
		e.ok(err)
		return found
	}
	ids := func(rows []lifecycle.Row) []string {
		var all []string
		for _, x := range rows {
			all = append(all, x.Task.ID)
		}
		return all
	}
	all := page(lifecycle.Filter{}, lifecycle.Page{Size: 10, Count: true})
	e.same("rows", []string{"alone", "ended", "child", "root"}, ids(all.Items))
	e.same("total", 4, all.Total)
	for _, x := range all.Items {
		stored := e.task(home, x.Task.ID).Task
		e.same("state of "+x.Task.ID, stored.Status(), x.Task.Status())
		e.same("last event of "+x.Task.ID, stored.LastSeq, x.Task.LastSeq)
		e.same("result of "+x.Task.ID, (*string)(nil), x.Task.State().Result)
	}
	ended, child, top := all.Items[1], all.Items[2], all.Items[3]
	e.same("prompt", "<do> \U0001F600\n\"it\"", top.Prompt)
	e.same("tags", []string{"a", `","tags":["b"]`}, top.Tags)
	e.same("title", "Title", *top.Task.State().Title)
	e.same("open children", 1, top.OpenChildren)
	e.same("children", 2, top.Task.Subtasks)
	e.same("a long prompt", strings.Repeat("é\"", lifecycle.RowPrompt/2), child.Prompt)
	e.same("tags behind it", []string{"c"}, child.Tags)
	e.same("bytes of the result", 10, ended.ResultBytes)

	first := page(lifecycle.Filter{}, lifecycle.Page{Size: 3})
	e.same("first page", []string{"alone", "ended", "child"}, ids(first.Items))
	rest := page(lifecycle.Filter{}, lifecycle.Page{Size: 3, Cursor: first.Next})
	e.same("next page", []string{"root"}, ids(rest.Items))
	e.same("its end", lifecycle.Cursor{}, rest.Next)
	for name, c := range map[string]struct {
		filter lifecycle.Filter
		want   []string
	}{
		"agent":              {lifecycle.Filter{Agent: "agent-2"}, []string{"alone"}},
		"two statuses":       {lifecycle.Filter{Status: lifecycle.Among(task.Error, task.Failed)}, []string{"ended"}},
		"end reason":         {lifecycle.Filter{EndReason: task.EndTimeout}, []string{"ended"}},
		"another end reason": {lifecycle.Filter{EndReason: task.EndExpired}, nil},
		"completed":          {lifecycle.Filter{EndReason: task.EndCompleted}, nil},
		"roots":              {lifecycle.Filter{Roots: true}, []string{"alone", "root"}},
		"tag":                {lifecycle.Filter{Tag: "c"}, []string{"child"}},
		"tag of a root":      {lifecycle.Filter{Tag: "a", Roots: true}, []string{"root"}},
		"tag of no root":     {lifecycle.Filter{Tag: "c", Roots: true}, nil},
		"tag in a tree":      {lifecycle.Filter{Tag: "c", Root: "root"}, []string{"child"}},
		"tag of a tree's":    {lifecycle.Filter{Tag: "a", Root: "root"}, []string{"root"}},
		"tag and time":       {lifecycle.Filter{Tag: "c", Root: "root", From: child.Task.CreatedAt, To: child.Task.CreatedAt + 1}, []string{"child"}},
		"tree":               {lifecycle.Filter{Root: "root"}, []string{"ended", "child", "root"}},
		"worker":             {lifecycle.Filter{Worker: "nobody"}, nil},
	} {
		e.same(name, c.want, ids(page(c.filter, lifecycle.Page{Size: 10}).Items))
		n, _, err := e.Count(ctx, auth.All(home), c.filter)
		e.ok(err)
		e.same(name+", counted", len(c.want), n)
	}
	some, err := e.RowsOf(ctx, auth.All(home), lifecycle.Filter{Roots: true}, []string{"root", "child", "alone", "nobody"})
	e.ok(err)
	got := ids(some)
	slices.Sort(got)
	e.same("some rows", []string{"alone", "root"}, got)
	none, err := e.Rows(ctx, auth.All(away), lifecycle.Filter{}, lifecycle.Page{Size: 10})
	e.ok(err)
	e.same("rows of another organization", 0, len(none.Items))
}

// whyRowsFailed: a row has the line in which a failed task says why, and no other task's.
func whyRowsFailed(e *env) {
	for id, c := range map[string]struct {
		ends         task.EndReason
		result, want string
	}{
		"failed":    {task.EndFailed, "\n  the photographs are black\nand more", "the photographs are black"},
		"long":      {task.EndWorkerError, strings.Repeat("é", 500), strings.Repeat("é", lifecycle.RowFailure)},
		"traced":    {task.EndWorkerError, "exit code 1: Traceback (most recent call last):\n" + strings.Repeat("  in é\n", 200) + "KeyError: 'é'\n", "exit code 1: KeyError: 'é'"},
		"told":      {task.EndWorkerError, "Traceback (most recent call last):\n" + strings.Repeat("  in é\n", 500) + "KeyError: " + strings.Repeat("é", 1500), "KeyError: " + strings.Repeat("é", lifecycle.RowFailure-len("KeyError: "))},
		"retold":    {task.EndWorkerError, "Traceback (most recent call last):\n  in é\nKeyError: " + strings.Repeat("é", 5000), "…" + strings.Repeat("é", lifecycle.RowFailure-1)},
		"untraced":  {task.EndWorkerError, "Traceback (most recent call last):\n", "Traceback (most recent call last):"},
		"endless":   {task.EndFailed, strings.Repeat("x", 64<<10+1), ""},
		"timed out": {task.EndTimeout, "half of it", ""},
		"done":      {task.EndCompleted, "all of it", ""},
	} {
		e.begin(id)
		e.do(home, id, settle(c.ends, c.result))
		found, err := e.RowsOf(e.t.Context(), auth.All(home), lifecycle.Filter{}, []string{id})
		e.ok(err)
		e.same("failure of "+id, c.want, found[0].Failure)
	}
}
