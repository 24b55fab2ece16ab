package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errand-dev/errand"
)

// screen is as much of a terminal as the view needs: 80 columns, which wrap
// when a letter comes that has no place, and a few rows, which scroll.
type screen struct {
	rows        [6][]rune
	row, column int
	saved       [2]int
}

const screenWidth = 80

func (s *screen) down() {
	if s.row < len(s.rows)-1 {
		s.row++
		return
	}
	copy(s.rows[:], s.rows[1:])
	s.rows[s.row] = nil
}

func (s *screen) letter(r rune) {
	if s.column == screenWidth {
		s.down()
		s.column = 0
	}
	for len(s.rows[s.row]) <= s.column {
		s.rows[s.row] = append(s.rows[s.row], ' ')
	}
	s.rows[s.row][s.column] = r
	s.column++
}

func (s *screen) erase() { s.rows[s.row] = s.rows[s.row][:min(s.column, len(s.rows[s.row]))] }

// Write obeys what a view may send.
func (s *screen) Write(p []byte) (int, error) {
	for rest := string(p); rest != ""; {
		obeyed := false
		for command, do := range map[string]func(){
			"\r": func() { s.column = 0 },
			"\n": func() { s.down(); s.column = 0 }, // as the kernel makes it of a newline
			"\x1bD": func() {
				s.column = min(s.column, screenWidth-1)
				s.down()
			},
			"\x1b[A":    func() { s.row-- },
			"\x1b7":     func() { s.saved = [2]int{s.row, s.column} },
			"\x1b8":     func() { s.row, s.column = s.saved[0], s.saved[1] },
			"\x1b[K":    s.erase,
			"\x1b[2m":   func() {},
			"\x1b[0m":   func() {},
			"\x1b[0;1m": func() {},
			"\x1b[0;2m": func() {},
			"\x1b[0;3m": func() {},
			"\x1b[J": func() {
				s.erase()
				for i := s.row + 1; i < len(s.rows); i++ {
					s.rows[i] = nil
				}
			},
		} {
			if strings.HasPrefix(rest, command) {
				do()
				rest, obeyed = rest[len(command):], true
				break
			}
		}
		if obeyed {
			continue
		}
		if n := 0; strings.HasPrefix(rest, "\x1b[") {
			if _, err := fmt.Sscanf(rest, "\x1b[%dA", &n); err == nil {
				s.row -= n
				_, rest, _ = strings.Cut(rest, "A")
				continue
			}
		}
		r := []rune(rest)[0]
		if r < ' ' {
			return 0, fmt.Errorf("the view sends %q", rest)
		}
		s.letter(r)
		rest = rest[len(string(r)):]
	}
	return len(p), nil
}

