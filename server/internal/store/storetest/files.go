package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func fileParts() []part {
	return []part{
		{"Files", keptFiles},
		{"FilesAreListed", listedFiles},
		{"FilesAreRemovedForWhoBroughtThem", removedFiles},
		{"FilesGoWhenTheirTasksAreGone", leftFiles},
		{"ContentsComeAndGo", movedContents},
		{"ContentsInPieces", pieces},
		{"OutputsAreFilesOfTheirTask", outputFiles},
		{"GivenIsKeptWithItsTask", givenFiles},
	}
}

// bring notes a file of the organization home.
func (e *env) bring(id, name string, by files.Owner) {
	e.t.Helper()
	e.ok(e.PutFile(e.t.Context(), home, files.File{ID: id, Size: 3, ContentType: "text/plain"}, name, by))
}

// uses begins a task that uses files.
func (e *env) uses(id string, by files.Owner, ids ...string) {
	e.t.Helper()
	b := beginning(home, id, func(b *task.Begin) { b.Owner, b.Group = by.Owner, by.Group })
	e.write(func(tx lifecycle.Tx) error {
		return errors.Join(create(tx, b, e.clock.stamp()), use(tx, id, ids...))
	}, about(home, id)...)
}

// use notes that a task uses files, as the verbs do.
func use(tx lifecycle.Tx, id string, ids ...string) error {
	t, err := tx.Task(home, id)
	if err != nil {
		return err
	}
	there, err := tx.Files(home, ids)
	if err != nil {
		return err
	}
	for _, file := range ids {
		if !slices.Contains(there, file) {
			return fault.New(fault.NotFound, "no file %s", file)
		}
		if err := tx.PutUse(t, file); err != nil {
			return err
		}
	}
	return nil
}

// leaves deletes a task.
func (e *env) leaves(id string) {
	e.t.Helper()
	e.write(func(tx lifecycle.Tx) error { return remove(tx, home, id, e.clock.stamp()) }, about(home, id)...)
}

// shelf is what a scope sees: names of files, and how many of its tasks use each.
func (e *env) shelf(in auth.Scope) []string {
	e.t.Helper()
	found, err := e.Files(e.t.Context(), in, files.Cursor{}, 100)
	e.ok(err)
	all := []string{}
	for _, x := range found {
		all = append(all, fmt.Sprint(x.ID, " ", x.Name, " ", x.Tasks))
	}
	return all
}

// keptFiles: a file is kept once, as it was brought first, and known by all who
// have brought it.
func keptFiles(e *env) {
	ctx := e.t.Context()
	at := e.clock.stamp()
	f := files.File{ID: "abc", Size: 1 << 40, ContentType: "text/plain; é", CreatedAt: at}
	_, err := e.File(ctx, home, "abc")
	e.missing("unknown file", err)
	e.ok(e.PutFile(ctx, home, files.File{ID: f.ID, Size: f.Size, ContentType: f.ContentType}, "a", files.Owner{Owner: "key:1", Group: "g"}))
	e.clock.advance(time.Second)
	e.ok(e.PutFile(ctx, home, files.File{ID: f.ID, Size: 1, ContentType: "other"}, "b", files.Owner{Owner: "user:2"}))
	e.ok(e.PutFile(ctx, home, files.File{ID: f.ID, Size: 1, ContentType: "other"}, "c", files.Owner{Owner: "key:1", Group: "g"}))
	e.ok(e.PutFile(ctx, away, files.File{ID: "of away"}, "d", files.Owner{Owner: "key:3", Group: "h"}))
	got, err := e.File(ctx, home, "abc")
	e.ok(err)
	e.same("file", f, got)
	_, err = e.File(ctx, away, "abc")
	e.missing("file of another organization", err)
	first, second := files.Listed{File: f, Name: "c"}, files.Listed{File: f, Name: "b"}
	second.CreatedAt = at.Add(time.Second)
	for _, c := range []struct {
		in   auth.Scope
		id   string
		want *files.Listed
	}{
		{auth.All(home), "abc", &first},
		{auth.Scope{Organization: home, Owner: "key:1"}, "abc", &first},
		{auth.Scope{Organization: home, Owner: "user:2"}, "abc", &second},
		{auth.Scope{Organization: home, Owner: "key:3"}, "abc", nil},
		{auth.Scope{Organization: home, Owner: "g"}, "abc", nil},
		{auth.Scope{Organization: home, Group: "g"}, "abc", &first},
		{auth.Scope{Organization: home, Group: "h"}, "abc", nil},
		{auth.All(home), "of away", nil},
		{auth.All(away), "abc", nil},
		{auth.All(home), "unknown", nil},
	} {
		what := fmt.Sprintf("%s in %+v", c.id, c.in)
		brought, err := e.Brought(ctx, c.in, c.id)
		e.ok(err)
		e.same(what+" was brought", c.want != nil, brought)
		got, err := e.FileOf(ctx, c.in, c.id)
		if c.want == nil {
			e.missing(what, err)
			continue
		}
		e.ok(err)
		e.same(what, *c.want, got)
	}
}

