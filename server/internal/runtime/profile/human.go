package profile

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// humanInt writes 1234567 as 1,234,567.
func humanInt(n int) string { return group3(strconv.Itoa(n)) }

// plural writes a count with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return humanInt(n) + " " + noun + "s"
}

// percent writes the share of part in whole.
func percent(part, whole float64) string {
	if whole == 0 {
		return "0%"
	}
	share := 100 * part / whole
	if share > 0 && share < 0.05 {
		return "<0.1%"
	}
	return strconv.FormatFloat(share, 'f', 1, 64) + "%"
}

// humanSize writes a number of bytes.
func humanSize(bytes int64) string {
	const step = 1024
	if bytes < step {
		return plural(int(bytes), "byte")
	}
	size, units := float64(bytes)/step, []string{"KiB", "MiB", "GiB"}
	for len(units) > 1 && size >= step {
		size, units = size/step, units[1:]
	}
	return trimZeros(strconv.FormatFloat(size, 'f', 1, 64), 0) + " " + units[0]
}

const (
	// maxPlaces is how many decimal places a number is shown with.
	maxPlaces = 6
	// moneyPlaces is how many places mark a column as money, or the like:
	// its numbers keep the cents even if they are 00.
	moneyPlaces = 2
	// hugeNumber and tinyNumber bound the numbers written without an exponent.
	hugeNumber = 1e24
	tinyNumber = 1e-6
	// floatDigits are the digits a float64 is good for. More of them would
	// show 0.30000000000000004 to someone who expects 0.3.
	floatDigits = 15
)

// numberStyle is how the numbers of one column are shown.
type numberStyle struct {
	places int // The decimal places of the most precise value.
	least  int // The decimal places that are kept even if they are 0.
	unit   string
}

func (n *numbers) style() numberStyle {
	style := numberStyle{places: n.scale, unit: n.unit}
	if n.scale == moneyPlaces {
		style.least = moneyPlaces
	}
	return style
}

// exact shows a value or a sum with all its decimal places, if they are not
// too many to be read.
func (s numberStyle) exact(r *big.Rat) string {
	if s.places > maxPlaces {
		return s.write(r, leadingZeros(r)+maxPlaces)
	}
	return s.write(r, s.places)
}

// rounded shows a computed value, such as a mean, with as many decimal places
// as make sense for its size.
func (s numberStyle) rounded(r *big.Rat) string {
	places := 4 + leadingZeros(r)
	if f, _ := r.Float64(); math.Abs(f) >= 100 {
		places = 2
	}
	return s.write(r, max(places, min(s.places, maxPlaces)))
}

// float shows a value computed in floating point.
func (s numberStyle) float(f float64) string {
	text := strconv.FormatFloat(f, 'g', floatDigits, 64)
	if math.Abs(f) >= exactFloat/10 {
		text = strconv.FormatFloat(f, 'f', -1, 64)
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return text
	}
	return s.rounded(r)
}

// leadingZeros is how many decimal places of a number are 0 before the first that is not.
func leadingZeros(r *big.Rat) int {
	f, _ := r.Float64()
	if f = math.Abs(f); f == 0 || f >= 1 {
		return 0
	}
	return int(math.Floor(-math.Log10(f)))
}

func (s numberStyle) write(r *big.Rat, places int) string {
	f, _ := r.Float64()
	if size := math.Abs(f); size >= hugeNumber || size < tinyNumber && r.Sign() != 0 {
		return s.withUnit(strconv.FormatFloat(f, 'g', maxPlaces, 64))
	}
	return s.withUnit(group3(trimZeros(r.FloatString(places), s.least)))
}

func (s numberStyle) withUnit(number string) string {
	switch {
	case s.unit == "":
		return number
	case s.unit == "%":
		return number + "%"
	case isAbbreviation(s.unit):
		return number + " " + s.unit
	case strings.HasPrefix(number, "-"):
		return "-" + s.unit + number[1:]
	default:
		return s.unit + number
	}
}

// isAbbreviation tells whether a unit is letters, as kr and EUR are, which stand
// behind a number.
func isAbbreviation(unit string) bool {
	first, _ := utf8.DecodeRuneInString(unit)
	return unicode.IsLetter(first) && !strings.HasSuffix(unit, "$")
}

// trimZeros drops zeros at the end of a decimal fraction, but keeps at least
// so many places.
func trimZeros(number string, least int) string {
	point := strings.IndexByte(number, '.')
	if point < 0 {
		return number
	}
	end := len(number)
	for end > point+1+least && number[end-1] == '0' {
		end--
	}
	if end == point+1 {
		end = point
	}
	return number[:end]
}

// group3 puts commas between the thousands of a decimal number.
func group3(number string) string {
	sign := ""
	if strings.HasPrefix(number, "-") {
		sign, number = "-", number[1:]
	}
	whole, fraction := number, ""
	if point := strings.IndexByte(number, '.'); point >= 0 {
		whole, fraction = number[:point], number[point:]
	}
	var b strings.Builder
	for i, c := range []byte(whole) {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteByte(c)
	}
	return sign + b.String() + fraction
}
