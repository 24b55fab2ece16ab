package crash

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// line is the network between clients and a server: every connection to it
// leads to the server, as long as the line is whole.
type line struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	down  bool // new connections are closed at once
	dark  chan struct{}
	delay time.Duration // of everything that passes, at most
	calls map[*wire]bool
	all   sync.WaitGroup
}

// wire is one connection over the line.
type wire struct {
	client, server *net.TCPConn
	lost           chan struct{} // closed: nothing passes any more, and nobody is told
	gone           chan struct{} // closed with the connection
	once           sync.Once
}

func newLine(t *testing.T, s *server) *line {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{listener: listener, target: s.addr, calls: map[*wire]bool{}}
	l.all.Go(l.accept)
	t.Cleanup(func() {
		_ = listener.Close() // nobody comes any more
		l.mend()
		l.cut()
		l.all.Wait()
	})
	return l
}

func (l *line) url() string { return "http://" + l.listener.Addr().String() }

func (l *line) accept() {
	for {
		from, err := l.listener.Accept()
		if err != nil {
			return
		}
		to, err := (&net.Dialer{Timeout: time.Second}).Dial("tcp", l.target)
		l.mu.Lock()
		if err != nil || l.down {
			l.mu.Unlock()
			_ = from.Close() // which is what its client is to see
			if to != nil {
				_ = to.Close()
			}
			continue
		}
		w := &wire{client: from.(*net.TCPConn), server: to.(*net.TCPConn), lost: make(chan struct{}), gone: make(chan struct{})}
		l.calls[w] = true
		l.mu.Unlock()
		l.all.Go(func() {
			var both sync.WaitGroup
			both.Go(func() { l.carry(w, w.client, w.server) })
			both.Go(func() { l.carry(w, w.server, w.client) })
			both.Wait()
			l.mu.Lock()
			delete(l.calls, w)
			l.mu.Unlock()
			w.close(false)
		})
	}
}

// carry takes bytes in one direction, until either end is closed.
func (l *line) carry(w *wire, from, to *net.TCPConn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		l.mu.Lock()
		dark, delay := l.dark, l.delay
		l.mu.Unlock()
		if delay > 0 {
			await(rand.N(delay))
		}
		if dark != nil {
			<-dark
		}
		forgotten := false
		select {
		case <-w.lost:
			forgotten = true
		default:
		}
		switch {
		case forgotten && err == nil:
			continue
		case forgotten: // nor does the other end hear of this one's
			<-w.gone
			return
		}
		if n > 0 {
			if _, failed := to.Write(buffer[:n]); failed != nil {
				w.close(true)
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = to.CloseWrite() // its other direction may go on
			return
		case err != nil:
			w.close(true)
			return
		}
	}
}

// close ends a connection; a reset lets both ends know at once.
func (w *wire) close(reset bool) {
	w.once.Do(func() {
		close(w.gone)
		for _, c := range []*net.TCPConn{w.client, w.server} {
			if reset {
				_ = c.SetLinger(0) // it may be closed already
			}
			_ = c.Close()
		}
	})
}

// each does something with every connection that is open.
func (l *line) each(do func(*wire)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.calls {
		do(w)
	}
}

// cut ends all connections.
func (l *line) cut() { l.each(func(w *wire) { w.close(true) }) }

// forget loses all connections: nothing passes any more and nobody is told, as
// when a router between has forgotten them. New ones are whole.
func (l *line) forget() {
	l.each(func(w *wire) {
		select {
		case <-w.lost:
		default:
			close(w.lost)
		}
	})
}

// half ends one direction of all connections.
func (l *line) half(of func(*wire) *net.TCPConn) {
	l.each(func(w *wire) { _ = of(w).CloseWrite() }) // it may be closed already
}

// takeDown lets nobody in, and ends all connections.
func (l *line) takeDown() {
	l.mu.Lock()
	l.down = true
	l.mu.Unlock()
	l.cut()
}

// darken lets nothing pass until the line is mended, when all that was on its
// way arrives.
func (l *line) darken() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dark = make(chan struct{})
}

// slow delays everything, by a random time up to a most.
func (l *line) slow(most time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = most
}

// mend makes the line whole.
func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down, l.delay = false, 0
	if l.dark != nil {
		close(l.dark)
		l.dark = nil
	}
}

// TestLine breaks the line between the server and everybody else under load, in
// every way in which lines break.
func TestLine(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--keep-alive", "1s")
	l := newLine(t, s)
	x := newStorm(t, s, l.url())
	strikes := []struct {
		name string
		do   func(l *line)
		most time.Duration // that it lasts
	}{
		{"cut", (*line).cut, 0},
		{"down", (*line).takeDown, 2 * time.Second},
		{"dark", (*line).darken, 2 * loadLease * time.Second},
		{"slow", func(l *line) { l.slow(300 * time.Millisecond) }, 2 * time.Second},
		{"clients say no more", func(l *line) { l.half(func(w *wire) *net.TCPConn { return w.server }) }, 0},
		{"the server says no more", func(l *line) { l.half(func(w *wire) *net.TCPConn { return w.client }) }, 0},
	}
	for n := range rounds(len(strikes), 8*len(strikes)) {
		if t.Failed() {
			break
		}
		strike := strikes[n%len(strikes)]
		lasts := time.Duration(0)
		if strike.most > 0 {
			lasts = x.between(strike.most/10, strike.most)
		}
		x.blow(t, func() {
			await(x.between(200*time.Millisecond, 500*time.Millisecond))
			strike.do(l)
			tolls.faults.Add(1)
			await(lasts)
			l.mend()
			await(300 * time.Millisecond)
		})
		checked := x.settle(t)
		t.Logf("round %d: %s for %v; %v; %d tasks checked", x.round, strike.name, lasts.Round(time.Millisecond), x.book.counts, checked)
	}
	x.end(t)
}

// TestForgottenConnections loses all of a worker's connections without a word,
// in the middle of an attempt: it keeps its lease over new ones.
func TestForgottenConnections(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	l := newLine(t, s)
	c := s.client()
	c.putWorkerAgent(t, "patient", 6)
	made := c.create(t, obj{"agent_id": "patient", "input": obj{"text": "take your time"}})
	spawnHelper(t, "patient", t.TempDir()+"/notes", l.url(), "patient", "patient")
	eventually(t, 20*time.Second, "the worker has begun", func() bool { return c.task(t, made.ID).Status == "executing" })
	for range 3 {
		await(time.Second) // its connections have all been used
		l.forget()
		tolls.faults.Add(1)
	}
	eventually(t, 40*time.Second, "the task has ended", func() bool { return c.task(t, made.ID).ended() })
	if now := c.task(t, made.ID); now.Status != "completed" || now.Attempt != 1 {
		t.Errorf("the task is %s in attempt %d", now.Status, now.Attempt)
	}
	s.quiet(t)
}