// listedFiles: pages of any size hold each file of the scope once, those that it was
// brought last first.
func listedFiles(e *env) {
	owners := []files.Owner{{Owner: "key:1", Group: "g"}, {Owner: "key:1"}, {Owner: "user:2", Group: "g"}, {Owner: "key:3", Group: "h"}}
	for i := range 60 {
		e.bring("f-"+strconv.Itoa(i*7%20), "n-"+strconv.Itoa(i), owners[i*i%len(owners)])
		if i%3 == 0 { // else in the same moment
			e.clock.advance(time.Second)
		}
	}
	ctx := e.t.Context()
	for _, in := range []auth.Scope{
		auth.All(home), auth.All(away), {Organization: home, Owner: "key:1"}, {Organization: home, Owner: "key:3"}, {Organization: home, Group: "g"},
	} {
		whole, err := e.Files(ctx, in, files.Cursor{}, 1000)
		e.ok(err)
		e.same(fmt.Sprintf("%+v is in order", in), true, slices.IsSortedFunc(whole, func(a, b files.Listed) int {
			return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), cmp.Compare(b.ID, a.ID))
		}))
		seen := map[string]bool{}
		for _, x := range whole {
			brought, err := e.Brought(ctx, in, x.ID)
			e.ok(err)
			e.same(x.ID+" is listed once, and was brought", true, brought && !seen[x.ID])
			seen[x.ID] = true
		}
		for i := range 20 {
			id := "f-" + strconv.Itoa(i)
			brought, err := e.Brought(ctx, in, id)
			e.ok(err)
			e.same(fmt.Sprintf("%s is listed in %+v", id, in), brought, seen[id])
		}
		for size := 1; size < 4; size++ {
			paged := []files.Listed{}
			for behind := (files.Cursor{}); ; {
				page, err := e.Files(ctx, in, behind, size)
				e.ok(err)
				if len(page) == 0 {
					break
				}
				paged = append(paged, page...)
				last := page[len(page)-1]
				behind = files.Cursor{CreatedAt: last.CreatedAt, ID: last.ID}
			}
			e.same(fmt.Sprintf("pages of %d", size), append([]files.Listed{}, whole...), paged)
		}
	}
}

