package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// raceParts are passed by stores that share a database: two are open on it, and
// what one has written is not what the other last knew.
func raceParts() []part {
	return []part{
		{"BothStoresSeeWhatEitherWrites", bothSee},
		{"RacedClaimsHaveOneWinner", racedClaims},
		{"RacedTakesHandOutEachTaskOnce", racedTakes},
		{"RacedAnswersAreHeardOnce", racedAnswers},
		{"RacedEventsAreNumberedWithoutGap", racedEvents},
		{"RacedCreationsMakeOneTask", racedCreations},
		{"RacedIdempotencyKeysMakeOneTask", racedReplays},
		{"RacedPostsCountOnce", racedPosts},
		{"RacedVersionsHaveNoGap", racedVersions},
		{"RacedDeletionLeavesNoTaskWithoutAgent", racedAgentDeletion},
		{"RacedRevocationsLeaveAnAdmin", racedRevocations},
		{"RacedCountersLoseNothing", racedCounters},
		{"RacedStopsReachAllSubTasks", racedStops},
		{"RacedCommitsAreReadOnceInTheFeed", racedFeed},
		{"RacedUsesKeepTheirFile", racedUses},
		{"RacedUsageIsAllCounted", racedUsage},
	}
}

// parallelParts are passed by stores whose transactions do not wait for one
// another.
func parallelParts() []part {
	return []part{
		{"TakenTasksArePassedOver", passedOver},
		{"UnrelatedWritesDoNotWait", unrelated},
	}
}

// second opens another store at the place: another node.
func (e *env) second() *env {
	other := &env{t: e.t, kind: e.kind, place: e.place, node: "node-2", clock: e.clock, told: &told{}}
	other.open()
	return other
}

// both runs fn n times at once on each of two stores.
func both(n int, one, two *env, fn func(on *env, i int)) {
	together(2*n, func(i int) { fn([]*env{one, two}[i%2], i) })
}

// bothSee: what was committed by one store is what the other finds, however
// often it has read or written the same before.
func bothSee(e *env) {
	other := e.second()
	e.begin("t")
	e.write(func(tx lifecycle.Tx) error { return tx.PutAgent(agentRecord(home, agent, 1)) })
	for i := range 20 {
		mine, theirs := e, other
		if i%2 == 1 {
			mine, theirs = other, e
		}
		mine.do(home, "t", chunk(strconv.Itoa(i)))
		mine.write(func(tx lifecycle.Tx) error { return tx.PutAgent(agentRecord(home, agent, i+2)) })
		e.same("task", mine.task(home, "t"), theirs.task(home, "t"))
		e.same("task in a write", mine.task(home, "t"), read(theirs, func(tx lifecycle.Tx) (lifecycle.Snapshot, error) { return tx.Snapshot(home, "t") }))
		e.same("version of the agent", i+2, read(theirs, func(tx lifecycle.Tx) (int, error) {
			a, err := tx.Agent(home, agent, 0)
			return a.Version, err
		}))
	}
	e.do(home, "t", settle(task.EndCompleted, "r"))
	other.write(func(tx lifecycle.Tx) error { return errors.Join(tx.Delete(home, "t"), erasing(home, "t")(tx)) }, about(home, "t")...)
	e.write(func(tx lifecycle.Tx) error {
		_, err := tx.Task(home, "t")
		return differs("what is told of a task that the other has deleted", fault.NotFound, fault.CodeOf(err))
	})
	other.begin("t")
	e.same("its namesake", other.task(home, "t"), read(e, func(tx lifecycle.Tx) (lifecycle.Snapshot, error) { return tx.Snapshot(home, "t") }))
	other.settle()
	nodes := map[string]int{}
	for _, x := range e.feed() {
		nodes[x.Node]++
	}
	e.same("who wrote", map[string]int{"node-1": 12 + 11, "node-2": 12 + 10}, nodes) // of the task, and of its agent
	e.same("the feed of the other", e.feed(), other.feed())
}

// racedClaims: of many who claim the same task, on both stores, one gets it.
func racedClaims(e *env) {
	other := e.second()
	for round := range 8 {
		id := fmt.Sprint("t-", round)
		e.begin(id)
		answers := make([]error, 32)
		both(len(answers)/2, e, other, func(on *env, i int) {
			answers[i] = on.Write(e.t.Context(), about(home, id), func(tx lifecycle.Tx) error {
				return change(tx, home, id, claim(fmt.Sprint("w-", i)), e.clock.stamp())
			})
		})
		e.same("owner", e.winner(answers), other.task(home, id).Task.Run.WorkerID)
	}
}

