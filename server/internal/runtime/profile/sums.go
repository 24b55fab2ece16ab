package profile

import (
	"fmt"
	"math/big"
	"strings"
	"unicode"
)

// sumRows finds the rows of a table that repeat the sums of those above, as
// spreadsheets and banks print them: they must not be added once more.
type sumRows struct {
	found    flaw
	label    string     // Of the first that was found.
	rows     int        // Rows since the last of them.
	above    []*big.Rat // The sums of the columns at the last of them, nil for 0.
	unproven flaw       // Rows that are called totals, with other numbers.
	called   string     // The first of those.
	figures  flaw       // Rows that are called averages and the like.
	figure   string     // The first of those.
}

// minSummed is how many rows there are above a total that is not called so.
const minSummed = 3

// isSum tells whether a row repeats sums, of all rows above or of those since the last
// such row. It is called a total, or it has nothing but sums.
func (t *table) isSum(row []string, line int) bool {
	s := &t.sums
	label := sumLabel(row)
	if name := firstText(row); isFigureName(name) {
		if s.figures.add(line); s.figures.count == 1 {
			s.figure = strings.Clone(name)
		}
	}
	if label == "" && !t.onlyNumbers(row) {
		s.rows++
		return false
	}
	sums, others, first := 0, 0, 0
	for i, c := range t.columns {
		n, ok := c.format.parse(strings.TrimSpace(cellAt(row, i)))
		switch {
		case !ok:
		case c.numbers.count == 0:
			first++
		case n.approx != 0 && (c.sums(n, s.rows, nil) || c.sums(n, s.rows, s.at(i))):
			sums++
		case n.approx != 0:
			others++
		}
	}
	if sums == 0 || label == "" && (others > 0 || s.rows < minSummed) {
		if sums == 0 && isSumName(label) && others+first > 0 {
			if s.unproven.add(line); s.unproven.count == 1 {
				s.called = clip(label, maxCell)
			}
		}
		s.rows++
		return false
	}
	if s.found.add(line); s.found.count == 1 {
		s.label = clip(label, maxCell)
	}
	s.rows, s.above = 0, make([]*big.Rat, len(t.columns))
	for i, c := range t.columns {
		s.above[i] = c.numbers.sum.rat()
	}
	return true
}

func (s *sumRows) at(i int) *big.Rat {
	if i < len(s.above) {
		return s.above[i]
	}
	return nil
}

// sums tells whether a number is the sum of a column without what was above, as
// exactly as the sum of rounded numbers is.
func (c *column) sums(n number, rows int, above *big.Rat) bool {
	difference := c.numbers.sum.rat()
	if above != nil {
		difference.Sub(difference, above)
	}
	difference.Sub(difference, n.exact.rat())
	off, _ := difference.Abs(difference).Float64()
	size := n.approx
	if size < 0 {
		size = -size
	}
	const share = 1e-4 // of it
	place := 1.0
	for range min(n.exact.scale, maxPlaces) {
		place /= 10
	}
	return off == 0 || n.exact.scale > 0 && off <= min(place*float64(rows)/2, size*share)
}

// onlyNumbers tells whether a row has a number and nothing else, in a table that has
// other columns.
func (t *table) onlyNumbers(row []string) bool {
	blank := false
	for i, c := range t.columns {
		if c.notNumber.count > 0 && c.numbers.count == 0 {
			if strings.TrimSpace(cellAt(row, i)) != "" {
				return false
			}
			blank = true
		}
	}
	if !blank {
		return false
	}
	for i, c := range t.columns {
		cell := strings.TrimSpace(cellAt(row, i))
		if _, number := c.format.parse(cell); cell != "" && !number {
			return false
		}
	}
	return true
}

// sumLabel returns the cell of a row that calls it a total, among the first of its
// texts.
func sumLabel(row []string) string {
	texts := 0
	for _, cell := range row {
		cell = strings.TrimSpace(cell)
		if cell == "" || isDigit(cell[0]) {
			continue
		}
		if hasSumWord(cell) {
			return cell
		}
		if texts++; texts == sumLabelTexts {
			break
		}
	}
	return ""
}

const (
	// maxSumLabel is how long what calls a row a total can be.
	maxSumLabel = 60
	// sumLabelTexts is among how many texts of a row it is looked for.
	sumLabelTexts = 2
)

// hasSumWord tells whether a text has a word for a sum in it.
func hasSumWord(text string) bool {
	if len(text) > maxSumLabel {
		return false
	}
	for word := range strings.FieldsFuncSeq(text, betweenWords) { // no list: each row has some
		if isSumWord(word) {
			return true
		}
	}
	return false
}

// isSumName tells whether a text is nothing but a word for a sum, or ends with one.
func isSumName(text string) bool {
	words := strings.FieldsFunc(text, betweenWords)
	return len(words) > 0 && isSumWord(words[len(words)-1])
}

// betweenWords tells what parts words; sub-total is one.
func betweenWords(r rune) bool { return !unicode.IsLetter(r) && r != '-' }

func isSumWord(word string) bool {
	switch strings.ToLower(word) {
	case "total", "totals", "subtotal", "subtotals", "sub-total", "sum", "overall",
		"summe", "gesamt", "gesamtsumme", "zwischensumme", "insgesamt", "somme", "totaux", "suma", "totale", "totaal",
		"razem", "celkem", "итого", "всего", "合計", "总计", "合计", "小計":
		return true
	default:
		return false
	}
}

// firstText returns the first cell of a row that has something in it.
func firstText(row []string) string {
	for _, cell := range row {
		if cell = strings.TrimSpace(cell); cell != "" {
			return cell
		}
	}
	return ""
}

// isFigureName tells whether a text is nothing but the name of a figure that
// spreadsheets have below a table, other than its sum.
func isFigureName(text string) bool {
	switch strings.ToLower(text) {
	case "average", "avg", "mean", "median", "minimum", "maximum", "std", "stdev", "std dev", "standard deviation",
		"mittelwert", "durchschnitt", "moyenne", "promedio", "media":
		return true
	default:
		return false
	}
}

func (s *sumRows) notes() []string {
	var notes []string
	if n := s.found.count; n > 0 {
		verb := "repeat"
		if n == 1 {
			verb = "repeats"
		}
		called := ""
		if s.label != "" {
			called = "“" + inline(s.label, maxCell) + "” "
		}
		notes = append(notes, fmt.Sprintf("%s %s the sums of others and %s left out (first %son line %s).",
			plural(n, "row"), verb, isOrAre(n), called, humanInt(s.found.line)))
	}
	if n := s.unproven.count; n > 0 {
		notes = append(notes, fmt.Sprintf("%s called like a total, but with other numbers than the sums above, %s counted like any other (first “%s” on line %s).",
			plural(n, "row"), isOrAre(n), inline(s.called, maxCell), humanInt(s.unproven.line)))
	}
	if n := s.figures.count; n > 0 {
		notes = append(notes, fmt.Sprintf("%s called like a figure of others (average, median and the like) %s counted like any other (first “%s” on line %s).",
			plural(n, "row"), isOrAre(n), inline(s.figure, maxCell), humanInt(s.figures.line)))
	}
	return notes
}
