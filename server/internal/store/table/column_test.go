package table

import (
	"testing"

	"github.com/errand-dev/errand/server/internal/task"
)

// What a query finds can be read into what database/sql could read it into.
func TestSet(t *testing.T) {
	t.Parallel()
	var (
		text     string
		number   *int
		stamp    task.Stamp
		reason   *task.EndReason
		nothing  = new(7)
		anything any
		flag     bool
	)
	for _, x := range []struct{ into, value any }{
		{&text, "a"},
		{&number, int64(3)},
		{&stamp, int64(4)},
		{&reason, "completed"},
		{&nothing, nil},
		{&anything, int64(5)},
		{&flag, int64(1)},
	} {
		if err := Set(x.into, x.value); err != nil {
			t.Errorf("%T: %v", x.into, err)
		}
	}
	if text != "a" || *number != 3 || stamp != 4 || *reason != task.EndCompleted || nothing != nil || anything != int64(5) || !flag {
		t.Error(text, *number, stamp, *reason, nothing, anything, flag)
	}
	for _, x := range []struct{ into, value any }{{&text, int64(1)}, {&number, "a"}, {new(struct{}), "a"}, {&flag, "true"}} {
		if err := Set(x.into, x.value); err == nil {
			t.Errorf("a %T can be read into a %T", x.value, x.into)
		}
	}
}
