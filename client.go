package errand

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
	"os"
	"strings"
	"time"

	"github.com/errand-dev/errand/internal/fault"
)

// Client talks to an Errand server. It is safe for concurrent use.
type Client struct {
	// Tasks creates, reads and steers tasks.
	Tasks *Tasks
	// Agents reads and applies agents.
	Agents *Agents
	// Files uploads files.
	Files *Files

	base string
	key  string
	http *http.Client
}

// Option changes how NewClient makes a client.
type Option func(*Client)

// WithURL sets the server's URL; otherwise it is ERRAND_URL, then XPANDER_BASE_URL.
func WithURL(u string) Option { return func(c *Client) { c.base = u } }

// WithKey sets the API key; otherwise it is ERRAND_API_KEY, then XPANDER_API_KEY.
func WithKey(key string) Option { return func(c *Client) { c.key = key } }

// WithHTTPClient sets the HTTP client. It must not have a Timeout, which would
// cut streams.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// NewClient makes a client. It fails when no URL or no key is known.
func NewClient(options ...Option) (*Client, error) {
	c := &Client{
		base: firstOf(os.Getenv("ERRAND_URL"), os.Getenv("XPANDER_BASE_URL")),
		key:  firstOf(os.Getenv("ERRAND_API_KEY"), os.Getenv("XPANDER_API_KEY")),
		http: &http.Client{},
	}
	for _, o := range options {
		o(c)
	}
	if c.base == "" {
		return nil, errors.New("no server: set ERRAND_URL, for example http://127.0.0.1:4747")
	}
	if c.key == "" {
		return nil, errors.New("no key: set ERRAND_API_KEY")
	}
	u, err := url.Parse(c.base)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("the server's URL %q is not an http or https URL", c.base)
	}
	c.base = strings.TrimRight(c.base, "/")
	c.Tasks, c.Agents, c.Files = &Tasks{c}, &Agents{c}, &Files{c}
	return c, nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// Code is the kind of an Error.
type Code = fault.Code

// The codes that callers most often ask for; Error.Code may be any of the
// server's closed list.
const (
	CodeInvalid         = fault.Invalid
	CodeUnauthenticated = fault.Unauthenticated
	CodeForbidden       = fault.Forbidden
	CodeNotFound        = fault.NotFound
	CodeConflict        = fault.Conflict
	CodeTooLarge        = fault.TooLarge
	CodeUnavailable     = fault.Unavailable
)

// Error is what the server answered instead of what was asked for.
type Error struct {
	Status    int
	Code      Code
	Message   string
	Field     string
	RequestID string
}

func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Message
	}
	return e.Message
}

// CodeOf is the code of an error that the server answered, "" for any other.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// request is one call of the API.
type request struct {
	method string
	path   string
	query  url.Values
	header http.Header
	body   any
}

// send makes a call and answers the response, whose status is 2xx.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	var body io.Reader
	kind := ""
	switch b := r.body.(type) {
	case nil:
	case io.Reader:
		body, kind = b, "application/octet-stream"
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body, kind = bytes.NewReader(encoded), "application/json"
	}
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	maps.Copy(req.Header, r.header)
	req.Header.Set("x-api-key", c.key)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		defer res.Body.Close() //nolint:errcheck // only its text was wanted
		return nil, readError(res)
	}
	return res, nil
}

// call makes a call and decodes the answer into out, unless that is nil.
func (c *Client) call(ctx context.Context, r request, out any) error {
	res, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // it has been read
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	return nil
}

// maxErrorBody bounds what is read of an error's body.
const maxErrorBody = 64 << 10

func readError(res *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(res.Body, maxErrorBody))
	if err != nil {
		return fmt.Errorf("read error answer: %w", err)
	}
	var body struct {
		Detail    string `json:"detail"`
		Code      Code   `json:"code"`
		Field     string `json:"field"`
		RequestID string `json:"request_id"`
	}
	e := &Error{Status: res.StatusCode, Code: fault.FromStatus(res.StatusCode)}
	if json.Unmarshal(text, &body) != nil || body.Detail == "" {
		e.Message = "the server answered " + res.Status
		return e
	}
	e.Message, e.Field, e.RequestID = body.Detail, body.Field, body.RequestID
	if body.Code != "" {
		e.Code = body.Code
	}
	return e
}

// seconds is d as the API counts time.
func seconds(d time.Duration) float64 { return d.Seconds() }
