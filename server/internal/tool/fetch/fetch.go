// Package fetch is the tool that reads a URL. Whatever the model names is hostile: only
// http and https, no private address, and limits on time, size, redirects and on what
// compressed content becomes. A request is a GET, without cookies or keys.
package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/outbound"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/runtime/profile"
	"github.com/errand-dev/errand/server/internal/tool"
)

const (
	// timeout bounds a request from its beginning to the last byte.
	timeout = 30 * time.Second
	// maxBody bounds what is read, in bytes, after decompression.
	maxBody = 4 << 20
	// maxHeader bounds the headers of an answer, in bytes.
	maxHeader    = 64 << 10
	maxRedirects = 5
	// piece is how much of a text one call answers, so that the rest of what it says
	// fits a result as well.
	piece = tool.MaxResult - 1<<10
)

// New makes the tool; the guard says which addresses may be dialled.
func New(guard outbound.Guard) tool.Source {
	transport := guard.Transport()
	transport.DisableKeepAlives = true
	transport.MaxResponseHeaderBytes = maxHeader
	f := &fetcher{&http.Client{Transport: transport, Timeout: timeout, CheckRedirect: checkRedirect}}
	fetch := tool.Tool{
		Name: string(agent.Fetch),
		Description: "Reads a web page or another text from an http or https URL. HTML is given as plain text with its links. " +
			"Long texts come in pieces: ask again with the offset that the end of a piece names.",
		Input: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["url"],"properties":{` +
			`"url":{"type":"string","description":"The URL, with its scheme."},` +
			`"offset":{"type":"integer","minimum":0,"description":"Where in the text to begin, in bytes; 0 when left out."}}}`),
		Idempotent: true,
		Run:        f.run,
	}
	return func(context.Context, *runtime.Attempt, agent.Agent) ([]tool.Tool, error) {
		return []tool.Tool{fetch}, nil
	}
}

func checkRedirect(next *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return check(next.URL)
}

// check says what is wrong with a URL.
func check(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return errors.New("only http and https URLs can be fetched")
	case u.User != nil:
		return errors.New("the URL must not hold a name or password")
	default:
		return nil
	}
}

type fetcher struct{ client *http.Client }

func (f *fetcher) run(ctx context.Context, c tool.Call) (tool.Result, error) {
	var asked struct {
		URL    string `json:"url"`
		Offset int    `json:"offset"`
	}
	if err := json.Unmarshal(c.Arguments, &asked); err != nil {
		return tool.Error(err.Error()), nil
	}
	u, err := url.Parse(strings.TrimSpace(asked.URL))
	if err != nil {
		return tool.Error("that is no URL"), nil //nolint:nilerr // the model is told
	}
	if err := check(u); err != nil {
		return tool.Error(err.Error()), nil
	}
	got, err := f.get(ctx, u)
	if err != nil {
		return tool.Error(explain(u.Host, err)), nil
	}
	if !got.ok {
		return tool.Error(got.head), nil
	}
	return tool.Text(got.head + "\n\n" + tool.Piece(got.text, asked.Offset, piece)), nil
}

// page is what a URL answers.
type page struct {
	ok         bool
	head, text string
}

func (f *fetcher) get(ctx context.Context, u *url.URL) (page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return page{}, err
	}
	req.Header.Set("Accept", "text/html, text/*;q=0.9, application/json;q=0.9, */*;q=0.5")
	req.Header.Set("User-Agent", "errand")
	res, err := f.client.Do(req)
	if err != nil {
		return page{}, err
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	at := res.Request.URL.Redacted()
	if res.StatusCode != http.StatusOK {
		return page{head: fmt.Sprintf("%s answered %s", at, res.Status)}, nil
	}
	if coding := res.Header.Get("Content-Encoding"); coding != "" { // what was asked for is decoded already
		return page{head: fmt.Sprintf("%s answered in the encoding %s, which was not asked for", at, coding)}, nil
	}
	kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil {
		kind = "no stated type"
	}
	text, err := profile.ReadText(http.MaxBytesReader(nil, res.Body, maxBody), maxBody)
	if err != nil {
		return page{}, err
	}
	if !text.Is {
		return page{head: fmt.Sprintf("%s is no text (%s)", at, kind)}, nil
	}
	if kind == "text/html" || kind == "application/xhtml+xml" {
		text.Text = plain(text.Text, res.Request.URL)
	}
	return page{true, fmt.Sprintf("%s (%s)", at, kind), text.Text}, nil
}

// explain says in words for the model what went wrong.
func explain(host string, err error) string {
	if outbound.Refused(err) {
		return "the server does not fetch from private addresses, where this leads (" + host + ")"
	}
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		return fmt.Sprintf("what %s answers is longer than %d bytes", host, maxBody)
	}
	if wrapped, is := errors.AsType[*url.Error](err); is && wrapped.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("%s took longer than %s", host, timeout)
	} else if is {
		err = wrapped.Err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return host + " broke off in the middle of its answer"
	}
	return strings.ToValidUTF8(fmt.Sprintf("fetch from %s: %v", host, err), string(utf8.RuneError))
}
