package edge_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// TestCheckTextNamesTheField that holds what no text may hold.
func TestCheckTextNamesTheField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body  string
		code  fault.Code
		field string
	}{
		{`{"a": "b", "c": [1, {"d": null}]}`, "", ""},
		{`{"a": "\\u0000 is how one writes it"}`, "", ""},
		{"{\"a\": \"\ufffd\"}", "", ""},
		{``, "", ""},
		{`{"a": `, "", ""}, // for the decoder to refuse
		{`{"a": "\u0000"}`, fault.Invalid, "a"},
		{`{"a": "x", "b": {"c": [1, "y", {"d": "\u0000"}]}}`, fault.Invalid, "b.c[2].d"},
		{`["x", ["y", "\u0000"]]`, fault.Invalid, "[1][1]"},
		{`{"a": {}, "b": [], "c": "\u0000"}`, fault.Invalid, "c"},
		{`{"a": {"\u0000": 1}}`, fault.Invalid, "a.\x00"},
		{`"\u0000"`, fault.Invalid, "body"},
		{"{\"a\": [\"x\", \"\xff\"]}", fault.Invalid, "a[1]"},
		{"{\"\xff\": 1}", fault.Invalid, "\ufffd"},
		{"{\"a\": \"\xed\xa0\x80\"}", fault.Invalid, "a"}, // a surrogate's bytes
		{"\xff", fault.Malformed, "body"},
		{"{\"a\": \"\xff", fault.Malformed, "body"},
		{"{\"a\": 1}\xff", fault.Malformed, "body"},
	} {
		err := edge.CheckText([]byte(c.body))
		if fault.CodeOf(err) != c.code {
			t.Errorf("%q: %v, want code %q", c.body, err, c.code)
			continue
		}
		if err == nil {
			continue
		}
		if field := err.(*fault.Error).Field; field != c.field { //nolint:errorlint // it is what the function makes
			t.Errorf("%q: names %q, want %q", c.body, field, c.field)
		}
	}
}

// FuzzCheckText holds for any body: what passes is UTF-8 and, if it is JSON,
// holds no NUL in any text; what is refused really holds something.
func FuzzCheckText(f *testing.F) {
	for _, seed := range []string{
		`{"a": "b"}`, `{"a": "\u0000"}`, `["\u0000"]`, `{"\u0000": {}}`, `"\\u0000"`, "\"\xff\"", "{\"a\xff\": [[1], {\"b\": \"c\"}]}",
		`[{"a": [], "b": {}}, "\u0000"]`, `{"a": 1} {"b": "\u0000"}`, "[\"\x00\"]", `{"a":`, `{]`, `1 "\u0000"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		err := edge.CheckText(body)
		if !utf8.Valid(body) && err == nil {
			t.Fatalf("%q passed", body)
		}
		var value any
		if json.Unmarshal(body, &value) != nil {
			return
		}
		bad := !utf8.Valid(body) || hasNUL(value) || bytes.Contains(body, []byte(`\u0000`)) && repeats(body)
		if err != nil && !bad {
			t.Errorf("%q: refused: %v", body, err)
		}
		if err == nil && hasNUL(value) {
			t.Errorf("%q passed", body)
		}
	})
}

// repeats reports whether a name may stand twice, so that decoding hides the
// first value.
func repeats(body []byte) bool { return bytes.Count(body, []byte(":")) > 1 }

func hasNUL(value any) bool {
	switch v := value.(type) {
	case string:
		return strings.ContainsRune(v, 0)
	case []any:
		return slices.ContainsFunc(v, hasNUL)
	case map[string]any:
		for name, x := range v {
			if strings.ContainsRune(name, 0) || hasNUL(x) {
				return true
			}
		}
	}
	return false
}
