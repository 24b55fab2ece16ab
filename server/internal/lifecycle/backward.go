package lifecycle

import (
	"context"
	"slices"

	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// window is how many numbers of a log are looked at together, going back.
	window = 1000
	// windows is how many times, for events of some types only.
	windows = 20
)

// EventsBefore reads the last events of a task's log that stand before a number and not
// before first, in order: at most limit, or fewer when they are long; given types, only
// events of these, of which it looks at the last 20,000 numbers. from is the number before
// which it has not looked.
func (s *Service) EventsBefore(ctx context.Context, t task.Task, first, before int64, limit int, only ...task.Type) (found []task.Event, from int64, err error) {
	from = max(before, first)
	for n, size := 0, 0; from > first && len(found) < limit && size < maxRead && n < windows; n++ {
		numbers := int64(window)
		if len(only) == 0 { // they have no gaps
			numbers = int64(limit - len(found))
		}
		part, begin, err := s.windowBefore(ctx, t, first, from, numbers, only)
		if err != nil {
			return nil, 0, err
		}
		if over := len(part) + len(found) - limit; over > 0 {
			part = part[over:]
			begin = part[0].Seq
		}
		found, from, size = append(part, found...), begin, size+bytesOf(part)
	}
	return found, from, nil
}

// windowBefore reads the events of at most so many numbers before one, or of fewer if
// they are too long to be read at once: begin is the first of the numbers.
func (s *Service) windowBefore(ctx context.Context, t task.Task, first, before, size int64, only []task.Type) (found []task.Event, begin int64, err error) {
	for ; ; size = max(1, size/4) {
		begin = max(first, before-size)
		found, err = s.store.Events(ctx, t.OrganizationID, t.ID, begin-1, int(before-begin), only...)
		if err != nil {
			return nil, 0, err
		}
		whole := begin == before-1 // one alone is always whole
		found = slices.DeleteFunc(found, func(e task.Event) bool { return e.Seq >= before })
		if whole || !cut(found, before, only) {
			return found, begin, nil
		}
	}
}

// cut reports whether a read may have ended before it came to a number: it ends when what
// it holds is long.
func cut(found []task.Event, before int64, only []task.Type) bool {
	if len(only) == 0 {
		return len(found) == 0 || found[len(found)-1].Seq < before-1
	}
	return bytesOf(found) >= maxRead
}

func bytesOf(events []task.Event) int {
	size := 0
	for _, e := range events {
		size += len(e.Own) + len(e.Kept)
	}
	return size
}

// maxRead is after how many bytes a read of events ends.
const maxRead = 1 << 20
