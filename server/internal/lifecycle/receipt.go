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

func (a *answers) begin(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.own[name] = 0
}

func (a *answers) lose(name string, now task.Stamp) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.own, func(_ string, lost task.Stamp) bool { return lost != 0 && lost.Add(repeatWithin) <= now })
	a.own[name] = now
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

// receipt makes the receipt of an answer. Its key is that of all equal creates.
func (s *Service) receipt(who Caller, body []byte) Receipt {
	return Receipt{who.Organization, hex.EncodeToString(s.sealer.MAC(receiptRoute, who.Key, who.Owner, who.Group, string(body))), rand.Text()}
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
	s.answers.lose(r.name, s.store.Now())
	return err
}

// Repeat is a create of which its client says that it is a repeat, without an idempotency
// key.
type Repeat struct {
	s   *Service
	who Caller
	r   Receipt
	// asked is when it was first asked what has become of the others.
	asked task.Stamp
}

// Repeat begins a Repeat.
func (s *Service) Repeat(who Caller, body []byte) *Repeat {
	return &Repeat{s: s, who: who, r: s.receipt(who, body)}
}

// TakenUp is a turn whose answer was lost and is under way again.
type TakenUp struct {
	// TaskID is "" for none.
	TaskID string
	// At is when the turn began.
	At      task.Stamp
	Receipt Receipt
}

// TakeUp finds the turn of an equal create whose answer was lost, the youngest first, and
// notes that its answer is under way again. If none was lost that it knows of, unsure says
// that one is under way on a node that may have died: that will be known in 3 s, when this
// is asked again.
func (x *Repeat) TakeUp(ctx context.Context) (t TakenUp, unsure bool, err error) {
	x.s.answers.begin(x.r.name)
	err = x.s.write(ctx, x.who.By, nil, func(tx writing) (err error) {
		x.asked = cmp.Or(x.asked, tx.Now())
		w := witness{s: x.s, tx: tx, asked: x.asked}
		t, err = w.takeUp(x.who, x.r)
		unsure = w.unsure && t.TaskID == ""
		return err
	})
	if err != nil || t.TaskID == "" {
		x.s.answers.drop(x.r.name)
		return TakenUp{}, unsure && err == nil, err
	}
	return t, false, nil
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

func (w *witness) takeUp(who Caller, r Receipt) (TakenUp, error) {
	found, err := w.tx.Replays(r.org, receiptRoute, r.places())
	if err != nil {
		return TakenUp{}, err
	}
	var last *Replay
	for key, x := range found {
		lost, err := w.lost(x)
		if err != nil {
			return TakenUp{}, err
		}
		if lost.Add(repeatWithin) > w.tx.Now() && (last == nil || x.At > last.At) {
			last, r.key = x, key
		}
	}
	if last == nil {
		return TakenUp{}, nil
	}
	if _, err := find(w.tx, who.Scope, last.TaskID); err != nil {
		if fault.CodeOf(err) == fault.NotFound { // it was deleted
			err = nil
		}
		return TakenUp{}, err
	}
	return TakenUp{last.TaskID, last.At, r}, w.s.keep(w.tx, r, last, *last, &delivery{Node: w.s.node, Name: r.name})
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
		if w.tx.Now().Sub(n.Heard) >= SilentNode {
			return n.Heard, nil
		}
		w.unsure = w.unsure || n.Heard <= w.asked
		return 0, nil
	}
	heard := w.s.answers.lastHeard(d.Node)
	if heard == 0 && w.tx.Now().Sub(x.At) < SilentNode { // it may have begun just now
		w.unsure = true
		return 0, nil
	}
	return cmp.Or(heard, w.s.born), nil
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
