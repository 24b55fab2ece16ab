package edge_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// FuzzCursor holds for any bytes that a cursor passes over what encoding/json takes
// for a value, and over nothing else.
func FuzzCursor(f *testing.F) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, seed := range []string{
		`{"a": [1, -2.5e+3, 0, true, false, null, "\u00e4\n\\\""], "b": {}}`, ` [] `, `""`, `01`, `-`, `1.`, `1e`, `.5`, `[1,]`, `{"a"}`, `{,}`, `nul`,
		`"\ud83d\ude00 \ud83d \ude00\u0041\b\f\r\/"`, `"\ud83d\u0041"`, "\"\t\"", `"\x"`, `"\u12"`, `"`, `{}{}`, deep(10_000), deep(10_001), "\"\xff\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c := edge.NewCursor(text)
		raw, ok := c.Value()
		if ok = ok && c.End(); ok != json.Valid(text) {
			t.Fatalf("%.100q is passed over: %v", text, ok)
		}
		if ok && !bytes.Equal(bytes.Trim(text, " \n\t\r"), raw) {
			t.Errorf("%.100q is written as %.100q", text, raw)
		}
		var want string
		if got, isText := edge.NewCursor(text).String(); ok && utf8.Valid(text) && json.Unmarshal(text, &want) == nil && (isText || string(raw) != "null") && got != want {
			t.Errorf("%.100q is read as %q, not %q", text, got, want)
		}
	})
}
