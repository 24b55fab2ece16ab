package markdown

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// style is how a letter looks.
type style uint8

const (
	bold style = 1 << iota
	italic
	code
	dim
)

// letter is a character with its style.
type letter struct {
	r rune
	s style
}

type line []letter

func words(text string, s style) (l line) {
	for _, r := range text {
		if r == '\t' {
			l = append(l, words("    ", s)...)
			continue
		}
		l = append(l, letter{r, s})
	}
	return l
}

// String is the line as a terminal takes it.
func (l line) String() string {
	var b strings.Builder
	var now style
	for _, x := range l {
		if x.s != now {
			b.WriteString(x.s.command())
			now = x.s
		}
		b.WriteRune(x.r)
	}
	if now != 0 {
		b.WriteString(style(0).command())
	}
	return b.String()
}

func (l line) plain() string {
	var b strings.Builder
	for _, x := range l {
		b.WriteRune(x.r)
	}
	return b.String()
}

func (s style) command() string {
	command := []string{"\x1b[0"}
	for i, number := range [...]string{"1", "3", "36", "2"} {
		if s&(1<<i) != 0 {
			command = append(command, number)
		}
	}
	return strings.Join(command, ";") + "m"
}

// Width is how many columns a line of Lines takes.
func Width(line string) (columns int) {
	for text := line; text != ""; {
		before, after, _ := strings.Cut(text, "\x1b[")
		for _, r := range before {
			columns += columnsOf(r)
		}
		_, text, _ = strings.Cut(after, "m")
	}
	return columns
}

func (l line) width() (columns int) {
	for _, x := range l {
		columns += columnsOf(x.r)
	}
	return columns
}

func columnsOf(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r < 0x1100:
		return 1
	}
	switch width.LookupRune(r).Kind() { //nolint:exhaustive // the others are narrow
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}

// wrapped breaks a text at its newlines, and between words where it is wider than it
// may be. Words that are wider themselves stay whole, as links have to.
func wrapped(text line, width int) []line { return broken(text, width, false) }

// broken is wrapped, which also breaks words if it has to.
func broken(text line, width int, hard bool) (lines []line) {
	for len(text) > 0 {
		end, next := fit(text, width, hard)
		lines = append(lines, text[:end:end])
		text = text[next:]
	}
	return lines
}

// fit is where the first line of a text ends, and where the next begins.
func fit(text line, width int, hard bool) (end, next int) {
	used, space := 0, -1
	for i, x := range text {
		if x.r == '\n' {
			return i, i + 1
		}
		if x.r == ' ' && used <= width && used > 0 {
			space = i
		}
		used += columnsOf(x.r)
		switch {
		case used <= width:
		case space > 0:
			return space, space + 1
		case hard && i > 0:
			return i, i
		}
	}
	return len(text), len(text)
}

// prefixed puts something in front of the first line, and of the others.
func prefixed(lines []line, first, others string, s style) []line {
	if len(lines) == 0 {
		lines = []line{nil}
	}
	for i, l := range lines {
		if len(l) == 0 {
			first = strings.TrimRight(first, " ")
		}
		lines[i] = append(words(first, s), l...)
		first = others
	}
	return lines
}

// padded fills a line with spaces up to a width, in front of it where it stands right.
func padded(l line, width int, right bool) line {
	spaces := words(strings.Repeat(" ", max(width-l.width(), 0)), 0)
	if right {
		return append(spaces, l...)
	}
	return append(slices.Clip(l), spaces...)
}
