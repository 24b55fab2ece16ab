package v1

import (
	"cmp"
	"context"

	"github.com/errand-dev/errand/server/internal/httpapi/edge"
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
	return edge.ReadCursor(p.Cursor)
}

// in reads the cursor of a list that is about one thing: a number in it.
func (p Part) in(id string) (int64, error) {
	c, err := p.place()
	if err != nil || c.ID != "" && c.ID != id || c.CreatedAt < 0 {
		return 0, edge.BadCursor()
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
	written := edge.WriteCursor(c)
	return &written
}

// partOf reads a part of a list behind a place: at most limit, or fewer when they are
// long. show tells what is shown of an item and the place behind it, next writes a place
// as a cursor, which is nil at the end of the list.
func partOf[T, S, P any](after P, limit int, read func(after P, limit int) ([]T, error), show func(T) (S, P), next func(P) *string) ([]S, *string, error) {
	found, err := read(after, limit)
	if err != nil {
		return nil, nil, err
	}
	items := make([]S, len(found))
	for i, x := range found {
		items[i], after = show(x)
	}
	rest, err := read(after, 1)
	if err != nil || len(rest) == 0 {
		return items, nil, err
	}
	return items, next(after), nil
}

// TurnPart says which part of what belongs to a turn of a task is wanted.
type TurnPart struct {
	TaskPath
	Turn int `query:"turn" minimum:"1" doc:"Of which turn; the present one when left out."`
	Part
}

// of finds the turn of a task that is meant.
func (p TurnPart) of(t task.Task) int { return cmp.Or(p.Turn, t.Terms.Turn) }

// partOfTask is partOf for a list that is about one task: its places are numbers.
func partOfTask[T, S any](ctx context.Context, r *routes, id string, p Part, read func(t task.Task, after int64, limit int) ([]T, error), show func(T) (S, int64)) ([]S, *string, error) {
	t, after, err := r.resume(ctx, id, p)
	if err != nil {
		return nil, nil, err
	}
	return partOf(after, p.Limit,
		func(after int64, limit int) ([]T, error) { return read(t, after, limit) },
		show, func(after int64) *string { return next(t.ID, after) })
}
