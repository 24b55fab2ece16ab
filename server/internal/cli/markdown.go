package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/markdown"
)

// reading says how results are shown.
type reading struct {
	Raw bool `help:"Show results as they are written, and not their Markdown as a terminal can."`
}

// asWritten reports whether the text of a task is shown as it is: where that was asked
// for, and where it is no Markdown.
func (r reading) asWritten(t *errand.Task) bool {
	return r.Raw || t.AgentID == programAgent || t.OutputFormat == "text" || t.OutputFormat == "json"
}

// shows reports whether a terminal obeys.
func shows(terminal bool) bool { return terminal && os.Getenv("TERM") != "dumb" }

// printText prints a whole text, on a terminal as Markdown unless it is shown as written.
func printText(e *env, text string, asWritten bool) {
	terminal := isTerminal(e.Out)
	text = strings.TrimRight(safeText(text, terminal), "\n")
	if shows(terminal) && !asWritten {
		columns, _ := size(e.Out)
		text = strings.Join(markdown.Lines(text, columns, os.Getenv("NO_COLOR") == ""), "\n")
	}
	fmt.Fprintln(e.Out, text)
}

// page is Markdown that comes in pieces. Its last block may change with every piece: it
// is drawn anew with the changing line, until it is closed.
type page struct {
	open   string // the last block, as far as it has come
	begun  bool   // a block stands above it
	redraw time.Time
}

const (
	// smallBlock is a block that is looked at with every piece that comes. A larger one is
	// looked at a few times in a second.
	smallBlock    = 16 << 10
	redrawnWithin = 100 * time.Millisecond
)

// add takes a piece, and reports whether it is time to look at the open block.
func (p *page) add(text string) (due bool) {
	p.open += text
	if len(p.open) >= smallBlock && time.Since(p.redraw) < redrawnWithin {
		return false
	}
	p.redraw = time.Now()
	return true
}

// closed takes what stays what it is out of the open block.
func (p *page) closed() (text string) {
	n := markdown.Closed(p.open)
	text, p.open = p.open[:n], p.open[n:]
	return text
}

// lines are those of a part of the page, below what stands already.
func (p *page) lines(text string, columns int, styled bool) []string {
	lines := markdown.Lines(text, columns, styled)
	if p.begun && len(lines) > 0 {
		lines = append([]string{""}, lines...)
	}
	return lines
}

// last cuts lines to those at the end that take a number of rows at most, and says how
// many rows they take.
func last(lines []string, columns, limit int) (_ []string, rows int) {
	for i, line := range slices.Backward(lines) {
		takes := max(markdown.Width(line)-1, 0)/columns + 1
		if rows+takes > limit {
			return lines[i+1:], rows
		}
		rows += takes
	}
	return lines, rows
}
