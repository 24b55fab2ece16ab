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
	came    int // since until was set
}

// limitBody gives the body of a request its time. leave is to be called when
// the request has been answered: what the handler did not read, the server
// reads, and that has its time, too.
func (s *server) limitBody(control *http.ResponseController, r *http.Request) (limited *http.Request, leave func()) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, func() {}
	}
	r.Body = &timedBody{ReadCloser: r.Body, control: control, timeout: s.ReadTimeout, pieces: strings.HasSuffix(r.URL.Path, "/v1/files")} // of whichever face
	return r, func() { _ = control.SetReadDeadline(time.Now().Add(s.ReadTimeout)) }                                                       // a connection that is broken needs none
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
	}
	return n, err
}
