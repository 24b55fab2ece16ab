package cli

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// size is that of a terminal, or a usual one.
func size(w io.Writer) (columns, rows int) {
	if f, ok := w.(*os.File); ok {
		if columns, rows, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 && rows > 0 {
			return columns, rows
		}
	}
	return 80, 24
}

// fitting cuts a line to a number of columns. What is not ASCII may take two.
func fitting(line string, columns int) string {
	used := 0
	for i, r := range line {
		if used++; r > 0x7f {
			used++
		}
		if used >= columns {
			return line[:i] + "…"
		}
	}
	return line
}

// printable makes text safe as one line of a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || turns(r) {
			return ' '
		}
		return r
	}, text)
}

// safeText takes from text what could command a terminal.
func safeText(text string, terminal bool) string {
	if !terminal {
		return text
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 || turns(r) {
			return -1
		}
		return r
	}, text)
}

// turns reports whether a letter changes the direction of others, by which a text can show
// another one than it is.
func turns(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }
