package errand

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Code is the kind of an Error: one of a closed list.
type Code string

// The codes that the server answers with, and the HTTP status of each.
const (
	CodeMalformed        Code = "malformed"          // 400: the request cannot be read
	CodeUnauthenticated  Code = "unauthenticated"    // 401: no key, or one that is not valid
	CodeForbidden        Code = "forbidden"          // 403: the key's role does not allow this
	CodeNotFound         Code = "not_found"          // 404: no such thing in the key's organization
	CodeMethodNotAllowed Code = "method_not_allowed" // 405: the path is not there with this method
	CodeConflict         Code = "conflict"           // 409: the state does not allow it now
	CodeGone             Code = "gone"               // 410: it was there once and cannot come back
	CodeTooLarge         Code = "too_large"          // 413: a documented limit on bytes is exceeded
	CodeInvalid          Code = "invalid"            // 422: a field's value is not acceptable
	CodeRateLimited      Code = "rate_limited"       // 429: try again after Error.RetryAfter
	CodeInternal         Code = "internal"           // 500: the server's fault; its log has the cause
	CodeUnimplemented    Code = "unimplemented"      // 501: a route that is not built
	CodeUnavailable      Code = "unavailable"        // 503: the server cannot answer now; try again
)

// Codes lists every code, by its HTTP status.
func Codes() []Code {
	return []Code{
		CodeMalformed, CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeMethodNotAllowed, CodeConflict, CodeGone,
		CodeTooLarge, CodeInvalid, CodeRateLimited, CodeInternal, CodeUnimplemented, CodeUnavailable,
	}
}

// Status is the HTTP status that goes with a code; that of a code which is not
// one of the list is 500.
func (c Code) Status() int {
	switch c {
	case CodeMalformed:
		return http.StatusBadRequest
	case CodeUnauthenticated:
		return http.StatusUnauthorized
	case CodeForbidden:
		return http.StatusForbidden
	case CodeNotFound:
		return http.StatusNotFound
	case CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case CodeConflict:
		return http.StatusConflict
	case CodeGone:
		return http.StatusGone
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeInvalid:
		return http.StatusUnprocessableEntity
	case CodeRateLimited:
		return http.StatusTooManyRequests
	case CodeInternal:
		return http.StatusInternalServerError
	case CodeUnimplemented:
		return http.StatusNotImplemented
	case CodeUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// codeFor is the table read backwards, for an answer without a code: something
// between may have given it. A status that is not in the table falls back to its
// class.
func codeFor(status int) Code {
	for _, c := range Codes() {
		if c.Status() == status {
			return c
		}
	}
	if status >= 400 && status < 500 {
		return CodeMalformed
	}
	return CodeInternal
}

// One error for each code, for errors.Is.
var (
	ErrMalformed        = &Error{Code: CodeMalformed}
	ErrUnauthenticated  = &Error{Code: CodeUnauthenticated}
	ErrForbidden        = &Error{Code: CodeForbidden}
	ErrNotFound         = &Error{Code: CodeNotFound}
	ErrMethodNotAllowed = &Error{Code: CodeMethodNotAllowed}
	ErrConflict         = &Error{Code: CodeConflict}
	ErrGone             = &Error{Code: CodeGone}
	ErrTooLarge         = &Error{Code: CodeTooLarge}
	ErrInvalid          = &Error{Code: CodeInvalid}
	ErrRateLimited      = &Error{Code: CodeRateLimited}
	ErrInternal         = &Error{Code: CodeInternal}
	ErrUnimplemented    = &Error{Code: CodeUnimplemented}
	ErrUnavailable      = &Error{Code: CodeUnavailable}
)

// Error is what the server answered instead of what was asked for. An id that is
// none (empty, "." or "..") is refused with one, too, before it is sent.
type Error struct {
	// Status is the HTTP status.
	Status int
	Code   Code
	// Message is for people.
	Message string
	// Field names the field that was wrong, "" when it is about none.
	Field string
	// RequestID finds the request in the server's log.
	RequestID string
	// RetryAfter is how long the server asks to be left alone; 0 when it
	// does not say.
	RetryAfter time.Duration
}

func (e *Error) Error() string {
	switch {
	case e.Message == "":
		return string(e.Code)
	case e.Field != "":
		return e.Field + ": " + e.Message
	default:
		return e.Message
	}
}

// Is reports whether target is the error of the same code: ErrNotFound and so on.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Status == 0 && t.Code == e.Code
}

// reason is why one of many was refused.
type reason struct {
	Detail string `json:"detail"`
	Code   Code   `json:"code"`
	Field  string `json:"field"`
}

// err is the reason as an *Error; nil for none.
func (r *reason) err() error {
	if r == nil {
		return nil
	}
	return &Error{Status: r.Code.Status(), Code: r.Code, Message: r.Detail, Field: r.Field}
}

// CodeOf is the code of an error that the server answered, "" for any other.
func CodeOf(err error) Code {
	if e, ok := as[*Error](err); ok {
		return e.Code
	}
	return ""
}

// as is the first error of a type among those that err wraps.
func as[E error](err error) (E, bool) {
	var e E
	ok := errors.As(err, &e)
	return e, ok
}

// maxErrorBody bounds what is read of an error's body.
const maxErrorBody = 64 << 10

func readError(res *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(res.Body, maxErrorBody))
	if err != nil {
		return cutError{fmt.Errorf("read error answer: %w", err)}
	}
	var body struct {
		Detail    string `json:"detail"`
		Code      Code   `json:"code"`
		Field     string `json:"field"`
		RequestID string `json:"request_id"`
	}
	e := &Error{
		Status: res.StatusCode, Code: codeFor(res.StatusCode),
		RetryAfter: retryAfter(res.Header.Get("Retry-After"), time.Now()),
	}
	if json.Unmarshal(text, &body) != nil || body.Detail == "" {
		e.Message = "the server answered " + described(res, text)
		return e
	}
	e.Message, e.Field, e.RequestID = body.Detail, body.Field, body.RequestID
	if body.Code != "" {
		e.Code = body.Code
	}
	return e
}

// foreignError is an answer of another form than the server's, as a proxy or a login
// page gives it with status 200.
type foreignError struct {
	what  string // its status, content type and first line
	cause error
}

func (e *foreignError) Error() string {
	if e.cause == nil {
		return "this is not the server's answer: " + e.what
	}
	return fmt.Sprintf("this is not the server's answer (%v): %s", e.cause, e.what)
}

func (e *foreignError) Unwrap() error { return e.cause }

// foreignLine is how many bytes of a foreign answer's first line are told.
const foreignLine = 100

// foreign is the error of an answer that begins with text.
func foreign(res *http.Response, text []byte, cause error) error {
	return &foreignError{what: described(res, text), cause: cause}
}

// described tells an answer that is not the server's own by its status, its content
// type and its first line.
func described(res *http.Response, text []byte) string {
	told := res.Status
	if kind := res.Header.Get("Content-Type"); kind != "" {
		told += ", " + kind
	}
	line, _, _ := strings.Cut(strings.TrimSpace(strings.ToValidUTF8(string(text[:min(len(text), foreignLine)]), "")), "\n")
	if line = strings.TrimSpace(line); line != "" {
		told += ", " + strconv.Quote(line)
	}
	return told
}

// retryAfter reads the header of that name: seconds, or a moment.
func retryAfter(value string, now time.Time) time.Duration {
	if s, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(0, s), math.MaxInt32)) * time.Second // more than that is for ever
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
