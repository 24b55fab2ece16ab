package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// cuttable is a way to a server on which event streams can be cut, as a bad
// network would.
type cuttable struct {
	next http.RoundTripper

	mu     sync.Mutex
	stream *cutBody // the newest
	cutN   int
}

// RoundTrip implements http.RoundTripper.
func (c *cuttable) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.next.RoundTrip(r)
	if err != nil || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return res, err
	}
	body := &cutBody{ReadCloser: res.Body}
	res.Body = body
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stream = body
	return res, nil
}

// cut cuts the newest stream.
func (c *cuttable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stream != nil && c.stream.cut() {
		c.cutN++
	}
}

// cuts is how often a stream was cut.
func (c *cuttable) cuts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cutN
}

// cutBody is the body of a stream.
type cutBody struct {
	io.ReadCloser
	once sync.Once
}

// cut closes the body under its reader, and reports whether that was new.
func (b *cutBody) cut() (isNew bool) {
	b.once.Do(func() { isNew = b.Close() == nil })
	return isNew
}

// read reads what a path of a server's says.
func (c *cuttable) read(ctx context.Context, at place, path string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.URL+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("x-api-key", at.Key)
	res, err := c.RoundTrip(r) // which follows no redirects
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// version is what a server says that it is.
func (c *cuttable) version(ctx context.Context, at place) (string, error) {
	var document struct {
		Info struct {
			Version string `json:"version"`
		} `json:"info"`
	}
	if err := c.read(ctx, at, "/v1/openapi.json", &document); err != nil {
		return "", err
	}
	if document.Info.Version == "" {
		return "", errors.New("its OpenAPI document has no version")
	}
	return document.Info.Version, nil
}
