package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/errand-dev/errand/server/internal/task"
)

// StepFunc answers what was committed under an id, or else calls do, commits what it
// answers, and answers that: as JSON. An error of do commits nothing.
type StepFunc func(ctx context.Context, id string, do func(context.Context) (json.RawMessage, error)) (json.RawMessage, error)

// StepSocket names the variable in which a program finds the socket for its steps and
// questions.
const StepSocket = "ERRAND_STEP_SOCKET"

const (
	// maxSocket is how long the path of a socket may be, everywhere.
	maxSocket = 103
	// maxCalls is how many may talk at a socket at a time, and maxSaid how much each may
	// say, in bytes: others wait, or are cut off. A program may be hostile, and this process
	// has other programs.
	maxCalls = 256
	maxSaid  = 2 * task.MaxEvent
)

// said by either end of the socket, in lines of JSON. Who names a step is
// answered with what was committed, or with run, to which it gives the body. Who asks
// people is given their answer, or nothing, and then the attempt is over.
type word struct {
	ID     string          `json:"id,omitempty"`
	Run    bool            `json:"run,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
	Ask    *task.Asked     `json:"ask,omitempty"`
	Answer *Answer         `json:"answer,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// counter serves the steps and questions of a program on a socket in its folder: neither
// a key nor the lease comes into the hands of the program, and what it may do ends with it.
type counter struct {
	listener net.Listener
	step     StepFunc
	ask      AskFunc
	hangUp   context.CancelFunc // ends its connections
	served   sync.WaitGroup

	mu    sync.Mutex
	under map[string]*turn // steps under way, by their ids: each is one's at a time
}

// turn is who does a step, or waits to do it.
type turn struct {
	sync.Mutex

	users int
}

// openCounter opens the counter; nil where there is none to open.
func openCounter(ctx context.Context, d folder, step StepFunc, ask AskFunc) (*counter, error) {
	if step == nil || ask == nil || len(d.path(socketFile)) > maxSocket {
		return nil, nil //nolint:nilnil // a program can do without
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", d.path(socketFile))
	if err != nil {
		return nil, fmt.Errorf("open the socket for steps: %w", err)
	}
	over, hangUp := context.WithCancel(ctx)
	c := &counter{listener: listener, step: step, ask: ask, hangUp: hangUp, under: map[string]*turn{}}
	c.served.Go(func() {
		for calls := make(chan struct{}, maxCalls); ; {
			calls <- struct{}{}
			conn, err := listener.Accept()
			if err != nil {
				return // it was closed
			}
			c.served.Go(func() {
				defer func() { <-calls }()
				defer context.AfterFunc(over, func() { _ = conn.Close() })() // what waits for the command is not to wait for ever
				c.serve(ctx, over, conn)
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

// lock has a step alone until unlock.
func (c *counter) lock(id string) (unlock func()) {
	c.mu.Lock()
	x := c.under[id]
	if x == nil {
		x = &turn{}
		c.under[id] = x
	}
	x.users++
	c.mu.Unlock()
	x.Lock()
	return func() {
		x.Unlock()
		c.mu.Lock()
		defer c.mu.Unlock()
		if x.users--; x.users == 0 {
			delete(c.under, id)
		}
	}
}

// serve does what whoever has come wants: one thing. Until over ends.
func (c *counter) serve(ctx, over context.Context, conn net.Conn) {
	defer conn.Close() //nolint:errcheck // the answer was sent, or nobody is there
	in, out := json.NewDecoder(io.LimitReader(conn, maxSaid)), json.NewEncoder(conn)
	var said word
	if in.Decode(&said) != nil {
		return
	}
	answer, err := word{}, error(nil)
	if said.Ask != nil {
		answer.Answer, err = c.ask(ctx, *said.Ask)
	} else {
		answer.Body, err = c.one(ctx, said.ID, in, out)
	}
	if errors.Is(err, ErrWaiting) { // the program is being ended, and goes no further
		<-over.Done()
		return
	}
	if err != nil {
		answer = word{Error: err.Error()}
	}
	_ = out.Encode(answer) // who has left needs none
}

// one does a step, alone among those of its id.
func (c *counter) one(ctx context.Context, id string, in *json.Decoder, out *json.Encoder) (json.RawMessage, error) {
	defer c.lock(id)()
	return c.step(ctx, id, func(context.Context) (json.RawMessage, error) {
		if err := out.Encode(word{Run: true}); err != nil {
			return nil, err
		}
		var done word
		if err := in.Decode(&done); err != nil {
			return nil, fmt.Errorf("the command has not succeeded: %w", err)
		}
		return done.Body, nil
	})
}

// Step does a step from inside a program, by the socket that StepSocket names.
func Step(ctx context.Context, socket, id string, do func(context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
	l, err := callIn(ctx, socket)
	if err != nil {
		return nil, err
	}
	defer l.hangUp()
	answer, err := l.say(word{ID: id})
	if err != nil {
		return nil, fmt.Errorf("the attempt is over: %w", err)
	}
	if answer.Run {
		body, err := do(ctx)
		if err != nil {
			return nil, err
		}
		if len(body) > task.MaxEvent {
			return nil, fmt.Errorf("what step %s has made must not exceed %d bytes of JSON: write it to a file, and only where it is", id, task.MaxEvent)
		}
		if answer, err = l.say(word{Body: body}); err != nil {
			return nil, fmt.Errorf("the attempt ended before step %s was committed: %w", id, err)
		}
	}
	if answer.Error != "" {
		return nil, errors.New(answer.Error)
	}
	return answer.Body, nil
}

// line is a program's way to its counter.
type line struct {
	in     *json.Decoder
	out    *json.Encoder
	hangUp func()
}

func callIn(ctx context.Context, socket string) (*line, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("reach the attempt: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return &line{json.NewDecoder(conn), json.NewEncoder(conn), func() {
		stop()
		_ = conn.Close() // what matters was answered
	}}, nil
}

// say says something and hears what is answered.
func (l *line) say(w word) (answer word, err error) {
	err = errors.Join(l.out.Encode(w), l.in.Decode(&answer))
	return answer, err
}
