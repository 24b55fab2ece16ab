package model

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/tmaxmax/go-sse"
)

// wire sends requests to a provider and reads its event streams.
type wire struct {
	Provider
	client *http.Client
}

// Patience with a provider: how long it may be silent, before its first byte (a local
// model is loaded first) and between any two.
const patience = 2 * time.Minute

// maxEvent bounds one event of a stream, in bytes.
const maxEvent = 16 << 20

// errSilent ends a request to a provider that says nothing.
var errSilent = fmt.Errorf("it was silent for %s", patience)

// host is the endpoint's host and port, for people.
func (w *wire) host() string {
	u, err := url.Parse(w.BaseURL)
	if err != nil {
		return "its address"
	}
	return u.Host
}

// errLeft ends a request whose answer nobody takes any more.
var errLeft = errors.New("nobody takes the answer")

// exchange sends a request and hands each event of the answer to take, until take
// says that it was the last. Its error is an *Error, what take returned, or the
// cause of the context's end.
func (w *wire) exchange(ctx context.Context, path string, header http.Header, body any, take func(name string, data []byte) (more bool, err error)) error {
	content, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	asking, cancel := context.WithCancelCause(context.WithoutCancel(ctx)) // what is behind the last event is read without the caller
	defer context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })()
	silence := time.AfterFunc(patience, func() { cancel(errSilent) })
	defer silence.Stop()
	res, err := w.send(asking, http.MethodPost, path, header, bytes.NewReader(content))
	if err != nil {
		defer cancel(nil)
		return w.interrupted(asking, w.unreachable(err))
	}
	over := false
	defer func() {
		if over {
			go leave(res.Body, cancel)
			return
		}
		cancel(nil)
		_ = res.Body.Close() // it was only read
	}()
	over, err = w.hear(asking, res, func() { silence.Reset(patience) }, take)
	return err
}

// hear hands the events of an answer to take; over says that take had the last.
func (w *wire) hear(ctx context.Context, res *http.Response, heard func(), take func(name string, data []byte) (more bool, err error)) (over bool, err error) {
	if err := w.check(res); err != nil {
		return false, w.interrupted(ctx, err)
	}
	for e, err := range sse.Read(&noisy{res.Body, heard}, &sse.ReadConfig{MaxEventSize: maxEvent}) {
		if err != nil {
			return false, w.interrupted(ctx, w.cutOff(err))
		}
		if e.Data == "" {
			continue
		}
		if more, err := take(e.Type, []byte(e.Data)); err != nil || !more {
			return err == nil, err
		}
	}
	return false, w.interrupted(ctx, nil)
}

// How much is read behind the last event of an answer, and for how long.
const (
	leftBytes = 4 << 10
	leftTime  = time.Second
)

// leave reads an answer to its end, without which its connection could not be used for
// the next request.
func leave(body io.ReadCloser, cancel context.CancelCauseFunc) {
	defer time.AfterFunc(leftTime, func() { cancel(nil) }).Stop()
	defer cancel(nil)
	_, _ = io.CopyN(io.Discard, body, leftBytes) // whatever is wrong with it, the answer is whole
	_ = body.Close()
}

func (w *wire) send(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.BaseURL+path, body)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, header)
	req.Header.Set("Content-Type", "application/json")
	return w.client.Do(req)
}

// check returns an error for an answer that is none.
func (w *wire) check(res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxErrorBody))
	if err != nil && len(body) == 0 {
		body = nil // the status says enough
	}
	return w.answered(res.StatusCode, res.Header, body)
}

// interrupted puts the cause of the context's end, if it has one, before what followed
// from it.
func (w *wire) interrupted(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errSilent):
		return w.cutOff(cause)
	case cause != nil:
		return cause
	default:
		return err
	}
}

// noisy tells whenever something was read.
type noisy struct {
	from  io.Reader
	heard func()
}

func (n *noisy) Read(p []byte) (int, error) {
	read, err := n.from.Read(p)
	n.heard()
	return read, err
}
