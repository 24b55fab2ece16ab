package profile

import "time"

// maxMonthKeys bounds the months that one column of dates is grouped by. There
// are 24,000 of them in the years that are read as years.
const maxMonthKeys = 30_000

// monthKey is the month of a date in both orders of day and month: which of them
// is meant is only known at the end.
type monthKey [dateOrders]int

const (
	noMonth      = -1
	missingMonth = -2
)

// monthOf numbers the months from the year 0.
func monthOf(at time.Time) int {
	if at.IsZero() {
		return noMonth
	}
	return at.Year()*12 + int(at.Month()) - 1
}

// keyOf is the key of the cell that a column has read last.
func (c *column) keyOf() monthKey {
	if c.last.missing {
		return monthKey{missingMonth, missingMonth}
	}
	var key monthKey
	for order, at := range c.last.moment.in {
		key[order] = monthOf(at)
	}
	return key
}

// monthTotals sums the measures by the months of a column.
type monthTotals struct {
	by    *column
	sums  map[monthKey]*total
	width int
}

func (m *monthTotals) add(amounts []amount) {
	key := m.by.keyOf()
	t := m.sums[key]
	if t == nil {
		if len(m.sums) >= maxMonthKeys {
			key = monthKey{noMonth, noMonth}
		}
		if t = m.sums[key]; t == nil {
			t = &total{sums: make([]exactSum, m.width)}
			m.sums[key] = t
		}
	}
	t.rows++
	for i, a := range amounts {
		if a.ok {
			t.sums[i].add(a.value)
		}
	}
}

// lines returns the total of each month, or of each year if there are too many
// months, as time runs. What is no month comes last.
func (m *monthTotals) lines() (lines []total, period string) {
	order := m.by.dates.order()
	months := make(map[int]bool)
	for key := range m.sums {
		months[key[order]] = true
	}
	layout := "2006-01"
	period = "month"
	if len(months) > maxMonths {
		layout, period = "2006", "year"
	}
	merged := make(map[string]*total)
	for key, t := range m.sums {
		name := monthName(key[order], layout)
		line := merged[name]
		if line == nil {
			line = &total{name: name, sums: make([]exactSum, m.width)}
			merged[name] = line
		}
		line.merge(*t)
	}
	for _, line := range merged {
		lines = append(lines, *line)
	}
	return lines, period
}

func monthName(month int, layout string) string {
	switch month {
	case missingMonth:
		return missingGroup
	case noMonth:
		return remainingGroup
	default:
		return time.Date(month/12, time.Month(month%12+1), 1, 0, 0, 0, 0, time.UTC).Format(layout)
	}
}
