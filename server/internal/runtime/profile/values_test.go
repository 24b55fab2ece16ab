package profile

import (
	"math"
	"math/big"
	"testing"
	"time"
)

// The wanted values are those of linear interpolation between the nearest
// values, as computed by an independent implementation of type 7.
func TestQuartiles(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		values []float64
		want   [3]float64
	}{
		{"one", []float64{7}, [3]float64{7, 7, 7}},
		{"two", []float64{2, 1}, [3]float64{1.25, 1.5, 1.75}},
		{"odd", []float64{3, 1, 5, 2, 4}, [3]float64{2, 3, 4}},
		{"even", []float64{4, 1, 3, 2}, [3]float64{1.75, 2.5, 3.25}},
		{"uneven", []float64{15, 20, 35, 40, 50, -10}, [3]float64{16.25, 27.5, 38.75}},
		{"seven", []float64{6, 7, 15, 36, 39, 40, 41}, [3]float64{11, 36, 39.5}},
		{"extremes", []float64{-math.MaxFloat64, math.MaxFloat64}, [3]float64{-math.MaxFloat64 / 2, 0, math.MaxFloat64 / 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var s sample
			var b budget
			for _, v := range tt.values {
				s.add(v, &b)
			}
			for i, got := range s.quartiles() {
				if want := tt.want[i]; math.Abs(got-want) > 1e-14*math.Abs(want) {
					t.Errorf("quartile %d is %v, want %v", i+1, got, want)
				}
			}
		})
	}
}

func TestSampleIsEvenBeyondItsLimit(t *testing.T) {
	t.Parallel()
	var s sample
	b := budget{values: maxTableValues} // Nothing left but the minimum.
	const n = 200_000
	for i := range n {
		s.add(float64(i), &b)
	}
	if !s.full || len(s.values) != minShare {
		t.Fatalf("keeps %d values, full %v, want %d of them", len(s.values), s.full, minShare)
	}
	for i, got := range s.quartiles() {
		if want := float64(i+1) / 4 * n; math.Abs(got-want) > 0.06*n {
			t.Errorf("quartile %d is %v, want about %v", i+1, got, want)
		}
	}
}

