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

// numberFormat says how a column writes its numbers.
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
	n, sure, ok := f.parseShort(body)
	if !sure {
		n, ok = f.parseLong(body)
	}
	if !ok {
		return number{}, false
	}
	n.unit = unit
	if negative {
		n.exact, n.approx = n.exact.negated(), -n.approx
	}
	return n, true
}

// parseShort reads what nearly all numbers are: digits that fit an int64, with
// a point and separators of thousands. It is not sure about anything else that
// may be a number.
func (f numberFormat) parseShort(s string) (n number, sure, ok bool) {
	point, group := byte('.'), byte(',')
	if f.decimalComma {
		point, group = group, point
	}
	digits, since, groups, fraction := 0, 0, 0, false
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c):
			if digits++; digits > maxSmallDigits {
				return number{}, false, false
			}
			since++
			n.exact.small = n.exact.small*10 + int64(c-'0')
		case c == point && !fraction:
			fraction = true
			if groups > 0 && since != groupSize {
				return number{}, true, false
			}
			n.code = digits > 1 && s[0] == '0'
			since = 0
		case c == group && !fraction:
			if group == ',' && since == lakhSize {
				return number{}, false, false // as they count in India: 12,34,567
			}
			if s[0] == '0' || since == 0 || since > groupSize || groups > 0 && since != groupSize {
				return number{}, true, false
			}
			groups++
			since = 0
		default:
			mayBe := c == 'e' || c == 'E' || c == ' ' || c == '\'' || c >= utf8.RuneSelf
			return number{}, !mayBe, false
		}
	}
	if digits == 0 || groups > 0 && !fraction && since != groupSize {
		return number{}, true, false
	}
	if fraction {
		n.exact.scale = since
	} else {
		n.code = digits > 1 && s[0] == '0'
	}
	n.approx = n.exact.float()
	return n, true, true
}

// parseLong reads a number of any kind.
func (f numberFormat) parseLong(s string) (number, bool) {
	mantissa, exponent, ok := cutExponent(s)
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
		exact: newDecimal(whole+fraction, exponent-len(fraction)),
		code:  len(whole) > 1 && whole[0] == '0',
	}
	n.approx, _ = strconv.ParseFloat(whole+"."+fraction+"e"+strconv.Itoa(exponent), 64)
	// A range error leaves an infinity, which has no place in a summary.
	return n, !math.IsInf(n.approx, 0)
}

// mayBeNumber turns most text away at its first character.
func mayBeNumber(s string) bool {
	switch c := s[0]; {
	case isDigit(c), c == '-', c == '+', c == '.', c == '$', c == ',', c == '(':
		return true
	case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z':
		if last := s[len(s)-1]; !isDigit(last) && last != ')' && last != '-' {
			return false
		}
		_, unit := cutUnit(s)
		return unit != ""
	default:
		return c >= utf8.RuneSelf
	}
}

// undecorate takes a sign and a unit off the ends of a number, in any order a
// person would write them: -$5, $-5, 5 %, 5 €, EUR 5; accountants write (5) and
// 5- for less than nothing.
func undecorate(s string) (body, unit string, negative bool) {
	signed := false
	for s != "" && !(isDigit(s[0]) && isDigit(s[len(s)-1])) {
		rest, mark := cutSign(s)
		if mark != 0 && !signed {
			signed, negative, s = true, mark != '+', trimSpaces(rest)
			continue
		}
		rest, found := cutUnit(s)
		if found == "" || unit != "" {
			break
		}
		s, unit = trimSpaces(rest), found
	}
	return s, unit, negative
}

// cutSign takes a sign off either end and returns 0 if there is none.
func cutSign(s string) (rest string, sign rune) {
	first, size := utf8.DecodeRuneInString(s)
	switch first {
	case '-', '+', '−':
		return s[size:], first
	case '(':
		if inner, closed := strings.CutSuffix(s[size:], ")"); closed {
			return inner, '-'
		}
	}
	if last, size := utf8.DecodeLastRuneInString(s); last == '-' || last == '−' {
		return s[:len(s)-size], '-'
	}
	return s, 0
}

// cutUnit takes a currency off either end, or a percent sign off the last.
func cutUnit(s string) (rest, unit string) {
	if r, size := utf8.DecodeRuneInString(s); isCurrency(r) {
		return s[size:], s[:size]
	}
	if r, size := utf8.DecodeLastRuneInString(s); r == '%' || isCurrency(r) {
		return s[:len(s)-size], s[len(s)-size:]
	}
	if len(s) > codeSize {
		if isCurrencyCode(s[:codeSize]) {
			return s[codeSize:], s[:codeSize]
		}
		if code := s[len(s)-codeSize:]; isCurrencyCode(code) {
			return s[:len(s)-codeSize], code
		}
	}
	return cutAbbreviation(s)
}

