package httpapi

import (
	"net/http"
	"time"

	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// piece is how many bytes are written, or of an upload read, under one deadline:
// whoever is slow but goes on may take any time.
const piece = 64 << 10

// answerWriter remembers what was answered, and bounds each write of a plain
// answer, so that a reader who has stopped reading costs its connection and
// nothing else. Streams have deadlines of their own.
type answerWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	status  int
	stream  bool
	// answered is when a stream began.
	answered time.Time
	// body is what bounds the request's, nil for none.
	body *timedBody
	// later is what is done with last when the handler has returned.
	later func(*http.Request) edge.Rest
	last  *http.Request
}

// Later implements edge.Later.
func (w *answerWriter) Later(r *http.Request, do func(*http.Request) edge.Rest) {
	w.last, w.later = r, do
}

func newAnswerWriter(w http.ResponseWriter, timeout time.Duration) *answerWriter {
	a := &answerWriter{ResponseWriter: w, control: http.NewResponseController(w), timeout: timeout}
	_ = a.control.SetWriteDeadline(time.Time{}) // that of the connection's last answer; a failure shows when writing
	return a
}

// WriteHeader implements http.ResponseWriter.
func (w *answerWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		if w.stream = w.Header().Get("Content-Type") == "text/event-stream"; w.stream {
			w.answered = time.Now()
		}
		w.limit()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *answerWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	written := 0
	for {
		n := min(len(b), piece)
		if w.stream {
			n = len(b)
		}
		w.limit()
		done, err := w.ResponseWriter.Write(b[:n])
		written += done
		if b = b[n:]; err != nil || len(b) == 0 {
			return written, err
		}
	}
}

// limit gives the next write its time.
func (w *answerWriter) limit() {
	if !w.stream {
		_ = w.control.SetWriteDeadline(time.Now().Add(w.timeout)) // a failure shows when writing
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