func TestParseNumber(t *testing.T) {
	t.Parallel()
	comma := numberFormat{decimalComma: true}
	tests := []struct {
		in     string
		format numberFormat
		want   string // Empty if it is no number.
		unit   string
	}{
		{in: "0", want: "0"},
		{in: "-12", want: "-12"},
		{in: "+3.50", want: "3.5"},
		{in: ".5", want: "0.5"},
		{in: "5.", want: "5"},
		{in: "1e3", want: "1000"},
		{in: "-2.5E-3", want: "-0.0025"},
		{in: "1,234,567.89", want: "1234567.89"},
		{in: "1'234'567", want: "1234567"},
		{in: "1\u00a0234", want: "1234"},
		{in: "$ 5", want: "5", unit: "$"},
		{in: "-$5.25", want: "-5.25", unit: "$"},
		{in: "€-5", want: "-5", unit: "€"},
		{in: "5 €", want: "5", unit: "€"},
		{in: "−7", want: "-7"},
		{in: "12.5 %", want: "12.5", unit: "%"},
		{in: "123456789012345678901234567890.5", want: "123456789012345678901234567890.5"},
		{in: "1.234,5", format: comma, want: "1234.5"},
		{in: "1.234", format: comma, want: "1234"},
		{in: "(1,234.50)", want: "-1234.5"},
		{in: "($5.25)", want: "-5.25", unit: "$"},
		{in: "$(5.25)", want: "-5.25", unit: "$"},
		{in: "($ 5.25 )", want: "-5.25", unit: "$"},
		{in: "(5.25 €)", want: "-5.25", unit: "€"},
		{in: "(12.5%)", want: "-12.5", unit: "%"},
		{in: "1.234,56-", format: comma, want: "-1234.56"},
		{in: "5.25- €", want: "-5.25", unit: "€"},
		{in: "5.25 €-", want: "-5.25", unit: "€"},
		{in: "1.234,56 €", format: comma, want: "1234.56", unit: "€"},
		{in: "-1.234.567,8 €", format: comma, want: "-1234567.8", unit: "€"},
		{in: "1 234,5", format: comma, want: "1234.5"},
		{in: "1\u202f234,5\u00a0€", format: comma, want: "1234.5", unit: "€"},
		{in: "1’234.50", want: "1234.5"},
		{in: "EUR 5.25", want: "5.25", unit: "EUR"},
		{in: "-5.25 CHF", want: "-5.25", unit: "CHF"},
		{in: "5.25USD", want: "5.25", unit: "USD"},
		{in: "0.123", want: "0.123"},
		{in: "0,123", format: comma, want: "0.123"},
		{in: "00.5", want: "0.5"},
		{in: "123456789012345678", want: "123456789012345678"},
		{in: "1234567890123456789", want: "1234567890123456789"},
		{in: "0.1234567890123456789", want: "0.1234567890123456789"},
		{in: "12,345,678,901,234,567,890", want: "12345678901234567890"},
		{in: "9007199254740993", want: "9007199254740993"},
		{in: "0.30000000000000004", want: "0.30000000000000004"},
		{in: "0,123", want: ""},
		{in: "0.123", format: comma, want: ""},
		{in: "0.123.456", format: comma, want: ""},
		{in: "1,234,56", want: ""},
		{in: "1,234.5,6", want: ""},
		{in: "1,2345", want: ""},
		{in: "1 23", want: ""},
		{in: "(5", want: ""},
		{in: "5)", want: ""},
		{in: "()", want: ""},
		{in: "(-5)", want: ""},
		{in: "-(5)", want: ""},
		{in: "(5-)", want: ""},
		{in: "-5-", want: ""},
		{in: "((5))", want: ""},
		{in: "€5$", want: ""},
		{in: "EUR", want: ""},
		{in: "2024-01-31", want: ""},
		{in: "-Inf", want: ""},
		{in: "∞", want: ""},
		{in: "12,5", want: ""},
		{in: "1,23,456", want: "123456"},
		{in: "12,34,567.50", want: "1234567.50"},
		{in: "1,23", want: ""},
		{in: "1,23,45", want: ""},
		{in: "123,45,678", want: ""},
		{in: "R$ 1,234.50", want: "1234.50", unit: "R$"},
		{in: "US$10", want: "10", unit: "US$"},
		{in: "1 234 kr", want: "1234", unit: "kr"},
		{in: "-5 zł", want: "-5", unit: "zł"},
		{in: "Rs. 500", want: "500", unit: "Rs."},
		{in: "AED 500", want: "500", unit: "AED"},
		{in: "kr", want: ""},
		{in: "5 krona", want: ""},
		{in: "Rp5x", want: ""},
		{in: ",123", want: ""},
		{in: "1234,567", want: ""},
		{in: "1.2.3", want: ""},
		{in: "--1", want: ""},
		{in: "-", want: ""},
		{in: "$", want: ""},
		{in: "%", want: ""},
		{in: ".", want: ""},
		{in: "e5", want: ""},
		{in: "1e", want: ""},
		{in: "1e999999999", want: ""},
		{in: "1e309", want: ""},
		{in: "0x10", want: ""},
		{in: "1_000", want: ""},
		{in: "Inf", want: ""},
		{in: "12 apples", want: ""},
		{in: "$5%", want: ""},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			t.Parallel()
			got, ok := tt.format.parse(tt.in)
			if ok != (tt.want != "") {
				t.Fatalf("a number: %v, want %v", ok, !ok)
			}
			if !ok {
				return
			}
			want, _ := new(big.Rat).SetString(tt.want)
			if got.exact.rat().Cmp(want) != 0 || got.unit != tt.unit {
				t.Errorf("got %s with unit %q, want %s with %q", got.exact.rat(), got.unit, tt.want, tt.unit)
			}
			if approx, _ := want.Float64(); got.approx != approx {
				t.Errorf("got about %v, want %v", got.approx, approx)
			}
		})
	}
}

