package crash

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// deed is something that a client of the load does with a task.
type deed struct {
	verb     string // create, claim, append, beat, finish, stop
	creation *creation
	task     string // "" while it is not known which task a create or claim is about
	turn     int    // of a claim
	number   int    // the attempt whose lease it shows, or that a claim was given
	status   string // the end that a finish asks for
}

// outcome is the answer to a deed. A lost one may have happened or not.
type outcome struct {
	word   string // ok, replay, conflict, a status, or lost
	seqs   [2]int64
	before bool // the same was sent before
}

const lost = "lost"

// course is what a load's task is if everything happens one after another. What
// the server does by itself, above all that a lease ends, is taken to have
// happened when an answer shows it.
type course struct {
	turn   int
	status string // "" before its first turn, then pending, executing or how the turn has ended
	owner  int    // the attempt that owns the turn, or that has ended it
	last   int64  // the highest number of an event that was answered
}

func (c course) ended() bool {
	return c.status != "" && c.status != "pending" && c.status != "executing"
}

// step tells whether an answer is possible, and what the task is after it.
func (c course) step(d deed, o outcome) (bool, course) {
	owns := c.status == "executing" && c.owner == d.number
	switch d.verb {
	case "create":
		return c.create(d, o)
	case "claim":
		// The last owner's lease has ended if there is one.
		if c.ended() || c.status == "" || d.turn != c.turn || d.number <= c.owner {
			return o.word == lost, c
		}
		c.status, c.owner = "executing", d.number
		return true, c
	case "stop":
		if c.ended() || c.status == "" {
			return o.word == lost || o.word == c.status, c
		}
		// An attempt too many has been lost before.
		if c.status = "stopped"; o.word == "error" {
			c.status = "error"
		}
		return o.word == lost || o.word == c.status, c
	case "append":
		// A repeat is answered like the first time, whoever owns the turn by now.
		if o.word == "ok" && (owns || o.before) {
			fits := o.before || o.seqs[0] > c.last
			c.last = max(c.last, o.seqs[1])
			return fits, c
		}
	case "beat":
		if o.word == "ok" && owns {
			return true, c
		}
		if o.word == "stop" {
			return c.status == "stopped", c
		}
	case "finish":
		said := c.ended() && c.owner == d.number && c.status == d.status
		switch {
		case o.word == lost && owns, o.word == "ok" && owns:
			c.status = d.status
			return true, c
		case o.word == "ok":
			return said, c
		case o.word == "conflict" && said:
			return false, c
		}
	}
	if o.word == "conflict" && owns { // its lease has ended
		c.status = "pending"
	}
	return o.word != "ok", c
}

func (c course) create(d deed, o outcome) (bool, course) {
	starts := d.creation.turn == c.turn+1 && (c.status == "" || c.ended())
	switch {
	case o.word == "replay" && c.turn >= d.creation.turn:
		return true, c
	case !starts: // else a replay is the answer to a repeat of the HTTP client's own
		return o.word == lost, c
	}
	return true, course{turn: c.turn + 1, status: "pending", owner: c.owner, last: c.last}
}

func courses() porcupine.Model {
	return porcupine.Model{
		Init:              func() any { return course{} },
		Step:              func(state, in, out any) (bool, any) { return state.(course).step(in.(deed), out.(outcome)) },
		Equal:             func(a, b any) bool { return a.(course) == b.(course) },
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
	}
}

// did notes an answer to the last call. Without one the deed may have been done
// at any time after the call.
func (l *load) did(d deed, o outcome) {
	op := porcupine.Operation{Input: d, Output: o, Call: l.called.Nanoseconds(), Return: l.answered.Nanoseconds()}
	if o.word == lost {
		op.Return = math.MaxInt64
	}
	l.book.note(func() { l.book.deeds = append(l.book.deeds, op) })
}

// histories looks for an order of what was done to each task of the load that
// explains all answers. It returns how many tasks have one.
func (c *checker) histories(t *testing.T) int {
	t.Helper()
	of := map[string][]porcupine.Operation{}
	for _, op := range c.deeds {
		d := op.Input.(deed)
		if d.task == "" && d.creation != nil {
			d.task, op.Input = d.creation.task, d
		}
		of[d.task] = append(of[d.task], op)
	}
	// A claim without an answer is known by the log alone.
	for _, x := range c.unknown {
		of[x.task] = append(of[x.task], porcupine.Operation{Input: x, Output: outcome{word: lost}, Return: math.MaxInt64})
	}
	checked := 0
	for id, ops := range of {
		if id == "" || c.accounts[id] == nil || c.accounts[id].herds() {
			continue
		}
		if result := porcupine.CheckOperationsTimeout(courses(), ops, time.Minute); result != porcupine.Ok {
			tolls.unlinearizable.Add(1)
			t.Errorf("what was done to task %s has no order (%s):\n%s", id, result, listed(ops))
			continue
		}
		checked++
	}
	tolls.histories.Add(int64(checked))
	return checked
}

