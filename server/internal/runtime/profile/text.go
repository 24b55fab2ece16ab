package profile

import (
	"fmt"
	"strings"
	"unicode"
)

const (
	maxFirstLines = 5
	maxLineShown  = 120
	maxWord       = 64 // Longer words are no words and are not counted as such by name.
	minTopWord    = 4  // Shorter words, mostly articles and the like, say little.
	maxTopWords   = 10
)

// textCount counts what there is in a text.
type textCount struct {
	lines, words, characters int

	firstLines []string
	line       strings.Builder // The current line, while it is one of the first.
	lineSize   int             // Of the current line.

	word     strings.Builder
	wordSize int
	inWord   bool // Between two spaces.
	tally    tally
	budget   budget
}

// profileText counts a text in any language that puts spaces between words.
func profileText(src *source) string {
	var c textCount
	for {
		r, _, err := src.ReadRune()
		if err != nil {
			break
		}
		c.add(r)
	}
	c.finish()
	if c.characters == 0 {
		return emptyFile(src)
	}
	return c.section(src)
}

func (c *textCount) add(r rune) {
	c.characters++
	if unicode.IsSpace(r) {
		c.inWord = false
	} else if !c.inWord {
		c.inWord = true
		c.words++
	}
	c.spell(r)
	if r == '\n' {
		c.endLine()
		return
	}
	c.lineSize++
	if len(c.firstLines) < maxFirstLines && c.lineSize <= maxLineShown+1 {
		c.line.WriteRune(r)
	}
}

// spell collects the letters of a word for the list of the most frequent ones.
func (c *textCount) spell(r rune) {
	if unicode.IsLetter(r) || unicode.IsMark(r) || r == '\'' && c.wordSize > 0 {
		if c.wordSize++; c.wordSize <= maxWord {
			c.word.WriteRune(unicode.ToLower(r))
		}
		return
	}
	if c.wordSize >= minTopWord && c.wordSize <= maxWord {
		c.tally.add(strings.TrimRight(c.word.String(), "'"), &c.budget)
	}
	c.word.Reset()
	c.wordSize = 0
}

func (c *textCount) endLine() {
	c.lines++
	if len(c.firstLines) < maxFirstLines {
		c.firstLines = append(c.firstLines, clip(plain(c.line.String()), maxLineShown))
	}
	c.line.Reset()
	c.lineSize = 0
}

// finish ends the last word and a last line without a line break.
func (c *textCount) finish() {
	c.spell(' ')
	if c.lineSize > 0 {
		c.endLine()
	}
}

func (c *textCount) section(src *source) string {
	var md markdown
	md.para(fmt.Sprintf("Text: %s, %s, %s, %s.", bold(plural(c.lines, "line")),
		bold(plural(c.words, "word")), plural(c.characters, "character"), src.sizeText()))
	var notes []string
	if c.tally.capped {
		notes = append(notes, "The text has more different words than were counted: the most frequent "+
			"ones are among the first "+humanInt(c.tally.distinct())+".")
	}
	md.heading(3, "First lines")
	md.code(c.firstLines)
	if words := c.tally.top(maxTopWords); len(words) > 0 {
		md.heading(3, "Most frequent words")
		rows := make([][]string, 0, len(words))
		for _, word := range words {
			rows = append(rows, []string{inline(word.value, maxCell), humanInt(word.times)})
		}
		md.table([]string{"Word", "Times"}, "lr", rows)
	}
	md.notes(3, append(notes, src.notes()...))
	return md.String()
}
