package edge

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// WriteCursor writes a place in a list as the cursor that a client gives back.
func WriteCursor(c lifecycle.Cursor) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(int64(c.CreatedAt), 36) + " " + c.ID))
}

// ReadCursor reads what WriteCursor has written.
func ReadCursor(given string) (lifecycle.Cursor, error) {
	wrong := BadCursor()
	plain, err := base64.RawURLEncoding.DecodeString(given)
	if err != nil {
		return lifecycle.Cursor{}, wrong
	}
	at, id, ok := strings.Cut(string(plain), " ")
	created, err := strconv.ParseInt(at, 36, 64)
	if !ok || err != nil || lifecycle.CheckID("cursor", id) != nil {
		return lifecycle.Cursor{}, wrong
	}
	return lifecycle.Cursor{CreatedAt: task.Stamp(created), ID: id}, nil
}

// BadCursor is the refusal of a cursor that no list has answered.
func BadCursor() error {
	return &fault.Error{Code: fault.Malformed, Field: "cursor", Message: "is not a cursor that this list answered"}
}
