package edge

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// SSE sends server-sent events. Each write has a deadline, so that a reader
// who has stopped reading costs one connection and nothing else. It is used
// by one goroutine.
type SSE struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	buf     *bytes.Buffer // while there is something to send
	broken  error
}

// Broken is the error of the first write that failed: the reader has gone.
func (s *SSE) Broken() error { return s.broken }

// StartSSE answers 200 and begins a stream. timeout bounds each write.
func StartSSE(w http.ResponseWriter, r *http.Request, timeout time.Duration) (*SSE, error) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	if r.ProtoMajor == 1 {
		h.Set("Connection", "keep-alive")
	}
	s := &SSE{w: w, control: http.NewResponseController(w), timeout: timeout}
	w.WriteHeader(http.StatusOK)
	s.begin()
	return s, s.Flush()
}

// buffers are shared by all streams: most have nothing to send.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }} //nolint:gochecknoglobals // a pool is everybody's

func (s *SSE) begin() {
	if s.buf == nil {
		s.buf, _ = buffers.Get().(*bytes.Buffer)
	}
}

// Event sends one event. id 0 and an empty name are left out; data is JSON.
func (s *SSE) Event(id int64, name string, data []byte) error {
	return errors.Join(s.Add(id, name, data), s.Flush())
}

// gathered is how much Add keeps until it sends, in bytes.
const gathered = 32 << 10

// Add is an Event that need not be sent before Flush, so that what came together
// is one write.
func (s *SSE) Add(id int64, name string, data []byte) error {
	text := ""
	if id > 0 {
		text = strconv.FormatInt(id, 10)
	}
	return s.AddAt(text, name, data)
}

// AddAt is Add for streams whose ids are cursors and no numbers; "" is none.
func (s *SSE) AddAt(id, name string, data []byte) error {
	s.begin()
	if id != "" {
		s.buf.WriteString("id: ")
		s.buf.WriteString(id)
		s.buf.WriteByte('\n')
	}
	if name != "" {
		s.buf.WriteString("event: ")
		s.buf.WriteString(name)
		s.buf.WriteByte('\n')
	}
	s.buf.WriteString("data: ")
	s.buf.Write(oneLine(data))
	s.buf.WriteString("\n\n")
	if s.buf.Len() < gathered {
		return nil
	}
	return s.Flush()
}

// Cursor is a KeepAlive that moves the reader's cursor, without an event.
func (s *SSE) Cursor(id int64) error {
	s.begin()
	s.buf.WriteString(": ka\nid: ")
	s.buf.WriteString(strconv.FormatInt(id, 10))
	s.buf.WriteString("\n\n")
	return s.Flush()
}

// KeepAlive sends a comment, which readers ignore and proxies count as traffic.
func (s *SSE) KeepAlive() error {
	s.begin()
	s.buf.WriteString(": ka\n\n")
	return s.Flush()
}

// Flush sends what was added.
func (s *SSE) Flush() error {
	if s.buf == nil {
		return nil
	}
	err := s.control.SetWriteDeadline(time.Now().Add(s.timeout))
	if err == nil {
		_, err = s.w.Write(s.buf.Bytes())
	}
	if err == nil {
		err = s.control.Flush()
	}
	if s.buf.Cap() <= 1<<20 { // one long event must not hold memory for ever
		s.buf.Reset()
		buffers.Put(s.buf)
	}
	s.buf = nil
	if err != nil && s.broken == nil {
		s.broken = err
	}
	return err
}

// oneLine escapes what some line readers take for the end of a line. In JSON
// these can only stand inside texts (or, for CR and LF, between tokens).
func oneLine(data []byte) []byte {
	for _, sep := range []struct{ raw, escaped string }{
		{"\n", " "},
		{"\r", " "},
		{"\u0085", `\u0085`},
		{"\u2028", `\u2028`},
		{"\u2029", `\u2029`},
	} {
		if bytes.Contains(data, []byte(sep.raw)) {
			data = bytes.ReplaceAll(data, []byte(sep.raw), []byte(sep.escaped))
		}
	}
	return data
}
