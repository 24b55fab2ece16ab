package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// Streams are the connections that net/http has handed over, each with an answer that
// may last for hours. There it would keep two goroutines with the stacks that a request
// needs, and 10 KiB of buffers, of which a stream that waits uses nothing. When such an
// answer has ended, net/http accepts the connection once more from here, with the next
// request. It is safe for concurrent use.
type Streams struct {
	addr net.Addr
	idle time.Duration
	// next takes connections by which another request comes.
	next    chan net.Conn
	lasting sync.WaitGroup

	mu     sync.Mutex
	closed chan struct{}
	open   map[*takenAnswer]struct{}
}

// NewStreams makes an empty one for a server at an address. A connection waits so long
// for another request.
func NewStreams(addr net.Addr, idle time.Duration) *Streams {
	return &Streams{addr: addr, idle: idle, next: make(chan net.Conn), closed: make(chan struct{}), open: map[*takenAnswer]struct{}{}}
}

// Accept implements net.Listener.
func (s *Streams) Accept() (net.Conn, error) {
	select {
	case c := <-s.next:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (s *Streams) Addr() net.Addr { return s.addr }

// Close implements net.Listener: it takes no more answers over, and closes connections
// that wait for another request.
func (s *Streams) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if isClosed(s.closed) {
		return nil
	}
	close(s.closed)
	for a := range s.open {
		if isClosed(a.over) {
			_ = a.conn.Close() // nobody hears of it
		}
	}
	return nil
}

// Shutdown closes, and waits until all answers have ended. Those that have not when ctx
// ends are cut off.
func (s *Streams) Shutdown(ctx context.Context) error {
	_ = s.Close() // it never fails
	ended := make(chan struct{})
	go func() {
		s.lasting.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for a := range s.open {
		_ = a.conn.Close() // see Close
	}
	return ctx.Err()
}

// take takes an answer over that has not begun. It returns false when the connection
// stays where it is: its protocol is not HTTP/1.1, it is encrypted, the request has
// not been read whole, or wants no more than the answer's head.
func (s *Streams) take(x *exchange) bool {
	w, r := x.seen, x.seen.last
	if s == nil || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.Method == http.MethodHead || w.status != 0 || w.body != nil && !w.body.whole {
		return false
	}
	var conn *usedConn
	switch c := edge.Connection(r.Context()).(type) {
	case *usedConn:
		conn = c
	case *net.TCPConn:
		conn = &usedConn{TCPConn: c}
	default:
		return false
	}
	a := &takenAnswer{conn: conn, header: w.Header(), last: r.Close, over: make(chan struct{})}
	if !s.add(a) {
		return false
	}
	_, rest, err := w.control.Hijack()
	if err != nil {
		s.lasting.Done()
		s.drop(a)
		return false
	}
	if n := rest.Reader.Buffered(); n > 0 {
		early, _ := rest.Peek(n) // it is there
		conn.first = slices.Concat(early, conn.first)
	}
	var ctx context.Context
	ctx, a.gone = context.WithCancel(context.WithoutCancel(r.Context()))
	w.ResponseWriter, w.control, w.last = a, http.NewResponseController(a), r.WithContext(ctx)
	x.r = w.last // the one that came need not be kept
	go s.watch(a)
	go s.run(x, a)
	return true
}

// run goes on with an answer until that rests, or has ended.
func (s *Streams) run(x *exchange, a *takenAnswer) {
	rest, whole := x.goOn()
	if rest != nil {
		rest(func() { go s.run(x, a) })
		return
	}
	a.gone()
	s.end(a, whole)
	s.lasting.Done()
}

// add notes an answer that begins.
func (s *Streams) add(a *takenAnswer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if isClosed(s.closed) {
		return false
	}
	s.open[a] = struct{}{}
	s.lasting.Add(1)
	return true
}

func (s *Streams) drop(a *takenAnswer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, a)
}

// end ends an answer. Its connection is closed unless all of it was sent, and another
// request may come.
func (s *Streams) end(a *takenAnswer, whole bool) {
	whole = whole && a.finish() == nil && !a.last
	s.mu.Lock()
	defer s.mu.Unlock()
	if whole && !isClosed(s.closed) {
		_ = a.conn.SetDeadline(time.Now().Add(s.idle)) // a failure shows when reading
	} else {
		_ = a.conn.Close() // see Close
	}
	close(a.over)
}

// watch waits for what the client sends while it is answered: nothing, until it goes or
// has another request, which is for net/http when the answer is over.
func (s *Streams) watch(a *takenAnswer) {
	first := make([]byte, 1)
	n, err := a.conn.Read(first)
	if err != nil {
		a.gone()
	}
	<-a.over
	s.drop(a) // before net/http has it, whose request Close must not cut
	if n > 0 {
		a.conn.first = slices.Concat(first, a.conn.first)
		_ = a.conn.SetDeadline(time.Time{}) // a failure shows when reading
		select {
		case s.next <- a.conn:
			return
		case <-s.closed:
		}
	}
	_ = a.conn.Close() // see Close
}

// isClosed reports whether a channel by which nothing is sent has been closed.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// usedConn is a connection of which something has been read.
type usedConn struct {
	*net.TCPConn
	first []byte
}

// Read implements net.Conn.
func (c *usedConn) Read(b []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.TCPConn.Read(b)
}

// NetConn returns the connection itself.
func (c *usedConn) NetConn() net.Conn { return c.TCPConn }

// takenAnswer writes an answer as net/http would.
type takenAnswer struct {
	conn    *usedConn
	header  http.Header
	last    bool // of the connection
	began   bool
	chunked bool
	text    bytes.Buffer // what Flush sends
	err     error
	gone    func()        // ends the request's context: nobody reads any more
	over    chan struct{} // closed at its end
}

// Header implements http.ResponseWriter.
func (a *takenAnswer) Header() http.Header { return a.header }

// SetWriteDeadline is for http.ResponseController.
func (a *takenAnswer) SetWriteDeadline(t time.Time) error { return a.conn.SetWriteDeadline(t) }

// WriteHeader implements http.ResponseWriter.
func (a *takenAnswer) WriteHeader(status int) {
	if a.began {
		return
	}
	a.began, a.chunked = true, a.header.Get("Content-Length") == ""
	a.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if a.chunked {
		a.header.Set("Transfer-Encoding", "chunked")
	}
	if a.last {
		a.header.Set("Connection", "close")
	}
	fmt.Fprintf(&a.text, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = a.header.Write(&a.text) // a buffer takes all
	a.text.WriteString("\r\n")
}

// Write implements http.ResponseWriter.
func (a *takenAnswer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if len(b) == 0 {
		return 0, a.err
	}
	if a.chunked {
		a.text.Write(strconv.AppendInt(a.text.AvailableBuffer(), int64(len(b)), 16))
		a.text.WriteString("\r\n")
	}
	a.text.Write(b)
	if a.chunked {
		a.text.WriteString("\r\n")
	}
	if err := a.FlushError(); err != nil {
		return 0, err
	}
	return len(b), nil
}

// FlushError is for http.ResponseController.
func (a *takenAnswer) FlushError() error {
	if a.err == nil && a.text.Len() > 0 {
		if _, a.err = a.conn.Write(a.text.Bytes()); a.err != nil {
			a.gone()
		}
	}
	a.text = bytes.Buffer{}
	return a.err
}

// finish sends what tells the client that the answer is whole.
func (a *takenAnswer) finish() error {
	a.WriteHeader(http.StatusOK)
	if a.chunked {
		a.text.WriteString("0\r\n\r\n")
	}
	return errors.Join(a.conn.SetWriteDeadline(time.Now().Add(lastWrite)), a.FlushError())
}

// lastWrite bounds the writing of an answer's end, some bytes.
const lastWrite = 10 * time.Second
