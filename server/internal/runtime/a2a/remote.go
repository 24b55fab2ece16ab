package a2a

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2aclient"
)

// remote is a remote agent at one of the interfaces of its card.
type remote struct {
	a2aclient.Transport
	tenant  string
	streams bool
	// pollEvery is how often one is asked that has no streams.
	pollEvery time.Duration
}

// lastingError is what another attempt would meet, too.
type lastingError struct{ message string }

func (e *lastingError) Error() string { return e.message }

const (
	maxCard     = 1 << 20
	cardTimeout = 20 * time.Second
	pollEvery   = time.Second
	maxPages    = 20 // of a context's tasks
)

// dial reads the card of the agent at base, and chooses its first interface of A2A 1.0.
func dial(ctx context.Context, client *http.Client, base string, headers map[string]string) (*remote, error) {
	at, err := url.Parse(base)
	if err != nil {
		return nil, &lastingError{"the URL of the remote agent is none"}
	}
	own := *client
	with := &headed{RoundTripper: client.Transport, to: at, headers: headers}
	own.Transport = with
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	card, err := readCard(ctx, &own, at)
	if err != nil {
		return nil, err
	}
	for _, i := range card.SupportedInterfaces {
		if i == nil || !strings.HasPrefix(string(i.ProtocolVersion)+".", "1.") {
			continue
		}
		where, err := url.Parse(i.URL)
		if err != nil {
			continue
		}
		r := &remote{tenant: i.Tenant, streams: card.Capabilities.Streaming, pollEvery: pollEvery}
		switch i.ProtocolBinding { //nolint:exhaustive // gRPC is not spoken
		case a2a.TransportProtocolJSONRPC:
			with.rpc = true
			r.Transport = a2aclient.NewJSONRPCTransport(i.URL, &own)
		case a2a.TransportProtocolHTTPJSON:
			r.Transport = a2aclient.NewRESTTransport(where, &own)
		default:
			continue
		}
		return r, nil
	}
	return nil, &lastingError{fmt.Sprintf("the remote agent %s has no interface of A2A 1.0 by JSON-RPC or HTTP", card.Name)}
}

// headed sends an agent's headers to the origin of its URL, and to no other that its card
// may name. It bounds what is answered, and says what an answer means that the transports do
// not understand.
type headed struct {
	http.RoundTripper
	to      *url.URL
	headers map[string]string
	// rpc says that a refusal is no answer of the protocol's.
	rpc bool
}

// The most that is read of an answer, and of a stream, in bytes.
const (
	maxAnswer = 64 << 20
	maxStream = 512 << 20
)

// RoundTrip implements http.RoundTripper.
func (h *headed) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == h.to.Scheme && req.URL.Host == h.to.Host {
		req = req.Clone(req.Context())
		for name, value := range h.headers {
			req.Header.Set(name, value)
		}
	}
	res, err := h.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	most := int64(maxAnswer)
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if kind == "text/event-stream" {
		most = maxStream
	}
	res.Body = &bounded{res.Body, most}
	switch code := res.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden,
		h.rpc && code/100 == 4 && code != http.StatusRequestTimeout && code != http.StatusTooManyRequests:
		_ = res.Body.Close()
		return nil, &lastingError{"the remote agent answers " + res.Status}
	case code == http.StatusOK && kind == "application/json" && req.Header.Get("Accept") == "text/event-stream":
		defer res.Body.Close() //nolint:errcheck // it was only read
		return nil, plainError(res.Body)
	}
	return res, nil
}

// plainError is what stands in the place of a stream.
func plainError(body io.Reader) error {
	var answer struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.NewDecoder(body).Decode(&answer); err != nil || answer.Error.Message == "" {
		return errSilent
	}
	return &lastingError{"the remote agent refuses: " + answer.Error.Message}
}

// bounded is a body of which so much is read at most.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, &lastingError{"the remote agent's answer is too long"}
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

