package model

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/runtime"
)

// O3: an attempt that follows a dead one gives its model the same, byte for byte, and
// reads no file again, whatever has become of that.
func TestO3TheNextAttemptGivesTheSame(t *testing.T) {
	t.Parallel()
	opened := 0
	content := func(name, text string) runtime.File {
		return runtime.File{Name: name, Open: func(context.Context) (io.ReadCloser, error) {
			if opened++; opened > 2 {
				return nil, errors.New("it is gone")
			}
			return io.NopCloser(strings.NewReader(text)), nil
		}}
	}
	o := &oracle{answers: map[int]string{1: saying("Because."), 2: saying("Because.")}}
	b := &book{left: 2} // the word of it, and no more than that one asks
	for number := 1; number <= 2; number++ {
		got, err := attempt(t.Context(), o, b, number, func(_ *agent.Record, a *runtime.Attempt) {
			a.Files = []runtime.File{content("a.txt", strings.Repeat("much ", 90_000)), content("b.bin", "\x00\x01")}
		})
		if number == 1 && !errors.Is(err, errDead) || number == 2 && (err != nil || got.Result != "Because.") {
			t.Fatalf("attempt %d: %+v, %v", number, got, err)
		}
		b.left = -1
	}
	if len(o.asked) != 2 || o.asked[0] != o.asked[1] || !strings.Contains(o.asked[0], "Only the first 400000 bytes") || opened != 2 {
		t.Errorf("O3: opened %d times, asked %d times, the same: %v", opened, len(o.asked), len(o.asked) == 2 && o.asked[0] == o.asked[1])
	}
}
