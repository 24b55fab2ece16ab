package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"
)

// client calls the API as any program would. Nothing is retried and every
// answer is looked at by the caller.
type client struct {
	base string
	http *http.Client
}

func newClient(base string) *client {
	return &client{base: base, http: &http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute,
	}}}
}

// answer is what the server said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, tail(string(a.body), 600)) }

// into decodes the body.
func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("decode %s: %v", a, err)
	}
}

// callLimit bounds one call; long polls are given more by their callers.
const callLimit = 40 * time.Second

// request makes a request with the key.
func (c *client) request(ctx context.Context, method, path string, body any, headers ...string) (*http.Request, error) {
	var content io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		content = bytes.NewReader([]byte(b))
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("x-api-key", adminKey)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req, nil
}

// call makes a call. An error means that there was no whole answer: whether
// the server has done it is unknown.
func (c *client) call(ctx context.Context, method, path string, body any, headers ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	req, err := c.request(ctx, method, path, body, headers...)
	if err != nil {
		return answer{}, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close() //nolint:errcheck // it was read to its end, or has failed
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	return answer{status: res.StatusCode, header: res.Header, body: text}, nil
}

// must makes a call that has to be answered with a status.
func (c *client) must(t *testing.T, status int, method, path string, body any, headers ...string) answer {
	t.Helper()
	a, err := c.call(t.Context(), method, path, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if a.status != status {
		t.Fatalf("%s %s: %s, not %d", method, path, a, status)
	}
	return a
}

// obj is a JSON object.
type obj = map[string]any

// putWorkerAgent makes an agent for remote workers.
func (c *client) putWorkerAgent(t *testing.T, id string, lease int) {
	t.Helper()
	c.must(t, http.StatusOK, http.MethodPut, "/v1/agents/"+id, obj{"name": "w", "runtime": "worker", "lease_seconds": lease})
}

// taskView is what the tests look at of a task.
type taskView struct {
	ID    string `json:"id"`
	Turn  int    `json:"turn"`
	Input struct {
		Text  string   `json:"text"`
		Files []string `json:"files"`
	} `json:"input"`
	Status    string          `json:"status"`
	EndReason string          `json:"end_reason"`
	Result    *string         `json:"result"`
	Title     string          `json:"title"`
	Attempt   int             `json:"attempt"`
	Number    int             `json:"execution_attempts"`
	LastSeq   int64           `json:"last_event_seq"`
	Waiting   json.RawMessage `json:"waiting"`
}

func (v taskView) ended() bool {
	switch v.Status {
	case "completed", "failed", "error", "stopped":
		return true
	}
	return false
}

func (c *client) task(t *testing.T, id string) taskView {
	t.Helper()
	var v taskView
	c.must(t, http.StatusOK, http.MethodGet, "/v1/tasks/"+id, nil).into(t, &v)
	return v
}

func (c *client) create(t *testing.T, body obj) taskView {
	t.Helper()
	var v taskView
	c.must(t, http.StatusCreated, http.MethodPost, "/v1/tasks", body).into(t, &v)
	return v
}

// claimed is one claim.
type claimed struct {
	Task  taskView `json:"task"`
	Lease struct {
		Token     string    `json:"token"`
		Seconds   float64   `json:"seconds"`
		ExpiresAt time.Time `json:"expires_at"`
		Attempt   int       `json:"attempt"`
	} `json:"lease"`
	TraceParent string `json:"traceparent"`
}

// claims asks for a task.
func (c *client) claims(ctx context.Context, agent, worker string, wait float64) ([]claimed, answer, error) {
	return takeClaims(c.call(ctx, http.MethodPost, "/v1/claim", claimBody(agent, worker, 1, wait)))
}

func claimBody(agent, worker string, slots int, wait float64) obj {
	return obj{"agent_ids": []string{agent}, "worker_id": worker, "slots": slots, "wait": wait}
}

// takeClaims reads the answer to a claim.
func takeClaims(a answer, err error) ([]claimed, answer, error) {
	if err != nil {
		return nil, a, err
	}
	var got struct {
		Claims []claimed `json:"claims"`
	}
	if a.status == http.StatusOK {
		err = json.Unmarshal(a.body, &got)
	}
	return got.Claims, a, err
}

// claim takes exactly one task.
func (c *client) claim(t *testing.T, agent, worker string) claimed {
	t.Helper()
	got, a, err := c.claims(t.Context(), agent, worker, 10)
	if err != nil || len(got) != 1 {
		t.Fatalf("claim of %s: %v, %s", agent, err, a)
	}
	return got[0]
}

// logged is one event of a log.
type logged struct {
	ID   int64           `json:"id"`
	Type string          `json:"type"`
	Turn int             `json:"turn"`
	Time time.Time       `json:"time"`
	Data json.RawMessage `json:"data"`
}

// log reads the whole log of a task, both decoded and as it was sent.
func (c *client) log(ctx context.Context, id string) ([]logged, []json.RawMessage, error) {
	var events []logged
	var raws []json.RawMessage
	after := int64(0)
	for {
		q := url.Values{"limit": {"1000"}, "after": {strconv.FormatInt(after, 10)}}
		a, err := c.call(ctx, http.MethodGet, "/v1/tasks/"+id+"/events?"+q.Encode(), nil)
		if err != nil {
			return nil, nil, err
		}
		if a.status != http.StatusOK {
			return nil, nil, fmt.Errorf("read log: %s", a)
		}
		var page struct {
			Items []json.RawMessage `json:"items"`
		}
		if err := json.Unmarshal(a.body, &page); err != nil {
			return nil, nil, err
		}
		if len(page.Items) == 0 {
			return events, raws, nil
		}
		for _, raw := range page.Items {
			var e logged
			if err := json.Unmarshal(raw, &e); err != nil {
				return nil, nil, err
			}
			events, raws, after = append(events, e), append(raws, raw), e.ID
		}
	}
}

func (c *client) mustLog(t *testing.T, id string) ([]logged, []json.RawMessage) {
	t.Helper()
	events, raws, err := c.log(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return events, raws
}