// racedTakes: workers on both stores take tasks of one queue, one or several at a
// time, until it is empty. Each task is handed out once, and none is forgotten.
func racedTakes(e *env) {
	const tasks, workers = 300, 12
	other := e.second()
	e.write(func(tx lifecycle.Tx) error {
		for i := range tasks {
			b := beginning(home, fmt.Sprint("t-", i))
			b.Priority = i % 3
			if err := create(tx, b, e.clock.stamp()); err != nil {
				return err
			}
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	var left atomic.Int64
	left.Store(tasks)
	given, failures := make([][]string, 2*workers), make([]error, 2*workers)
	both(workers, e, other, func(on *env, i int) {
		for left.Load() > 0 && failures[i] == nil {
			var taken []string
			failures[i] = on.Write(ctx, nil, func(tx lifecycle.Tx) error {
				found, err := tx.Take(lifecycle.Want{Organization: home, Agents: []string{agent}, Worker: "w", Limit: 1 + i%3})
				if err != nil {
					return err
				}
				for _, s := range found {
					if err := save(tx, s.Task, claim(fmt.Sprint("w-", i)), e.clock.stamp()); err != nil {
						return err
					}
				}
				taken = ids(found)
				return nil
			})
			given[i] = append(given[i], taken...)
			left.Add(-int64(len(taken)))
		}
	})
	e.ok(errors.Join(failures...))
	seen := map[string]bool{}
	for i, own := range given {
		for _, id := range own {
			if seen[id] {
				e.t.Fatalf("%s was handed out twice", id)
			}
			seen[id] = true
			e.same("owner of "+id, fmt.Sprint("w-", i), e.task(home, id).Task.Run.WorkerID)
		}
	}
	e.same("tasks handed out", tasks, len(seen))
	e.same("what is left in the queue", []string{}, e.take(lifecycle.Want{Worker: "w"}))
}

// racedEvents: 32 callers on each store append to one task.
func racedEvents(e *env) {
	const callers, each = 32, 4
	other := e.second()
	e.begin("t")
	given, failures := make([]map[int64]string, 2*callers), make([]error, 2*callers)
	both(callers, e, other, func(on *env, i int) {
		given[i] = map[int64]string{}
		for n := range each {
			text := fmt.Sprintf("%d of %d", n, i)
			seq, err := e.appended(on.Store, "t", text)
			failures[i] = errors.Join(failures[i], err)
			given[i][seq] = text
		}
	})
	e.ok(errors.Join(failures...))
	e.checkLog("t", given)
	e.same("the log of the other", e.log("t"), other.log("t"))
	told := slices.Concat(e.told.events(home, "t"), other.told.events(home, "t"))
	slices.SortFunc(told, func(a, b task.Event) int { return int(a.Seq - b.Seq) })
	e.same("events told by both", e.log("t"), told)
}

// errFound is how a creation of the suite answers that the task is there.
var errFound = errors.New("it is there")

// racedCreations: of many who create a task of one id, one makes it and the
// others find it.
func racedCreations(e *env) {
	other := e.second()
	for round := range 10 {
		id := fmt.Sprint("t-", round)
		answers := make([]error, 12)
		both(len(answers)/2, e, other, func(on *env, i int) {
			answers[i] = on.Write(e.t.Context(), about(home, id), func(tx lifecycle.Tx) error {
				_, err := tx.Task(home, id)
				switch {
				case err == nil:
					return errFound
				case fault.CodeOf(err) != fault.NotFound:
					return err
				}
				return create(tx, beginning(home, id, func(b *task.Begin) { b.State.Title = new(fmt.Sprint("w-", i)) }), e.clock.stamp())
			})
			if errors.Is(answers[i], errFound) { // as claims are refused
				answers[i] = fault.New(fault.Conflict, "it is there")
			}
		})
		e.same("its maker", e.winner(answers), *other.state(id).Title)
		e.same("length of its log", 1, len(e.log(id)))
	}
}

// racedReplays: of many who come with one idempotency key, one makes a task and
// the others are told of it; so when the key was used too long ago.
func racedReplays(e *env) {
	other := e.second()
	var made *lifecycle.Replay // by the round before
	for round := range 10 {
		answers, failures := make([]string, 12), make([]error, 12)
		old := made
		both(len(answers)/2, e, other, func(on *env, i int) {
			fresh := fmt.Sprintf("t-%d-%d", round, i)
			failures[i] = on.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error {
				before, err := tx.Replay(home, "create", "k")
				if err != nil {
					return err
				}
				if before != nil && (old == nil || before.At != old.At) { // made in this round
					answers[i] = before.TaskID
					return nil
				}
				answers[i] = fresh
				r := lifecycle.Replay{Hash: []byte("h"), TaskID: fresh, At: e.clock.stamp()}
				return errors.Join(create(tx, beginning(home, fresh), e.clock.stamp()), tx.PutReplay(home, "create", "k", before, r))
			})
		})
		e.ok(errors.Join(failures...))
		e.same("tasks that were answered", 1, len(slices.Compact(slices.Clone(answers))))
		made = read(other, func(tx lifecycle.Tx) (*lifecycle.Replay, error) { return tx.Replay(home, "create", "k") })
		e.same("what the key stands for", answers[0], made.TaskID)
		e.same("tasks", round+1, e.list(lifecycle.Filter{}, lifecycle.Page{Size: 1, Count: true}).Total)
		e.clock.advance(1_000_000)
	}
}

// racedPosts: a worker repeats a post, and the repetition comes by another store.
func racedPosts(e *env) {
	other := e.second()
	w := pythonWorker(home, "py", e.clock.stamp())
	w.Tally = lifecycle.Tally{}
	e.put(w)
	const rounds = 12
	for round := range rounds {
		failures := make([]error, 8)
		both(len(failures)/2, e, other, func(on *env, i int) {
			failures[i] = on.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error {
				w, err := tx.Worker(home, agent, "py")
				if err != nil {
					return err
				}
				known, err := tx.Posted(home, "py", strconv.Itoa(round))
				if err != nil || known {
					return err
				}
				w.Tally.Posted()
				return errors.Join(tx.PutPost(home, "py", strconv.Itoa(round)), tx.PutWorker(*w))
			})
		})
		e.ok(errors.Join(failures...))
	}
	e.same("posts counted", rounds, other.worker(home, agent, "py").Tally.Posts)
	for round := range rounds { // nor does it depend on the worker
		failures, counted := make([]error, 8), make([]bool, 8)
		both(len(failures)/2, e, other, func(on *env, i int) {
			failures[i] = on.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error {
				known, err := tx.Posted(home, "nobody", strconv.Itoa(round))
				if counted[i] = !known; err != nil || known {
					return err
				}
				return tx.PutPost(home, "nobody", strconv.Itoa(round))
			})
		})
		e.ok(errors.Join(failures...))
		e.same("counted", 1, len(slices.DeleteFunc(counted, func(yes bool) bool { return !yes })))
	}
}

