package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/anishathalye/porcupine"
)

// checker holds what the API answers against the book.
type checker struct {
	*client
	t        *testing.T
	accounts map[string]*account
	deeds    []porcupine.Operation
	jumpy    bool
	noted    map[string][]note // what was acknowledged to the herd
	events   atomic.Int64      // that were read
	mu       sync.Mutex        // guards what follows
	// owners notes of every ended turn which attempt ended it.
	owners map[string]turnEnd
	// unknown are claims that only the log knows of.
	unknown []deed
}

// What a check has found wrong; everything else is a loss.
var (
	errGap  = errors.New("gap")
	errLate = errors.New("late write accepted")
)

// turnEnd is how a turn has ended by its log, and who was in it.
type turnEnd struct {
	status, result string
	number         int   // the attempt that then owned the turn, 0 for none
	later          bool  // another turn has begun
	lost           []int // attempts that were superseded in it
}

func newChecker(t *testing.T, c *client, b *book) *checker {
	t.Helper()
	return &checker{client: c, t: t, accounts: b.accounts(), deeds: b.deeds, jumpy: b.jumpy, owners: map[string]turnEnd{}}
}

// tasks checks tasks, a few at a time.
func (c *checker) tasks(ids []string) {
	c.t.Helper()
	inParallel(ids, func(id string) {
		err := c.task(c.t.Context(), id)
		switch {
		case err == nil:
			return
		case errors.Is(err, errGap):
			tolls.gaps.Add(1)
		case errors.Is(err, errLate):
			tolls.late.Add(1)
		default:
			tolls.losses.Add(1)
		}
		c.t.Errorf("task %s: %v", id, err)
	})
}

// inParallel does something with each id, four at a time.
func inParallel(ids []string, do func(string)) {
	queue := make(chan string)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for id := range queue {
				do(id)
			}
		})
	}
	for _, id := range ids {
		queue <- id
	}
	close(queue)
	all.Wait()
}

func turnKey(id string, turn int) string { return fmt.Sprintf("%s/%d", id, turn) }

// task checks one task.
func (c *checker) task(ctx context.Context, id string) error {
	a, err := c.call(ctx, http.MethodGet, "/v1/tasks/"+id, nil)
	if err != nil {
		return err
	}
	var now taskView
	if a.status != http.StatusOK || json.Unmarshal(a.body, &now) != nil {
		return fmt.Errorf("get: %s", a)
	}
	events, _, err := c.log(ctx, id)
	if err != nil {
		return err
	}
	for i, e := range events {
		if e.ID != int64(i+1) {
			return fmt.Errorf("%w: event %d has the id %d", errGap, i+1, e.ID)
		}
	}
	if int64(len(events)) < now.LastSeq {
		return fmt.Errorf("log ends at %d, the task says %d", len(events), now.LastSeq)
	}
	c.events.Add(int64(len(events)))
	f := &fold{jumpy: c.jumpy, inputs: map[int]string{}, ends: map[int]turnEnd{}, refused: map[refusal]bool{}, clients: map[string]int64{}, claimed: map[int]int{}}
	for _, e := range events {
		if err := f.take(e); err != nil {
			return fmt.Errorf("event %d (%s): %w", e.ID, e.Type, err)
		}
	}
	if now.ended() && now.Turn == f.turn && f.ends[f.turn].status != now.Status {
		return fmt.Errorf("it is %s, its log says %q", now.Status, f.ends[f.turn].status)
	}
	c.mu.Lock()
	for turn, end := range f.ends {
		end.later = turn < f.turn
		c.owners[turnKey(id, turn)] = end
	}
	x := c.accounts[id]
	if x != nil {
		c.unknown = append(c.unknown, x.unknown(id, f)...)
	}
	c.mu.Unlock()
	for _, n := range c.noted[id] {
		if f.clients[n.Client] == 0 {
			return fmt.Errorf("event %s was acknowledged to the herd, the log does not have it", n.Client)
		}
	}
	if x != nil {
		return x.check(now, events, f)
	}
	return fmt.Errorf("nobody asked for it (title %q)", now.Title)
}

// fold follows a log from its beginning.
type fold struct {
	turn    int
	ended   bool
	current int // the attempt that owns the turn, 0 for none
	highest int
	lost    []int
	inputs  map[int]string
	ends    map[int]turnEnd
	refused map[refusal]bool
	clients map[string]int64
	lostAt  map[int]logged
	jumpy   bool
	claimed map[int]int // in which turn each attempt has started
}

// refusal is a note of a late write: of an end, or of an event.
type refusal struct {
	attempt int
	end     bool
}

// eventData is what the fold reads of data; a step is a written.
type eventData struct {
	Input struct {
		Text string `json:"text"`
	} `json:"input"`
	Status  string  `json:"status"`
	Result  *string `json:"result"`
	Attempt int     `json:"execution_attempt"`
	// RefusedStatus is the end that a late_write_refused is about, "" for an event.
	RefusedStatus string `json:"refused_status"`
	written
}

