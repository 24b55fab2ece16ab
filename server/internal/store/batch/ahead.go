package batch

import (
	"slices"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/store/table"
)

// ahead reads what the callers of a commit are about before they ask, all tasks in one
// question, and all idempotency keys: each would otherwise take a trip of its own. A lone
// caller asks as soon.
func (c *commit) ahead(about []lifecycle.Key) error {
	type group struct{ org, route string }
	tasks, keys := map[string][]string{}, map[group][]string{}
	for _, k := range about {
		switch k.Of {
		case lifecycle.TaskKey:
			if _, known := c.w.memory.get(taskKey{k.Organization, k.ID}); !known {
				tasks[k.Organization] = append(tasks[k.Organization], k.ID)
			}
		case lifecycle.ReplayKey:
			route, key := k.Replay()
			g := group{k.Organization, route}
			keys[g] = append(keys[g], key)
		case lifecycle.AgentKey: // most are read by those who are about none
		}
	}
	for org, ids := range tasks {
		if err := together(ids, func(some []string) error { return c.readTasks(org, some) }); err != nil {
			return c.fail(err)
		}
	}
	for g, of := range keys {
		if err := together(of, func(some []string) error { return c.readReplays(g.org, g.route, some) }); err != nil {
			return c.fail(err)
		}
	}
	return nil
}

// aheadStep is how many of a kind one question asks for: a database takes so many
// arguments, and callers who each create a thousand tasks may share a commit.
const aheadStep = 256

// together reads each of many once, some to a question; a lone one is left to its caller.
func together(ids []string, read func([]string) error) error {
	slices.Sort(ids)
	for some := range slices.Chunk(slices.Compact(ids), aheadStep) {
		if len(some) == 1 {
			continue
		}
		if err := read(some); err != nil {
			return err
		}
	}
	return nil
}

// readTasks notes what is stored of tasks whose rows are locked, and which ids nothing
// stands behind.
func (c *commit) readTasks(org string, ids []string) error {
	found, whole, err := table.ReadTasks(background(), c.w.engine, org, ids, maxKnownSpec)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(found))
	for _, one := range found {
		there[one.Task.ID] = true
		c.w.memory.put(taskKey{org, one.Task.ID}, &known{task: one.Task, row: one.Row, spec: one.Spec})
	}
	absent := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return there[id] })
	if !whole || len(absent) == 0 {
		return nil
	}
	left, err := table.Remains(background(), c.w.engine, org, absent)
	if err != nil {
		return err
	}
	for _, id := range absent {
		c.absent[taskKey{org, id}] = !slices.Contains(left, id)
	}
	return nil
}

// readReplays notes what idempotency keys stand for.
func (c *commit) readReplays(org, route string, keys []string) error {
	found, err := table.ReadReplays(background(), c.w.engine, org, route, keys)
	if err != nil {
		return err
	}
	for _, key := range keys {
		c.replays[replayKey{org, route, key}] = found[key] // nil for nothing
	}
	return nil
}