// removedFiles: who is rid of a file leaves it to others who have it.
func removedFiles(e *env) {
	ctx := e.t.Context()
	one, two := files.Owner{Owner: "key:1", Group: "g"}, files.Owner{Owner: "key:2"}
	first, second, third := auth.Scope{Organization: home, Owner: "key:1"}, auth.Scope{Organization: home, Owner: "key:2"}, auth.Scope{Organization: home, Owner: "key:3"}
	drop := func(in auth.Scope, want any) {
		e.t.Helper()
		got, err := e.DropFile(ctx, in, "f")
		if code := fault.CodeOf(err); code != "" {
			e.same("code", want, any(code))
			return
		}
		e.ok(err)
		e.same("what becomes of it", want, any(got))
	}
	drop(auth.All(home), fault.NotFound)
	e.bring("f", "one", one)
	e.bring("g", "other", one)
	e.ok(e.PutFile(ctx, away, files.File{ID: "f"}, "theirs", one))
	drop(second, fault.NotFound)
	drop(auth.Scope{Organization: home, Group: "h"}, fault.NotFound)
	drop(auth.Scope{Organization: home, Group: "g"}, files.Erased)
	e.same("left", []string{"g other 0"}, e.shelf(auth.All(home)))
	e.same("elsewhere", []string{"f theirs 0"}, e.shelf(auth.All(away)))

	e.bring("f", "one", one)
	e.bring("f", "two", two)
	drop(first, files.LeftToOthers)
	drop(first, fault.NotFound)
	e.same("the other's", []string{"f two 0"}, e.shelf(second))

	// What others do is not in the way, nor is it lost.
	e.uses("t", files.Owner{Owner: "key:3"}, "f")
	e.same("what the other does not see", []string{"f two 0"}, e.shelf(second))
	drop(auth.All(home), fault.Conflict)
	drop(third, fault.NotFound)
	drop(second, files.LeftToTasks)
	e.same("the other's", []string{}, e.shelf(second))
	e.same("nobody's", []string{"g other 0", "f two 1"}, e.shelf(auth.All(home)))
	e.bring("f", "again", two)
	drop(second, files.LeftToOthers)
	e.leaves("t")
	drop(auth.All(home), files.Erased)

	// Its own tasks are.
	e.bring("f", "one", one)
	e.uses("u", one, "f", "g")
	e.bring("f", "two", two)
	drop(first, fault.Conflict)
	drop(auth.Scope{Organization: home, Group: "g"}, fault.Conflict)
	drop(second, files.LeftToOthers)
	e.leaves("u")
	drop(first, files.Erased)
	e.same("elsewhere still", []string{"f theirs 0"}, e.shelf(auth.All(away)))
}

// leftFiles: what was brought and used goes when the last task has been deleted for a
// while; what nobody used stays.
func leftFiles(e *env) {
	ctx := e.t.Context()
	one, two, three := files.Owner{Owner: "key:1"}, files.Owner{Owner: "key:2"}, files.Owner{Owner: "key:3"}
	forget := func(want int) {
		e.t.Helper()
		total := 0
		for more := true; more; {
			var ids []string
			var err error
			ids, more, err = e.DropLeft(ctx, home, e.clock.stamp().Add(-time.Hour), 2)
			e.ok(err)
			total += len(ids)
		}
		e.same("files that went", want, total)
	}
	for _, id := range []string{"a", "b", "c", "d", "never"} {
		e.bring(id, "of one", one)
	}
	e.bring("b", "of two", two)
	e.uses("t1", one, "a", "b", "c")
	e.uses("t2", one, "b")
	e.uses("t3", three, "c", "d") // it was shown these
	e.write(func(tx lifecycle.Tx) error { return use(tx, "t1", "a", "d") }, about(home, "t1")...)
	e.same("in use", []string{"never of one 0", "d of one 2", "c of one 2", "b of one 2", "a of one 1"}, e.shelf(auth.All(home)))
	forget(0)
	e.leaves("t1")
	forget(0)
	e.clock.advance(time.Hour + time.Second)
	forget(1)
	e.same("a is left", []string{"never of one 0", "d of one 1", "c of one 1", "b of one 1"}, e.shelf(auth.All(home)))
	e.leaves("t2")
	e.leaves("t3")
	forget(0)
	e.clock.advance(time.Hour + time.Second)
	e.bring("d", "again", one) // and not used since
	forget(2)
	e.same("what is left", []string{"never of one 0", "d again 0", "b of two 0"}, e.shelf(auth.All(home)))

	e.uses("t4", three, "d", "b")
	e.leaves("t4")
	e.uses("t5", three, "d")
	e.clock.advance(time.Hour + time.Second)
	forget(1)
	e.same("one is used again", []string{"never of one 0", "d again 1"}, e.shelf(auth.All(home)))
	err := e.Write(ctx, nil, func(tx lifecycle.Tx) error { return use(tx, "t5", "b") })
	e.missing("a file that has gone", err)

	// What its last owner has left to tasks goes with them.
	removed, err := e.DropFile(ctx, auth.Scope{Organization: home, Owner: "key:1"}, "d")
	e.ok(err)
	e.same("left", files.LeftToTasks, removed)
	e.clock.advance(time.Hour + time.Second)
	forget(0)
	e.leaves("t5")
	e.clock.advance(time.Hour + time.Second)
	forget(1)
	e.same("what is left", []string{"never of one 0"}, e.shelf(auth.All(home)))
}