// text is what is to be seen, without rows that are empty.
func (s *screen) text() string {
	var lines []string
	for _, row := range s.rows {
		if line := strings.TrimRight(string(row), " "); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

func told(kind errand.EventType, data any) errand.Event {
	text, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	return errand.Event{Type: kind, Time: time.Now().Add(-90 * time.Second), Data: text}
}

// TestView: the text is whole, and below it stands one line that changes.
func TestView(t *testing.T) {
	t.Parallel()
	s := &screen{}
	v := &view{out: s, err: s, live: true, joined: true, safe: true}
	executing := map[string]any{"status": "executing"}
	for _, step := range []struct {
		event errand.Event
		want  string
	}{
		{told(errand.TaskCreated, map[string]any{"status": "pending"}), "· pending"},
		{told(errand.AttemptStarted, map[string]any{"attempt": 2}), "· pending · attempt 2"},
		{told(errand.TaskUpdated, executing), "· executing · attempt 2 · 1m30s"},
		{told(errand.TaskUpdated, map[string]any{"internal_status": "reading"}), "· executing · attempt 2 · 1m30s · reading"},
		{told(errand.Chunk, "Sales"), "Sales\n· executing · attempt 2 · 1m30s · reading"},
		{told(errand.Chunk, " are up."), "Sales are up.\n· executing · attempt 2 · 1m30s · reading"},
		{
			told(errand.ToolCallRequest, errand.ToolCall{OperationID: "read", Payload: map[string]string{"file": "a.csv"}}),
			"Sales are up.\n· → read {\"file\":\"a.csv\"}\n· executing · attempt 2 · 1m30s · 1 tool call · reading",
		},
		{
			told(errand.Chunk, strings.Repeat("x", screenWidth)),
			"Sales are up.\n· → read {\"file\":\"a.csv\"}\n" + strings.Repeat("x", screenWidth),
		},
		{
			told(errand.Chunk, "y\n\x1b[2Jz"),
			"Sales are up.\n· → read {\"file\":\"a.csv\"}\n" + strings.Repeat("x", screenWidth) + "\ny\n[2Jz\n· executing · attempt 2 · 1m30s · 1 tool call · reading",
		},
		{
			told(errand.PlanUpdated, errand.Plan{Items: []errand.PlanItem{{ID: "1", Completed: true}, {ID: "2"}}}),
			"Sales are up.\n· → read {\"file\":\"a.csv\"}\n" + strings.Repeat("x", screenWidth) + "\ny\n[2Jz\n· executing · attempt 2 · 1m30s · 1 tool call · 1 of 2 planned steps · re…",
		},
	} {
		v.event(step.event)
		// Where the screen is full, what is above has gone.
		if got := s.text(); got != step.want && (strings.Count(got, "\n") < len(s.rows)-1 || !strings.HasSuffix(step.want, got)) {
			t.Fatalf("%s %s: it shows\n%s\nwant\n%s", step.event.Type, step.event.Data, got, step.want)
		}
	}
	v.end(&errand.Task{ID: "one", Status: errand.Failed, EndReason: errand.EndBudget, Result: "too dear"})
	if got := s.text(); !strings.HasSuffix(got, "[2Jz\ntask one: failed (budget): too dear") {
		t.Errorf("at the end it shows\n%s", got)
	}
}

// TestViewOfMarkdown: the block that is still written is drawn anew with each piece, and
// what stands below it goes on changing.
func TestViewOfMarkdown(t *testing.T) {
	t.Parallel()
	s := &screen{}
	v := &view{out: s, err: s, live: true, joined: true, safe: true, page: &page{}}
	const status = "\n· executing · 1m30s"
	for _, step := range []struct {
		event errand.Event
		want  string
	}{
		{told(errand.TaskUpdated, map[string]any{"status": "executing"}), status[1:]},
		{told(errand.Chunk, "Sales are **u"), "Sales are **u" + status},
		{told(errand.Chunk, "p**.\n"), "Sales are up." + status},
		{told(errand.Chunk, "\n| a | b |\n| --- | ---: |\n"), "Sales are up.\na  b\n────" + status},
		{told(errand.Chunk, "| long\x1b[2J | 1 |\n"), "Sales are up.\na        b\n──────────\nlong[2J  1" + status},
		{told(errand.ToolCallRequest, errand.ToolCall{ToolName: "read"}), "a        b\n──────────\nlong[2J  1\n· → read\n· executing · 1m30s · 1 tool call"},
		{told(errand.Chunk, "*Done*"), "a        b\n──────────\nlong[2J  1\n· → read\nDone\n· executing · 1m30s · 1 tool call"},
	} {
		v.event(step.event)
		if got := s.text(); !strings.HasSuffix(step.want, got) {
			t.Fatalf("%s %s: it shows\n%s\nwant\n%s", step.event.Type, step.event.Data, got, step.want)
		}
	}
	v.end(&errand.Task{Status: errand.Completed})
	if got := s.text(); !strings.HasSuffix(got, "· → read\nDone") {
		t.Errorf("at the end it shows\n%s", got)
	}
}

// TestViewOfThoughts: where they are wanted they stand above what they lead to.
func TestViewOfThoughts(t *testing.T) {
	t.Parallel()
	s := &screen{}
	v := &view{out: s, err: s, live: true, joined: true, safe: true, thoughts: true}
	for _, step := range []struct {
		event errand.Event
		want  string
	}{
		{told(errand.TaskUpdated, map[string]any{"status": "executing"}), "· executing · 1m30s"},
		{told(errand.Think, errand.Thought{Title: "Thinking", Thought: "Hm,\nlet "}), "Hm,\nlet "},
		{told(errand.Think, errand.Thought{Title: "Thinking", Thought: "me see\x1b[2J"}), "Hm,\nlet me see[2J"},
		{told(errand.ToolCallRequest, errand.ToolCall{ToolName: "read"}), "Hm,\nlet me see[2J\n· → read\n· executing · 1m30s · 1 tool call"},
		{told(errand.Think, errand.Thought{Thought: "Well."}), "Hm,\nlet me see[2J\n· → read\nWell."},
		{told(errand.Chunk, "Yes."), "Hm,\nlet me see[2J\n· → read\nWell.\nYes.\n· executing · 1m30s · 1 tool call"},
	} {
		v.event(step.event)
		if got := s.text(); got != strings.TrimRight(step.want, " ") && got != step.want {
			t.Fatalf("%s %s: it shows\n%s\nwant\n%s", step.event.Type, step.event.Data, got, step.want)
		}
	}
}

// TestNotesWithoutATerminal: where every line stays, there are few of them, and the
// newest one is not lost.
func TestNotesWithoutATerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		v := &view{out: io.Discard, err: &said}
		v.event(told(errand.TaskUpdated, map[string]any{"status": "executing"}))
		for i := range 101 {
			v.event(told(errand.TaskUpdated, map[string]any{"internal_status": fmt.Sprintf("%d %%", i)}))
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // of synctest's clock
		}
		for range 10 {
			v.pass()
			time.Sleep(time.Second) //nolint:forbidigo // of synctest's clock
		}
		v.event(told(errand.TaskFinished, map[string]any{"status": "completed"}))
		if got, want := said.String(), "· executing\n· 0 %\n· 50 %\n· 100 %\n· completed\n"; got != want {
			t.Errorf("it said %q, want %q", got, want)
		}
	})
}

