package errand

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Client talks to an Errand server. It is safe for concurrent use.
type Client struct {
	// Tasks creates, reads and steers tasks.
	Tasks *Tasks
	// Agents reads and changes agents, and invokes them.
	Agents *Agents
	// Files uploads, lists and deletes files.
	Files *Files
	// Approvals reads and answers what tasks ask of people.
	Approvals *Approvals
	// Keys makes and revokes API keys. It needs an admin key.
	Keys *Keys
	// Webhooks makes and deletes addresses that are told of tasks.
	Webhooks *Webhooks

	base  string
	key   string
	user  string // for whom it acts, "" for nobody
	http  *http.Client
	retry time.Duration
	files fetcher
	// inline bounds the texts of files in messages.
	inline inlineLimits
}

// defaultRetry is for how long a call is repeated that may be.
const defaultRetry = 3 * time.Second

// Option changes how NewClient makes a client.
type Option func(*Client)

// WithURL sets the server's URL; otherwise it is ERRAND_URL, then
// XPANDER_BASE_URL.
func WithURL(u string) Option { return func(c *Client) { c.base = u } }

// WithKey sets the API key; otherwise it is ERRAND_API_KEY, then
// XPANDER_API_KEY.
func WithKey(key string) Option { return func(c *Client) { c.key = key } }

// WithHTTPClient sets the HTTP client that talks to the server. It must not
// have a Timeout, which would cut streams, and should not follow redirects,
// which would carry the key to another host.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithRetry sets for how long a call goes on being repeated when the server
// cannot be reached or says that it cannot answer now; 0 repeats nothing. The
// default is 3 s, enough for a restart. See the package's documentation for
// which calls are repeated.
func WithRetry(d time.Duration) Option { return func(c *Client) { c.retry = d } }

// WithPrivateFiles lets the files of tasks be read from some hosts that are not
// on the public internet, too: networks such as 10.0.0.0/8, addresses, and
// names, which stand for their subdomains as well. Otherwise it is
// ERRAND_FETCH_ALLOW, then XPANDER_INTERNAL_FETCH_ALLOWLIST, separated by
// commas. The server itself may always be read from. Link-local addresses,
// where clouds keep their secrets, never are.
func WithPrivateFiles(hosts ...string) Option {
	return func(c *Client) { c.files.allow = hosts }
}

// WithFileClient sets the HTTP client that reads the files of tasks. What it
// may reach is then its own affair.
func WithFileClient(h *http.Client) Option { return func(c *Client) { c.files.http = h } }

// NewClient makes a client. It fails when no URL or no key is known.
func NewClient(options ...Option) (*Client, error) {
	c := &Client{
		base:  firstOf(os.Getenv("ERRAND_URL"), pythonURL(os.Getenv("XPANDER_BASE_URL"))),
		key:   firstOf(os.Getenv("ERRAND_API_KEY"), os.Getenv("XPANDER_API_KEY")),
		http:  newHTTPClient(),
		retry: defaultRetry, inline: inlineFromEnv(),
	}
	c.files.allow = splitList(firstOf(os.Getenv("ERRAND_FETCH_ALLOW"), os.Getenv("XPANDER_INTERNAL_FETCH_ALLOWLIST")))
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
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("the server's URL %q is not an http or https URL", c.base)
	}
	c.base = strings.TrimRight(c.base, "/")
	c.files.own = hostPort(u)
	if c.files.http == nil {
		c.files.http = c.files.guarded()
	}
	c.expose()
	return c, nil
}

// expose makes the groups of verbs.
func (c *Client) expose() {
	c.Tasks, c.Agents, c.Files, c.Keys, c.Approvals, c.Webhooks = &Tasks{c}, &Agents{c}, &Files{c}, &Keys{c}, &Approvals{c}, &Webhooks{c}
}

// ForUser returns a client that acts for a user of yours, named by at most 128
// bytes: what it makes is the user's, and with a key that sees its own it sees what
// is the user's. It needs a key that is Trusted; the server refuses any other with
// ErrForbidden. The clients share their connections, so that a program may make
// one for each request of its own. The name "" is nobody: it acts for its key.
func (c *Client) ForUser(name string) *Client {
	other := *c
	other.user = name
	other.expose()
	return &other
}

// SignInLink makes a URL that signs a browser in as the client's key and leads to a page
// of the web UI, such as "/ui/tasks/task-456", "" for its first. It does so once, for whoever
// opens it first within 10 minutes: do not log it. It is never repeated by itself.
func (c *Client) SignInLink(ctx context.Context, page string) (string, error) {
	var link struct {
		Path string `json:"path"`
	}
	err := c.call(ctx, request{method: http.MethodPost, path: "/v1/session/links", body: struct {
		Next string `json:"next,omitempty"`
	}{page}}, &link)
	if err != nil {
		return "", err
	}
	return c.base + link.Path, nil
}

// String names the server and not the key.
func (c *Client) String() string { return "client of " + c.base }

// newHTTPClient keeps enough connections for a worker with many slots.
func newHTTPClient() *http.Client {
	h := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		t = t.Clone()
		t.MaxIdleConnsPerHost = 64
		h.Transport = t
	}
	return h
}

// pythonURL reads the Python client's variable, which may lack its scheme.
func pythonURL(u string) string {
	if u == "" || strings.Contains(u, "://") {
		return u
	}
	return "https://" + u
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
