package profile

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, content string
		limit         int
		want          Text
	}{
		{"empty", "", 10, Text{Is: true, Whole: true}},
		{"all of it", "a,b\n", 4, Text{true, "a,b\n", true}},
		{"the beginning", "a,b\nc", 4, Text{true, "a,b\n", false}},
		{"half a character", "ab\u20accd", 4, Text{true, "ab", false}},
		{"nothing of it", "ab", 0, Text{true, "", false}},
		{"Windows-1252", "a cup of caf\xe9", 20, Text{true, "a cup of caf\u00e9", true}},
		{"UTF-16", "\xff\xfea\x00b\x00", 10, Text{true, "ab", true}},
		{"with a mark", "\ufeffab", 10, Text{true, "ab", true}},
		{"no text", "\x89PNG\r\n\x1a\n\x00\x00", 10, Text{}},
		{"long", strings.Repeat("x", 300_000), 1 << 20, Text{true, strings.Repeat("x", 300_000), true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, from := range []io.Reader{strings.NewReader(c.content), iotest.OneByteReader(strings.NewReader(c.content))} {
				if got, err := ReadText(from, c.limit); err != nil || got != c.want {
					t.Errorf("%.100v, %v, want %.100v", got, err, c.want)
				}
			}
		})
	}
	broken := errors.New("broken")
	for _, head := range []string{"", strings.Repeat("x", 100_000)} {
		if _, err := ReadText(io.MultiReader(strings.NewReader(head), iotest.ErrReader(broken)), 1<<20); !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
	}
}
