package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func packParts() []part {
	return []part{
		{"PacksShowEachEventAsItWas", packs},
		{"PackedLogIsErased", packedIsErased},
		{"ReadersDoNotNoticeThatALogIsPacked", packedMeanwhile},
	}
}

// say appends chunks, as an attempt tells them.
func (e *env) say(id string, events ...task.Event) {
	e.t.Helper()
	run := e.task(home, id).Task.Run
	for i := range events {
		if events[i].Type == "" {
			events[i].Type = task.Chunk
		}
	}
	e.do(home, id, task.Append{By: task.Writer{Fenced: true, Attempt: run}, Events: events})
}

// words are chunks with client_ids that follow one another; without a prefix they have
// none.
func words(prefix string, from int, texts ...string) []task.Event {
	events := make([]task.Event, len(texts))
	for i, text := range texts {
		if events[i].Own = json.RawMessage(text); prefix != "" {
			events[i].ClientID = prefix + strconv.Itoa(from+i)
		}
	}
	return events
}

// talk fills the log of a task with all that a row of it may hold, over several
// attempts and turns.
func (e *env) talk(id string) {
	e.t.Helper()
	e.begin(id)
	for turn := range 2 {
		if turn > 0 {
			e.do(home, id, beginning(home, id))
		}
		e.do(home, id, claim("w"))
		e.say(id, words("1-", 9, `"a"`, `"\u00e9 \"quoted\" <b>"`, `""`, `"d"`)...)
		e.clock.advance(1234 * time.Microsecond)
		e.say(id, words("1-", 13, `"e"`)...)
		e.say(id, words("1-", 20, `"a gap"`, `"in them"`)...)
		e.say(id, words("", 0, `"nameless"`, `"too"`, `"three"`)...)
		e.clock.advance(-time.Hour) // clocks go back, too
		e.say(id, append(words("other", 7, `"f"`, `"g"`), words("1-", 0, `"zero"`, `"one"`)...)...)
		e.say(id, append(words("1-0", 1, `"padded"`, `"h"`), task.Event{Type: task.Think, Own: json.RawMessage(`{"a":1}`), ClientID: "1-100"})...)
		e.say(id, words("", 0, `"n"`)...)
		e.say(id, task.Event{Own: json.RawMessage(`"bare"`), ClientID: "1"}, task.Event{Own: json.RawMessage(`"numbers"`), ClientID: "2"}, task.Event{Own: json.RawMessage(`"not"`), ClientID: "03"})
		e.say(id, words("long-", 1, `"`+strings.Repeat("x", 60<<10)+`"`, `"`+strings.Repeat("y", 60<<10)+`"`, `"z"`)...)
		e.do(home, id, lose(e.task(home, id).Task.Run.Number))
		e.clock.advance(time.Hour)
		e.do(home, id, claim("v"))
		e.say(id, words("2-", 999_999_999_999_998, `"p"`, `"q"`, `"r"`)...) // the last one is too long for a number
		var many []string
		for i := range []int{1100, 20}[turn] { // in the first turn more than a row holds
			many = append(many, fmt.Sprintf(`"word %d"`, i))
		}
		e.say(id, words("m-", 1, many...)...)
		for range 40 { // one by one
			e.clock.advance(20 * time.Millisecond)
			e.say(id, words("", 0, `"token"`)...)
		}
		e.do(home, id, task.Settle{By: "somebody", Reason: task.EndCompleted, Result: new("r"), Correct: true})
	}
}

// packAll packs the log of the task t in steps of so many rows.
func (e *env) packAll(rows int) {
	e.t.Helper()
	const id = "t"
	packable := func() bool {
		t := e.task(home, id).Task
		return t.Packable()
	}
	for steps := 0; packable(); steps++ {
		if steps > 10_000 {
			e.t.Fatal("it never ends")
		}
		e.ok(e.packOnce(e.t.Context(), id, rows))
	}
}

func (e *env) packOnce(ctx context.Context, id string, rows int) error {
	return e.Write(ctx, about(home, id), func(tx lifecycle.Tx) error {
		t, err := tx.Task(home, id)
		if err != nil {
			return err
		}
		to, err := tx.Pack(home, id, t.Packed, rows)
		if err != nil {
			return err
		}
		return save(tx, t, task.Pack{To: to}, e.clock.stamp())
	})
}

