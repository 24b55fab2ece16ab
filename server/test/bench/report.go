package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// figure is one line of the report.
type figure struct {
	section, name string
	value         string
	work          string // what the server computes for each, "" where that says nothing
	raw           string // of the raw store loop, "" where there is none
	ratio         string
	bar           string // what the design asks for, "" for nothing
	// amount is the value as a number, 0 for one that is not compared; less says
	// that less of it is better.
	amount float64
	less   bool
	// cost is what the server computes for each: on a busy machine it says more than
	// a rate.
	cost time.Duration
}

// table collects figures in their order.
type table struct{ figures []figure }

// report prints a figure as soon as it is known, and keeps it.
func (b *bench) report(f figure) {
	b.table.figures = append(b.table.figures, f)
	if b.quiet {
		return
	}
	line := fmt.Sprintf("%-18s %-46s %12s %10s", f.section, f.name, f.value, f.work)
	if f.raw != "" {
		line += fmt.Sprintf("   raw %10s   ratio %s", f.raw, f.ratio)
	}
	if f.bar != "" {
		line += "   (asked: " + f.bar + ")"
	}
	fmt.Fprintln(b.out, line)
}

func (t *table) markdown() string {
	var text strings.Builder
	section := ""
	for _, f := range t.figures {
		if f.section != section {
			section = f.section
			fmt.Fprintf(&text, "\n### %s\n\n| what | Errand over HTTP | its CPU for each | raw store loop | ratio | asked |\n| --- | --: | --: | --: | --: | --- |\n", section)
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s | %s |\n", f.name, f.value, f.work, f.raw, f.ratio, f.bar)
	}
	return text.String()
}

// The tables stand between two lines of the document.
const (
	beginMark = "<!-- make bench writes from here -->"
	endMark   = "<!-- to here -->"
)

func (t *table) write(file, machine string) error {
	old, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(old), beginMark)
	_, after, ends := strings.Cut(rest, endMark)
	if !begins || !ends {
		return fmt.Errorf("%s lacks the lines %q and %q", file, beginMark, endMark)
	}
	text := before + beginMark + "\n\n" + machine + "\n" + t.markdown() + "\n" + endMark + after
	return os.WriteFile(filepath.Clean(file), []byte(text), 0o600)
}

// describeMachine says on what the figures were measured.
func describeMachine(dir string, runs int) string {
	model, memory := "unknown processor", ""
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
			}
		}
	}
	if info, err := os.ReadFile("/proc/meminfo"); err == nil {
		if fields := strings.Fields(string(info)); len(fields) > 1 {
			if kib, err := strconv.Atoi(fields[1]); err == nil {
				memory = fmt.Sprintf(", %d GiB of memory", kib>>20)
			}
		}
	}
	sync := "unknown"
	if took, err := fsync(dir); err == nil {
		sync = milliseconds(took)
	}
	return fmt.Sprintf("%s: %d × %s%s, %s/%s, %s; one fsync of 4 KiB takes %s (median). Medians of %d runs.\n",
		time.Now().Format(time.DateOnly), runtime.NumCPU(), model, memory, runtime.GOOS, runtime.GOARCH, runtime.Version(), sync, runs)
}

// fsync is how long the disk takes to make one page durable.
func fsync(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, "fsync-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it is a temporary file
	defer f.Close()           //nolint:errcheck // and of no worth
	took := make([]time.Duration, 0, 100)
	page := make([]byte, 4096)
	for i := range cap(took) {
		begun := time.Now()
		if _, err := f.WriteAt(page, int64(i)*int64(len(page))); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(begun))
	}
	return quantile(took, 0.5), nil
}

// median of values of any order.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// quantile of moments of any order.
func quantile(values []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds()*1000, 'f', 2, 64) + " ms"
}

func microseconds(d time.Duration) string {
	return strconv.FormatInt(d.Microseconds(), 10) + " µs"
}

// perSecond writes a rate with three digits that count.
func perSecond(rate float64) string {
	if rate >= 10_000 {
		return fmt.Sprintf("%.1fk/s", rate/1000)
	}
	return fmt.Sprintf("%.0f/s", rate)
}

// raiseFileLimit allows as many connections as the system lets a process have.
func raiseFileLimit() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}
