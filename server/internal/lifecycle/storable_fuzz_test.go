package lifecycle

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// FuzzFitSide holds rule S5 for the side fields of an end: whatever a worker
// reports, what is left of it can be stored, and fitting that again changes
// nothing.
func FuzzFitSide(f *testing.F) {
	for _, seed := range []string{
		`{"internal_status": "` + strings.Repeat("ü", 256) + `"}`, `{"tokens": {"prompt_tokens": -1}, "used_tools": ["a", 1], "duration": "x"}`,
		"{\"title\": \"a\xff\\u0000\"}", `{"deep_planning": {"tasks": [{"id": "", "title": ""}]}, "hitl_request": []}`, `{"duration": 1e308, "nope": 1}`,
		`[]`, `null`, `{"status": 1}`, `{"\u0000": "\u0000", "title": "\ud800"}`, `{"TITLE": 5}`, `{"used_tools": null, "tokens": null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, given []byte) {
		fitted, _ := storableSide(given)
		if len(fitted) == 0 {
			return
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(fitted, &fields); err != nil {
			t.Fatalf("%q became %q: %v", given, fitted, err)
		}
		for name, value := range fields {
			if err := CheckSide(name, value); err != nil {
				t.Errorf("%q: %s is left as %s, which is refused: %v", given, name, value, err)
			}
		}
		if again, adjusted := storableSide(fitted); string(again) != string(fitted) || len(adjusted) > 0 {
			t.Errorf("%q became %q, then %q (%v)", given, fitted, again, adjusted)
		}
	})
}

// FuzzFitResult holds it for a result of any JSON.
func FuzzFitResult(f *testing.F) {
	for _, seed := range []string{`null`, ``, `"a"`, `"a\u0000"`, "\"\xff\"", `{"a": 1}`, `5`, ` null `, `"\ud800"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, given []byte) {
		result, adjusted := StorableResult(given)
		if result == nil {
			return
		}
		if !utf8.ValidString(*result) || strings.ContainsRune(*result, 0) || len(*result) > task.MaxResult {
			t.Errorf("%q became %q", given, *result)
		}
		var text string
		if isText := json.Unmarshal(given, &text) == nil && utf8.Valid(given); !adjusted && (!isText || text != *result) {
			t.Errorf("%q became %q, and nothing was said of it", given, *result)
		}
	})
}

// FuzzCheckID holds ids to rule T1, letter by letter.
func FuzzCheckID(f *testing.F) {
	for _, seed := range []string{"", "a", ".", "..", "...", "a/b", "ä", "a\n", strings.Repeat("x", 128), strings.Repeat("x", 129)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		good := id != "" && len(id) <= task.MaxID && id != "." && id != ".."
		for _, c := range []byte(id) {
			good = good && strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-", c) >= 0
		}
		if err := CheckID("id", id); (err == nil) != good {
			t.Errorf("%q: %v", id, err)
		}
	})
}

// FuzzEachAttachment holds for any list that rewriting every URL by itself
// leaves what it says as it is.
func FuzzEachAttachment(f *testing.F) {
	for _, seed := range []string{`[]`, `null`, ``, `[{"url": "http://a/"}]`, `[{"url": "x", "more": [1, {"a": null}]}, {"url": ""}]`, `[null]`, `[{}]`, `{}`, `[{"URL": "a"}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, given []byte) {
		var seen []string
		kept, err := EachAttachment(given, func(_ int, url string) (string, error) {
			seen = append(seen, url)
			return url, nil
		})
		if err != nil {
			if _, ok := errors.AsType[*fault.Error](err); !ok {
				t.Errorf("%q: %v is not an error for callers", given, err)
			}
			return
		}
		again := 0
		twice, err := EachAttachment(kept, func(i int, url string) (string, error) {
			if again++; seen[i] != url {
				t.Errorf("%q: URL %d was %q and is %q", given, i, seen[i], url)
			}
			return url, nil
		})
		if err != nil || again != len(seen) || string(twice) != string(kept) {
			t.Errorf("%q became %q, then %q, %v", given, kept, twice, err)
		}
	})
}
