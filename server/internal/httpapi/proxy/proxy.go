// Package proxy lets the attempts of tasks ask models with the server's own accounts
// (rule B2). A caller shows the token of its attempt in the place of a provider's key;
// the real key stays here. Answers pass through as they come, and what they have used
// is counted on the task before their end is passed on, so that no further call is made
// behind a limit of its budget.
package proxy

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/task"
)

// Service is what the proxy needs to know of tasks.
type Service interface {
	ByModelToken(ctx context.Context, token string) (task.Task, error)
	MaySpend(ctx context.Context, org, id string, number int, priced bool) error
	Spend(ctx context.Context, org, taskID, id string, use task.Use, partial *string) error
}

// Options are what the proxy is made of.
type Options struct {
	Service   Service
	Providers []model.Provider
	Prices    model.Prices
	// Client asks the providers.
	Client *http.Client
	// Timeout bounds each write to a caller.
	Timeout time.Duration
	Log     *slog.Logger
}

// prefix is where all paths of the proxy begin.
const prefix = "/proxy/"

const (
	// maxRequest bounds a request, and maxAnswer an answer that is no stream, in bytes.
	maxRequest = 20 << 20
	maxAnswer  = 64 << 20
	// patience is how long a provider may say nothing.
	patience = 10 * time.Minute
	// lastWord is how long it is tried to count what was used while the store does not
	// answer.
	lastWord = 30 * time.Second
	// maxRest is the longest rest that a caller is told to take (Retry-After), in seconds.
	maxRest = "60"
)

// wire is how a provider is spoken to.
type wire struct {
	provider, path string
}

// Face is the proxy as one of the server's faces: calls of models, and nothing else. They
// have no key of ours, but one of their attempt.
func Face(o Options) edge.Face {
	return edge.Face{
		Words:    []string{"proxy"},
		Register: func(mux *http.ServeMux) { register(mux, o) },
		Open:     func(*http.Request) bool { return true },
		Fail: func(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
			status, body := edge.Describe(r.Context(), log, err)
			h := &handler{wire: wire{provider: model.OpenAI}}
			if strings.HasPrefix(r.URL.Path, prefix+"anthropic/") {
				h.provider = model.Anthropic
			}
			maps.Copy(w.Header(), body.Header())
			h.refuse(w, &refusal{status, string(body.Code), body.Detail})
		},
	}
}

func register(mux *http.ServeMux, o Options) {
	for pattern, w := range map[string]wire{
		"openai/chat/completions":    {model.OpenAI, "/chat/completions"},
		"openai/v1/chat/completions": {model.OpenAI, "/chat/completions"},
		"anthropic/v1/messages":      {model.Anthropic, "/v1/messages"},
	} {
		mux.Handle("POST "+prefix+pattern, &handler{o, w})
	}
}

type handler struct {
	Options
	wire
}

// refusal is an error in the provider's form.
type refusal struct {
	status  int
	kind    string
	message string
}

func (f *refusal) Error() string { return f.message }

// refused says in the provider's words what the service has said.
func refused(err error) *refusal {
	told, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return &refusal{http.StatusInternalServerError, "api_error", "something went wrong in the server"}
	}
	switch told.Code { //nolint:exhaustive // the others do not come here
	case fault.Unauthenticated:
		return &refusal{http.StatusUnauthorized, "authentication_error", told.Message}
	case fault.Conflict, fault.Invalid: // 429 would be tried again
		return &refusal{http.StatusForbidden, "permission_error", told.Message}
	case fault.Unavailable:
		return &refusal{http.StatusServiceUnavailable, "api_error", told.Message}
	default:
		return &refusal{http.StatusInternalServerError, "api_error", "something went wrong in the server"}
	}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h.serve(w, r); err != nil {
		f, is := errors.AsType[*refusal](err)
		if !is {
			if r.Context().Err() == nil {
				h.Log.ErrorContext(r.Context(), "a call of a model through the server", "error", err)
			}
			f = refused(err)
		}
		h.refuse(w, f)
	}
}

