package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// Claims of many workers go into the same commits in any order, and do not wait for one
// another's workers: a database that had to untie them would take a second each time.
func TestClaimsOfManyWorkersDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	b := open(t)
	const workers, claimers, each = 8, 64, 20
	begun := time.Now() //nolint:forbidigo // it waits for a database
	var all sync.WaitGroup
	for i := range claimers {
		all.Go(func() {
			for n := range each {
				b.clock.forward(time.Minute) // each worker is to be noted again
				_, err := b.Claim(t.Context(), who(), lifecycle.ClaimRequest{Agents: []string{bot}, Worker: fmt.Sprint("w", (7*i+n*i)%workers), Slots: 1})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if took := time.Since(begun); took > 10*time.Second { //nolint:forbidigo // see above
		t.Errorf("%d claims took %v", claimers*each, took)
	}
}

// fickle is a store that stores nothing while it is full.
type fickle struct {
	lifecycle.Store
	full bool
}

var errFull = errors.New("the disk is full")

func (f *fickle) Write(ctx context.Context, about []lifecycle.Key, fn func(lifecycle.Tx) error) error {
	return f.Store.Write(ctx, about, func(tx lifecycle.Tx) error {
		err := fn(tx)
		if err == nil && f.full {
			return errFull
		}
		return err
	})
}

// A claim that was not stored has said nothing of its worker: the next one does.
func TestAClaimThatIsNotStoredIsNotHeard(t *testing.T) {
	t.Parallel()
	b := open(t)
	store := &fickle{b.store, true}
	b.Service = b.service(store)
	if _, err := b.Claim(t.Context(), who(), lifecycle.ClaimRequest{Agents: []string{bot}, Worker: "w", Slots: 3}); !errors.Is(err, errFull) {
		t.Fatalf("the claim failed with %v", err)
	}
	store.full = false
	b.claim("w", 3)
	there, err := b.Workers(t.Context(), auth.All(org), bot)
	b.must(err)
	if len(there) != 1 || there[0].Slots != 3 || there[0].LastHeard != task.StampOf(b.clock.Now()) {
		t.Errorf("the workers are %+v", there)
	}
}

// Whoever looks at workers sees at once that one has left, and not only after the
// silence of one that was killed. A node is there for as long as it beats.
func TestWorkersAreThereUntilTheyLeave(t *testing.T) {
	t.Parallel()
	b := open(t)
	_, err := b.Beat(t.Context(), false)
	b.must(err)
	request := lifecycle.ClaimRequest{Agents: []string{bot}, Worker: "w", Slots: 1}
	there := func(when, worker string, want bool) {
		t.Helper()
		list, err := b.Workers(t.Context(), auth.All(org), bot)
		b.must(err)
		if !slices.ContainsFunc(list, func(w lifecycle.Present) bool { return w.ID == worker && w.Connected == want }) {
			t.Errorf("%s, that %s is there is not %v: %+v", when, worker, want, list)
		}
	}
	b.claim("w", 1)
	b.claim(lifecycle.DefaultNode, 1)
	there("after a claim", "w", true)
	b.must(b.Left(t.Context(), org, request))
	there("when it has left", "w", false)
	b.claim("w", 1)
	there("when it has come back", "w", true)
	b.clock.forward(time.Hour)
	there("after an hour", "w", false)
	there("after an hour", lifecycle.DefaultNode, true)
}
