package lifecycle

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// Receipt stands for the answer to a create that shows no idempotency key, as long as it
// is not known to have reached its client. A repeat of the create whose answer was lost
// finds its turn by it (H3). The zero value stands for nothing.
type Receipt struct {
	org, key string
	// name is this answer's alone.
	name string
}

// receiptRoute is where the store keeps them, among the idempotency keys.
const receiptRoute = "receipt"

// delivery is how such an answer stands. The store keeps it as a Replay.
type delivery struct {
	// Node has the connection, and knows the answer by its Name.
	Node string `json:"node,omitempty"`
	Name string `json:"name,omitempty"`
	// Lost is when the connection has died, 0 for not that is known.
	Lost task.Stamp `json:"lost,omitempty"`
}

const (
	// receipts is how many answers to equal creates are noted at a time.
	receipts = 16
	// repeatWithin is how long after the death of its connection a create is repeated:
	// clients wait up to a minute.
	repeatWithin = 2 * time.Minute
	// lookAgain is how often a repeat looks what becomes of a node that may have died, and
	// looks how many times: until a silent one is known to be.
	lookAgain = 250 * time.Millisecond
	looks     = int(silentNode/lookAgain) + 2
)

// answers are what this process knows of answers without asking the store.
type answers struct {
	mu sync.Mutex
	// own are those that it has under way, by their names: 0, or when one was lost of
	// which the store could not be told.
	own map[string]task.Stamp
	// heard is when nodes were heard last, also those that have gone since.
	heard map[string]task.Stamp
}

func newAnswers() *answers {
	return &answers{own: map[string]task.Stamp{}, heard: map[string]task.Stamp{}}
}

func (a *answers) put(name string, lost task.Stamp) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.own[name] = lost
}

func (a *answers) drop(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.own, name)
}

func (a *answers) get(name string) (lost task.Stamp, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	lost, known = a.own[name]
	return lost, known
}

func (a *answers) hear(nodes []Node, now task.Stamp) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range nodes {
		a.heard[n.ID] = n.Heard
	}
	maps.DeleteFunc(a.heard, func(_ string, at task.Stamp) bool { return at.Add(repeatWithin) <= now })
}

func (a *answers) lastHeard(node string) task.Stamp {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.heard[node]
}

// receipt begins the receipt of an answer, whose key is that of all equal creates.
func (s *Service) receipt(who Caller, body []byte) Receipt {
	r := Receipt{who.Organization, hex.EncodeToString(s.sealer.MAC(receiptRoute, who.Key, who.Owner, who.Group, string(body))), rand.Text()}
	s.answers.put(r.name, 0)
	return r
}

// places are the keys under which the store keeps the receipts of equal creates.
func (r Receipt) places() []string {
	keys := make([]string, receipts)
	for n := range keys {
		keys[n] = fmt.Sprintf("%s.%d", r.key, n)
	}
	return keys
}

// note notes that the answer to a create is under way. If too many of its like are, it
// is not.
func (s *Service) note(tx Tx, r Receipt, now Replay) (Receipt, error) {
	found, err := tx.Replays(r.org, receiptRoute, r.places())
	if err != nil {
		return Receipt{}, err
	}
	w := witness{s: s, tx: tx}
	for _, r.key = range r.places() {
		before := found[r.key]
		free, err := w.free(before)
		if err != nil {
			return Receipt{}, err
		}
		if free {
			return r, s.keep(tx, r, before, now, &delivery{Node: s.node, Name: r.name})
		}
	}
	return Receipt{}, nil
}

// keep keeps how an answer stands; nil is that it has reached its client.
func (s *Service) keep(tx Tx, r Receipt, before *Replay, now Replay, d *delivery) error {
	now.Hash = []byte{}
	if d != nil {
		var err error
		if now.Hash, err = json.Marshal(d); err != nil {
			return err
		}
	}
	return tx.PutReplay(r.org, receiptRoute, r.key, before, now)
}

// Delivered notes that an answer has reached its client, or that it never will: its
// connection has died. Only the first word on it counts.
func (s *Service) Delivered(ctx context.Context, r Receipt, arrived bool) error {
	if r == (Receipt{}) {
		return nil
	}
	err := s.write(ctx, s.node, nil, func(tx writing) error {
		before, err := tx.Replay(r.org, receiptRoute, r.key)
		if err != nil {
			return err
		}
		d, err := deliveryOf(before)
		if err != nil || d.Name != r.name {
			return err
		}
		if arrived {
			return s.keep(tx, r, before, *before, nil)
		}
		return s.keep(tx, r, before, *before, &delivery{Lost: tx.Now()})
	})
	if err == nil || arrived {
		s.answers.drop(r.name)
		return err
	}
	s.answers.put(r.name, s.store.Now())
	time.AfterFunc(repeatWithin, func() { s.answers.drop(r.name) })
	return err
}

