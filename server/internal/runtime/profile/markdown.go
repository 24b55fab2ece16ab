package profile

import (
	"strings"
	"unicode"
)

const (
	// maxCell is how many characters of a value the report shows.
	maxCell = 60
	// maxName is how many characters of a column name the report shows.
	maxName = 60
)

// markdown builds a piece of the report. Text from files has to go through
// inline, or into code.
type markdown struct {
	strings.Builder
}

// heading starts a section.
func (m *markdown) heading(level int, text string) {
	m.WriteString(strings.Repeat("#", level) + " " + text + "\n\n")
}

// para adds a paragraph.
func (m *markdown) para(text string) { m.WriteString(text + "\n\n") }

// list adds a list, if there is anything to put into it.
func (m *markdown) list(items []string) {
	for _, item := range items {
		m.WriteString("- " + item + "\n")
	}
	if len(items) > 0 {
		m.WriteByte('\n')
	}
}

// notes adds a list under a heading of its own.
func (m *markdown) notes(level int, items []string) {
	if len(items) > 0 {
		m.heading(level, "Notes")
		m.list(items)
	}
}

// table adds a table; align has an l or r for each column.
func (m *markdown) table(names []string, align string, rows [][]string) {
	m.row(names)
	m.WriteByte('|')
	for _, a := range align {
		if a == 'r' {
			m.WriteString(" ---: |")
		} else {
			m.WriteString(" --- |")
		}
	}
	m.WriteByte('\n')
	for _, cells := range rows {
		m.row(cells)
	}
	m.WriteByte('\n')
}

func (m *markdown) row(cells []string) {
	m.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// code shows lines as they are, in a fence longer than any within.
func (m *markdown) code(lines []string) {
	fence := "```"
	for _, line := range lines {
		for strings.Contains(line, fence) {
			fence += "`"
		}
	}
	m.WriteString(fence + "text\n")
	for _, line := range lines {
		m.WriteString(line + "\n")
	}
	m.WriteString(fence + "\n\n")
}

func bold(s string) string { return "**" + s + "**" }

// inline makes text from a file safe to stand within a line or a table cell
// of Markdown: it shows as it is, cut to at most limit characters.
func inline(s string, limit int) string {
	runes := []rune(clip(plain(s), limit))
	var b strings.Builder
	for i, r := range runes {
		switch r {
		case '&':
			b.WriteString("&amp;")
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '\\', '`', '*', '[', ']', '|', '~':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '_':
			// Within a word it means nothing, and names are full of it.
			if i == 0 || i == len(runes)-1 || !isWordRune(runes[i-1]) || !isWordRune(runes[i+1]) {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isWordRune(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// plain makes one line of valid UTF-8 out of any text. Control characters
// become spaces; marks that reorder what follows them are dropped.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == 0:
			return unicode.ReplacementChar
		case unicode.IsControl(r), unicode.IsSpace(r), r == '\u2028', r == '\u2029':
			return ' '
		case r == '\ufeff', r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
			return -1
		default:
			return r
		}
	}, s)
	return strings.TrimSpace(s)
}

// clip cuts a text to at most limit characters, the last of which then is an ellipsis.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	seen, end := 0, 0
	for i := range s {
		if seen == limit-1 {
			end = i
		}
		if seen++; seen > limit {
			return strings.TrimRight(s[:end], " ") + "…"
		}
	}
	return s
}
