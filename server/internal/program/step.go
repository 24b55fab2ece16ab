package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
)

// StepFunc answers what was committed under an id, or else calls do, commits what it
// answers, and answers that: as JSON. An error of do commits nothing.
type StepFunc func(ctx context.Context, id string, do func(context.Context) (json.RawMessage, error)) (json.RawMessage, error)

// StepSocket names the variable in which a program finds the socket for its steps.
const StepSocket = "ERRAND_STEP_SOCKET"

// maxSocket is how long the path of a socket may be, everywhere.
const maxSocket = 103

// said by either end of the socket, in lines of JSON. Who asks names a step and is
// answered with what was committed, or with run, to which it gives the body.
type stepWord struct {
	ID    string          `json:"id,omitempty"`
	Run   bool            `json:"run,omitempty"`
	Body  json.RawMessage `json:"body,omitempty"`
	Error string          `json:"error,omitempty"`
}

// counter serves the steps of a program on a socket in its desk: neither a key nor the
// lease comes into the hands of the program, and what it may do ends with it.
type counter struct {
	listener net.Listener
	step     StepFunc
	hangUp   context.CancelFunc // ends its connections
	served   sync.WaitGroup

	mu    sync.Mutex
	under map[string]*sync.Mutex // steps, by their ids: each is one's at a time
}

// serveSteps opens the counter; nil where there is none to open.
func serveSteps(ctx context.Context, d desk, step StepFunc) (*counter, error) {
	if step == nil || len(d.path(socketFile)) > maxSocket {
		return nil, nil //nolint:nilnil // a program can do without
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", d.path(socketFile))
	if err != nil {
		return nil, fmt.Errorf("open the socket for steps: %w", err)
	}
	over, hangUp := context.WithCancel(ctx)
	c := &counter{listener: listener, step: step, hangUp: hangUp, under: map[string]*sync.Mutex{}}
	c.served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // it was closed
			}
			c.served.Go(func() {
				defer context.AfterFunc(over, func() { _ = conn.Close() })() // what waits for the command is not to wait for ever
				c.serve(ctx, conn)
			})
		}
	})
	return c, nil
}

// close ends the counter when the program has ended, and waits until what it has done
// is committed.
func (c *counter) close() {
	if c == nil {
		return
	}
	_ = c.listener.Close() // it was only listened on
	c.hangUp()
	c.served.Wait()
}

// one is the lock of a step.
func (c *counter) one(id string) *sync.Mutex {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.under[id] == nil {
		c.under[id] = &sync.Mutex{}
	}
	return c.under[id]
}

// serve does one step for whoever has come.
func (c *counter) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close() //nolint:errcheck // the answer was sent, or nobody is there
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	var asked stepWord
	if in.Decode(&asked) != nil {
		return
	}
	mine := c.one(asked.ID)
	mine.Lock()
	defer mine.Unlock()
	body, err := c.step(ctx, asked.ID, func(context.Context) (json.RawMessage, error) {
		if err := out.Encode(stepWord{Run: true}); err != nil {
			return nil, err
		}
		var done stepWord
		if err := in.Decode(&done); err != nil {
			return nil, fmt.Errorf("the command has not succeeded: %w", err)
		}
		return done.Body, nil
	})
	answer := stepWord{Body: body}
	if err != nil {
		answer = stepWord{Error: err.Error()}
	}
	_ = out.Encode(answer) // who has left needs none
}

// Step does a step from inside a program, by the socket that StepSocket names.
func Step(ctx context.Context, socket, id string, do func(context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("reach the attempt: %w", err)
	}
	defer conn.Close() //nolint:errcheck // what matters was answered
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	answer := stepWord{}
	if err := errors.Join(out.Encode(stepWord{ID: id}), in.Decode(&answer)); err != nil {
		return nil, fmt.Errorf("the attempt is over: %w", err)
	}
	if answer.Run {
		body, err := do(ctx)
		if err != nil {
			return nil, err
		}
		answer = stepWord{}
		if err := errors.Join(out.Encode(stepWord{Body: body}), in.Decode(&answer)); err != nil {
			return nil, fmt.Errorf("the attempt ended before step %s was committed: %w", id, err)
		}
	}
	if answer.Error != "" {
		return nil, errors.New(answer.Error)
	}
	return answer.Body, nil
}