// cutAbbreviation takes an abbreviation of a currency off either end: US$5, 5 kr,
// Rs. 5. Those that are a part of others come after them.
func cutAbbreviation(s string) (rest, unit string) {
	first, last := s[0], s[len(s)-1]
	if strings.IndexByte("URACHNSMkzKFlT\xd0\xd1", first) < 0 && isDigit(last) {
		return s, "" // as nearly all texts and codes
	}
	for _, a := range [...]string{
		"US$", "R$", "A$", "AU$", "C$", "CA$", "HK$", "NZ$", "S$", "MX$", "NT$",
		"kr.", "kr", "zł", "Kč", "Ft", "lei", "Rs.", "Rs", "RM", "Rp", "SFr.", "Fr.", "TL", "лв", "руб.", "руб", "р.",
	} {
		if rest, found := strings.CutPrefix(s, a); found && standsAlone(rest, true) {
			return rest, a
		}
		if rest, found := strings.CutSuffix(s, a); found && standsAlone(rest, false) {
			return rest, a
		}
	}
	return s, ""
}

// standsAlone tells whether what is left of a number is parted from the abbreviation
// by a space, or begins or ends with something that is no letter.
func standsAlone(rest string, before bool) bool {
	if rest == "" {
		return false
	}
	next := rest[len(rest)-1]
	if before {
		next = rest[0]
	}
	return isDigit(next) || strings.IndexByte(" -+.,)(", next) >= 0 || strings.HasPrefix(rest, "\u00a0") ||
		strings.HasSuffix(rest, "\u00a0") || strings.HasSuffix(rest, "\u202f")
}

func trimSpaces(s string) string { return strings.Trim(s, " \u00a0\u202f") }

func isCurrency(r rune) bool {
	switch r {
	case '$', '€', '£', '¥', '₹', '₩', '₽', '₺', '₪', '₴', '₱', '₫', '฿', '₦', '₸', '₡', '₲', '₵', '₼', '₾':
		return true
	default:
		return false
	}
}

// codeSize is the length of the codes of currencies.
const codeSize = 3

func isCurrencyCode(s string) bool {
	switch s {
	case "EUR", "USD", "GBP", "CHF", "JPY", "CNY", "INR", "CAD", "AUD", "NZD", "SEK", "NOK", "DKK", "PLN", "CZK",
		"HUF", "RON", "TRY", "BRL", "MXN", "ZAR", "SGD", "HKD", "KRW", "ILS", "AED", "ARS", "BDT", "BGN", "BHD", "CLP",
		"COP", "EGP", "GEL", "GHS", "IDR", "ISK", "JOD", "KES", "KWD", "KZT", "LKR", "MAD", "MYR", "NGN", "OMR", "PEN",
		"PHP", "PKR", "QAR", "RSD", "RUB", "SAR", "THB", "TND", "TWD", "TZS", "UAH", "UGX", "UYU", "VND", "XAF", "XOF":
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

// groupSize is how many digits stand between two separators of thousands.
const groupSize = 3

// ungroup removes thousands separators, provided they stand where they belong.
func ungroup(s, separator string) (string, bool) {
	if allDigits(s) {
		return s, true
	}
	for _, other := range [...]string{" ", "\u00a0", "\u2009", "\u202f", "'", "’"} {
		s = strings.ReplaceAll(s, other, separator)
	}
	first, rest, grouped := strings.Cut(s, separator)
	// Nobody writes 0,123 for 123: that is a decimal comma.
	if !grouped || len(first) == 0 || len(first) > groupSize || !allDigits(first) || first[0] == '0' {
		return "", false
	}
	parts := strings.Split(rest, separator)
	lakhs := separator == "," && len(parts) > 1 && len(first) <= lakhSize && len(parts[0]) == lakhSize
	for i, part := range parts {
		size := groupSize
		if lakhs && i < len(parts)-1 {
			size = lakhSize
		}
		if len(part) != size || !allDigits(part) {
			return "", false
		}
	}
	return strings.ReplaceAll(s, separator, ""), true
}

// lakhSize is how many digits stand between two separators as they count in India,
// but for the last three.
const lakhSize = 2

// allDigits tells whether s has nothing but ASCII digits; an empty s has.
func allDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
