// Package mcp gives models the tools of MCP servers: of servers that an agent or a task
// names by their URL, and of programs that the server's configuration defines (rule A4).
// What those servers do is not believed: names, schemas, sizes, times and ends are theirs.
package mcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/errand-dev/errand/server/internal/outbound"
	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/tool"
)

// Server is an MCP server whose tools a model may use.
type Server struct {
	// Name begins the names of its tools.
	Name string
	// URL is where it is reached over streamable HTTP, Headers what it is sent with each
	// request: they are secrets, and go to that address alone.
	URL     string
	Headers map[string]string
	// Program is, in the place of a URL, the name of one that the configuration defines.
	Program string
	// Allowed are the names of the tools that may be used, nil for all.
	Allowed []string
}

// Options say what a host may reach.
type Options struct {
	// Guard says which addresses may be dialled.
	Guard outbound.Guard
	// Programs are MCP servers on standard input and output, by name. One process of
	// each serves all attempts; it is started when it is first needed.
	Programs map[string]program.Program
	Log      *slog.Logger
	// Within bounds one call, Connecting how long a server may take until it has told
	// its tools, and Probing how long one may say nothing before it is taken for one of
	// an older revision; 0 is 5 minutes, 30 s and 10 s.
	Within, Connecting, Probing time.Duration
}

const (
	defaultWithin     = 5 * time.Minute
	defaultConnecting = 30 * time.Second
	defaultProbing    = 10 * time.Second
	// maxMessage bounds one message of a server, in bytes.
	maxMessage = 16 << 20
)

// Host reaches MCP servers. It is safe for concurrent use.
type Host struct {
	options   Options
	transport *http.Transport
	shared    map[string]*peer // by the names of programs
	closing   sync.WaitGroup
}

// NewHost makes a host.
func NewHost(o Options) *Host {
	o.Within, o.Connecting, o.Probing = cmp.Or(o.Within, defaultWithin), cmp.Or(o.Connecting, defaultConnecting), cmp.Or(o.Probing, defaultProbing)
	h := &Host{options: o, transport: o.Guard.Transport(), shared: map[string]*peer{}}
	for name, p := range o.Programs {
		h.shared[name] = &peer{
			name: name, within: o.Within, probing: o.Probing,
			clean: func(text string) string { return text }, dial: stdio{p, o.Log.With("mcp_server", name)}.dial,
		}
	}
	return h
}

// Close ends the programs, and waits for what is still being closed.
func (h *Host) Close() {
	for _, p := range h.shared {
		p.close()
	}
	h.closing.Wait()
	h.transport.CloseIdleConnections()
}

// UnreachableError is the error of a server of which no tools could be had. Its text is for
// people, without secrets.
type UnreachableError struct {
	Server, Why string
	// Lasting says that it would be no different later.
	Lasting bool
}

func (u *UnreachableError) Error() string {
	return fmt.Sprintf("the MCP server %s cannot be used: %s", u.Server, u.Why)
}

// Open reads the tools of servers, at all of them at once. They may be called until
// done is called. The list is what the servers say now: a tool that goes meanwhile is an
// error of its calls, and one that comes is there for the next attempt.
func (h *Host) Open(ctx context.Context, servers []Server) (tools []tool.Tool, done func(), err error) {
	var own []*peer
	done = func() {
		for _, p := range own {
			h.closing.Go(p.close)
		}
	}
	found := make([][]tool.Tool, len(servers))
	errs := make([]error, len(servers))
	var asking sync.WaitGroup
	for i, s := range servers {
		p, mine, err := h.peer(s)
		if err != nil {
			errs[i] = err
			continue
		}
		if mine {
			own = append(own, p)
		}
		asking.Go(func() {
			found[i], errs[i] = h.tools(ctx, p, s)
		})
	}
	asking.Wait()
	if err := cmp.Or(context.Cause(ctx), cmp.Or(errs...)); err != nil {
		done()
		return nil, nil, err
	}
	tools = slices.Concat(found...)
	distinguish(tools)
	return tools, done, nil
}

// peer is the way to a server; mine says that nobody else uses it.
func (h *Host) peer(s Server) (p *peer, mine bool, err error) {
	if s.Program != "" {
		p, known := h.shared[s.Program]
		if !known {
			return nil, false, &UnreachableError{s.Name, fmt.Sprintf("the server's configuration defines no MCP server %q", s.Program), true}
		}
		return p, false, nil
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, false, &UnreachableError{s.Name, "it needs an http or https URL", true}
	}
	w := &web{base: h.transport, headers: s.Headers, host: u.Host}
	return &peer{
		name: s.Name, web: true, within: h.options.Within, probing: h.options.Probing, clean: cleaner(u, s.Headers),
		dial: func() (sdk.Transport, error) {
			return &sdk.StreamableClientTransport{
				Endpoint: s.URL, HTTPClient: &http.Client{Transport: w, CheckRedirect: noRedirect},
				DisableStandaloneSSE: true, MaxRetries: 2, MaxEventSize: maxMessage,
			}, nil
		},
	}, true, nil
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (h *Host) tools(ctx context.Context, p *peer, s Server) ([]tool.Tool, error) {
	ctx, cancel := context.WithTimeout(ctx, h.options.Connecting)
	defer cancel()
	ctx, f := p.withFate(ctx)
	listed, err := p.list(ctx)
	if err != nil {
		why, lasting := p.explain(err, f)
		if errors.Is(err, context.DeadlineExceeded) {
			why = fmt.Sprintf("it did not tell its tools within %s", h.options.Connecting)
		}
		return nil, &UnreachableError{s.Name, why, lasting}
	}
	var tools []tool.Tool
	for _, t := range listed {
		if s.Allowed == nil || slices.Contains(s.Allowed, t.Name) {
			tools = append(tools, p.tool(s.Name, t))
		}
	}
	tool.Sort(tools)
	return tools, nil
}

// cleaner takes secrets out of a text: those of the headers, and the URL's query.
func cleaner(u *url.URL, headers map[string]string) func(string) string {
	secrets := slices.Collect(maps.Values(headers))
	for _, value := range secrets {
		if _, token, is := strings.Cut(value, " "); is { // Bearer …
			secrets = append(secrets, token)
		}
	}
	secrets = append(secrets, u.RawQuery)
	if word, is := u.User.Password(); is {
		secrets = append(secrets, word)
	}
	return func(text string) string {
		for _, s := range secrets {
			if s != "" {
				text = strings.ReplaceAll(text, s, "…")
			}
		}
		return text
	}
}