// TestViewWithoutATerminal: what a task is doing never gets into its text.
func TestViewWithoutATerminal(t *testing.T) {
	t.Parallel()
	var out, said bytes.Buffer
	v := &view{out: &out, err: &said}
	for _, e := range []errand.Event{
		told(errand.TaskCreated, map[string]any{"status": "pending"}),
		told(errand.TaskUpdated, map[string]any{"status": "executing"}),
		told(errand.Chunk, "Sales "),
		told(errand.ToolCallRequest, errand.ToolCall{ToolName: "read"}),
		told(errand.Chunk, "are up."),
		told(errand.TaskFinished, map[string]any{"status": "completed"}),
	} {
		v.event(e)
	}
	v.end(&errand.Task{Status: errand.Completed, Result: "Sales are up."})
	if got, want := out.String(), "Sales are up.\n"; got != want {
		t.Errorf("the text is %q, want %q", got, want)
	}
	if got, want := said.String(), "· pending\n· executing\n· → read\n· completed\n"; got != want {
		t.Errorf("it said %q, want %q", got, want)
	}
}

// A long block is looked at again when some time has passed, and not with each piece of it.
func TestLongBlock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, looks := page{}, 0
		add := func() {
			if p.add(strings.Repeat("x", 1<<10)) {
				looks++
			}
		}
		for range 1000 {
			add()
		}
		if looks > smallBlock>>10 {
			t.Errorf("looked %d times", looks)
		}
		before := looks
		time.Sleep(redrawnWithin) //nolint:forbidigo // in a bubble
		if add(); looks != before+1 {
			t.Error("did not look when it was time")
		}
	})
}