// packs: a log reads the same before it is packed and after, from each cursor, in parts
// of any length, of some types, and by each client_id.
func packs(e *env) {
	e.begin("neighbour")
	e.talk("t")
	before := e.log("t")
	told := e.told.events(home, "t")
	e.same("log as told", told, before)
	looks := func(what string) {
		e.t.Helper()
		e.same(what, before, e.log("t"))
		for after := range before {
			if after > 60 && after < len(before)-60 && after%397 > 0 {
				continue
			}
			limits := []int{1, 3}
			if after%20 == 0 {
				limits = append(limits, 300)
			}
			for _, limit := range limits {
				got, err := e.Events(e.t.Context(), home, "t", int64(after), limit)
				e.ok(err)
				if len(got) == 0 || len(got) > limit {
					e.t.Fatalf("%s: %d events behind %d, of %d", what, len(got), after, limit)
				}
				e.same(fmt.Sprintf("%s: behind %d", what, after), before[after:after+len(got)], got)
			}
		}
		var chunks []task.Event
		for _, ev := range before[20:] {
			if ev.Type == task.Chunk && len(chunks) < 500 {
				chunks = append(chunks, ev)
			}
		}
		got, err := e.Events(e.t.Context(), home, "t", 20, len(chunks), task.Chunk)
		e.ok(err)
		e.same(what+": of one type", chunks[:len(got)], got)
		e.write(func(tx lifecycle.Tx) error {
			for turn := 1; turn <= 2; turn++ {
				want, names := map[string]int64{}, []string{"1-8", "1-1", "1-19", "1-22", "1-010", "1-", "-1", "m-0", "m-1101", "other9", "0", "3", "02", "2-1000000000000001", "nobody-7"}
				for _, ev := range before {
					if ev.Turn == turn && ev.ClientID != "" {
						want[ev.ClientID] = ev.Seq
						names = append(names, ev.ClientID)
					}
				}
				for i := range names { // in no order
					names[i], names[len(names)*7/11] = names[len(names)*7/11], names[i]
				}
				delete(want, "")
				var found map[string]int64
				for begin := 0; begin < len(names); begin += 1000 {
					some, err := tx.SeqsOfClients(home, "t", turn, names[begin:min(begin+1000, len(names))])
					if err != nil {
						return err
					}
					for name, seq := range some {
						if found == nil {
							found = map[string]int64{}
						}
						found[name] = seq
					}
				}
				if err := differs(what+": seqs of client_ids", want, found); err != nil {
					return err
				}
			}
			return nil
		})
	}
	looks("as it was stored")
	e.same("unpacked", []string{"t"}, e.unpacked())
	e.packAll(7)
	looks("packed in steps")
	e.same("unpacked", []string{}, e.unpacked())
	e.do(home, "t", task.Pack{To: 0})
	e.packAll(1000)
	looks("packed again")
	e.do(home, "t", beginning(home, "t"))
	e.same("told", before, e.told.events(home, "t")[:len(before)])
	e.ok(e.Close())
	e.open()
	before = e.log("t")
	looks("opened again")
}

func (e *env) unpacked() []string {
	e.t.Helper()
	ids, err := e.Unpacked(e.t.Context(), home, 10)
	e.ok(err)
	return append([]string{}, ids...)
}

// packedIsErased: of a deleted task nothing is left that was packed, and what is left
// meanwhile has no holes.
func packedIsErased(e *env) {
	e.talk("t")
	e.packAll(100)
	e.write(func(tx lifecycle.Tx) error { return tx.Delete(home, "t") }, about(home, "t")...)
	for left, steps := 0, 0; left == 0; steps++ {
		if steps > 10_000 {
			e.t.Fatal("it never ends")
		}
		e.write(func(tx lifecycle.Tx) (err error) {
			left, err = tx.Erase(home, "t", 3)
			return err
		}, about(home, "t")...)
		for i, ev := range e.log("t") {
			e.same("seq", int64(i+1), ev.Seq)
		}
	}
	e.same("events left", 0, len(e.log("t")))
	e.begin("t")
	e.same("length of the log", 1, len(e.log("t")))
}

// packedMeanwhile: viewers who page while a log is packed see the same.
func packedMeanwhile(e *env) {
	e.talk("t")
	want := e.log("t")
	over := make(chan struct{})
	var readers sync.WaitGroup
	failed := make(chan string, 3)
	for _, limit := range []int{7, 256} {
		readers.Go(func() {
			for more := true; more; {
				select {
				case <-over:
					more = false // once more, and that is all
				default:
				}
				for at := 0; at < len(want); {
					got, err := e.Events(context.Background(), home, "t", int64(at), limit)
					if err != nil || len(got) == 0 || diff(want[at:at+len(got)], got) != "" {
						failed <- fmt.Sprintf("behind %d: %d events, %v", at, len(got), err)
						return
					}
					at += len(got)
				}
			}
		})
	}
	e.packAll(11)
	close(over)
	readers.Wait()
	select {
	case what := <-failed:
		e.t.Fatal(what)
	default:
	}
}