// racedUses: tasks that come to use a file while it goes, is deleted or is brought
// again either have it or are refused.
func racedUses(e *env) {
	other := e.second()
	by := files.Owner{Owner: "key:1"}
	used, refused := 0, 0
	for round := range 12 {
		id := fmt.Sprint("f-", round)
		e.bring(id, "f", by)
		e.uses(fmt.Sprint("last-", round), by, id)
		e.leaves(fmt.Sprint("last-", round))
		e.clock.advance(time.Hour + time.Second)
		answers := make([]error, 12)
		both(len(answers)/2, e, other, func(on *env, i int) {
			ctx := e.t.Context()
			switch {
			case i == 4:
				_, _, answers[i] = on.DropLeft(ctx, home, e.clock.stamp().Add(-time.Hour), 100)
			case i == 5:
				if _, err := on.DropFile(ctx, auth.All(home), id); fault.CodeOf(err) != fault.NotFound && fault.CodeOf(err) != fault.Conflict {
					answers[i] = err
				}
			case i == 6 && round%2 == 0:
				answers[i] = on.PutFile(ctx, home, files.File{ID: id, Size: 3}, "again", by)
			default:
				name := fmt.Sprint("t-", round, "-", i)
				b := beginning(home, name, func(b *task.Begin) { b.Owner = by.Owner })
				answers[i] = on.Write(ctx, about(home, name), func(tx lifecycle.Tx) error {
					return errors.Join(create(tx, b, e.clock.stamp()), use(tx, name, id))
				})
			}
		})
		mine := 0
		for i, err := range answers {
			switch {
			case i == 4 || i == 5 || i == 6 && round%2 == 0:
				e.ok(err)
			case err == nil:
				mine++
			case fault.CodeOf(err) == fault.NotFound:
				refused++
			default:
				e.t.Fatal(err)
			}
		}
		used += mine
		x, err := e.FileOf(e.t.Context(), auth.All(home), id)
		switch {
		case mine > 0 || round%2 == 0 && err == nil:
			e.ok(err)
			e.same("tasks that use "+id, mine, x.Tasks)
		case round%2 == 1:
			e.missing(id, err)
		}
	}
	e.t.Logf("%d tasks have their file, %d were refused", used, refused)
}

// outputFiles: the newest output of a name is read, in each turn; a file is used for as
// long as an output or what the task was given names it, and then left.
func outputFiles(e *env) {
	by := files.Owner{Owner: "key:1", Group: "g"}
	e.bring("given", "given.txt", by)
	e.uses("t", by, "given")
	e.clock.advance(time.Second)
	e.begin("other", func(b *task.Begin) {})
	e.do(home, "t", claim("w"))
	writes := func(name, file string) task.Output {
		t := e.task(home, "t").Task
		before := read(e, func(tx lifecycle.Tx) (*task.Output, error) { return tx.Output(home, "t", t.Terms.Turn, name) })
		e.do(home, "t", task.WriteOutput{
			By: task.Writer{Fenced: true, Attempt: t.Run}, Before: before,
			Output: &task.Output{Name: name, File: file, Size: 7, ContentType: "text/plain; é"},
		})
		got, err := e.Output(e.t.Context(), home, "t", t.Terms.Turn, name)
		e.ok(err)
		want := task.Output{Turn: t.Terms.Turn, Name: name, File: file, Size: 7, ContentType: "text/plain; é", Seq: t.LastSeq + 1, At: e.clock.stamp(), Attempt: t.Run.Number}
		e.same("output", want, *got)
		return want
	}
	list := func(turn int, after int64, limit int) []task.Output {
		found, err := e.Outputs(e.t.Context(), home, "t", turn, after, limit)
		e.ok(err)
		return found
	}
	used := func(want ...string) {
		e.t.Helper()
		e.same("files and how many tasks use them", want, e.shelf(auth.Scope{Organization: home, Owner: by.Owner}))
	}
	writes("a", "first")
	e.clock.advance(time.Second)
	writes("b", "first")
	e.clock.advance(time.Second)
	writes("c", "given")
	used("first a 1", "given given.txt 1")
	e.clock.advance(time.Second)
	a := writes("a", "second")
	used("second a 1", "first a 1", "given given.txt 1")
	b := writes("b", "second")
	used("second a 1", "first a 0", "given given.txt 1")
	c := writes("c", "second")
	used("second a 1", "first a 0", "given given.txt 1") // it was given it, too
	e.same("all", []task.Output{a, b, c}, list(0, 0, 10))
	e.same("the first", []task.Output{a}, list(0, 0, 1))
	e.same("behind it", []task.Output{b, c}, list(1, a.Seq, 10))
	e.same("of another turn", 0, len(list(2, 0, 10)))
	e.same("count", 3, read(e, func(tx lifecycle.Tx) (int, error) { return tx.CountOutputs(home, "t", 1) }))
	for _, of := range []struct{ org, id string }{{home, "other"}, {away, "t"}} {
		none, err := e.Output(e.t.Context(), of.org, of.id, 0, "a")
		e.ok(err)
		e.same("of another task", true, none == nil)
	}
	ids, _, err := e.DropLeft(e.t.Context(), home, e.clock.stamp()+1, 10)
	e.ok(err)
	e.same("dropped", []string{"first"}, ids)

	e.do(home, "t", settle(task.EndCompleted, "x"), beginning(home, "t", func(*task.Begin) {}), claim("w"))
	next := writes("a", "third")
	newest, err := e.Output(e.t.Context(), home, "t", 0, "a")
	e.ok(err)
	e.same("of the newest turn", next, *newest)
	newest, err = e.Output(e.t.Context(), home, "t", 0, "b")
	e.ok(err)
	e.same("of the newest turn that has one", b, *newest)
	e.leaves("t")
	e.clock.advance(time.Second)
	ids, _, err = e.DropLeft(e.t.Context(), home, e.clock.stamp(), 10)
	e.ok(err)
	slices.Sort(ids)
	e.same("dropped with the task", []string{"given", "second", "third"}, ids)
}

