//go:build unix

package program

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/errand-dev/errand/server/internal/task"
)

// xs yields x without end.
type xs struct{}

func (xs) Read(b []byte) (int, error) { return copy(b, strings.Repeat("x", len(b))), nil }

// A program that says a word without end, or as many as it can at a time, takes no more of
// this process than its part.
func TestC5HostileTalker(t *testing.T) {
	t.Parallel()
	const callers = maxCalls + 50
	var under, most atomic.Int64
	entered, release := make(chan struct{}, callers), make(chan struct{}, callers)
	step := func(context.Context, string, func(context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
		n := under.Add(1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		entered <- struct{}{}
		<-release
		under.Add(-1)
		return json.RawMessage("null"), nil
	}
	d := folder{t.TempDir()}
	c, err := openCounter(t.Context(), d, step, func(context.Context, task.Asked) (*Answer, error) { return nil, io.EOF })
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	call := func() net.Conn {
		t.Helper()
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", d.path(socketFile))
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	const much = 16 << 20
	endless := call()
	if n, err := io.Copy(endless, io.LimitReader(io.MultiReader(strings.NewReader(`{"id":"`), xs{}), much)); err == nil {
		t.Errorf("C5: all %d bytes of one word were read", n)
	}
	_ = endless.Close() // it is broken
	answers := make(chan error, callers)
	for i := range callers {
		conn := call()
		go func() {
			defer conn.Close() //nolint:errcheck // the answer is there
			_, err := fmt.Fprintf(conn, `{"id":"step %d"}`, i)
			if err == nil {
				err = json.NewDecoder(conn).Decode(&word{})
			}
			answers <- err
		}()
	}
	for i := range callers {
		if i >= maxCalls {
			release <- struct{}{}
		}
		<-entered
	}
	for range maxCalls {
		release <- struct{}{}
	}
	for range callers {
		if err := <-answers; err != nil {
			t.Errorf("C5: a step was not answered: %v", err)
		}
	}
	if n := most.Load(); n > maxCalls {
		t.Errorf("C5: %d calls were under way at a time, of at most %d", n, maxCalls)
	}
	if len(c.under) > 0 {
		t.Errorf("C5: %d steps are remembered that nobody does", len(c.under))
	}
}