// racedVersions: many make an agent, and versions of it, on both stores: each
// becomes a version of its own.
func racedVersions(e *env) {
	const callers, each = 8, 4
	other := e.second()
	key := []lifecycle.Key{{Of: lifecycle.AgentKey, Organization: home, ID: "a"}}
	given, failures := make([][]int, 2*callers), make([]error, 2*callers)
	both(callers, e, other, func(on *env, i int) {
		for n := range each {
			made := 0
			err := on.Write(e.t.Context(), key, func(tx lifecycle.Tx) error {
				before, err := tx.Agent(home, "a", 0)
				if err != nil && fault.CodeOf(err) != fault.NotFound {
					return err
				}
				made = before.Version + 1
				a := agentRecord(home, "a", made)
				a.Record.ModelName = fmt.Sprintf("%d of %d", n, i)
				return tx.PutAgent(a)
			})
			failures[i] = errors.Join(failures[i], err)
			given[i] = append(given[i], made)
		}
	})
	e.ok(errors.Join(failures...))
	versions, err := other.AgentVersions(e.t.Context(), home, "a", 0, 100)
	e.ok(err)
	e.same("versions", 2*callers*each, len(versions))
	for i, own := range given {
		for n, version := range own {
			e.same("version", version, versions[len(versions)-version].Version)
			e.same("who made it", fmt.Sprintf("%d of %d", n, i), versions[len(versions)-version].Record.ModelName)
		}
	}
	newest, err := e.Agent(e.t.Context(), home, "a", 0)
	e.ok(err)
	e.same("the newest", versions[0], newest)
}