// givenFiles: what was given of a file is read by its number, the newest of it, in its
// turn; what holds it is nobody's file, and goes with the task.
func givenFiles(e *env) {
	by := files.Owner{Owner: "key:1", Group: "g"}
	e.bring("mine", "mine.txt", by)
	e.uses("t", by, "mine")
	e.clock.advance(time.Second)
	for _, id := range []string{"kept", "unused", "mine"} {
		e.ok(e.PutKept(e.t.Context(), home, files.File{ID: id, Size: 3, ContentType: "text/plain"}))
	}
	kept, err := e.File(e.t.Context(), home, "kept")
	e.ok(err)
	e.same("kept", int64(3), kept.Size)
	e.missing("kept", func() error { _, err := e.FileOf(e.t.Context(), auth.All(home), "kept"); return err }())
	e.same("listed", []string{"mine mine.txt 1"}, e.shelf(auth.All(home)))
	e.do(home, "t", claim("w"))
	give := func(list ...task.Given) {
		e.t.Helper()
		e.do(home, "t", task.Give{By: task.Writer{Fenced: true, Attempt: e.task(home, "t").Task.Run}, Files: list})
	}
	list := func(turn, after, limit int) []task.Given {
		e.t.Helper()
		found, err := e.Given(e.t.Context(), home, "t", turn, after, limit)
		e.ok(err)
		return found
	}
	give(task.Given{Number: 1, Name: "a", Parts: []task.GivenPart{{As: task.AsNothing}}}, task.Given{Number: 3, Name: "c", Failed: "é"})
	e.clock.advance(time.Second)
	again := task.Given{Number: 1, Name: "a", Size: 7, ContentType: "text/plain", Text: "kept", TextSize: 3, Cut: true, Parts: []task.GivenPart{
		{As: task.AsTable, Name: "n", Chars: 1, Tokens: 2, Pages: 3, Rows: 4, Columns: 5, Width: 6, Height: 7, Why: "w", From: 8, To: 9, Headed: true, Picture: "p", PictureType: "image/png"},
	}}
	give(again)
	e.write(func(tx lifecycle.Tx) error { return tx.PutUse(e.task(home, "t").Task, "kept") })
	again.Turn, again.Seq, again.At = 1, e.task(home, "t").Task.LastSeq, e.clock.stamp()
	e.same("the newest", again, list(1, 0, 1)[0])
	e.same("all", 2, len(list(1, 0, 10)))
	e.same("behind one", "é", list(1, 1, 10)[0].Failed)
	e.same("of another turn", 0, len(list(2, 0, 10)))
	elsewhere, err := e.Given(e.t.Context(), away, "t", 1, 0, 10)
	e.ok(err)
	e.same("of another organization", 0, len(elsewhere))
	ids, _, err := e.DropLeft(e.t.Context(), home, e.clock.stamp()+1, 10)
	e.ok(err)
	slices.Sort(ids)
	e.same("dropped", []string{"mine", "unused"}, ids) // of the first the row of who has brought it stays
	e.leaves("t")
	e.clock.advance(time.Second)
	ids, _, err = e.DropLeft(e.t.Context(), home, e.clock.stamp(), 10)
	e.ok(err)
	slices.Sort(ids)
	e.same("dropped with the task", []string{"kept", "mine"}, ids)
	e.bring("kept", "brought.txt", by)
	e.same("listed at last", []string{"kept brought.txt 0"}, e.shelf(auth.All(home)))
}