func readCard(ctx context.Context, client *http.Client, base *url.URL) (*a2a.AgentCard, error) {
	ctx, cancel := context.WithTimeout(ctx, cardTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath(".well-known/agent-card.json").String(), http.NoBody)
	if err != nil {
		return nil, &lastingError{"the URL of the remote agent is none"}
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the remote agent cannot be reached: %w", err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(io.LimitReader(res.Body, maxCard))
	switch {
	case res.StatusCode >= http.StatusInternalServerError || res.StatusCode == http.StatusTooManyRequests:
		return nil, fmt.Errorf("the remote agent answers %s", res.Status)
	case res.StatusCode != http.StatusOK:
		return nil, &lastingError{fmt.Sprintf("the remote agent has no card for us at %s: it answers %s", req.URL.Redacted(), res.Status)}
	case err != nil:
		return nil, fmt.Errorf("the remote agent cannot be reached: %w", err)
	}
	card := new(a2a.AgentCard)
	if err := json.Unmarshal(content, card); err != nil {
		return nil, &lastingError{fmt.Sprintf("what the remote agent has at %s is no agent card", req.URL.Redacted())}
	}
	return card, nil
}

// version is what each request says.
func version() a2aclient.ServiceParams {
	return a2aclient.ServiceParams{"a2a-version": {string(a2a.Version)}}
}

// send sends a message, and yields what follows.
func (r *remote) send(ctx context.Context, m *a2a.Message) iter.Seq2[a2a.Event, error] {
	req := &a2a.SendMessageRequest{Tenant: r.tenant, Message: m}
	if r.streams {
		return r.SendStreamingMessage(ctx, version(), req)
	}
	req.Config = &a2a.SendMessageConfig{ReturnImmediately: true}
	return func(yield func(a2a.Event, error) bool) {
		answer, err := r.SendMessage(ctx, version(), req)
		e, _ := answer.(a2a.Event)
		if yield(e, err) && err == nil {
			r.poll(ctx, answer, yield)
		}
	}
}

// poll asks for a task until nobody listens any more.
func (r *remote) poll(ctx context.Context, answer a2a.SendMessageResult, yield func(a2a.Event, error) bool) {
	t, is := answer.(*a2a.Task)
	if !is {
		return
	}
	for {
		select {
		case <-ctx.Done():
			yield(nil, context.Cause(ctx))
			return
		case <-time.After(r.pollEvery):
		}
		now, err := r.get(ctx, t.ID)
		if !yield(now, err) || err != nil {
			return
		}
	}
}

// subscribe yields what happens to a task from now on.
func (r *remote) subscribe(ctx context.Context, id a2a.TaskID) iter.Seq2[a2a.Event, error] {
	if r.streams {
		return r.SubscribeToTask(ctx, version(), &a2a.SubscribeToTaskRequest{Tenant: r.tenant, ID: id})
	}
	return func(yield func(a2a.Event, error) bool) { r.poll(ctx, &a2a.Task{ID: id}, yield) }
}

func (r *remote) get(ctx context.Context, id a2a.TaskID) (*a2a.Task, error) {
	return r.GetTask(ctx, version(), &a2a.GetTaskRequest{Tenant: r.tenant, ID: id})
}

func (r *remote) cancel(ctx context.Context, id a2a.TaskID) error {
	_, err := r.CancelTask(ctx, version(), &a2a.CancelTaskRequest{Tenant: r.tenant, ID: id})
	return err
}

// list reads the tasks of a context, each with its history.
func (r *remote) list(ctx context.Context, in string) (all []*a2a.Task, err error) {
	history := 100
	req := &a2a.ListTasksRequest{Tenant: r.tenant, ContextID: in, PageSize: 100, HistoryLength: &history}
	for range maxPages {
		page, err := r.ListTasks(ctx, version(), req)
		if err != nil {
			return nil, err
		}
		for _, t := range page.Tasks {
			if t != nil {
				all = append(all, t)
			}
		}
		if req.PageToken = page.NextPageToken; req.PageToken == "" || len(page.Tasks) == 0 {
			break
		}
	}
	return all, nil
}
