package edge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/fault"
)

// MaxBody is the most that a JSON body may hold, in bytes.
const MaxBody = 20 << 20

// trustedLength is how many bytes are set aside for a body because its sender
// says that it is so long.
const trustedLength = 64 << 10

// ReadBody reads a body whole; more than MaxBody bytes are TooLarge. One that
// does not come in time is Malformed.
func ReadBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var body bytes.Buffer
	if told := r.ContentLength; 0 < told && told <= MaxBody {
		body.Grow(int(min(told, trustedLength)) + bytes.MinRead) // so that the end is read without growing
	}
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &fault.Error{Code: fault.TooLarge, Field: "body", Message: fmt.Sprintf("must not exceed %d bytes", MaxBody)}
	case err != nil:
		return nil, fault.New(fault.Malformed, "the body could not be read")
	}
	return body.Bytes(), nil
}

// Text is a body that has been read, to be read again.
type Text struct {
	*bytes.Reader
	text []byte
}

// NewText makes a body of a text.
func NewText(text []byte) *Text { return &Text{bytes.NewReader(text), text} }

// Bytes is the whole of it, which nobody changes.
func (t *Text) Bytes() []byte { return t.text }

// Close implements io.Closer.
func (t *Text) Close() error { return nil }

// Decode reads a JSON object leniently: unknown fields are ignored. A value of
// the wrong type is Invalid and names the field.
func Decode(body []byte, into any) error {
	if err := CheckText(body); err != nil {
		return err
	}
	if string(bytes.TrimSpace(body)) == "null" { // it would decode to nothing
		return fault.New(fault.Malformed, "the body must be a JSON object, not null")
	}
	err := json.Unmarshal(body, into)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong) && wrong.Field != "":
		return fault.Field(wrong.Field, "must be %s, not %s", kindOf(wrong), wrong.Value)
	case errors.As(err, &wrong):
		return fault.New(fault.Malformed, "the body must be a JSON object, not %s", wrong.Value)
	default:
		return fault.New(fault.Malformed, "the body is not valid JSON: %v", err)
	}
}

// kindOf says in JSON's words what a field wants.
func kindOf(e *json.UnmarshalTypeError) string {
	switch kind := e.Type.Kind().String(); {
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "a whole number"
	case strings.HasPrefix(kind, "float"):
		return "a number"
	case kind == "string":
		return "text"
	case kind == "bool":
		return "true or false"
	case kind == "slice":
		return "a list"
	default:
		return "an object"
	}
}

// CheckText refuses what no text in the store may hold: NUL, and bytes that
// are not UTF-8. It names the field.
func CheckText(body []byte) error {
	valid := utf8.Valid(body)
	if valid && !bytes.Contains(body, []byte(`\u0000`)) {
		return nil
	}
	field, what := findBadText(body)
	switch {
	case what != "":
		return &fault.Error{Code: fault.Invalid, Field: field, Message: what}
	case !valid:
		return &fault.Error{Code: fault.Malformed, Field: "body", Message: "is not valid UTF-8"}
	default:
		return nil
	}
}

// findBadText walks a JSON body to the first text that must not be stored and
// returns its path, or nothing.
func findBadText(body []byte) (field, what string) {
	type level struct {
		array bool
		index int
		key   string
		isKey bool
	}
	var path []level
	name := func() string {
		var b strings.Builder
		for _, l := range path {
			switch {
			case l.array:
				fmt.Fprintf(&b, "[%d]", l.index)
			case b.Len() > 0:
				b.WriteString("." + l.key)
			default:
				b.WriteString(l.key)
			}
		}
		if b.Len() == 0 {
			return "body"
		}
		return strings.ToValidUTF8(b.String(), "\uFFFD")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	for {
		before := dec.InputOffset()
		token, err := dec.Token()
		if err != nil {
			return "", ""
		}
		top := len(path) - 1
		if delim, ok := token.(json.Delim); ok && (delim == '}' || delim == ']') {
			path = path[:top]
			top--
		} else {
			text, isText := token.(string)
			if top >= 0 && !path[top].array && path[top].isKey {
				path[top].key = text
			}
			switch {
			case isText && strings.ContainsRune(text, 0):
				return name(), "must not contain NUL"
			case isText && !utf8.Valid(body[before:dec.InputOffset()]):
				return name(), "is not valid UTF-8"
			}
			if top >= 0 && !path[top].array && path[top].isKey {
				path[top].isKey = false
				continue
			}
			if delim, ok := token.(json.Delim); ok {
				path = append(path, level{array: delim == '[', isKey: delim == '{'})
				continue
			}
		}
		if top >= 0 { // a value of the level above is complete
			path[top].isKey = !path[top].array
			path[top].index++
		}
	}
}
