package profile

import (
	"math/big"
	"strconv"
	"strings"
)

// maxSmallDigits is how many decimal digits always fit an int64.
const maxSmallDigits = 18

// decimal is an exact decimal number, a coefficient divided by 10^scale.
type decimal struct {
	small int64
	wide  *big.Int // The coefficient when it does not fit small, else nil.
	scale int
}

// newDecimal returns digits * 10^exponent. The digits are ASCII and at least one.
func newDecimal(negative bool, digits string, exponent int) decimal {
	if exponent > 0 {
		digits += strings.Repeat("0", exponent)
	}
	d := decimal{scale: max(0, -exponent)}
	if negative {
		digits = "-" + digits
	}
	if len(digits) <= maxSmallDigits {
		// A number of so few digits cannot overflow.
		d.small, _ = strconv.ParseInt(digits, 10, 64)
		return d
	}
	d.wide, _ = new(big.Int).SetString(digits, 10)
	return d
}

// coefficient stores the coefficient into z and returns it.
func (d decimal) coefficient(z *big.Int) *big.Int {
	if d.wide != nil {
		return z.Set(d.wide)
	}
	return z.SetInt64(d.small)
}

func (d decimal) rat() *big.Rat {
	return new(big.Rat).SetFrac(d.coefficient(new(big.Int)), powerOfTen(d.scale))
}

// exactSum adds decimals without rounding, so that a column of prices sums to
// the cent. The zero value is an empty sum.
type exactSum struct {
	total big.Int // The sum times 10^scale.
	scale int     // The largest scale added so far.

	// Scratch space, so that adding allocates next to nothing.
	term  big.Int
	power *big.Int
	shift int
}

func (s *exactSum) add(d decimal) {
	if d.scale > s.scale {
		s.total.Mul(&s.total, powerOfTen(d.scale-s.scale))
		s.scale = d.scale
	}
	d.coefficient(&s.term)
	if shift := s.scale - d.scale; shift > 0 {
		// Most columns have one shift or two, so the last power is worth keeping.
		if s.power == nil || s.shift != shift {
			s.power, s.shift = powerOfTen(shift), shift
		}
		s.term.Mul(&s.term, s.power)
	}
	s.total.Add(&s.total, &s.term)
}

func (s *exactSum) rat() *big.Rat {
	return new(big.Rat).SetFrac(&s.total, powerOfTen(s.scale))
}

func powerOfTen(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}
