package v1

import (
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// Part says which part of a list is wanted that has no numbers of pages. What a part
// holds is bounded in bytes, too: one of long items has fewer than it may.
type Part struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many it may have; fewer if they are long."`
	Cursor string `query:"cursor" doc:"next_cursor of the part before."`
}

// place reads the cursor; "" is the beginning.
func (p Part) place() (lifecycle.Cursor, error) {
	if p.Cursor == "" {
		return lifecycle.Cursor{}, nil
	}
	return readCursor(p.Cursor)
}

// in reads the cursor of a list that is about one thing: a number in it.
func (p Part) in(id string) (int64, error) {
	c, err := p.place()
	if err != nil || c.ID != "" && c.ID != id || c.CreatedAt < 0 {
		return 0, badCursor()
	}
	return int64(c.CreatedAt), nil
}

// next writes the cursor behind a number in a list; 0 is its end.
func next(id string, number int64) *string {
	if number == 0 {
		return nil
	}
	return nextOf(lifecycle.Cursor{CreatedAt: task.Stamp(number), ID: id})
}

// nextOf writes a cursor; the zero value is the end.
func nextOf(c lifecycle.Cursor) *string {
	if c == (lifecycle.Cursor{}) {
		return nil
	}
	written := writeCursor(c)
	return &written
}

func badCursor() error {
	return &fault.Error{Code: fault.Malformed, Field: "cursor", Message: "is not a cursor that this list answered"}
}
