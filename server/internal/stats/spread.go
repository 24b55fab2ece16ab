package stats

import (
	"math"
	"math/bits"
	"strconv"
	"time"
)

// buckets is how many lengths a Spread tells apart.
const buckets = 28

// Spread is durations by their length: how many are below a millisecond, below two, four
// and so on; the last has all that are longer, of more than 18 hours.
type Spread [buckets]int64

// bucketOf is the number of a duration's bucket.
func bucketOf(d time.Duration) string {
	return strconv.Itoa(min(bits.Len64(uint64(max(d, 0).Milliseconds())), buckets-1)) //nolint:gosec // it is not negative
}

// Total is how many were counted.
func (s *Spread) Total() (n int64) {
	for _, x := range s {
		n += x
	}
	return n
}

// Quantile is about the duration below which such a part of all were, 0 of none. It lies
// between those that its bucket has.
func (s *Spread) Quantile(part float64) time.Duration {
	left := part * float64(s.Total())
	for i, n := range s {
		if x := float64(n); n > 0 && left <= x {
			return between(i, left/x)
		}
		left -= float64(n)
	}
	return 0
}

// between is the duration so far up in a bucket, on the scale on which buckets are alike.
func between(bucket int, part float64) time.Duration {
	if bucket == 0 {
		return time.Duration(part * float64(time.Millisecond))
	}
	return time.Duration(math.Exp2(float64(bucket-1)+part) * float64(time.Millisecond))
}