// movedContents: a content goes when nobody has it and no upload brings it, and no upload
// brings one that goes. What a crash has left of either is found after a while.
func movedContents(e *env) {
	ctx := e.t.Context()
	comes := func(id string, want bool) {
		e.t.Helper()
		free, err := e.Coming(ctx, id)
		e.ok(err)
		e.same(id+" may come", want, free)
	}
	var since task.Stamp
	erases := func(only string, want ...string) {
		e.t.Helper()
		now := e.clock.stamp()
		ids, at, _, err := e.Going(ctx, only, now.Add(-time.Hour), now.Add(-time.Minute), 100)
		e.ok(err)
		e.same("going", want, ids)
		if len(ids) > 0 {
			since = at
		}
	}
	comes("a", true)
	comes("a", true)
	e.ok(e.Came(ctx, "a"))
	erases("") // the other upload brings it still
	e.ok(e.Came(ctx, "a"))
	comes("b", true)
	erases("b")
	erases("a", "a")
	comes("a", false)
	erases("")
	e.clock.advance(time.Minute + time.Second)
	late := since
	erases("", "a") // nobody has told that it is gone
	e.ok(e.Stay(ctx, late, []string{"a"}))
	e.ok(e.Gone(ctx, late, []string{"a"})) // whoever has stood still says nothing of it any more
	comes("a", false)
	e.ok(e.Stay(ctx, since, []string{"a", "b", "c"}))
	erases("", "a")
	e.ok(e.Gone(ctx, since, []string{"a", "b"}))
	comes("a", true)
	e.clock.advance(time.Hour + time.Second)
	comes("a", true)
	erases("", "b") // its upload was lost, the other's has a new one
	e.ok(e.Gone(ctx, since, []string{"b"}))

	by := files.Owner{Owner: "key:1"}
	e.bring("c", "c", by)
	comes("c", true)
	e.ok(e.Came(ctx, "c"))
	erases("c")
	e.ok(e.PutFile(ctx, away, files.File{ID: "c"}, "c", by))
	_, err := e.DropFile(ctx, auth.All(home), "c")
	e.ok(err)
	erases("c") // others have it
	_, err = e.DropFile(ctx, auth.All(away), "c")
	e.ok(err)
	erases("", "c")
}

// pieces: the pieces of a content are those that were put last, until they are dropped.
func pieces(e *env) {
	ctx := e.t.Context()
	for _, c := range []struct {
		id    string
		n     int
		piece []byte
	}{{"a", 0, []byte("old")}, {"a", 0, []byte{0, 0xff, 0}}, {"a", 1, []byte("b")}, {"b", 0, []byte{}}} {
		e.ok(e.PutPiece(ctx, c.id, c.n, c.piece))
		got, err := e.Piece(ctx, c.id, c.n)
		e.ok(err)
		e.same("piece", c.piece, got)
	}
	e.ok(e.DropPieces(ctx, "a"))
	for n := range 2 {
		got, err := e.Piece(ctx, "a", n)
		e.ok(err)
		e.same("dropped", true, got == nil)
	}
	got, err := e.Piece(ctx, "b", 0)
	e.ok(err)
	e.same("the other", true, got != nil)
}