// racedAgentDeletion: an agent is deleted while tasks of it are created. It goes
// only without a task that has not ended, and there is no task once it has gone.
func racedAgentDeletion(e *env) {
	other := e.second()
	gone, stayed := 0, 0
	for round := range 16 {
		id := fmt.Sprint("agent-of-round-", round)
		e.write(func(tx lifecycle.Tx) error { return tx.PutAgent(agentRecord(home, id, 1)) })
		answers := make([]error, 6)
		both(len(answers)/2, e, other, func(on *env, i int) {
			if i == round%len(answers) {
				key := []lifecycle.Key{{Of: lifecycle.AgentKey, Organization: home, ID: id}}
				answers[i] = on.Write(e.t.Context(), key, func(tx lifecycle.Tx) error {
					if _, err := tx.Agent(home, id, 0); err != nil {
						return err
					}
					open, err := tx.HasOpenTask(home, id)
					if err != nil {
						return err
					}
					if open {
						return fault.New(fault.Conflict, "it has tasks")
					}
					return tx.DeleteAgent(home, id)
				})
				return
			}
			answers[i] = on.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error {
				if _, err := tx.Agent(home, id, 0); err != nil {
					return err
				}
				return create(tx, beginning(home, fmt.Sprintf("t-%d-%d", round, i), func(b *task.Begin) { b.Spec.AgentID = id }), e.clock.stamp())
			})
		})
		created := 0
		for i, err := range answers {
			switch code := fault.CodeOf(err); {
			case err == nil && i != round%len(answers):
				created++
			case err != nil && code != fault.NotFound && code != fault.Conflict:
				e.t.Fatal(err)
			}
		}
		_, err := other.Agent(e.t.Context(), home, id, 0)
		deleted := answers[round%len(answers)] == nil
		e.same("it was deleted, and is gone", deleted, fault.CodeOf(err) == fault.NotFound)
		e.same("tasks", created, e.list(lifecycle.Filter{Agent: id}, lifecycle.Page{Size: 1, Count: true}).Total)
		if deleted {
			gone++
			e.same("tasks of an agent that is gone", 0, created)
		} else {
			stayed++
			e.same("every creation succeeded", len(answers)-1, created)
		}
	}
	e.t.Logf("%d agents were deleted, %d had tasks before", gone, stayed)
}

// racedRevocations: the last two admin keys are revoked, one on each store.
func racedRevocations(e *env) {
	other := e.second()
	ctx := e.t.Context()
	for round := range 12 {
		org := fmt.Sprint("org-", round)
		e.ok(e.PutOrganization(ctx, org, org))
		for _, id := range []string{"a", "b"} {
			e.ok(e.PutKey(ctx, auth.Key{Organization: org, ID: id, Role: auth.Admin, Hash: auth.Hash(org + id), CreatedAt: 1, Sees: auth.SeesAll}))
		}
		answers := make([]error, 2)
		both(1, e, other, func(on *env, i int) { answers[i] = on.RevokeKey(ctx, org, []string{"a", "b"}[i]) })
		refused := 0
		for _, err := range answers {
			switch {
			case fault.CodeOf(err) == fault.Conflict:
				refused++
			case err != nil:
				e.t.Fatal(err)
			}
		}
		e.same("refused", 1, refused)
		keys, err := other.Keys(ctx, org, auth.Key{}, 100)
		e.ok(err)
		good := slices.DeleteFunc(keys, func(k auth.Key) bool { return k.RevokedAt != 0 })
		e.same("keys that are left", 1, len(good))
	}
}

// racedCounters: what is read to be written again is not written by anybody else
// in between: when any node was there, workers, and tasks that the write was not
// said to be about.
func racedCounters(e *env) {
	const callers, each = 6, 5
	other := e.second()
	w := pythonWorker(home, "py", e.clock.stamp())
	w.Tally = lifecycle.Tally{}
	e.put(w)
	e.begin("t")
	failures := make([]error, 2*callers)
	both(callers, e, other, func(on *env, i int) {
		for range each {
			failures[i] = errors.Join(failures[i],
				on.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error {
					alive, err := tx.Alive()
					alive.Heard++
					return errors.Join(err, tx.PutAlive(alive))
				}),
				on.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error {
					w, err := tx.PythonWorker(home, "py")
					if err != nil {
						return err
					}
					w.Tally.Posts++
					return tx.PutWorker(*w)
				}),
				on.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error {
					found, err := tx.OfNode("node-1")
					if err != nil {
						return err
					}
					found[0].Tally.Reports++
					return tx.PutWorker(found[0])
				}),
				on.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error { return change(tx, home, "t", task.AddChild{}, e.clock.stamp()) }),
			)
		}
	})
	e.ok(errors.Join(failures...))
	e.same("alive", task.Stamp(2*callers*each), read(e, lifecycle.Tx.Alive).Heard)
	tally := e.worker(home, agent, "py").Tally
	e.same("worker", lifecycle.Tally{Posts: 2 * callers * each, Reports: 2 * callers * each}, tally)
	e.same("task", 2*callers*each, other.task(home, "t").Task.Subtasks)
}

