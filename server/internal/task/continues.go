package task

import (
	"strconv"
	"strings"
)

// Continues reports whether an event goes on with what the one before it has told, so
// that a store may keep both as one: chunks, without client_ids or with such that are
// numbered one behind the other.
func (e Event) Continues(last Event) bool {
	if last.Type != Chunk || e.Type != Chunk {
		return false
	}
	if last.ClientID == "" || e.ClientID == "" {
		return last.ClientID == e.ClientID
	}
	a, isA := Numbered(last.ClientID)
	b, isB := Numbered(e.ClientID)
	return isA && isB && a.Of == b.Of && a.No+1 == b.No
}

// NumberedID is a client_id that is a number, or ends with a dash and one.
type NumberedID struct {
	Of string // what stands in front of the number
	No int64
}

// maxDigits is how long the number of a NumberedID may be.
const maxDigits = 15

// Numbered reads a client_id as a NumberedID, if it is one. Just one client_id reads so.
func Numbered(id string) (n NumberedID, ok bool) {
	of := strings.TrimRight(id, "0123456789")
	digits := id[len(of):]
	if of != "" && !strings.HasSuffix(of, "-") || digits == "" || len(digits) > maxDigits || digits[0] == '0' {
		return NumberedID{}, false
	}
	no, err := strconv.ParseInt(digits, 10, 64)
	return NumberedID{of, no}, err == nil
}

// Before is the client_id that stands so far in front of this one.
func (n NumberedID) Before(by int64) string { return n.Of + strconv.FormatInt(n.No-by, 10) }
