package tabular

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// format is what the numbers of a cell stand for.
type format byte

const (
	plainNumber format = iota
	date               // With or without a time of day.
	clock              // A time of day alone, as it is shown.
	elapsed            // Hours that may be more than 24.
)

// literals are the parts of a format that are shown as they stand, and colours.
var literals = regexp.MustCompile(`"[^"]*"|\\.|\[(?i:[a-z]{3,}\d*|\$[^\]]*|[<>=][^\]]*)\]|_.|\*.`)

// elapsedSigns are those of times that do not end with a day.
var elapsedSigns = regexp.MustCompile(`(?i)\[(h+|m+|s+)\]`)

// formatOf reads the code of a format.
func formatOf(code string) format {
	first, _, _ := strings.Cut(literals.ReplaceAllStringFunc(code, func(s string) string {
		if elapsedSigns.MatchString(s) {
			return s // [hhh] is no colour
		}
		return ""
	}), ";")
	switch {
	case elapsedSigns.MatchString(first):
		return elapsed
	case strings.EqualFold(first, "general"):
		return plainNumber
	case strings.ContainsAny(first, "yYdD"):
		return date
	case strings.ContainsAny(first, "hHsS"):
		return clock
	case strings.ContainsAny(first, "mM"):
		return date
	}
	return plainNumber
}

// builtIn are the formats that a workbook need not name.
func builtIn(id string) format {
	n, err := strconv.Atoi(id)
	switch {
	case err != nil:
		return plainNumber
	case n == 46:
		return elapsed
	case n >= 18 && n <= 21, n == 45, n == 47, n >= 32 && n <= 35, n == 55, n == 56:
		return clock
	case n >= 14 && n <= 22, n >= 27 && n <= 36, n >= 50 && n <= 58:
		return date
	}
	return plainNumber
}

// lastDay is the serial number of the last day that there is, 9999-12-31.
const lastDay = 2_958_465

// write is a number as text.
func (f format) write(raw string, since1904 bool) string {
	raw = strings.TrimSpace(raw)
	serial, err := strconv.ParseFloat(raw, 64)
	switch {
	case err != nil:
		return raw
	case (f == date || f == clock) && serial >= 0 && serial < lastDay+1:
		return moment(serial, since1904, f == clock)
	case f == elapsed && math.Abs(serial) < lastDay:
		return hours(serial)
	case isWhole(raw):
		return raw
	}
	return floatText(serial, 64) // 0.10000000000000001 is how 0.1 is stored
}

// floatText writes a number with as many digits as tell it from others of so many bits.
func floatText(v float64, bits int) string {
	if size := math.Abs(v); size != 0 && (size < 1e-7 || size >= 1e21) {
		return strconv.FormatFloat(v, 'e', -1, bits)
	}
	return strconv.FormatFloat(v, 'f', -1, bits)
}

// isWhole tells whether a number is nothing but digits: all of them count, also where
// a float has fewer.
func isWhole(raw string) bool {
	raw = strings.TrimPrefix(raw, "-")
	for i := range len(raw) {
		if raw[i] < '0' || raw[i] > '9' {
			return false
		}
	}
	return raw != ""
}

const millisecondsPerDay = 86_400_000

// moment writes the day, or the time of a day, that a serial number stands for. Serials
// are whole milliseconds at best.
func moment(serial float64, since1904, clockOnly bool) string {
	day, part := math.Modf(serial)
	milliseconds := math.Round(part * millisecondsPerDay)
	if milliseconds == millisecondsPerDay {
		day, milliseconds = day+1, 0
	}
	past := time.Duration(milliseconds) * time.Millisecond
	if day == 0 && (clockOnly || !since1904) {
		return time.Time{}.Add(past).Format("15:04:05.999")
	}
	epoch := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	switch {
	case since1904:
		epoch = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	case day < 60: // the day that never was, 29 February 1900, is counted
		epoch = epoch.AddDate(0, 0, 1)
	}
	at := epoch.AddDate(0, 0, int(day)).Add(past)
	if past == 0 {
		return at.Format(time.DateOnly)
	}
	return at.Format("2006-01-02 15:04:05.999")
}

// hours writes a time that has passed, as 36:00:00.
func hours(serial float64) string {
	sign := ""
	if serial < 0 {
		sign, serial = "-", -serial
	}
	all := int64(math.Round(serial * millisecondsPerDay))
	text := fmt.Sprintf("%s%d:%02d:%02d", sign, all/3_600_000, all/60_000%60, all/1000%60)
	if rest := all % 1000; rest > 0 {
		text += strings.TrimRight(fmt.Sprintf(".%03d", rest), "0")
	}
	return text
}