// racedStops: a task is stopped with its sub-tasks while others create sub-tasks
// of it, and while sub-tasks write to it, which locks the same rows in another
// order. Nobody hears of a deadlock, and no sub-task outruns the stop.
func racedStops(e *env) {
	other := e.second()
	for round := range 3 { // a deadlock may take a second to be found
		parent := fmt.Sprint("parent-", round)
		child := func(i int) string { return fmt.Sprintf("child-%d-%d", round, i) }
		ofParent := func(b *task.Begin) { b.Spec.ParentExecution = &parent }
		e.begin(parent)
		const children = 6
		for i := range children {
			e.begin(child(i), ofParent)
		}
		const callers = 6
		answers := make([]error, 2*callers)
		both(callers, e, other, func(on *env, i int) {
			switch {
			case i < 2: // as the verb stop does, on either store
				answers[i] = on.Write(e.t.Context(), about(home, parent), func(tx lifecycle.Tx) error {
					if err := change(tx, home, parent, task.RequestStop{By: "p"}, e.clock.stamp()); err != nil {
						return err
					}
					below, err := tx.Children(home, parent, 1000)
					for _, id := range below {
						err = errors.Join(err, change(tx, home, id, task.RequestStop{By: "p"}, e.clock.stamp()))
					}
					return err
				})
			case i%4 < 2: // a sub-task more
				answers[i] = on.Write(e.t.Context(), about(home, parent), func(tx lifecycle.Tx) error {
					if err := change(tx, home, parent, task.AddChild{}, e.clock.stamp()); err != nil {
						return err
					}
					return create(tx, beginning(home, child(children+i), ofParent), e.clock.stamp())
				})
			default: // sub-tasks first, then their parent
				answers[i] = on.Write(e.t.Context(), about(home, child(i%children)), func(tx lifecycle.Tx) error {
					for _, id := range []string{child(i % children), child((i + 3) % children), parent} {
						t, err := tx.Task(home, id)
						if err != nil {
							return err
						}
						if t.Ended() != "" {
							return fault.New(fault.Conflict, "it has ended")
						}
						if err := save(tx, t, chunk("x"), e.clock.stamp()); err != nil {
							return err
						}
					}
					return nil
				})
			}
		})
		for i, err := range answers {
			if err != nil && (i < 2 || fault.CodeOf(err) != fault.Conflict) {
				e.t.Fatalf("caller %d: %v", i, err)
			}
		}
		below := read(e, func(tx lifecycle.Tx) ([]string, error) { return tx.Children(home, parent, 1000) })
		e.same("sub-tasks counted", len(below)-children, e.task(home, parent).Task.Subtasks)
		for _, id := range append(below, parent) {
			e.same("end of "+id, task.EndStopped, func() task.EndReason { t := e.task(home, id).Task; return t.Ended() }())
			for i, ev := range e.log(id) {
				e.same("seq", int64(i+1), ev.Seq)
			}
		}
	}
}

// tail reads the feed from a position on until it has found so many entries, and
// then all that is left.
func (e *env) tail(after feed.Position, enough func(found int) bool) ([]feed.Entry, error) {
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	var found []feed.Entry
	for n := 1; ; n = n%7 + 1 {
		part, err := e.Feed(ctx, after, n)
		if err != nil {
			return found, fmt.Errorf("after %d entries: %w", len(found), err)
		}
		if len(part) > 0 {
			after = part[len(part)-1].Position
			found = append(found, part...)
		} else if enough(len(found)) {
			return found, nil
		}
	}
}

