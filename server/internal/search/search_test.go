package search_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/search"
	"github.com/errand-dev/errand/server/internal/task"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][][]string{
		"One two":              {{"one"}, {"two"}},
		`"One two" three`:      {{"one", "two"}, {"three"}},
		`a"b c`:                {{"a"}, {"b", "c"}},
		`x AND y OR (z*) NOT:`: {{"x"}, {"and"}, {"y"}, {"or"}, {"z"}, {"not"}},
		`Größe "" '; DROP`:     {{"größe"}, {"drop"}},
		`"発票 2" 発票 été`:        {{"発", "票", "2"}, {"発", "票"}, {"été"}},
		"a\x00b":               {{"a"}, {"b"}},
		"":                     nil, `"" * -`: nil, "\xff": nil,
		strings.Repeat("a ", 17): nil, strings.Repeat("a", 257): nil,
	} {
		got, err := search.Parse(text)
		if want == nil {
			if fault.CodeOf(err) != fault.Invalid {
				t.Errorf("%q: %v, %v", text, got, err)
			}
			continue
		}
		if d := cmp.Diff(want, got.Terms); d != "" || err != nil {
			t.Errorf("%q: %v\n%s", text, err, d)
		}
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	e := func(seq int64, of task.Type, own, kept string) task.Event {
		return task.Event{Seq: seq, Type: of, Own: json.RawMessage(own), Kept: json.RawMessage(kept)}
	}
	got := search.Texts([]task.Event{
		e(1, task.TaskCreated, `{"title": "T"}`, `{"input": {"text": "P"}}`),
		e(2, task.AttemptStarted, `{"worker_id": "w"}`, ""),
		e(3, task.Chunk, `"hel"`, ""), e(4, task.Chunk, `"lo"`, ""), e(5, task.Chunk, `{"a": 1}`, ""),
		e(6, task.ToolCallRequest, `{"tool": "fetch", "payload": {"names": ["x", {"url": "y"}], "n": 5}, "last": "z"}`, ""),
		e(7, task.Chunk, `"end"`, ""),
		e(8, task.TaskFinished, `{}`, `{"result": "R"}`),
	})
	want := []search.Text{
		{search.Title, 1, 1, "T"},
		{search.Prompt, 1, 1, "P"},
		{search.Event, 3, 5, "hello"},
		{search.Event, 6, 6, "fetch x y z"},
		{search.Event, 7, 7, "end"},
		{search.Result, 8, 8, "R"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestSnippet(t *testing.T) {
	t.Parallel()
	show := func(question, text string) (shown string, terms int) {
		t.Helper()
		q, err := search.Parse(question)
		if err != nil {
			t.Fatal(err)
		}
		pieces, terms := q.Snippet(text)
		for _, p := range pieces {
			if p.Hit {
				shown += "[" + p.Text + "]"
			} else {
				shown += p.Text
			}
		}
		return shown, terms
	}
	much := strings.Repeat("x ", 100)
	for _, c := range []struct {
		question, text, want string
		terms                int
	}{
		{`invoice "not paid"`, "The Invoice was <b>not, paid</b>.", "The [Invoice] was <b>[not], [paid]</b>.", 2},
		{`invoice "not paid"`, "This is not an Invoice.", "This is not an [Invoice].", 1},
		{`"a b" "b c"`, "a b c", "[a] [b] [c]", 2},
		{"dog cat", "dog " + much + "cat " + much + "Dog, cat " + much, strings.Repeat("x ", 20) + "[Dog], [cat] " + strings.Repeat("x ", 75) + "x", 2},
		{"發票", "這張發票 發x票", "這張[發][票] 發x票", 1},
		{"no", "nothing", "", 0},
		{"é", strings.Repeat("ü", 39) + " é", strings.Repeat("ü", 39) + " [é]", 1},
	} {
		if got, terms := show(c.question, c.text); got != c.want || terms != c.terms {
			t.Errorf("%s in %q: %q, %d terms, want %q, %d", c.question, c.text, got, terms, c.want, c.terms)
		}
	}
}
