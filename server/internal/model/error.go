package model

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/errand-dev/errand/server/internal/outbound"
)

// Error is what a provider has answered in the place of an answer, or why it could
// not be asked. Its text is for people: it holds neither headers nor keys nor what
// was asked.
type Error struct {
	Provider string
	// Status is the HTTP status, 0 when there was none.
	Status int
	// Message is the provider's own, at most 1 KiB.
	Message string
	// Temporary says that the same request may succeed later.
	Temporary bool
	// After is how long the provider wants to be left alone, 0 for what it did not say.
	After time.Duration
	// Access says that the key, the model's name or the address is wrong rather than
	// what was asked.
	Access bool
	// TooLong says that the conversation is longer than the model takes.
	TooLong bool
}

func (e *Error) Error() string {
	if e.Status == 0 {
		return e.Provider + ": " + e.Message
	}
	return fmt.Sprintf("%s answered %d: %s", e.Provider, e.Status, e.Message)
}

// Limits on what a provider's error may cost.
const (
	maxMessage   = 1 << 10
	maxErrorBody = 64 << 10
)

// answered makes an error of an answer that is not 200.
func (w *wire) answered(status int, header http.Header, body []byte) *Error {
	said := readError(body)
	if said.message == "" {
		if said.message = http.StatusText(status); said.message == "" {
			said.message = "it gave no reason"
		}
	}
	e := w.failed(status, said.message)
	e.After = retryAfter(header, time.Now())
	e.Temporary = temporaryStatus(status) && !unsupported.MatchString(said.message) && !said.is(lasting)
	e.Access = status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound || said.is(lasting)
	e.TooLong = !e.Temporary && (said.is(long) || long.MatchString(said.message))
	return e
}

// told makes an error of one that came within a stream. Its raw JSON is that of the
// member error.
func (w *wire) told(raw json.RawMessage) *Error {
	said := readErrorMember(raw)
	e := w.failed(0, said.message)
	if e.Message == "" {
		e.Message = "it broke off with an error without a reason"
	}
	e.Temporary = (temporaryStatus(said.status) || said.is(passing)) && !unsupported.MatchString(said.message)
	return e
}

// failed makes an error that says what it was told, without the key.
func (w *wire) failed(status int, message string) *Error {
	if w.Key != "" {
		message = strings.ReplaceAll(message, w.Key, "…")
	}
	return &Error{Provider: w.Name, Status: status, Message: cut(message, maxMessage)}
}

// unreachable makes an error of a request that got no answer.
func (w *wire) unreachable(err error) *Error {
	if outbound.Refused(err) {
		e := w.failed(0, "the server does not connect to private addresses ("+w.host()+
			"): its operator may allow this one (--allow-model-host)")
		e.Access = true
		return e
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	e := w.failed(0, "it cannot be reached at "+w.host()+": "+err.Error())
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	e.Temporary, e.Access = !untrusted, untrusted
	return e
}

// cutOff makes an error of a stream that ended before the answer did.
func (w *wire) cutOff(err error) *Error {
	message := "it broke off in the middle of its answer"
	if err != nil {
		message += ": " + err.Error()
	}
	e := w.failed(0, message)
	e.Temporary = true
	return e
}

func temporaryStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	default:
		return status >= 500 && status != http.StatusNotImplemented
	}
}

var (
	// unsupported is what some servers say with 500 of an image, say, that their model
	// cannot read.
	unsupported = regexp.MustCompile(`(?i)\b(not|un)\s?supported\b|does not support`)
	// passing are types and codes of errors in a stream that pass by themselves.
	passing = regexp.MustCompile(`overloaded|server_error|rate_limit|api_error|timeout|unavailable`)
	// long is what providers call a conversation that is too long for their model, or say
	// of it.
	long = regexp.MustCompile(`(?i)context_length_exceeded|exceed_context_size|prompt is too long|input is too long|` +
		`context (length|window|size)|maximum context|too many (input )?tokens`)
	// lasting are those of an account that has to be paid first.
	lasting = regexp.MustCompile(`insufficient_quota|billing`)
)

// said is what is understood of a provider's error.
type said struct {
	message string
	kinds   []string // its type and code
	status  int      // a code that is a number
}

func (s said) is(kind *regexp.Regexp) bool {
	return slices.ContainsFunc(s.kinds, kind.MatchString)
}

// readError reads the body of an error: an object with the member error, or with
// the message itself, or a line of text.
func readError(body []byte) said {
	var whole map[string]json.RawMessage
	if json.Unmarshal(body, &whole) != nil {
		text := strings.TrimSpace(string(body))
		if strings.HasPrefix(text, "<") { // a page of some proxy on the way
			text = ""
		}
		return said{message: text}
	}
	if raw, is := whole["error"]; is {
		return readErrorMember(raw)
	}
	return readErrorMember(body)
}

// readErrorMember reads an error that is a text or an object, whose code may be a
// number or a text.
func readErrorMember(raw json.RawMessage) said {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return said{message: text}
	}
	var e map[string]any
	if json.Unmarshal(raw, &e) != nil {
		return said{}
	}
	var s said
	for _, name := range [...]string{"message", "detail"} {
		if text, is := e[name].(string); is && s.message == "" {
			s.message = text
		}
	}
	for _, name := range [...]string{"type", "code"} {
		switch v := e[name].(type) {
		case string:
			s.kinds = append(s.kinds, v)
		case float64:
			s.status = int(v)
		}
	}
	return s
}

// retryAfter reads how long a provider wants to be left alone: milliseconds, seconds
// or a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		return positive(ms, time.Millisecond)
	}
	given := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(given, 64); err == nil {
		return positive(s, time.Second)
	}
	if at, err := http.ParseTime(given); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// positive is a number of units within bounds; what is no such number is 0.
func positive(n float64, unit time.Duration) time.Duration {
	const most = 48 * time.Hour
	switch {
	case !(n > 0):
		return 0
	case n > float64(most)/float64(unit):
		return most
	default:
		return time.Duration(n * float64(unit))
	}
}

// cut ends a text at a limit of bytes.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len("…")], "") + "…"
}
