package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/errand-dev/errand"
)

// printJSON prints a value as one line.
func printJSON(w io.Writer, v any) error {
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	return lines.Encode(v)
}

// table is rows below a heading, or pairs of a name and a value, in columns
// that line up.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, heading ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if len(heading) > 0 {
		t.row(heading...)
	}
	return t
}

// row adds a row. What could command a terminal is taken out.
func (t table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = printable(cell)
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

// pair adds a name and its value, unless that is empty.
func (t table) pair(name, value string) {
	if value != "" {
		t.row(name, value)
	}
}

// end prints what was added. Standard output has no one to tell of an error.
func (t table) end() { _ = t.w.Flush() }

// jsonTime is a time as --json shows it: null for none, as in the API.
type jsonTime time.Time

// MarshalJSON implements json.Marshaler.
func (m jsonTime) MarshalJSON() ([]byte, error) {
	if time.Time(m).IsZero() {
		return []byte("null"), nil
	}
	return time.Time(m).MarshalJSON()
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime)
}

// ago is how long ago something was, for tables: exact times are in --json.
func ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := max(0, time.Since(t))
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%d h ago", d/time.Hour)
	default:
		return fmt.Sprintf("%d days ago", d/day)
	}
}

// waitingLine says why a task waits, with moments as a person says them: how long ago,
// and in the time of the clock on the wall.
func waitingLine(w *errand.Waiting) string {
	if w == nil {
		return ""
	}
	return strings.NewReplacer(
		w.LastSeen.UTC().Format(time.RFC3339Nano), ago(w.LastSeen),
		w.Until.UTC().Format(time.RFC3339Nano), when(w.Until),
	).Replace(w.Message)
}

// moment is a point in time as people write it.
type moment struct{ time.Time }

// UnmarshalText reads a date, a date with a time, or how long ago it was.
func (m *moment) UnmarshalText(text []byte) error {
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, string(text), time.Local); err == nil {
			m.Time = t
			return nil
		}
	}
	ago, err := parsePeriod(string(text))
	if err != nil {
		return fmt.Errorf("%q is no moment: write 2006-01-02, 2006-01-02T15:04:05Z, or how long ago, for example 24h or 7d", text)
	}
	m.Time = time.Now().Add(-ago)
	return nil
}

// day is a day as people write it.
type day struct{ time.Time }

// UnmarshalText reads a date.
func (d *day) UnmarshalText(text []byte) (err error) {
	if d.Time, err = time.Parse(time.DateOnly, string(text)); err != nil {
		err = fmt.Errorf("%q is no day: write it like 2006-01-02", text)
	}
	return err
}

func brieflyTook(d time.Duration) string { return milliseconds(float64(d) / 1e6) }

func milliseconds(ms float64) string { return fmt.Sprintf("%.1f ms", ms) }

// bytesBriefly writes a size for people.
func bytesBriefly(n int64) string {
	size, unit := float64(n), 0
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	for size >= 1024 && unit < len(units)-1 {
		size /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", size, units[unit])
}
