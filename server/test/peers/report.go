package main

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// table has all that was measured.
type table struct {
	kinds []kind
	turns [][]figures // of each kind
}

// A unit writes the figures of a row.
type unit struct {
	row    row
	format func(float64) string
	// less says that less is better.
	less bool
	// why says why a peer has no figure.
	why func(kind) string
}

func units() []unit {
	rate := func(v float64) string { return fmt.Sprintf("%.0f/s", v) }
	milli := func(v float64) string { return fmt.Sprintf("%.1f ms", 1000*v) }
	micro := func(v float64) string { return fmt.Sprintf("%.0f µs", 1e6*v) }
	mega := func(v float64) string { return fmt.Sprintf("%.0f MB", v/1e6) }
	cores := func(v float64) string { return fmt.Sprintf("%.3f", v) }
	return []unit{
		{row: whole, format: rate},
		{row: work, format: micro, less: true},
		{row: start50, format: milli, less: true},
		{row: start99, format: milli, less: true},
		{row: startCores, format: cores, less: true},
		{row: invoke, format: rate, why: func(k kind) string { return k.noInvoke }},
		{row: word, format: milli, less: true, why: func(k kind) string { return k.noStream }},
		{row: idleCores, format: cores, less: true},
		{row: idleMemory, format: mega, less: true},
		{row: fullMemory, format: mega, less: true},
	}
}

// markdown is a table for each peer beside the first one: medians, and how many times
// better the first one was, turn by turn, with the least and the most.
func (t table) markdown() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %d cores, %s, load %s at the end. Medians of %d turns.\n",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.Version(), load(), len(t.turns[0]))
	for i, k := range t.kinds[1:] {
		fmt.Fprintf(&text, "\n| what | %s | %s | times better |\n| --- | --: | --: | --- |\n", t.kinds[0].is, k.is)
		for _, u := range units() {
			text.WriteString(u.line(k, t.turns[0], t.turns[i+1]))
		}
	}
	return text.String()
}

func (u unit) line(k kind, these, others []figures) string {
	ours, theirs := of(these, u.row), of(others, u.row)
	if len(theirs) == 0 {
		return fmt.Sprintf("| %s | %s | —: %s | |\n", u.row, u.format(median(ours)), u.why(k))
	}
	ratios := make([]float64, len(ours))
	for i, this := range ours {
		that := theirs[i]
		if u.less {
			this, that = that, this
		}
		if that == 0 { // less than can be measured in one turn
			return fmt.Sprintf("| %s | %s | %s | |\n", u.row, u.format(median(ours)), u.format(median(theirs)))
		}
		ratios[i] = this / that
	}
	return fmt.Sprintf("| %s | %s | %s | %.2f (%.2f to %.2f) |\n", u.row, u.format(median(ours)), u.format(median(theirs)),
		median(ratios), slices.Min(ratios), slices.Max(ratios))
}

// of are the figures of a row in all turns.
func of(turns []figures, r row) (all []float64) {
	for _, got := range turns {
		if v, ok := got[r]; ok {
			all = append(all, v)
		}
	}
	return all
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

// load is how many processes want to run, of the last minute.
func load() string {
	text, _ := os.ReadFile("/proc/loadavg") // of Linux alone
	first, _, _ := strings.Cut(string(text), " ")
	return cmp.Or(first, "unknown")
}
