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
		{search.Title, 1, "T"}, {search.Prompt, 1, "P"}, {search.Event, 3, "hello"}, {search.Event, 6, "fetch x y z"}, {search.Event, 7, "end"}, {search.Result, 8, "R"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestSnippet(t *testing.T) {
	t.Parallel()
	q, err := search.Parse(`invoice "not paid"`)
	if err != nil {
		t.Fatal(err)
	}
	got := q.Snippet(strings.Repeat("x ", 100) + "The Invoice was <b>not</b> paid. " + strings.Repeat("y ", 200) + "invoice")
	var hits, all []string
	for _, p := range got {
		if all = append(all, p.Text); p.Hit {
			hits = append(hits, p.Text)
		}
	}
	if d := cmp.Diff([]string{"Invoice", "not", "paid"}, hits); d != "" {
		t.Error(d)
	}
	if text := strings.Join(all, ""); len(text) != 200 || !strings.Contains(text, "The Invoice was <b>not</b> paid.") {
		t.Errorf("%q", text)
	}
}
