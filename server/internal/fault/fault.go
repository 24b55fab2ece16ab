// Package fault holds the closed set of error codes that cross Errand's edges,
// and the one table that maps them to HTTP and back.
package fault

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Code is the stable, machine-readable name of a kind of error.
type Code string

// The codes. Every error that leaves a face of Errand carries exactly one.
const (
	// Malformed: the request cannot be read at all (broken JSON, bad cursor).
	Malformed Code = "malformed"
	// Unauthenticated: no key, or one that is not valid.
	Unauthenticated Code = "unauthenticated"
	// Forbidden: the key is valid but its role does not allow this.
	Forbidden Code = "forbidden"
	// NotFound: no such thing in the key's organization.
	NotFound Code = "not_found"
	// MethodNotAllowed: the path is there, but not with this method; Allow has those that are.
	MethodNotAllowed Code = "method_not_allowed"
	// Conflict: the state does not allow it now (illegal transition, lost lease).
	Conflict Code = "conflict"
	// Gone: it was there once and cannot come back.
	Gone Code = "gone"
	// TooLarge: a body or a value exceeds a documented limit on bytes.
	TooLarge Code = "too_large"
	// Invalid: the request was read, but a field's value is not acceptable.
	Invalid Code = "invalid"
	// RateLimited: try again after Retry-After.
	RateLimited Code = "rate_limited"
	// Internal: our fault; the cause is in the server's log.
	Internal Code = "internal"
	// Unimplemented: a documented route of the protocol that is not built.
	Unimplemented Code = "unimplemented"
	// Unavailable: the server or its store cannot answer now; try again.
	Unavailable Code = "unavailable"
)

// entry is one line of the code table.
type entry struct {
	code   Code
	status int
}

// table is walked in order in both directions, so no two lines may share a
// code or a status.
func table() []entry {
	return []entry{
		{Malformed, http.StatusBadRequest},
		{Unauthenticated, http.StatusUnauthorized},
		{Forbidden, http.StatusForbidden},
		{NotFound, http.StatusNotFound},
		{MethodNotAllowed, http.StatusMethodNotAllowed},
		{Conflict, http.StatusConflict},
		{Gone, http.StatusGone},
		{TooLarge, http.StatusRequestEntityTooLarge},
		{Invalid, http.StatusUnprocessableEntity},
		{RateLimited, http.StatusTooManyRequests},
		{Internal, http.StatusInternalServerError},
		{Unimplemented, http.StatusNotImplemented},
		{Unavailable, http.StatusServiceUnavailable},
	}
}

// Codes lists every code, in the order of the table.
func Codes() []Code {
	var codes []Code
	for _, e := range table() {
		codes = append(codes, e.code)
	}
	return codes
}

// Status is the HTTP status of a code; an unknown code is 500.
func (c Code) Status() int {
	for _, e := range table() {
		if e.code == c {
			return e.status
		}
	}
	return http.StatusInternalServerError
}

// FromStatus is the table read backwards, for clients. A status that is not
// in the table falls back to its class: 4xx is Malformed, the rest Internal.
func FromStatus(status int) Code {
	for _, e := range table() {
		if e.status == status {
			return e.code
		}
	}
	if status >= 400 && status < 500 {
		return Malformed
	}
	return Internal
}

// Error is an error that may be shown to a client: its message names what was
// wrong and never carries a cause or a secret.
type Error struct {
	// Code is the kind of error.
	Code Code
	// Message is safe to show and says what to do where that helps.
	Message string
	// Field is the path of the offending field, "" when there is none.
	Field string
	// RetryAfter is when to try again, for RateLimited and Unavailable; 0
	// when that is not known.
	RetryAfter time.Duration
}

func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Message
	}
	return e.Message
}

// Is reports whether target is an *Error of the same code without a message:
// errors.Is(err, &fault.Error{Code: fault.NotFound}).
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Message == "" && t.Code == e.Code
}

// New makes an Error of a code.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Field makes an Invalid error about one field.
func Field(field, format string, args ...any) *Error {
	return &Error{Code: Invalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

// CodeOf is the code of err: Internal when err carries none, "" when err is nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