// racedFeed: whoever follows the feed by its position, on either store, while both
// write sees each entry once, nothing appears behind the place where it is, and
// what happens to one task comes in the order of its log.
func racedFeed(e *env) {
	const callers, each, tasks = 6, 15, 5
	other := e.second()
	for i := range tasks {
		e.begin(fmt.Sprint("t-", i))
	}
	begun := e.feedEnd()
	failures := make([]error, 2*callers)
	var done atomic.Bool
	var followers sync.WaitGroup
	seen, failed := make([][]feed.Entry, 2), make([]error, 2)
	total := func() int { return len(e.told.all()) + len(other.told.all()) - tasks }
	for i, on := range []*env{e, other} {
		followers.Go(func() { seen[i], failed[i] = on.tail(begun, func(n int) bool { return done.Load() && n >= total() }) })
	}
	both(callers, e, other, func(on *env, i int) {
		for n := range each {
			var err error
			switch id := fmt.Sprint("t-", (i+n)%tasks); n % 5 {
			case 0: // two tasks in one commit, read and not said
				err = on.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error {
					next := fmt.Sprint("t-", (i+n+1)%tasks)
					return errors.Join(change(tx, home, min(id, next), chunk("x"), e.clock.stamp()), change(tx, home, max(id, next), chunk("y"), e.clock.stamp()))
				})
			case 1: // one that is undone after it was sent
				err = on.Write(e.t.Context(), about(home, id), func(tx lifecycle.Tx) error {
					err := change(tx, home, id, chunk("undone"), e.clock.stamp())
					_, failed := tx.Children(home, id, 1000)
					return errors.Join(err, failed, errUndo)
				})
				if errors.Is(err, errUndo) {
					err = nil
				}
			case 2: // one that comes and goes
				own := fmt.Sprintf("own-%d-%d", i, n)
				err = errors.Join(on.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error { return create(tx, beginning(home, own), e.clock.stamp()) }),
					on.Write(e.t.Context(), about(home, own), func(tx lifecycle.Tx) error { return tx.Delete(home, own) }))
			default:
				_, err = e.appended(on.Store, id, "z")
			}
			failures[i] = errors.Join(failures[i], err)
		}
	})
	done.Store(true)
	followers.Wait()
	e.ok(errors.Join(errors.Join(failures...), errors.Join(failed...)))
	other.settle()
	whole := e.feedAfter(begun)
	e.same("entries", total(), len(whole))
	for i := range seen {
		e.same(fmt.Sprint("what follower ", i, " has seen"), whole, seen[i])
	}
	last := map[string]int64{}
	for _, x := range e.feed() {
		if x.Kind&feed.Grew != 0 {
			e.same("first event of an entry of "+x.Task, last[x.Task]+1, x.First)
			last[x.Task] = x.Last
		}
		if x.Kind&feed.Deleted != 0 {
			delete(last, x.Task)
		}
	}
	e.same("tasks in the feed", tasks, len(slices.Collect(maps.Keys(last))))
	for id, seq := range last {
		e.same("last event of "+id, e.task(home, id).Task.LastSeq, seq)
	}
	e.checkTold()
	other.checkTold()
}

// passedOver: tasks that somebody has taken, and does not let go of, are neither
// waited for nor given to anybody else.
func passedOver(e *env) {
	other := e.second()
	for i := range 4 {
		e.begin(fmt.Sprint("t-", i))
		e.clock.advance(1_000_000)
	}
	take := func(on *env, limit int, then func(taken []string) error) error {
		return on.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error {
			found, err := tx.Take(lifecycle.Want{Organization: home, Agents: []string{agent}, Limit: limit})
			for _, s := range found {
				err = errors.Join(err, save(tx, s.Task, claim("w"), e.clock.stamp()))
			}
			return errors.Join(err, then(ids(found)))
		})
	}
	e.ok(take(e, 2, func(taken []string) error {
		return errors.Join(
			differs("taken first", []string{"t-0", "t-1"}, taken),
			take(other, 1, func(taken []string) error { return differs("taken meanwhile", []string{"t-2"}, taken) }),
			take(other, 9, func(taken []string) error { return differs("then", []string{"t-3"}, taken) }),
			take(other, 9, func(taken []string) error { return differs("and when no more are left", []string{}, taken) }),
		)
	}))
	e.same("left in the queue", []string{}, e.take(lifecycle.Want{}))
}

// unrelated: a write waits for those that are about the same, and for no others.
func unrelated(e *env) {
	other := e.second()
	e.begin("a")
	e.begin("b")
	e.ok(e.Write(e.t.Context(), about(home, "a"), func(tx lifecycle.Tx) error {
		if err := change(tx, home, "a", chunk("x"), e.clock.stamp()); err != nil {
			return err
		}
		if _, err := tx.Children(home, "a", 1000); err != nil { // so that it is sent
			return err
		}
		_, err := e.appended(other.Store, "b", "y")
		return err
	}))
	e.same("both are stored", []int{2, 2}, []int{len(e.log("a")), len(other.log("b"))})
}
