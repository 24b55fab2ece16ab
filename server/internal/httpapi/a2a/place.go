package a2a

import (
	"strconv"
	"strings"

	"github.com/errand-dev/errand/server/internal/deliver"
	"github.com/errand-dev/errand/server/internal/fault"
)

// place is where an update stands in its task's log: behind an event or, where one event
// makes two updates, of which this is the first, half a step before.
type place struct {
	seq  int64
	half bool
}

// String is a number, so that places are ordered like numbers: "12", or "11.5" for what
// stands half a step before 12.
func (p place) String() string {
	if p.half {
		return strconv.FormatInt(p.seq-1, 10) + ".5"
	}
	return strconv.FormatInt(p.seq, 10)
}

// placeOf reads a place.
func placeOf(text string) (place, error) {
	whole, half := strings.CutSuffix(text, ".5")
	seq, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || seq < 0 {
		return place{}, &fault.Error{Code: fault.Invalid, Field: "Last-Event-ID", Message: "must be the id of an event of this task's stream"}
	}
	if half {
		seq++
	}
	return place{seq, half}, nil
}

// number is the place as package deliver counts it.
func (p place) number() int64 {
	if p.half {
		return deliver.Behind(p.seq) - 1
	}
	return deliver.Behind(p.seq)
}

// behind reports whether a place stands behind another.
func (p place) behind(other place) bool {
	return p.seq > other.seq || p.seq == other.seq && other.half && !p.half
}
