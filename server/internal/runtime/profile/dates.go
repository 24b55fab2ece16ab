package profile

import (
	"strconv"
	"strings"
	"time"
)

const (
	maxDateLength = 40
	// dateTries is after how many values without a date a column is given up,
	// as looking for dates in prose is slow.
	dateTries = 1_000
)

// dateOrder tells how 01/02/2006 is meant.
type dateOrder int

const (
	monthFirst dateOrder = iota
	dayFirst
	dateOrders
)

// moment is a date as read in both orders; an order in which it makes no sense
// has a zero time. A date that can be read one way only has it in both.
type moment struct {
	in    [dateOrders]time.Time
	clock bool
	zoned bool // It names an offset.
	short bool // Its year has two digits.
}

// dates collects the dates of a column. Whether the day or the month comes
// first is only known at the end, so both readings are followed.
type dates struct {
	spans [dateOrders]span
	clock bool // Some value has a time of day.
	zoned bool // Some value names an offset.
	short bool // Some value has a year of two digits.
	mixed bool // Some value reads differently in the two orders.
	tries int
}

// span is the range of the dates in one reading.
type span struct {
	hits        int
	first, last time.Time
}

// add records a cell and tells whether it was a date, and which.
func (d *dates) add(s string) (moment, bool) {
	if d.tries >= dateTries && d.hits() == 0 {
		return moment{}, false
	}
	d.tries++
	m, ok := parseMoment(s)
	if !ok {
		return moment{}, false
	}
	d.clock, d.zoned, d.short = d.clock || m.clock, d.zoned || m.zoned, d.short || m.short
	d.mixed = d.mixed || !m.in[monthFirst].Equal(m.in[dayFirst])
	for order, at := range m.in {
		if !at.IsZero() {
			d.spans[order].add(at)
		}
	}
	return m, true
}

func (s *span) add(at time.Time) {
	if s.hits == 0 || at.Before(s.first) {
		s.first = at
	}
	if s.hits == 0 || at.After(s.last) {
		s.last = at
	}
	s.hits++
}

// order is the reading in which more values are dates.
func (d *dates) order() dateOrder {
	if d.spans[dayFirst].hits > d.spans[monthFirst].hits {
		return dayFirst
	}
	return monthFirst
}

func (d *dates) hits() int { return d.spans[d.order()].hits }

// ambiguous tells whether both readings are as good and yet not the same.
func (d *dates) ambiguous() bool {
	return d.mixed && d.spans[dayFirst].hits == d.spans[monthFirst].hits
}

// parseMoment reads a date with or without a time of day.
func parseMoment(s string) (moment, bool) {
	if len(s) < len("1/2/06") || len(s) > maxDateLength || !strings.ContainsAny(s, "0123456789") {
		return moment{}, false
	}
	day, clock := cutClock(s)
	m, ok := parseDay(day)
	if !ok || clock == "" {
		return m, ok
	}
	at, zoned, ok := parseClock(clock)
	if !ok {
		return moment{}, false
	}
	m.clock, m.zoned = true, zoned
	for i, d := range m.in {
		if !d.IsZero() {
			m.in[i] = time.Date(d.Year(), d.Month(), d.Day(),
				at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), at.Location())
		}
	}
	return m, true
}

// cutClock parts the time of day from the date before it.
func cutClock(s string) (day, clock string) {
	hour, _, found := strings.Cut(s, ":")
	i := strings.LastIndexAny(hour, "T ")
	if !found || i < 0 {
		return s, ""
	}
	return strings.TrimRight(s[:i], " "), s[i+1:]
}

// parseClock reads a time of day, and tells whether it names an offset.
func parseClock(s string) (at time.Time, zoned, ok bool) {
	if at, ok := plainClock(s); ok {
		return at, false, true
	}
	s, utc := strings.CutSuffix(s, " UTC")
	upper := strings.ToUpper(s)
	for _, layout := range [...]string{"15:04:05", "15:04", "3:04:05 PM", "3:04 PM", "3:04:05PM", "3:04PM"} {
		if at, err := time.Parse(layout, upper); err == nil {
			return at, utc, true
		}
	}
	for _, layout := range [...]string{
		"15:04:05Z07:00", "15:04Z07:00", "15:04:05 -0700", "15:04:05-0700", "15:04:05-07", "15:04:05 -07:00", "15:04-07",
	} {
		if at, err := time.Parse(layout, upper); err == nil {
			return at, true, true
		}
	}
	return time.Time{}, false, false
}

