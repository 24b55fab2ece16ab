package httpapi

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// timedBody is a body that has to come in time: all of it, or, of an upload,
// which may be large, each piece. Whoever sends it drop by drop costs its
// connection for so long and nothing else.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
	timeout time.Duration
	pieces  bool
	until   time.Time
	came    int  // since until was set
	whole   bool // all of it has been read
}

// limitBody gives the body of a request its time.
func (s *server) limitBody(w *answerWriter, r *http.Request) *http.Request {
	if r.Body != nil && r.Body != http.NoBody {
		w.body = &timedBody{ReadCloser: r.Body, control: w.control, timeout: s.ReadTimeout, pieces: strings.HasSuffix(r.URL.Path, "/v1/files")} // of whichever face
		r.Body = w.body
	}
	return r
}

// leave is called when a request has been answered: what the handler did not read, the
// server reads, and that has its time, too.
func (w *answerWriter) leave(timeout time.Duration) {
	if w.body != nil {
		_ = w.control.SetReadDeadline(time.Now().Add(timeout)) // a connection that is broken needs none
	}
}

// Read implements io.Reader.
func (b *timedBody) Read(p []byte) (int, error) {
	if b.until.IsZero() || b.pieces && b.came >= piece {
		b.until, b.came = time.Now().Add(b.timeout), 0
		_ = b.control.SetReadDeadline(b.until) // a failure shows when reading
	}
	n, err := b.ReadCloser.Read(p)
	b.came += n
	if err != nil { // what comes after it, above all the client's leaving, is waited for without end
		_ = b.control.SetReadDeadline(time.Time{}) // see above
		b.whole = err == io.EOF
	}
	return n, err
}
