package sqlite

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/errand-dev/errand/server/internal/task"
)

// memory holds the tasks that the writer has read or written last. Most writes
// come to a task soon after another (it is created, claimed, told about, ended),
// and nobody but the writer changes one, so what it has just written need not be
// read again. It is as large as two generations, and shows tasks as the
// transaction does: whatever undoes one must clear it.
type memory struct {
	young, old map[taskKey]known
}

type taskKey struct{ org, id string }

// known is a task with the row in which it stands.
type known struct {
	task task.Task
	row  *row
	spec json.RawMessage // of its present turn, nil if that was not kept
}

const (
	// generation bounds the tasks of one generation.
	generation = 1000
	// maxKnownSpec is the longest spec that is kept, in bytes.
	maxKnownSpec = 8 << 10
)

func (m *memory) get(key taskKey) (known, bool) {
	if k, ok := m.young[key]; ok {
		return k, true
	}
	k, ok := m.old[key]
	if ok {
		m.put(key, k)
	}
	return k, ok
}

// put keeps a task, unless one of its attempts may be renewed together with
// others of its worker, in one statement that names no task.
func (m *memory) put(key taskKey, k known) {
	if renewable(k.task.Run) || renewable(k.task.Holdover) {
		m.drop(key)
		return
	}
	if len(k.spec) > maxKnownSpec {
		k.spec = nil
	}
	if len(m.young) >= generation {
		m.young, m.old = nil, m.young
	}
	if m.young == nil {
		m.young = make(map[taskKey]known, generation)
	}
	m.young[key] = k
}

func renewable(a *task.Attempt) bool { return a != nil && !a.Fenced && a.Holds() }

func (m *memory) drop(key taskKey) {
	delete(m.young, key)
	delete(m.old, key)
}

func (m *memory) clear() { m.young, m.old = nil, nil }

// recall is a task as the writer knows it; with spec only if that is known, too.
func (t *tx) recall(key taskKey, spec bool) (known, bool, error) {
	k, ok := t.w.memory.get(key)
	if !ok || spec && k.spec == nil {
		return known{}, false, nil
	}
	if t.w.store.opts.Verify {
		var stored json.RawMessage
		truth, _, err := readTask(background(), t, key.org, key.id, &stored)
		if err != nil || !reflect.DeepEqual(truth, k.task) || k.spec != nil && string(stored) != string(k.spec) {
			return known{}, false, fmt.Errorf("the writer remembers task %s as\n%+v %s\nbut it is\n%+v %s (%w)",
				key.id, k.task, k.spec, truth, stored, err)
		}
	}
	t.remember(k.row)
	return k, true, nil
}

// keep remembers a task as it was just saved; spec is that of a turn that has
// begun, nil for the turn that it was in before.
func (t *tx) keep(saved task.Task, r *row, spec json.RawMessage) error {
	key := taskKey{saved.OrganizationID, saved.ID}
	if before, ok := t.w.memory.get(key); ok && spec == nil {
		spec = before.spec
	}
	again, err := r.restore(saved.Run, saved.Holdover, saved.State().Result)
	t.w.memory.put(key, known{again, r, spec})
	return err
}
