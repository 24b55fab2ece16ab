package edge_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// TestCheckNamesNamesTheMember that stands twice.
func TestCheckNamesNamesTheMember(t *testing.T) {
	t.Parallel()
	many := make([]string, 40)
	for i := range many {
		many[i] = fmt.Sprintf(`"n%d": %d`, i, i)
	}
	object := strings.Join(many, ", ")
	for body, want := range map[string]string{
		`{"a": 1, "b": {"a": 1}, "c": [{"a": 1}, {"a": 2}]}`: "",
		`{"a": 1, "A": 2, "": 3}`:                            "",
		`{"a": "\"b", "b": "a\\"}`:                           "",
		`[ ]`:                                                "",
		`{"a": [ ], "b": { }, "c": -1.5e3}`:                  "",
		` 7 `:                                                "",
		`{"a": 1, "a": `:                                     "", // for the decoder to refuse
		`{"a": 1, "a": 1}`:                                   "a",
		`{"a": 1, "\u0061": 1}`:                              "a",
		`{"": 1, "": 2}`:                                     "",
		`{"x": {"y": [1, {"z": 1 , "z" : 2}]}}`:              "x.y[1].z",
		`[[], [{"a": true, "a": null}]]`:                     "[1][0].a",
		"{" + object + "}":                                   "",
		"{" + object + `, "n3": 1}`:                          "n3",
		"{" + object + `, "n30": 1}`:                         "n30",
	} {
		err := edge.CheckNames([]byte(body))
		refused := want != "" || body == `{"": 1, "": 2}`
		if f, ok := errors.AsType[*fault.Error](err); ok != refused || ok && (f.Code != fault.Invalid || f.Field != want) {
			t.Errorf("%.60s: %v, want %q", body, err, want)
		}
	}
}

// FuzzCheckNames holds it to a plain reading of the same body, token by token.
func FuzzCheckNames(f *testing.F) {
	for _, seed := range []string{
		`{"a": 1, "a": 2}`, `{"a": {"b": [{"c": 1}, {"c": 1, "\u0063": "\\"}]}}`, `[{}, [], [[{"": 0, "": 1}]]]`, `"a"`, ` -1e5 `, `{"a":`, "{\"\xff\": 1, \"\xfe\": 2}",
		`{"\ud800": 1, "\udc00": 2}`, `{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"k":11,"l":12,"m":13,"n":14,"o":15,"p":16,"q":17,"a":18}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !utf8.Valid(body) {
			t.Skip("CheckText comes first")
		}
		err := edge.CheckNames(body)
		if !json.Valid(body) {
			if err != nil {
				t.Fatalf("%q is no JSON, and was refused for a name: %v", body, err)
			}
			return
		}
		if twice := standsTwice(t, json.NewDecoder(bytes.NewReader(body))); twice != (err != nil) {
			t.Errorf("%q: %v, but a member stands twice: %v", body, err, twice)
		}
	})
}

// standsTwice reads all values of a decoder.
func standsTwice(t *testing.T, dec *json.Decoder) bool {
	t.Helper()
	dec.UseNumber() // whatever its size
	twice := false
	var value func() bool
	value = func() bool {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token {
		case json.Delim('{'):
			seen := map[any]bool{}
			for dec.More() {
				name, err := dec.Token()
				if err != nil {
					t.Fatal(err)
				}
				twice = twice || seen[name]
				seen[name] = true
				value()
			}
			_, err = dec.Token()
		case json.Delim('['):
			for dec.More() {
				value()
			}
			_, err = dec.Token()
		}
		if err != nil {
			t.Fatal(err)
		}
		return true
	}
	value()
	return twice
}
