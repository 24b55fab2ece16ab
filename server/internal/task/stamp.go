package task

import (
	"bytes"
	"fmt"
	"time"
)

// Stamp is a moment in microseconds since 1970, UTC; 0 means none. It is kept
// as a number so that a moment is equal to itself after any trip through the
// store or JSON. Microseconds because the Python client cuts finer digits.
type Stamp int64

// StampOf rounds t down to a Stamp; the zero time is 0.
func StampOf(t time.Time) Stamp {
	if t.IsZero() {
		return 0
	}
	return Stamp(t.UnixMicro())
}

// Time is the moment as a time in UTC, the zero time for 0.
func (s Stamp) Time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(s)).UTC()
}

// Add moves a moment by d.
func (s Stamp) Add(d time.Duration) Stamp { return s + Stamp(d.Microseconds()) }

// Sub is the time between two moments.
func (s Stamp) Sub(other Stamp) time.Duration {
	return time.Duration(s-other) * time.Microsecond
}

// String is the moment in RFC 3339, "" for none.
func (s Stamp) String() string {
	if s == 0 {
		return ""
	}
	return s.Time().Format(time.RFC3339Nano)
}

// MarshalJSON writes RFC 3339, null for none.
func (s Stamp) MarshalJSON() ([]byte, error) { return s.AppendJSON(make([]byte, 0, 32)), nil }

// AppendJSON appends what MarshalJSON writes.
func (s Stamp) AppendJSON(b []byte) []byte {
	if s == 0 {
		return append(b, "null"...)
	}
	return append(s.Time().AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}

// Writable reports whether a moment can be written in RFC 3339: whether its year,
// in UTC, is from 0 to 9999.
func (s Stamp) Writable() bool {
	year := s.Time().Year()
	return 0 <= year && year <= 9999
}

// UnmarshalJSON reads what MarshalJSON writes; null is none.
func (s *Stamp) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		*s = 0
		return nil
	}
	t, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(b))
	if err != nil {
		return fmt.Errorf("not an RFC 3339 time: %s", b)
	}
	if at := StampOf(t); !at.Writable() { // by its zone it is in another year
		return fmt.Errorf("not a time that UTC can say: %s", b)
	}
	*s = StampOf(t)
	return nil
}
