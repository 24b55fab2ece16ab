package cli

import (
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// TestMoments: timeout(1) tells a program and its process group within
// microseconds. That is one signal, and no wish to leave at once.
func TestMoments(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal)
		told := moments(signals)
		defer close(signals)
		signals <- os.Interrupt
		signals <- os.Interrupt
		synctest.Wait()
		if len(told) != 1 {
			t.Errorf("two signals at once: told %d times, want once", len(told))
		}
		<-time.After(atOnce)
		signals <- os.Interrupt
		synctest.Wait()
		if len(told) != 2 {
			t.Errorf("another signal later: told %d times, want twice", len(told))
		}
	})
}
