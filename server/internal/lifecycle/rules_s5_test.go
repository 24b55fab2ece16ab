package lifecycle_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func TestS5InternalStatusLimit(t *testing.T) {
	t.Parallel()
	fits, tooLong := strings.Repeat("ä", 255), strings.Repeat("ä", 256)
	for name, set := range map[string]func(*bench, string) error{
		"full body": func(b *bench, s string) error {
			_, err := b.tryPatch("t", b.body("t", fields{"internal_status": s, "title": s}))
			return err
		},
		"sparse body": func(b *bench, s string) error {
			_, err := b.tryPatch("t", fields{"internal_status": s, "source": s})
			return err
		},
		"update": func(b *bench, s string) error {
			_, err := b.Update(b.ctx(), who(), "t", lifecycle.Edit{InternalStatus: &s, Title: &s})
			return err
		},
	} {
		t.Run("S5 "+name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			b.submit("t", nil)
			b.unchanged("t", func() { b.refused(set(b, tooLong), fault.Invalid) })
			b.must(set(b, fits))
			if s := b.state("t"); text(s.InternalStatus) != fits {
				t.Errorf("S5: stored %d bytes", len(text(s.InternalStatus)))
			}
		})
	}
	t.Run("S5 a worker's progress is cut", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		token := b.run("t", nil)
		b.must(b.Progress(b.ctx(), org, "t", token, tooLong))
		if s := b.state("t"); text(s.InternalStatus) != fits || !slices.Equal(s.Adjusted, []string{"internal_status"}) {
			t.Errorf("S5: stored %d bytes, adjusted %q", len(text(s.InternalStatus)), s.Adjusted)
		}
		b.must(b.Progress(b.ctx(), org, "t", token, fits))
		if s := b.state("t"); len(s.Adjusted) > 0 {
			t.Errorf("S5: adjusted %q although it is whole", s.Adjusted)
		}
	})
}

func TestS5FullBodyThatEndsIsNeverRefusedForItsContent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body     fields
		adjusted []string
		check    func(task.State) bool
	}{
		"NUL in the result": {
			fields{"result": "a\x00b"},
			[]string{"result"},
			func(s task.State) bool { return text(s.Result) == "a\uFFFDb" },
		},
		"invalid UTF-8 in the result": {
			fields{"result": json.RawMessage("\"a\xffb\"")},
			[]string{"result"},
			func(s task.State) bool { return text(s.Result) == "a\uFFFDb" },
		},
		"result over its limit": {
			fields{"result": strings.Repeat("é", task.MaxResult/2+1)},
			[]string{"result"},
			func(s task.State) bool { return len(text(s.Result)) <= task.MaxResult && utf8.ValidString(*s.Result) },
		},
		"result of another type": {
			fields{"result": fields{"a": 1}},
			[]string{"result"},
			func(s task.State) bool { return text(s.Result) == `{"a":1}` },
		},
		"internal status over its limit": {
			fields{"internal_status": strings.Repeat("ä", 300)},
			[]string{"internal_status"},
			func(s task.State) bool { return text(s.InternalStatus) == strings.Repeat("ä", 255) },
		},
		"NUL in a title": {
			fields{"title": "a\x00"},
			[]string{"title"},
			func(s task.State) bool { return text(s.Title) == "a\uFFFD" },
		},
		"invalid UTF-8 in a title": {
			fields{"title": json.RawMessage("\"\xc3\"")},
			[]string{"title"},
			func(s task.State) bool { return text(s.Title) == "\uFFFD" },
		},
		"NUL in the name of a tool": {
			fields{"used_tools": []string{"x\x00", "y"}},
			[]string{"used_tools"},
			func(s task.State) bool { return slices.Equal(s.UsedTools, []string{"x\uFFFD", "y"}) },
		},
		"wrong-typed side fields": {
			fields{"tokens": "many", "duration": "long", "used_tools": 7, "title": 5},
			[]string{"duration", "title", "tokens", "used_tools"},
			func(s task.State) bool {
				return s.Tokens == nil && s.Duration == 0 && len(s.UsedTools) == 0 && s.Title == nil
			},
		},
	} {
		t.Run("S5 "+name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			b.runPython("t", nil)
			s := b.patch("t", b.body("t", c.body.with(fields{"status": "completed"})))
			if s.Status != task.Completed || !c.check(s) {
				t.Errorf("S5: stored %s, %.50q, %.50q, %q", s.Status, text(s.Result), text(s.InternalStatus), s.UsedTools)
			}
			var finished struct {
				Adjusted []string `json:"adjusted"`
			}
			b.must(json.Unmarshal(b.of("t", task.TaskFinished)[0].Own, &finished))
			slices.Sort(finished.Adjusted)
			if !slices.Equal(finished.Adjusted, c.adjusted) {
				t.Errorf("S5: adjusted %v, want %v", finished.Adjusted, c.adjusted)
			}
		})
	}
	t.Run("S5 what fits is not adjusted", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.runPython("t", nil)
		b.patch("t", b.body("t", fields{"status": "completed", "result": "fine"}))
		if f := b.one("t", task.TaskFinished); f["adjusted"] != nil {
			t.Errorf("S5: adjusted %v", f["adjusted"])
		}
	})
}

func TestS5FullBodyThatNeitherEndsNorHoldsIsRefusedForItsContent(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("t", nil)
	for name, bad := range map[string]fields{
		"title with NUL": {"title": "a\x00"}, "result with NUL": {"result": "a\x00"}, "tokens of a wrong type": {"tokens": 5},
	} {
		b.unchanged("t", func() {
			if _, err := b.tryPatch("t", b.body("t", bad.with(fields{"status": "pending"}))); fault.CodeOf(err) != fault.Invalid {
				t.Errorf("S5: %s: %v", name, err)
			}
		})
	}
}

func TestS5TooLargeFinalBodyEndsTheAttempt(t *testing.T) {
	t.Parallel()
	t.Run("S5 of a Python worker", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		w := b.runPython("t", nil)
		b.must(b.RefuseTooLarge(b.ctx(), who(), "t"))
		b.shows("t", task.Error, task.EndWorkerError)
		if s := b.state("t"); text(s.Result) != "result too large" {
			t.Errorf("S5: result %q", text(s.Result))
		}
		b.fill("more", lifecycle.MaxOutstanding)
		if got := b.assign(w); len(got) != lifecycle.MaxOutstanding {
			t.Errorf("L9: the worker is given %d tasks, it should have let go", len(got))
		}
	})
	t.Run("S5 nothing happens to a task that no Python worker has", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.run("t", nil)
		b.unchanged("t", func() { b.refused(b.RefuseTooLarge(b.ctx(), who(), "t"), fault.TooLarge) })
	})
}