// TakeUp finds the turn of an equal create whose answer was lost, the youngest first, and
// notes that its answer is under way again. It returns no task if there is none such.
// While all that may be lost is under way on other nodes, it waits until those are heard
// or are known to have died.
func (s *Service) TakeUp(ctx context.Context, who Caller, body []byte) (taskID string, at task.Stamp, r Receipt, err error) {
	mine := s.receipt(who, body)
	defer func() {
		if taskID == "" {
			s.answers.drop(mine.name)
		}
	}()
	var w witness
	for range looks {
		err = s.write(ctx, who.By, nil, func(tx writing) (err error) {
			w = witness{s: s, tx: tx, asked: cmp.Or(w.asked, tx.Now())}
			taskID, at, r, err = w.takeUp(who, mine)
			return err
		})
		if err != nil {
			return "", 0, Receipt{}, err
		}
		if taskID != "" || !w.unsure {
			break
		}
		select {
		case <-ctx.Done():
			return "", 0, Receipt{}, ctx.Err()
		case <-time.After(lookAgain):
		}
	}
	return taskID, at, r, nil
}

// witness knows how answers stand, within one write.
type witness struct {
	s  *Service
	tx Tx
	// asked is since when a node has to be heard to be known to be there.
	asked task.Stamp
	// unsure says that a node that has an answer under way may have died.
	unsure bool
	nodes  []Node // nil before they are read
}

func (w *witness) takeUp(who Caller, r Receipt) (taskID string, at task.Stamp, taken Receipt, err error) {
	found, err := w.tx.Replays(r.org, receiptRoute, r.places())
	if err != nil {
		return "", 0, Receipt{}, err
	}
	var last *Replay
	for key, x := range found {
		lost, err := w.lost(x)
		if err != nil {
			return "", 0, Receipt{}, err
		}
		if lost.Add(repeatWithin) > w.tx.Now() && (last == nil || x.At > last.At) {
			last, r.key = x, key
		}
	}
	if last == nil {
		return "", 0, Receipt{}, nil
	}
	if _, err := find(w.tx, who.Scope, last.TaskID); err != nil {
		if fault.CodeOf(err) == fault.NotFound { // it was deleted
			err = nil
		}
		return "", 0, Receipt{}, err
	}
	return last.TaskID, last.At, r, w.s.keep(w.tx, r, last, *last, &delivery{Node: w.s.node, Name: r.name})
}

// free reports whether nobody will ask for an answer any more, nil for none.
func (w *witness) free(x *Replay) (bool, error) {
	if x == nil || len(x.Hash) == 0 || x.At.Add(KeepReplays) < w.tx.Now() {
		return true, nil
	}
	lost, err := w.lost(x)
	return lost != 0 && lost.Add(repeatWithin) <= w.tx.Now(), err
}

// lost is when an answer was lost, 0 for not that can be known.
func (w *witness) lost(x *Replay) (task.Stamp, error) {
	d, err := deliveryOf(x)
	switch {
	case err != nil, d == delivery{}:
		return 0, err
	case d.Lost != 0:
		return d.Lost, nil
	case d.Node == w.s.node:
		if lost, known := w.s.answers.get(d.Name); known {
			return lost, nil
		}
		return max(x.At, w.s.born), nil // no request has it: that has ended with an earlier process, or at once
	}
	if w.nodes == nil {
		if w.nodes, err = w.tx.Nodes(); err != nil {
			return 0, err
		}
	}
	for _, n := range w.nodes {
		if n.ID != d.Node {
			continue
		}
		if w.tx.Now().Sub(n.Heard) >= silentNode {
			return n.Heard, nil
		}
		w.unsure = w.unsure || n.Heard <= w.asked
		return 0, nil
	}
	return cmp.Or(w.s.answers.lastHeard(d.Node), w.s.born), nil
}

func deliveryOf(x *Replay) (d delivery, err error) {
	if x == nil || len(x.Hash) == 0 {
		return d, nil
	}
	if err := json.Unmarshal(x.Hash, &d); err != nil {
		return d, fmt.Errorf("decode receipt: %w", err)
	}
	return d, nil
}
