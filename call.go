package errand

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// request is one call of the API.
type request struct {
	method string
	path   string
	query  url.Values
	header http.Header
	// body is encoded as JSON, unless it is an io.Reader.
	body any
	// repeat says that a second call would do no more than the first, so that
	// it may follow when nobody knows what became of the first.
	repeat bool
	// limit bounds each try; 0 is callLimit, less is no limit.
	limit time.Duration
}

const (
	// callLimit bounds a try of a call that does not wait for anything.
	callLimit = time.Minute
	// firstRetry and lastRetry bound the wait before something is tried again.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// cutError is the failure of a call that got no whole answer: what became of
// it is unknown.
type cutError struct{ error }

func (e cutError) Unwrap() error { return e.error }

// call makes a call and decodes the answer into out, unless that is nil. It
// repeats the call where that is safe, for as long as the client is told to.
func (c *Client) call(ctx context.Context, r request, out any) error {
	body, err := r.encode()
	if err != nil {
		return err
	}
	var end time.Time // counts from the first failure: before it, the call may have waited
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := c.try(ctx, r, body, out)
		if err == nil || ctx.Err() != nil || !r.again(err) {
			return err
		}
		if end.IsZero() {
			end = time.Now().Add(c.retry)
		}
		pause := wait
		if e, ok := as[*Error](err); ok {
			pause = max(pause, e.RetryAfter)
		}
		if time.Now().Add(pause).After(end) || !body.rewind() || !sleep(ctx, pause) {
			return err
		}
	}
}

// again reports whether a call that failed with err may be made once more.
func (r request) again(err error) bool {
	if e, ok := as[*Error](err); ok {
		switch e.Status {
		case http.StatusTooManyRequests: // it was refused before anything was done
			return true
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return r.repeat
		}
		return false
	}
	if _, ok := as[*tls.CertificateVerificationError](err); ok {
		return false
	}
	if op, ok := as[*net.OpError](err); ok && op.Op == "dial" { // it never reached the server
		return true
	}
	_, cut := as[cutError](err)
	return cut && r.repeat
}

// final reports whether err is an answer that the same call would get again.
func final(err error) bool {
	e, answered := as[*Error](err)
	return answered && e.Status < 500 && e.Code != CodeRateLimited
}

// sleep waits, and reports whether it was to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// content is an encoded body.
type content struct {
	kind   string
	reader io.Reader // nil: none
	start  int64     // of a reader that can go back
}

func (r request) encode() (*content, error) {
	switch b := r.body.(type) {
	case nil:
		return &content{}, nil
	case io.Reader:
		c := &content{kind: "application/octet-stream", reader: b}
		if s, ok := b.(io.Seeker); ok {
			c.start, _ = s.Seek(0, io.SeekCurrent) // what cannot go back fails in rewind
		}
		return c, nil
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		return &content{kind: "application/json", reader: bytes.NewReader(encoded)}, nil
	}
}

// rewind makes the body ready to be sent again, and reports whether it is.
func (c *content) rewind() bool {
	if c.reader == nil {
		return true
	}
	s, ok := c.reader.(io.Seeker)
	if !ok {
		return false
	}
	_, err := s.Seek(c.start, io.SeekStart)
	return err == nil
}

// try makes a call once.
func (c *Client) try(ctx context.Context, r request, body *content, out any) (err error) {
	if r.limit >= 0 {
		limit := r.limit
		if limit == 0 {
			limit = callLimit
		}
		whole := ctx
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer func() {
			if err != nil && ctx.Err() != nil && whole.Err() == nil {
				// Something between may have forgotten its connection without a word,
				// and then the idle ones, too: the next try gets a new one.
				c.http.CloseIdleConnections()
			}
			cancel()
		}()
	}
	res, err := c.send(ctx, r, body)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // it has been read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return cutError{fmt.Errorf("read answer: %w", err)}
	}
	if res.StatusCode == http.StatusNoContent {
		return nil
	}
	if out == nil {
		out = new(json.RawMessage) // whose answer it is counts all the same
	}
	if err := json.Unmarshal(text, out); err != nil {
		return foreign(res, text, err)
	}
	return nil
}

// send makes a call and returns the response, whose status is 2xx. The caller
// closes it.
func (c *Client) send(ctx context.Context, r request, body *content) (*http.Response, error) {
	for part := range strings.SplitSeq(r.path[1:], "/") {
		switch part {
		case "", ".", "..": // the path of an id that is none is that of something else
			return nil, &Error{Status: http.StatusUnprocessableEntity, Code: CodeInvalid, Field: "id", Message: fmt.Sprintf("%q is not an id", part)}
		}
	}
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	var reader io.Reader
	if body.reader != nil {
		reader = body.reader
		if _, known := reader.(*bytes.Reader); !known { // the caller closes what is theirs
			reader = struct{ io.Reader }{reader}
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, reader)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	maps.Copy(req.Header, r.header)
	req.Header.Set("x-api-key", c.key)
	if c.user != "" {
		req.Header.Set("X-Errand-User", c.user)
	}
	if body.kind != "" {
		req.Header.Set("Content-Type", body.kind)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, cutError{err}
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		defer res.Body.Close() //nolint:errcheck // only its text was wanted
		return nil, readError(res)
	}
	return res, nil
}

// newKey makes an idempotency key.
func newKey() string { return "sdk-" + rand.Text() }

// query makes a query of what is not empty.
func query(values map[string]string) url.Values {
	q := url.Values{}
	for name, value := range values {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}
