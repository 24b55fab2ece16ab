package profile

import (
	"math"
	"slices"
)

// sample keeps the values of a numeric column for its quartiles: all of them
// up to a limit, from there on an even random choice (a reservoir).
type sample struct {
	values []float64
	kept   uint64 // The length of values.
	seen   uint64
	full   bool
	random uint64
}

// add records one value. Room for it comes from the budget of the table.
func (s *sample) add(value float64, b *budget) {
	s.seen++
	if !s.full && b.takeValue(len(s.values)) {
		s.values = append(s.values, value)
		s.kept++
		return
	}
	s.full = true
	if i := s.next() % s.seen; i < s.kept {
		s.values[i] = value
	}
}

// next is the splitmix64 sequence from a fixed seed: the choice has to be
// even, not secret, and the same for the same file.
func (s *sample) next() uint64 {
	s.random += 0x9e3779b97f4a7c15
	z := s.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// quartiles returns the values below which a quarter, a half and three
// quarters of the column lie. There must be at least one value.
func (s *sample) quartiles() [3]float64 {
	slices.Sort(s.values)
	return [3]float64{
		quantile(s.values, 0.25),
		quantile(s.values, 0.5),
		quantile(s.values, 0.75),
	}
}

// quantile interpolates linearly between the two values nearest to the
// position (n-1)*q, also known as type 7.
func quantile(sorted []float64, q float64) float64 {
	position := float64(len(sorted)-1) * q
	below := int(position)
	a, part := sorted[below], position-float64(below)
	if part == 0 {
		return a
	}
	b := sorted[below+1]
	if step := b - a; !math.IsInf(step, 0) {
		return a + step*part
	}
	return a*(1-part) + b*part
}

const (
	// maxValues is how many values one column keeps for its quartiles.
	maxValues = 2_000_000
	// maxTableValues is how many values all columns of a table keep together, 32 MiB.
	maxTableValues = 4 << 20
	// maxDistinct is how many different values one column counts.
	maxDistinct = 50_000
	// maxTableDistinct is how many different values all columns count together.
	maxTableDistinct = 300_000
	// maxTableText is how many bytes these values may have together.
	maxTableText = 16 << 20
	// minShare is what a column of a table gets, unless it is a wide one, even when the
	// others have used up everything; minShares is what all of them get so.
	minShare  = 1_000
	minShares = 300 * minShare
)

// budget bounds the memory of one table, however wide and long it is.
type budget struct {
	columns  int
	values   int
	distinct int
	text     int
}

// share is what each column gets at least.
func (b *budget) share() int { return min(minShare, minShares/max(1, b.columns)) }

// takeValue asks for room for one more number in a column that has some.
func (b *budget) takeValue(have int) bool {
	if have >= maxValues || (have >= b.share() && b.values >= maxTableValues) {
		return false
	}
	b.values++
	return true
}

// takeDistinct asks for room for one more category, a text of some size, in a
// column that has some.
func (b *budget) takeDistinct(have, size int) bool {
	if have >= maxDistinct || (have >= b.share() && (b.distinct >= maxTableDistinct || b.text >= maxTableText)) {
		return false
	}
	b.distinct++
	b.text += size
	return true
}
