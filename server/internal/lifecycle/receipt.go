package lifecycle

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// Receipt stands for the answer to a create that shows no idempotency key, as long as it
// is not known to have reached its client. A repeat of the create whose answer was lost
// finds its turn by it (H3). The zero value stands for nothing.
type Receipt struct{ org, key string }

// receiptRoute is where the store keeps them, among the idempotency keys.
const receiptRoute = "receipt"

// delivery is how such an answer stands. The store keeps it as a Replay.
type delivery struct {
	// Node and Life name who has the connection: the life of a node ends with its process.
	Node string `json:"node,omitempty"`
	Life string `json:"life,omitempty"`
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

// receiptOf is the nth receipt of the creates that equal one.
func (s *Service) receiptOf(who Caller, body []byte, n int) Receipt {
	sum := hex.EncodeToString(s.sealer.MAC(receiptRoute, who.Key, who.Owner, who.Group, string(body)))
	return Receipt{who.Organization, fmt.Sprintf("%s.%d", sum, n)}
}

// note notes that the answer to a create is under way. If too many of its like are, it
// is not.
func (s *Service) note(tx Tx, p prepared, at task.Stamp) (Receipt, error) {
	for n := range receipts {
		r := s.receiptOf(p.who, p.Unkeyed, n)
		before, err := tx.Replay(r.org, receiptRoute, r.key)
		if err != nil {
			return Receipt{}, err
		}
		if before == nil || len(before.Hash) == 0 || before.At.Add(KeepReplays) < tx.Now() {
			return r, s.put(tx, r, before, Replay{TaskID: p.Spec.ID, At: at}, &delivery{Node: s.node, Life: s.life})
		}
	}
	return Receipt{}, nil
}

// put keeps how an answer stands; nil is that it has reached its client.
func (s *Service) put(tx Tx, r Receipt, before *Replay, now Replay, d *delivery) error {
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
// connection has died.
func (s *Service) Delivered(ctx context.Context, r Receipt, arrived bool) error {
	if r == (Receipt{}) {
		return nil
	}
	return s.write(ctx, s.node, nil, func(tx writing) error {
		before, err := tx.Replay(r.org, receiptRoute, r.key)
		if err != nil || before == nil || !bytes.Contains(before.Hash, []byte(s.life)) {
			return err
		}
		var d *delivery
		if !arrived {
			d = &delivery{Lost: tx.Now()}
		}
		return s.put(tx, r, before, *before, d)
	})
}

// TakeUp finds the turn of an equal create whose answer was lost, the youngest first, and
// notes that its answer is under way again. It returns no task if there is none such.
func (s *Service) TakeUp(ctx context.Context, who Caller, body []byte) (taskID string, at task.Stamp, r Receipt, err error) {
	err = s.write(ctx, who.By, nil, func(tx writing) error {
		taskID, at, r = "", 0, Receipt{}
		var last *Replay
		for n := range receipts {
			x := s.receiptOf(who, body, n)
			found, err := tx.Replay(x.org, receiptRoute, x.key)
			if err != nil {
				return err
			}
			lost, err := s.lost(tx, found)
			if err != nil {
				return err
			}
			if lost && (last == nil || found.At > last.At) {
				last, r = found, x
			}
		}
		if last == nil {
			return nil
		}
		if _, err := find(tx, who.Scope, last.TaskID); err != nil {
			if fault.CodeOf(err) == fault.NotFound { // it was deleted
				err = nil
			}
			r = Receipt{}
			return err
		}
		taskID, at = last.TaskID, last.At
		return s.put(tx, r, last, *last, &delivery{Node: s.node, Life: s.life})
	})
	return taskID, at, r, err
}

// lost reports whether an answer can be known to have been lost, and not too long ago.
func (s *Service) lost(tx Tx, found *Replay) (bool, error) {
	if found == nil || len(found.Hash) == 0 {
		return false, nil
	}
	var d delivery
	if err := json.Unmarshal(found.Hash, &d); err != nil {
		return false, fmt.Errorf("decode receipt: %w", err)
	}
	since := d.Lost
	switch {
	case since != 0:
	case d.Life == s.life:
		return false, nil
	case d.Node == s.node: // it has ended before this one began
		since = s.born
	default:
		nodes, err := tx.Nodes()
		if err != nil {
			return false, err
		}
		for _, n := range nodes {
			if n.ID != d.Node {
				continue
			}
			if since = n.Heard; n.Heard.Add(silentNode) > tx.Now() {
				return false, nil
			}
		}
	}
	return since.Add(repeatWithin) > tx.Now(), nil
}
