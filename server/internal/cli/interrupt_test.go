package cli

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
)

// A Ctrl-C of which a part of a command takes no notice, since it was done, ends the next.
func TestAnInterruptIsNotLostBetweenParts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &env{ctx: t.Context(), interrupts: make(chan os.Signal, 1)}
		e.interrupts <- os.Interrupt
		if err := e.interruptible(func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		}); err != nil {
			t.Fatalf("what was done fails: %v", err)
		}
		begun := false
		err := e.interruptible(func(ctx context.Context) error {
			begun = true
			<-ctx.Done()
			return ctx.Err()
		})
		if code, is := errors.AsType[exitCodeError](err); !begun || !is || code.code != exitInterrupted {
			t.Errorf("what follows ends with %v", err)
		}
	})
}
