package markdown_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/markdown"
)

func TestLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"headings", "# A *b*\n\n## C\ntext", "# A *b*\n\n## C\n\ntext"},
		{"a paragraph is wrapped, and keeps its lines", "one two three four five six seven\nnext", "one two three four five six\nseven\nnext"},
		{"columns of a program", "  3 a\n 12 b\n\n       3 a\n    1234 b", "  3 a\n 12 b\n\n       3 a\n    1234 b"},
		{"a link shows where it leads", "[the docs](https://x.example/a) <https://y.example>", "the docs\n(https://x.example/a)\nhttps://y.example"},
		{"lists", "- a\n- b\n  - c\n\n3. x\n4. y", "• a\n• b\n  • c\n\n3. x\n4. y"},
		{"a loose list", "- a\n\n  more\n- b", "• a\n\n  more\n\n• b"},
		{"code", "Run `a  b`:\n\n```sh\nfor x in *; do # no words are broken here\n\tdone\n```", "Run `a  b`:\n\n    for x in *; do # no words are broken here\n        done"},
		{"a quotation", "> one two three four five six\n> seven", "│ one two three four five\n│ six\n│ seven"},
		{"a table", "| Name | n |\n| --- | ---: |\n| 表 | 1 |\n| a\\|b | 1,234 |", "Name      n\n───────────\n表        1\na|b   1,234"},
		{
			"a table that is too wide", "| a | what it says |\n| --- | --- |\n| 1 | some words that need more than one line |",
			"a  what it says\n───────────────────────────\n1  some words that need\n   more than one line",
		},
		{"a table of long words", "| a | b |\n| --- | --- |\n| " + strings.Repeat("x", 30) + " | y |", "a                         b\n───────────────────────────\n" + strings.Repeat("x", 24) + "  y\nxxxxxx"},
		{"characters by name", "&lt;b&gt; &amp;amp; \\*no\\* &#27;[2J", "<b> &amp; *no* &#27;[2J"},
		{"HTML", "a <b>b</b>\n\n<div>\nx\n</div>", "a <b>b</b>\n\n<div>\nx\n</div>"},
	} {
		if diff := cmp.Diff(c.want, strings.Join(markdown.Lines(c.text, 27, false), "\n")); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	want := []string{"a \x1b[0;1mb\x1b[0m \x1b[0;3mc\x1b[0m \x1b[0;36md\x1b[0m \x1b[0;1;3me\x1b[0m"}
	if diff := cmp.Diff(want, markdown.Lines("a **b** *c* `d` ***e***", 80, true)); diff != "" {
		t.Error(diff)
	}
	if got := markdown.Width(want[0]); got != 9 {
		t.Errorf("it is %d columns wide, want 9", got)
	}
}

const report = `# A report

> “What?”

Some **words**, and
more of them.

- one
- two

| a | b |
| --- | --- |
| 1 | 2 |

~~~
code

more code
~~~
The end.
`

// TestClosed: what is closed in a text that comes in pieces is shown as in the whole.
func TestClosed(t *testing.T) {
	t.Parallel()
	whole := markdown.Lines(report, 80, true)
	var lines []string
	open := ""
	show := func(text string) {
		if len(lines) > 0 {
			lines = append(lines, "")
		}
		lines = append(lines, markdown.Lines(text, 80, true)...)
	}
	blocks := 0
	for _, piece := range strings.SplitAfter(report, "") {
		open += piece
		if n := markdown.Closed(open); n > 0 {
			show(open[:n])
			open = open[n:]
			blocks++
		}
	}
	show(open)
	if diff := cmp.Diff(whole, lines); diff != "" || blocks != 6 {
		t.Errorf("%d blocks: %s", blocks, diff)
	}
}

// FuzzLines: nothing that a text says becomes a command to the terminal.
func FuzzLines(f *testing.F) {
	f.Add(report, 80)
	f.Add("&#27;[2J \\\u009b | a\n| --- |\n- ", 1)
	f.Fuzz(func(t *testing.T, text string, width int) {
		text = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) && r != '\n' && r != '\t' {
				return -1
			}
			return r
		}, text)
		for _, line := range markdown.Lines(text, width%1000, false) {
			if strings.ContainsFunc(line, unicode.IsControl) {
				t.Errorf("%q has %q", text, line)
			}
		}
		if n := markdown.Closed(text); n > 0 && text[n-1] != '\n' {
			t.Errorf("the beginning of %q ends within a line, at %d", text, n)
		}
	})
}
