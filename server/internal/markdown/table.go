package markdown

import (
	"slices"
	"strings"

	tables "github.com/yuin/goldmark/extension/ast"
)

const (
	gap    = 2 // columns between two cells
	narrow = 8 // no column of a table that is too wide becomes narrower
)

// table lines up the columns of a table. Cells of one that is too wide are wrapped.
func (p *page) table(t *tables.Table, width int) (lines []line) {
	var rows [][]line
	for row := t.FirstChild(); row != nil; row = row.NextSibling() {
		var cells []line
		var s style
		if len(rows) == 0 {
			s = bold
		}
		for cell := row.FirstChild(); cell != nil; cell = cell.NextSibling() {
			cells = append(cells, p.inline(cell, s))
		}
		rows = append(rows, cells)
	}
	widths := columnWidths(rows, width)
	for i, cells := range rows {
		lines = append(lines, rowLines(cells, widths, t.Alignments)...)
		if i == 0 {
			rule := strings.Repeat("─", sum(widths)+gap*(len(widths)-1))
			lines = append(lines, words(rule, dim))
		}
	}
	return lines
}

// columnWidths are as wide as the cells, or as narrow as the width asks for.
func columnWidths(rows [][]line, width int) []int {
	widths := make([]int, len(rows[0]))
	for _, cells := range rows {
		for i, cell := range cells {
			widths[i] = max(widths[i], cell.width())
		}
	}
	for sum(widths)+gap*(len(widths)-1) > width {
		widest := slices.Index(widths, slices.Max(widths))
		if widths[widest] <= narrow {
			break
		}
		widths[widest]--
	}
	return widths
}

func sum(numbers []int) (all int) {
	for _, n := range numbers {
		all += n
	}
	return all
}

// rowLines are the lines of a row, as many as its highest cell needs.
func rowLines(cells []line, widths []int, alignments []tables.Alignment) (lines []line) {
	columns, height := make([][]line, len(widths)), 1
	for i := range min(len(cells), len(widths)) {
		columns[i] = broken(cells[i], widths[i], true)
		height = max(height, len(columns[i]))
	}
	for y := range height {
		var l line
		for i, width := range widths {
			var cell line
			if y < len(columns[i]) {
				cell = columns[i][y]
			}
			if i > 0 {
				l = append(l, words(strings.Repeat(" ", gap), 0)...)
			}
			l = append(l, padded(cell, width, alignments[i] == tables.AlignRight)...)
		}
		for len(l) > 0 && l[len(l)-1].r == ' ' {
			l = l[:len(l)-1]
		}
		lines = append(lines, l)
	}
	return lines
}