func (h *handler) refuse(w http.ResponseWriter, f *refusal) {
	detail := map[string]any{"type": f.kind, "message": f.message}
	body := map[string]any{"error": detail}
	if h.provider == model.Anthropic {
		body["type"] = "error"
	} else {
		detail["param"], detail["code"] = nil, f.kind
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.status)
	_ = json.NewEncoder(w).Encode(body) // the caller may be gone
}

// call is one call of a model.
type call struct {
	task  task.Task
	model string
	body  []byte
	// quiet says that the caller has not asked for what was used, and is not to see it.
	quiet  bool
	stream bool
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request) error {
	token := cmp.Or(r.Header.Get("X-Api-Key"), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	t, err := h.Service.ByModelToken(r.Context(), token)
	if err != nil {
		return refused(err)
	}
	account, known := model.Account(h.Providers, h.provider)
	if !known {
		return &refusal{http.StatusNotFound, "not_found_error", "the server has no account at " + h.provider}
	}
	c, err := h.read(w, r)
	if err != nil {
		return err
	}
	c.task = t
	_, priced := h.Prices.Of(h.provider, c.model)
	if err := h.Service.MaySpend(r.Context(), t.OrganizationID, t.ID, t.Run.Number, priced); err != nil {
		return refused(err)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	silence := time.AfterFunc(patience, cancel)
	defer silence.Stop()
	res, err := h.ask(ctx, r, account, c.body)
	if err != nil {
		return &refusal{http.StatusBadGateway, "api_error", h.provider + " cannot be reached"}
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	switch {
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden: // what it says may show the key
		return &refusal{http.StatusBadGateway, "api_error", h.provider + " refuses the server's account"}
	case res.StatusCode != http.StatusOK:
		return h.pass(w, res)
	case c.stream && strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream"):
		return h.streamed(r.Context(), w, res, c, func() { silence.Reset(patience) })
	default:
		return h.whole(r.Context(), w, res, c)
	}
}

// read reads what is asked. A stream of chat completions is always asked to tell what
// it has used.
func (h *handler) read(w http.ResponseWriter, r *http.Request) (call, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return call{}, &refusal{http.StatusRequestEntityTooLarge, "request_too_large", "the request is longer than 20 MiB"}
	}
	unreadable := &refusal{http.StatusBadRequest, "invalid_request_error", "the request is no JSON object with a model"}
	if err != nil {
		return call{}, unreadable
	}
	var members map[string]json.RawMessage
	var asked struct {
		Model   string `json:"model"`
		Stream  bool   `json:"stream"`
		Options struct {
			Usage bool `json:"include_usage"`
		} `json:"stream_options"`
	}
	if json.Unmarshal(body, &members) != nil || json.Unmarshal(body, &asked) != nil || asked.Model == "" {
		return call{}, unreadable
	}
	c := call{model: asked.Model, body: body, stream: asked.Stream}
	if h.provider == model.Anthropic || !asked.Stream || asked.Options.Usage {
		return c, nil
	}
	c.quiet = true
	options := map[string]json.RawMessage{}
	if given := members["stream_options"]; len(given) > 0 {
		_ = json.Unmarshal(given, &options) // it was read above
	}
	if options == nil { // it was null
		options = map[string]json.RawMessage{}
	}
	options["include_usage"] = json.RawMessage("true")
	if members["stream_options"], err = json.Marshal(options); err != nil {
		return call{}, unreadable
	}
	c.body, err = json.Marshal(members)
	return c, err
}

// ask sends a call on, with the account's key and what the wire needs of the caller's
// headers: no other goes along.
func (h *handler) ask(ctx context.Context, r *http.Request, account model.Provider, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, account.BaseURL+h.path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	for _, name := range []string{"Accept", "Anthropic-Version", "Anthropic-Beta", "Openai-Beta"} {
		if given := r.Header.Values(name); len(given) > 0 {
			req.Header[name] = given
		}
	}
	switch {
	case account.Key == "":
	case h.provider == model.Anthropic:
		req.Header.Set("X-Api-Key", account.Key)
	default:
		req.Header.Set("Authorization", "Bearer "+account.Key)
	}
	return h.Client.Do(req)
}

// head begins an answer with what may be told of the provider's.
func head(w http.ResponseWriter, res *http.Response) {
	for _, name := range []string{"Content-Type", "X-Request-Id", "Request-Id", "X-Should-Retry", "Retry-After"} {
		if v := res.Header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	if after := res.Header.Get("Retry-After"); after != "" && (len(after) > len(maxRest) || len(after) == len(maxRest) && after > maxRest) {
		w.Header().Set("Retry-After", maxRest)
	}
	w.WriteHeader(res.StatusCode)
}

// pass passes an error of the provider on.
func (h *handler) pass(w http.ResponseWriter, res *http.Response) error {
	head(w, res)
	_, _ = io.Copy(w, io.LimitReader(res.Body, 1<<20)) // the caller, or the provider, may be gone
	return nil
}

// whole passes on an answer that is no stream.
func (h *handler) whole(ctx context.Context, w http.ResponseWriter, res *http.Response, c call) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	meter := model.NewMeter(h.provider)
	meter.Whole(body)
	if failed := h.count(ctx, c, meter); failed != nil {
		return failed
	}
	if err != nil || len(body) > maxAnswer {
		return &refusal{http.StatusBadGateway, "api_error", h.provider + " has broken off its answer"}
	}
	head(w, res)
	_, _ = w.Write(body) // the caller may be gone
	return nil
}

// streamed passes on an answer that is a stream, event by event.
func (h *handler) streamed(ctx context.Context, w http.ResponseWriter, res *http.Response, c call, heard func()) error {
	meter := model.NewMeter(h.provider)
	counted := false
	defer func() {
		if !counted {
			if err := h.count(ctx, c, meter); err != nil {
				h.Log.ErrorContext(ctx, "count what a model has used", "task_id", c.task.ID, "error", err)
			}
		}
	}()
	control := http.NewResponseController(w)
	head(w, res)
	lines := bufio.NewReaderSize(res.Body, 64<<10)
	var event []byte
	hide := false
	for {
		line, err := lines.ReadSlice('\n')
		heard()
		event = append(event, line...)
		if errors.Is(err, bufio.ErrBufferFull) && len(event) <= maxAnswer {
			continue
		}
		if err != nil || len(event) > maxAnswer { // cut off: it is passed on as it is
			_, _ = w.Write(event)
			return nil
		}
		start := bytes.LastIndexByte(event[:len(event)-1], '\n') + 1
		last := bytes.TrimRight(event[start:], "\r\n")
		if data, is := bytes.CutPrefix(last, []byte("data:")); is {
			over, usage := meter.Take(bytes.TrimSpace(data))
			hide = usage && c.quiet
			if over && !counted {
				if err := h.count(ctx, c, meter); err != nil {
					return nil // nothing more can be said; the answer ends without its end
				}
				counted = true
			}
		}
		if len(last) > 0 {
			continue
		}
		if !hide {
			_ = control.SetWriteDeadline(time.Now().Add(h.Timeout))
			if _, err := w.Write(event); err != nil {
				return nil // the caller is gone
			}
			_ = control.Flush()
		}
		event, hide = event[:0], false
	}
}

// count counts what a call has used, whatever becomes of the caller.
func (h *handler) count(ctx context.Context, c call, meter *model.Meter) error {
	used, estimated := meter.Used(len(c.body))
	use := h.Prices.Use(h.provider, c.model, used)
	use.Estimated = estimated
	id := uuid.NewString()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWord)
	defer cancel()
	for {
		err := h.Service.Spend(ctx, c.task.OrganizationID, c.task.ID, id, use, nil)
		switch fault.CodeOf(err) { //nolint:exhaustive // the others are for good
		case fault.NotFound: // deleted meanwhile
			return nil
		case fault.Unavailable:
		default:
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second / 2):
		}
	}
}