// plainClock reads 15:04:05 and 15:04, which a table may have by the million.
func plainClock(s string) (time.Time, bool) {
	seconds := "00"
	if len(s) == len("15:04:05") && s[5] == ':' {
		s, seconds = s[:5], s[6:]
	}
	if len(s) != len("15:04") || s[2] != ':' || !allDigits(s[:2]) || !allDigits(s[3:]) || !allDigits(seconds) {
		return time.Time{}, false
	}
	hour, minute, second := shortNumber(s[:2]), shortNumber(s[3:]), shortNumber(seconds)
	return time.Date(0, 1, 1, hour, minute, second, 0, time.UTC), hour < 24 && minute < 60 && second < 60
}

// parseDay reads the forms 2006-01-02, 2006-01, 01/02/2006, 2.1.2006,
// Jan 2, 2006, 2-Jan-06, January 2006 and their likes.
func parseDay(s string) (moment, bool) {
	if len(s) == len(time.DateOnly) && s[4] == '-' && s[7] == '-' {
		// The usual form needs no taking apart.
		if year, ok := parseYear(s[:4], false); ok {
			if m, ok := oneWay(year, s[5:7], s[8:]); ok {
				return m, true
			}
		}
	}
	parts := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" ,-/.", r) })
	if len(parts) == 4 && isWeekday(parts[0]) {
		parts = parts[1:]
	}
	switch len(parts) {
	case 2:
		return parseMonthYear(parts, s)
	case 3:
		if year, ok := parseYear(parts[0], false); ok {
			return oneWay(year, parts[1], parts[2])
		}
		named := monthByName(parts[0]) != 0 || monthByName(parts[1]) != 0
		year, ok := parseYear(parts[2], named || strings.Contains(s, "/"))
		if !ok {
			return moment{}, false
		}
		var m moment
		switch {
		case monthByName(parts[0]) != 0:
			m, ok = oneWay(year, parts[0], parts[1])
		case named || strings.Contains(s, "."):
			m, ok = oneWay(year, parts[1], parts[0])
		default:
			m.in[monthFirst] = calendar(year, parts[0], parts[1])
			m.in[dayFirst] = calendar(year, parts[1], parts[0])
			ok = !m.in[monthFirst].IsZero() || !m.in[dayFirst].IsZero()
		}
		m.short = len(parts[2]) == 2
		return m, ok
	default:
		return moment{}, false
	}
}

// parseMonthYear reads January 2006 and 2006-01.
func parseMonthYear(parts []string, s string) (moment, bool) {
	if year, ok := parseYear(parts[1], false); ok && monthByName(parts[0]) != 0 {
		return oneWay(year, parts[0], "1")
	}
	// A decimal number such as 2006.1 must not become a date.
	if year, ok := parseYear(parts[0], false); ok && strings.Contains(s, "-") && len(parts[1]) == 2 {
		return oneWay(year, parts[1], "1")
	}
	return moment{}, false
}

// oneWay is a date that reads the same in every order.
func oneWay(year int, month, day string) (moment, bool) {
	at := calendar(year, month, day)
	return moment{in: [dateOrders]time.Time{at, at}}, !at.IsZero()
}

// calendar returns the day, or a zero time when there is no such day.
func calendar(year int, month, day string) time.Time {
	m := int(monthByName(month))
	if m == 0 {
		m = shortNumber(month)
	}
	d := shortNumber(day)
	at := time.Date(year, time.Month(m), d, 0, 0, 0, 0, time.UTC)
	if m < 1 || int(at.Month()) != m || at.Day() != d {
		return time.Time{}
	}
	return at
}

// parseYear reads a year of four digits, or of two if they are allowed.
func parseYear(s string, short bool) (int, bool) {
	year, err := strconv.Atoi(s)
	switch {
	case err != nil || !allDigits(s):
		return 0, false
	case len(s) == 4:
		return year, year >= 1000 && year < 3000
	case len(s) == 2 && short && year >= 70:
		return 1900 + year, true
	default:
		return 2000 + year, len(s) == 2 && short
	}
}

// shortNumber reads one or two digits and returns 0 for anything else.
func shortNumber(s string) int {
	if len(s) > 2 || !allDigits(s) {
		return 0
	}
	n, _ := strconv.Atoi(s)
	return n
}

// monthByName knows months by their English name or its first letters.
func monthByName(s string) time.Month {
	if len(s) < 3 || s[0] <= '9' {
		return 0
	}
	for m := time.January; m <= time.December; m++ {
		if name := m.String(); len(s) <= len(name) && strings.EqualFold(s, name[:len(s)]) {
			return m
		}
	}
	return 0
}

func isWeekday(s string) bool {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if name := d.String(); len(s) >= 3 && len(s) <= len(name) && strings.EqualFold(s, name[:len(s)]) {
			return true
		}
	}
	return false
}
