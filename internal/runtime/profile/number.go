package profile

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxNumberLength is the longest text still taken for a number.
	maxNumberLength = 64
	// maxExponent is a little more than a float64 can have; it bounds the work
	// of exact sums.
	maxExponent = 320
)

// numberFormat says how a file writes its numbers.
type numberFormat struct {
	// decimalComma is set when 1.234,5 is meant and not 1,234.5.
	decimalComma bool
}

// number is one value of a numeric column.
type number struct {
	exact  decimal
	approx float64
	unit   string // A currency sign, "%", or nothing.
	// code is set for digits with leading zeros. They are labels such as
	// postal codes: adding them up makes no sense.
	code bool
}

// parse reads a trimmed cell as a number.
func (f numberFormat) parse(s string) (number, bool) {
	if s == "" || len(s) > maxNumberLength || !mayBeNumber(s) {
		return number{}, false
	}
	body, unit, negative := undecorate(s)
	mantissa, exponent, ok := cutExponent(body)
	if !ok {
		return number{}, false
	}
	point, group := ".", ","
	if f.decimalComma {
		point, group = group, point
	}
	whole, fraction, _ := strings.Cut(mantissa, point)
	whole, ok = ungroup(whole, group)
	if !ok || !allDigits(fraction) || whole+fraction == "" {
		return number{}, false
	}
	n := number{
		exact: newDecimal(negative, whole+fraction, exponent-len(fraction)),
		unit:  unit,
		code:  len(whole) > 1 && whole[0] == '0',
	}
	n.approx, _ = strconv.ParseFloat(whole+"."+fraction+"e"+strconv.Itoa(exponent), 64)
	if negative {
		n.approx = -n.approx
	}
	// A range error leaves an infinity, which has no place in a summary.
	return n, !math.IsInf(n.approx, 0)
}

// mayBeNumber turns most text away at its first character.
func mayBeNumber(s string) bool {
	switch c := s[0]; {
	case c >= '0' && c <= '9', c == '-', c == '+', c == '.', c == '$', c == ',':
		return true
	default:
		return c >= utf8.RuneSelf
	}
}

// undecorate takes a sign and a unit off the ends of a number, in any order a
// person would write them: -$5, $-5, 5 %, 5 €.
func undecorate(s string) (body, unit string, negative bool) {
	signed := false
	for s != "" {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case !signed && (r == '-' || r == '+' || r == '−'):
			signed, negative = true, r != '+'
		case unit == "" && isCurrency(r):
			unit = s[:size]
		default:
			if unit == "" {
				s, unit = cutUnit(s)
			}
			return s, unit, negative
		}
		s = s[size:]
		if unit != "" {
			s = strings.TrimLeft(s, " \u00a0")
		}
	}
	return s, unit, negative
}

// cutUnit takes a percent or currency sign off the end.
func cutUnit(s string) (body, unit string) {
	r, size := utf8.DecodeLastRuneInString(s)
	if r != '%' && !isCurrency(r) {
		return s, ""
	}
	return strings.TrimRight(s[:len(s)-size], " \u00a0\u202f"), s[len(s)-size:]
}

func isCurrency(r rune) bool {
	switch r {
	case '$', '€', '£', '¥', '₹':
		return true
	default:
		return false
	}
}

// cutExponent splits 1.5e3 into 1.5 and 3.
func cutExponent(s string) (mantissa string, exponent int, ok bool) {
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return s, 0, true
	}
	exponent, err := strconv.Atoi(s[i+1:])
	return s[:i], exponent, err == nil && exponent >= -maxExponent && exponent <= maxExponent
}

// ungroup removes thousands separators, provided they stand where they belong.
func ungroup(s, separator string) (string, bool) {
	if allDigits(s) {
		return s, true
	}
	for _, space := range [...]string{"\u00a0", "\u202f", "'"} {
		s = strings.ReplaceAll(s, space, separator)
	}
	first, rest, grouped := strings.Cut(s, separator)
	if !grouped || len(first) == 0 || len(first) > 3 || !allDigits(first) {
		return "", false
	}
	for part := range strings.SplitSeq(rest, separator) {
		if len(part) != 3 || !allDigits(part) {
			return "", false
		}
	}
	return strings.ReplaceAll(s, separator, ""), true
}

// allDigits tells whether s has nothing but ASCII digits; an empty s has.
func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