func (f *fold) take(e logged) error {
	var d eventData
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return err
	}
	after := slices.Contains([]string{"task_created", "stop_confirmed", "stop_abandoned", "late_write_refused", "override"}, e.Type)
	if f.ended && !after {
		return fmt.Errorf("stands after the end of turn %d", f.turn)
	}
	if e.Type == "task_created" {
		if f.turn > 0 && !f.ended {
			return fmt.Errorf("turn %d has not ended", f.turn)
		}
		f.turn, f.ended, f.current, f.lost = f.turn+1, false, 0, nil
		f.inputs[f.turn] = d.Input.Text
	}
	if e.Turn != f.turn {
		return fmt.Errorf("is of turn %d in turn %d", e.Turn, f.turn)
	}
	switch e.Type {
	case "attempt_started":
		if f.current != 0 || d.Attempt <= f.highest {
			return fmt.Errorf("attempt %d starts while %d owns the turn and %d was the last", d.Attempt, f.current, f.highest)
		}
		f.current, f.highest, f.claimed[d.Attempt] = d.Attempt, d.Attempt, f.turn
	case "attempt_lost":
		if d.Attempt != f.current {
			return fmt.Errorf("attempt %d is lost while %d owns the turn", d.Attempt, f.current)
		}
		if f.lostAt == nil {
			f.lostAt = map[int]logged{}
		}
		f.lostAt[d.Attempt] = e
		f.lost, f.current = append(f.lost, f.current), 0
	case "late_write_refused":
		// An attempt has one note of a late event at most, then one of a late end.
		note := refusal{d.Attempt, d.RefusedStatus != ""}
		if f.refused[note] || f.refused[refusal{d.Attempt, true}] {
			return fmt.Errorf("one refusal too many of attempt %d", d.Attempt)
		}
		f.refused[note] = true
	case "step":
		if d.Number != f.current {
			return fmt.Errorf("%w: of attempt %d while %d owns the turn", errLate, d.Number, f.current)
		}
		if first := f.clients[d.Client]; first != 0 {
			return fmt.Errorf("client_id %s stands there twice, first at %d", d.Client, first)
		}
		f.clients[d.Client] = e.ID
	case "task_finished":
		result := ""
		if d.Result != nil {
			result = *d.Result
		}
		if number, ok := herdOwner(result); ok && number != f.current {
			return fmt.Errorf("%w: the end of attempt %d while %d owns the turn", errLate, number, f.current)
		}
		f.ended = true
		f.ends[f.turn] = turnEnd{status: d.Status, result: result, number: f.current, lost: f.lost}
		f.current = 0
	}
	return nil
}

// unknown lists the attempts of a log that nobody has noted: the answers to
// their claims were lost.
func (x *account) unknown(id string, f *fold) []deed {
	var found []deed
	for number, turn := range f.claimed {
		if !slices.ContainsFunc(x.leases, func(h *lease) bool { return h.number == number }) {
			found = append(found, deed{verb: "claim", task: id, turn: turn, number: number})
		}
	}
	return found
}

// check holds a task against what was acknowledged of it.
func (x *account) check(now taskView, events []logged, f *fold) error {
	created := 0
	for _, c := range x.creations {
		if !c.acked {
			continue
		}
		if f.inputs[c.turn] != c.text {
			return fmt.Errorf("turn %d was asked %q, its log says %q", c.turn, c.text, f.inputs[c.turn])
		}
		if now.Turn == c.turn && now.Input.Text != c.text {
			return fmt.Errorf("turn %d was asked %q, the task says %q", c.turn, c.text, now.Input.Text)
		}
		created++
	}
	if created != f.turn {
		return fmt.Errorf("%d turns were asked for, it has %d", created, f.turn)
	}
	for _, s := range x.stops {
		if got := f.ends[s.turn].status; got != s.status {
			return fmt.Errorf("stop of turn %d was answered %s, the log says %q", s.turn, s.status, got)
		}
	}
	for _, h := range x.leases {
		if err := h.check(events, f); err != nil {
			return fmt.Errorf("attempt %d of %s: %w", h.number, h.worker, err)
		}
	}
	return nil
}

func (h *lease) check(events []logged, f *fold) error {
	for _, b := range h.batches {
		for i, seq := range b.seqs {
			if seq < 1 || seq > int64(len(events)) {
				return fmt.Errorf("event %d was acknowledged, the log ends at %d", seq, len(events))
			}
			if got := string(events[seq-1].Data); got != b.data[i] {
				return fmt.Errorf("event %d was acknowledged with %s, the log has %s", seq, b.data[i], got)
			}
		}
	}
	end, over := f.ends[h.turn]
	owned := over && end.number == h.number
	lost, isLost := f.lostAt[h.number]
	switch {
	case h.end != nil && h.end.acked && (!owned || end.status != h.end.status || end.result != h.end.result):
		return fmt.Errorf("finish %s was acknowledged, the log has %s by attempt %d: %q", h.end.status, end.status, end.number, end.result)
	case h.refused == "finish" && owned && end.result == h.end.result && h.turn == f.turn:
		return errors.New("its finish was carried out, and its repeat refused")
	case h.refused != "" && !over && !isLost:
		return fmt.Errorf("its %s was refused, but it still owns the turn", h.refused)
	case isLost && !f.jumpy && lost.Time.Before(h.until):
		return fmt.Errorf("lost at %v, though a heartbeat was promised the lease to %v", lost.Time, h.until)
	}
	return nil
}
