// Command bench measures Errand beside a raw store loop: what one SQLite file
// does on this machine when nothing stands in front of it. Both take turns in
// one run, so that their ratio holds although machines differ and are shared.
//
// The server is a process of its own; whoever loads it shares its machine.
// Every figure is the median of several runs. It is `make bench`.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// bench is one run of the program.
type bench struct {
	size
	binary string
	dir    string // for data folders, each removed after its use
	// profiles is the folder that takes CPU profiles of the server, "" for none.
	profiles string
	out      io.Writer
	table    table
	quiet    bool // figures are not printed one by one
}

// size is how much is done.
type size struct {
	runs    int           // of each measurement
	callers []int         // at a time
	lasting time.Duration // of one measurement of throughput
	probes  int           // of one measurement of latency
	tasks   int           // through the whole way, and in a log
	viewers int           // of one task
	idle    int           // viewers of silent tasks
	stored  int           // tasks in the large store
	waiting int           // tasks in the store that is started
	herds   []int         // workers that wait for a task each
	lost    int           // leases that are lost at once
	long    int           // events of a task that is deleted
	wide    int           // children of a task that is stopped
	talkers int           // attempts that stream at the same time
	talking time.Duration // of each of them
}

// full is what docs/PERFORMANCE.md quotes; brief shows that the program works.
func full() size {
	return size{
		runs: 5, callers: []int{1, 8, 64}, lasting: 2 * time.Second, probes: 500, tasks: 10_000, viewers: 1000, idle: 10_000,
		stored: 1_000_000, waiting: 100_000, lost: 100_000, long: 500_000, wide: 10_000, herds: []int{4, 64, 1000}, talkers: 1000, talking: time.Minute,
	}
}

func brief() size {
	return size{
		runs: 1, callers: []int{8}, lasting: 50 * time.Millisecond, probes: 20, tasks: 200, viewers: 50, idle: 200,
		stored: 2000, waiting: 500, lost: 500, long: 5000, wide: 1000, herds: []int{4, 64}, talkers: 20, talking: 200 * time.Millisecond,
	}
}

// part is one of the things that are measured.
type part struct {
	name    string
	measure func(context.Context, *bench) error
}

func parts() []part {
	return []part{
		{"create", creates},
		{"claim", claims},
		{"append", appends},
		{"whole", wholeWay},
		{"attack", attacks},
		{"latency", latencies},
		{"waiting", waiting},
		{"invoke", invocations},
		{"streams", streams},
		{"viewers", viewers},
		{"faces", faces},
		{"idle", idleViewers},
		{"lists", lists},
		{"start", starts},
		{"deadlines", deadlines},
		{"large", large},
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	binary := flags.String("errand", "", "the errand program; built from this module when left open")
	dir := flags.String("dir", os.TempDir(), "folder for the data, on the disk that is to be measured")
	only := flags.String("only", "", "regular expression of the parts to measure")
	short := flags.Bool("brief", false, "only show that it works: the figures mean nothing")
	write := flags.String("write", "", "Markdown file that takes the tables between its two markers")
	profiles := flags.String("profiles", "", "folder that takes a CPU profile of the server for each part")
	runs := flags.Int("runs", 0, "runs of each measurement (5)")
	callers := flags.Int("callers", 0, "callers of a measurement of throughput (1, then 8, then 64)")
	herds := flags.Int("herd", 0, "workers that wait for a task each (4, then 64, then 1000)")
	talkers := flags.Int("talkers", 0, "attempts that stream at the same time (1000)")
	talking := flags.Duration("talking", 0, "how long each of them does (1m)")
	lasting := flags.Duration("lasting", 0, "how long a measurement of throughput takes (2s), half of what one of waiting workers does")
	beside := flags.String("beside", "", "another build of the errand program: both take turns in each measurement, and their ratio is told")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	b := &bench{size: full(), binary: *binary, out: out, profiles: *profiles}
	if *short {
		b.size = brief()
	}
	b.runs, b.talkers = cmp.Or(*runs, b.runs), cmp.Or(*talkers, b.talkers)
	if *callers > 0 {
		b.callers = []int{*callers}
	}
	if *herds > 0 {
		b.herds = []int{*herds}
	}
	b.talking, b.lasting = cmp.Or(*talking, b.talking), cmp.Or(*lasting, b.lasting)
	if b.dir, err = os.MkdirTemp(*dir, "errand-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir) //nolint:errcheck // it is a temporary folder
	if b.binary == "" {
		b.binary = filepath.Join(b.dir, "errand")
		if err := build(ctx, b.binary); err != nil {
			return err
		}
	}
	if err := raiseFileLimit(); err != nil {
		return err
	}
	if *beside != "" {
		return b.beside(ctx, *beside, wanted)
	}
	for _, p := range parts() {
		if !wanted.MatchString(p.name) {
			continue
		}
		begun := time.Now()
		if err := p.measure(ctx, b); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", p.name, err), ctx.Err())
		}
		fmt.Fprintf(out, "# %s took %.0f s\n", p.name, time.Since(begun).Seconds())
	}
	if *write != "" {
		return b.table.write(*write, describeMachine(b.dir, b.runs))
	}
	_, err = io.WriteString(out, "\n"+strings.TrimSpace(b.table.markdown())+"\n")
	return err
}
