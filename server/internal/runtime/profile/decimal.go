package profile

import (
	"cmp"
	"math"
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
func newDecimal(digits string, exponent int) decimal {
	if exponent > 0 {
		digits += strings.Repeat("0", exponent)
	}
	d := decimal{scale: max(0, -exponent)}
	if len(digits) <= maxSmallDigits {
		// A number of so few digits cannot overflow.
		d.small, _ = strconv.ParseInt(digits, 10, 64)
		return d
	}
	d.wide, _ = new(big.Int).SetString(digits, 10)
	return d
}

func (d decimal) negated() decimal {
	d.small = -d.small
	if d.wide != nil {
		d.wide = new(big.Int).Neg(d.wide)
	}
	return d
}

// float is the float64 nearest to a number with a small coefficient.
func (d decimal) float() float64 {
	// A division of two numbers that are exact is rounded only once.
	if d.small < exactFloat && d.small > -exactFloat && d.scale <= maxSmallDigits {
		return float64(d.small) / float64(smallPower(d.scale))
	}
	f, _ := d.rat().Float64()
	return f
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
// the cent. The zero value is an empty sum. There may be millions of them.
type exactSum struct {
	small int64    // The sum times 10^scale,
	wide  *big.Int // unless it does not fit small.
	scale int      // The largest scale added so far.
}

func (s *exactSum) add(d decimal) {
	if s.wide != nil || d.wide != nil || !s.addSmall(d.small, d.scale) {
		s.addWide(d)
	}
}

// addSmall adds if all of it fits 64 bits, else it changes nothing.
func (s *exactSum) addSmall(small int64, scale int) bool {
	sum, fits := s.small, true
	if scale > s.scale {
		sum, fits = shifted(sum, scale-s.scale)
	} else if scale < s.scale {
		small, fits = shifted(small, s.scale-scale)
	}
	total := sum + small
	// The sign of a sum that overflows differs from those of both its parts.
	if !fits || (total^sum)&(total^small) < 0 {
		return false
	}
	s.small, s.scale = total, max(s.scale, scale)
	return true
}

func (s *exactSum) addWide(d decimal) {
	if s.wide == nil {
		s.wide = big.NewInt(s.small)
	}
	term := d.coefficient(new(big.Int))
	if d.scale > s.scale {
		s.wide.Mul(s.wide, powerOfTen(d.scale-s.scale))
		s.scale = d.scale
	} else if d.scale < s.scale {
		term.Mul(term, powerOfTen(s.scale-d.scale))
	}
	s.wide.Add(s.wide, term)
}

func (s exactSum) decimal() decimal { return decimal(s) }

func (s *exactSum) merge(other exactSum) { s.add(other.decimal()) }

func (s exactSum) compare(other exactSum) int {
	if s.wide == nil && other.wide == nil && s.scale == other.scale {
		return cmp.Compare(s.small, other.small)
	}
	return s.rat().Cmp(other.rat())
}

func (s exactSum) negative() bool {
	return s.small < 0 && s.wide == nil || s.wide != nil && s.wide.Sign() < 0
}

func (s exactSum) rat() *big.Rat { return s.decimal().rat() }

// shifted returns n * 10^places, and whether that fits 64 bits.
func shifted(n int64, places int) (int64, bool) {
	if places > maxSmallDigits {
		return 0, n == 0
	}
	power := smallPower(places)
	if n > math.MaxInt64/power || n < math.MinInt64/power {
		return 0, false
	}
	return n * power, true
}

// smallPower is 10^n for an n of at most maxSmallDigits.
func smallPower(n int) int64 {
	power := int64(1)
	for range n {
		power *= 10
	}
	return power
}

func powerOfTen(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}