func TestParseMoment(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in         string
		monthFirst string // RFC 3339; empty if it is no date.
		dayFirst   string // As monthFirst, if that is empty.
	}{
		{in: "2006-01-02", monthFirst: "2006-01-02T00:00:00Z"},
		{in: "2006-01-02T15:04:05Z", monthFirst: "2006-01-02T15:04:05Z"},
		{in: "2006-01-02T15:04:05.5+02:00", monthFirst: "2006-01-02T15:04:05.5+02:00"},
		{in: "2006-01-02 15:04", monthFirst: "2006-01-02T15:04:00Z"},
		{in: "2006-01-02 15:04:05 UTC", monthFirst: "2006-01-02T15:04:05Z"},
		{in: "2006/1/2", monthFirst: "2006-01-02T00:00:00Z"},
		{in: "2006-01", monthFirst: "2006-01-01T00:00:00Z"},
		{in: "01/02/2006", monthFirst: "2006-01-02T00:00:00Z", dayFirst: "2006-02-01T00:00:00Z"},
		{in: "1/2/06", monthFirst: "2006-01-02T00:00:00Z", dayFirst: "2006-02-01T00:00:00Z"},
		{in: "1/31/1999", monthFirst: "1999-01-31T00:00:00Z", dayFirst: "none"},
		{in: "31/1/1999", monthFirst: "none", dayFirst: "1999-01-31T00:00:00Z"},
		{in: "2.1.2006", monthFirst: "2006-01-02T00:00:00Z"},
		{in: "Jan 2, 2006", monthFirst: "2006-01-02T00:00:00Z"},
		{in: "Jan 1 2000", monthFirst: "2000-01-01T00:00:00Z"},
		{in: "September 30, 2006", monthFirst: "2006-09-30T00:00:00Z"},
		{in: "2-Jan-06", monthFirst: "2006-01-02T00:00:00Z"},
		{in: "2 January 2006", monthFirst: "2006-01-02T00:00:00Z"},
		{in: "Mon, 02 Jan 2006 15:04:05", monthFirst: "2006-01-02T15:04:05Z"},
		{in: "Feb 2006", monthFirst: "2006-02-01T00:00:00Z"},
		{in: "1/2/2006 3:04 PM", monthFirst: "2006-01-02T15:04:00Z", dayFirst: "2006-02-01T15:04:00Z"},
		{in: "2023-02-29"},
		{in: "2023-13-01"},
		{in: "2023-00-10"},
		{in: "2006.01"},
		{in: "10.0.0.1"},
		{in: "12:30:00"},
		{in: "2006-01-02 23:59:59", monthFirst: "2006-01-02T23:59:59Z"},
		{in: "2006-01-02 25:00"},
		{in: "2006-01-02 24:00"},
		{in: "2006-01-02 23:60"},
		{in: "2006-01-02 23:59:60"},
		{in: "2006-01-02 2a:00"},
		{in: "2006-01-02 12:00:"},
		{in: "3006-01-02"},
		{in: "2006-02-30"},
		{in: "hello 1 world"},
		{in: "1-2-3"},
		{in: "may contain nuts 2006"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			t.Parallel()
			got, ok := parseMoment(tt.in)
			if ok != (tt.monthFirst != "") {
				t.Fatalf("a date: %v, want %v", ok, !ok)
			}
			if tt.dayFirst == "" {
				tt.dayFirst = tt.monthFirst
			}
			for order, want := range [...]string{tt.monthFirst, tt.dayFirst} {
				at, err := time.Parse(time.RFC3339, want)
				if err != nil {
					at = time.Time{}
				}
				if !got.in[order].Equal(at) {
					t.Errorf("order %d: got %v, want %q", order, got.in[order], want)
				}
			}
		})
	}
}

func TestNumberStyle(t *testing.T) {
	t.Parallel()
	tests := []struct {
		style          numberStyle
		in             string
		exact, rounded string
	}{
		{numberStyle{}, "1234567", "1,234,567", "1,234,567"},
		{numberStyle{}, "-999", "-999", "-999"},
		{numberStyle{places: 2, least: 2}, "1234.5", "1,234.50", "1,234.50"},
		{numberStyle{places: 2, least: 2, unit: "$"}, "-1000", "-$1,000.00", "-$1,000.00"},
		{numberStyle{places: 1, unit: "%"}, "12.5", "12.5%", "12.5%"},
		{numberStyle{places: 1}, "2/3", "0.7", "0.6667"},
		{numberStyle{places: 15}, "0.00123456789", "0.00123457", "0.001235"},
		{numberStyle{places: 15}, "2000/3", "666.666667", "666.666667"},
		{numberStyle{}, "1/30000000", "3.33333e-08", "3.33333e-08"},
		{numberStyle{}, "1e30", "1e+30", "1e+30"},
		{numberStyle{}, "0", "0", "0"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			t.Parallel()
			r := mustRat(t, tt.in)
			if exact, rounded := tt.style.exact(r), tt.style.rounded(r); exact != tt.exact || rounded != tt.rounded {
				t.Errorf("got %s and %s, want %s and %s", exact, rounded, tt.exact, tt.rounded)
			}
		})
	}
}