// listed lists operations in the order of their calls.
func listed(ops []porcupine.Operation) string {
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var s strings.Builder
	for _, o := range ops {
		d, out := o.Input.(deed), o.Output.(outcome)
		turn := d.turn
		if d.creation != nil {
			turn = d.creation.turn
		}
		fmt.Fprintf(&s, "%12d to %19d: %s turn %d attempt %d %s -> %+v\n", o.Call, o.Return, d.verb, turn, d.number, d.status, out)
	}
	return s.String()
}

// The model tells a good history from a bad one.
func TestCourses(t *testing.T) {
	t.Parallel()
	first, second := &creation{turn: 1}, &creation{turn: 2, next: true}
	create, again := deed{verb: "create", creation: first}, deed{verb: "create", creation: second}
	claim := func(n int) deed { return deed{verb: "claim", turn: 1, number: n} }
	add := func(n int) deed { return deed{verb: "append", number: n} }
	finish := func(n int) deed { return deed{verb: "finish", number: n, status: "completed"} }
	stop := deed{verb: "stop"}
	ok34, again34 := outcome{word: "ok", seqs: [2]int64{3, 4}}, outcome{word: "ok", seqs: [2]int64{3, 4}, before: true}
	ok, no, gone := outcome{word: "ok"}, outcome{word: "conflict"}, outcome{word: lost}
	for name, tt := range map[string]struct {
		done []any
		want bool
	}{
		"done":                                 {[]any{create, ok, claim(1), ok, add(1), ok34, finish(1), ok, finish(1), ok, again, ok}, true},
		"a late end":                           {[]any{create, ok, claim(1), ok, claim(2), ok, finish(1), ok}, false},
		"a late event":                         {[]any{create, ok, claim(1), ok, claim(2), ok, add(1), ok}, false},
		"accepted after it was refused":        {[]any{create, ok, claim(1), ok, add(1), no, finish(1), ok}, false},
		"the same attempt twice":               {[]any{create, ok, claim(1), ok, claim(1), ok}, false},
		"an end that is forgotten":             {[]any{create, ok, claim(1), ok, finish(1), ok, claim(2), ok}, false},
		"refused though it has ended it":       {[]any{create, ok, claim(1), ok, finish(1), ok, finish(1), no}, false},
		"stopped, and then completed":          {[]any{create, ok, claim(1), ok, stop, outcome{word: "stopped"}, finish(1), ok}, false},
		"completed, and then stopped":          {[]any{create, ok, claim(1), ok, finish(1), ok, stop, outcome{word: "stopped"}}, false},
		"events that go back":                  {[]any{create, ok, claim(1), ok, add(1), ok34, add(1), outcome{word: "ok", seqs: [2]int64{4, 5}}}, false},
		"an event that is repeated":            {[]any{create, ok, claim(1), ok, add(1), ok34, stop, outcome{word: "stopped"}, add(1), again34}, true},
		"a create without an answer":           {[]any{create, gone, claim(1), ok, finish(1), ok, create, outcome{word: "replay"}}, true},
		"a create that was never carried out":  {[]any{create, gone, create, ok, claim(1), ok}, true},
		"a finish without an answer":           {[]any{create, ok, claim(1), ok, finish(1), gone, again, ok}, true},
		"a finish that came too late to count": {[]any{create, ok, claim(1), ok, finish(1), gone, claim(2), ok, finish(2), ok}, true},
		"a turn too many":                      {[]any{create, ok, again, ok}, false},
	} {
		var ops []porcupine.Operation
		for i := 0; i < len(tt.done); i += 2 {
			op := porcupine.Operation{Input: tt.done[i], Output: tt.done[i+1], Call: int64(i), Return: int64(i)}
			if op.Output.(outcome).word == lost {
				op.Return = math.MaxInt64
			}
			ops = append(ops, op)
		}
		if got := porcupine.CheckOperations(courses(), ops); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
