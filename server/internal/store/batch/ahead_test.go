package batch

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
)

// The idempotency keys of a commit's callers are read in one question, and not again when
// one of them is written; after a deletion, which may have taken any, each is asked for.
func TestReplaysAreReadTogether(t *testing.T) {
	t.Parallel()
	w, f := alone(Options{})
	put := func(key string, before bool) func(lifecycle.Tx) error {
		return func(tx lifecycle.Tx) error {
			found, err := tx.Replay("o", "route", key)
			if err != nil || (found != nil) != before || before && found.TaskID != "of a" {
				t.Errorf("key %s stands for %+v, %v", key, found, err)
			}
			return tx.PutReplay("o", "route", key, found, lifecycle.Replay{TaskID: "of " + key})
		}
	}
	batch := requests(t, put("a", false), put("b", false), put("a", true), func(tx lifecycle.Tx) error { return tx.Delete("o", "t") }, put("b", false))
	for i, key := range []string{"a", "b", "a", "", "b"} {
		if key != "" {
			batch[i].about = []lifecycle.Key{{Of: lifecycle.ReplayKey, Organization: "o", ID: "route\x00" + key}}
		}
	}
	w.commit(&group{all: batch})
	const want = "begin route\x00a route\x00b route\x00a route\x00b, ask replays, send , ask replays, commit o t and 1 entries"
	if calls := f.called(); calls != want {
		t.Errorf("calls %q, want %q", calls, want)
	}
}

// A transaction that goes back has let go of what it had locked since: who comes by it
// next locks it again.
func TestLocksOfWhoFails(t *testing.T) {
	t.Parallel()
	w, f := alone(Options{})
	reads := func(tx lifecycle.Tx) error { // and does not mind that it is not there
		if _, err := tx.Task("o", "t"); fault.CodeOf(err) != fault.NotFound {
			return err
		}
		return nil
	}
	batch := requests(t, func(tx lifecycle.Tx) error {
		if err := puts(tx, "a"); err != nil {
			return err
		}
		if err := asks(tx); err != nil {
			return err
		}
		return errors.Join(reads(tx), errBoom)
	}, reads, reads)
	w.commit(&group{all: batch})
	const want = "begin, save, send a, ask nodes, lock t, ask tasks, back, lock t, ask tasks, ask tasks, rollback"
	if calls := f.called(); calls != want {
		t.Errorf("calls %q, want %q", calls, want)
	}
}

// However many tasks the callers of a commit are about, a question asks for no more than a
// database takes arguments.
func TestManyAreReadInParts(t *testing.T) {
	t.Parallel()
	w, f := alone(Options{})
	batch := requests(t, func(lifecycle.Tx) error { return nil })
	for n := range 2*aheadStep + 1 {
		batch[0].about = append(batch[0].about, key(fmt.Sprintf("%04d", n)), key("0000"))
	}
	w.commit(&group{all: batch})
	_, asked, _ := strings.Cut(f.called(), ",")
	if want := " ask tasks, ask graves, ask tasks, ask graves, rollback"; asked != want || batch[0].err != nil {
		t.Errorf("calls%s, want%s; %v", asked, want, batch[0].err)
	}
}
