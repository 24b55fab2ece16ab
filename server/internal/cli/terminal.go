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
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
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
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, text)
}
