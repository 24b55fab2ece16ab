package batch

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/store/table"
	"github.com/errand-dev/errand/server/internal/task"
)

// memory holds the tasks that a writer has read or written last, as they are
// stored. Most writes come to a task soon after another (it is created, claimed,
// told about, ended), and if nobody else changes one, what was just written need
// not be read again. It is as large as two generations.
type memory struct {
	young, old map[taskKey]*known
}

type taskKey struct{ org, id string }

// known is a task with the row in which it stands. It does not change.
type known struct {
	task task.Task
	row  *table.Row
	spec json.RawMessage // of its present turn, nil if that was not kept
	gone bool            // it was deleted
	said said
}

// said is what is known of the client_ids of a turn's events: none of those that begin
// like this and end with a number has a higher one than top. The zero value is nothing.
type said struct {
	turn int
	of   string
	top  int64
}

// one reads client_ids that differ in their number only, and the lowest of these.
func one(clientIDs []string) (of string, low int64, ok bool) {
	for i, id := range clientIDs {
		n, ok := task.Numbered(id)
		if !ok || i > 0 && n.Of != of {
			return "", 0, false
		}
		if of = n.Of; i == 0 || n.No < low {
			low = n.No
		}
	}
	return of, low, len(clientIDs) > 0
}

// with is what is known after some events of the turn were appended.
func (s said) with(turn int, events []task.Event) said {
	if s.turn != turn {
		return said{}
	}
	for _, e := range events {
		if n, ok := task.Numbered(e.ClientID); ok && n.Of == s.of {
			s.top = max(s.top, n.No)
		}
	}
	return s
}

const (
	// generation bounds the tasks of one generation.
	generation = 1000
	// maxKnownSpec is the longest spec that is kept, in bytes.
	maxKnownSpec = 8 << 10
)

func (m *memory) get(key taskKey) (*known, bool) {
	if k, ok := m.young[key]; ok {
		return k, true
	}
	k, ok := m.old[key]
	if ok {
		m.put(key, k)
	}
	return k, ok
}

func (m *memory) put(key taskKey, k *known) {
	if k.gone {
		m.drop(key)
		return
	}
	if len(k.spec) > maxKnownSpec {
		short := *k
		short.spec = nil
		k = &short
	}
	if len(m.young) >= generation {
		m.young, m.old = nil, m.young
	}
	if m.young == nil {
		m.young = make(map[taskKey]*known, generation)
	}
	m.young[key] = k
}

func (m *memory) drop(key taskKey) {
	delete(m.young, key)
	delete(m.old, key)
}

// agentKey names a version of an agent, 0 for the newest.
type agentKey struct {
	org, id string
	version int
}

// replayKey names an idempotency key of a route.
type replayKey struct{ org, route, key string }

// capsKey names those who may have caps in the database.
type capsKey struct {
	org string
	task.Spender
}

// answers are what questions about single rows of some tables were answered, until
// one of these is written.
type answers[K comparable, V any] struct {
	of    table.Name
	known map[K]V
}

// maxAnswers bounds how many answers are remembered of a table.
const maxAnswers = 1000

// recall answers a question as it was answered before, or asks.
func recall[K comparable, V any](t *tx, m *answers[K, V], key K, question func(table.DB) (V, error)) (V, error) {
	fresh := (t.touched|t.c.touched)&m.of == 0
	before, ok := m.known[key]
	if ok = ok && fresh; ok && !t.c.w.opts.Verify {
		return before, nil
	}
	found, err := ask(t, m.of, question)
	if err != nil || !fresh {
		return found, err
	}
	if ok && !reflect.DeepEqual(found, before) {
		return found, fmt.Errorf("the writer remembers %+v as %+v but it is %+v", key, before, found)
	}
	if m.known == nil || len(m.known) >= maxAnswers {
		m.known = map[K]V{}
	}
	m.known[key] = found
	return found, nil
}

// written forgets what may have been answered otherwise since some tables were written.
func (m *answers[K, V]) written(tables table.Name) {
	if tables&m.of != 0 {
		clear(m.known)
	}
}

// forget forgets all: what was locked when it was read is not locked any more.
func (w *writer) forget() {
	w.memory = memory{}
	clear(w.agents.known)
	clear(w.caps.known)
}

// remember keeps what a commit has made of tasks, unless others may change it.
func (w *writer) remember(c *commit) {
	if !w.opts.Remember {
		return
	}
	w.agents.written(c.touched)
	w.caps.written(c.touched)
	for key, k := range c.tasks {
		w.memory.put(key, k)
	}
}

// verify compares what is remembered of a task with the database.
func (w *writer) verify(key taskKey, k *known) error {
	if !w.opts.Verify {
		return nil
	}
	var stored json.RawMessage
	truth, _, err := table.ReadTask(background(), w.engine, auth.All(key.org), key.id, &stored)
	if err != nil || !reflect.DeepEqual(truth, k.task) || k.spec != nil && string(stored) != string(k.spec) {
		return fmt.Errorf("the writer remembers task %s as\n%+v %s\nbut it is\n%+v %s (%w)", key.id, k.task, k.spec, truth, stored, err)
	}
	return nil
}
