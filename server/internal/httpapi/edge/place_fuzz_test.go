package edge

import (
	"testing"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// FuzzReadCursor holds for any text that what is taken for a cursor names one
// place, which is written as a cursor that names the same, and that anything
// else is malformed.
func FuzzReadCursor(f *testing.F) {
	for _, seed := range []string{"", "!!", "MCAw", WriteCursor(lifecycle.Cursor{CreatedAt: 1, ID: "a"}), "LTEgYQ", "MSBhIGI", "MSAuLg"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		c, err := ReadCursor(given)
		if err != nil {
			if fault.CodeOf(err) != fault.Malformed {
				t.Errorf("%q: %v", given, err)
			}
			return
		}
		if again, err := ReadCursor(WriteCursor(c)); err != nil || again != c {
			t.Errorf("%q is %+v, which is written as %q and read as %+v, %v", given, c, WriteCursor(c), again, err)
		}
	})
}

// FuzzWriteCursor is the way round: every place has a cursor.
func FuzzWriteCursor(f *testing.F) {
	f.Add(int64(0), "a")
	f.Add(int64(-1), "A.z_9:-")
	f.Fuzz(func(t *testing.T, at int64, id string) {
		if lifecycle.CheckID("id", id) != nil {
			t.Skip("not an id")
		}
		c := lifecycle.Cursor{CreatedAt: task.Stamp(at), ID: id}
		if got, err := ReadCursor(WriteCursor(c)); err != nil || got != c {
			t.Errorf("%+v came back as %+v, %v", c, got, err)
		}
	})
}
