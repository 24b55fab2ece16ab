// Command peers does the same work with Errand and with other systems that keep tasks,
// in turns, so that their ratios hold on a machine that others use. It is
// `make bench-peers`.
//
// Each turn of a system is a process of its own, which has the system's client, and
// ends with the system. What is measured of the processor and of memory counts that
// process, the system's servers, and the database.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		stop()
		os.Exit(1)
	}
}

// options are what the user asks for.
type options struct {
	errand, dir, one, program string
	cache                     string // what is installed stays there
	only                      *regexp.Regexp
	turns                     int
	lasting                   time.Duration
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.StringVar(&o.errand, "errand", "", "the errand program; built from this checkout when left open")
	flags.StringVar(&o.dir, "dir", os.TempDir(), "folder for the data, on the disk that is to be measured")
	flags.StringVar(&o.one, "one", "", "measure this peer alone, once, and print its figures as JSON")
	flags.StringVar(&o.program, "program", "", "the program that the one peer needs")
	flags.IntVar(&o.turns, "turns", 5, "turns of each peer")
	flags.DurationVar(&o.lasting, "lasting", 3*time.Second, "how long each measurement of a turn takes")
	flags.StringVar(&o.cache, "cache", filepath.Join(os.TempDir(), "errand-peers"), "folder for the programs of peers that are installed")
	only := flags.String("only", "", "regular expression of the peers; Errand on PostgreSQL always takes part")
	if err = flags.Parse(args); err != nil {
		return o, err
	}
	if o.only, err = regexp.Compile(*only); err != nil {
		err = fmt.Errorf("-only: %w", err)
	}
	return o, err
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.one != "" {
		i := slices.IndexFunc(kinds(), func(k kind) bool { return k.name == o.one })
		if i < 0 {
			return fmt.Errorf("there is no peer %q", o.one)
		}
		got, err := turn(ctx, kinds()[i], o)
		if err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(got)
	}
	if o.dir, err = os.MkdirTemp(o.dir, "errand-peers-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.dir) //nolint:errcheck // it is a temporary folder
	if o.errand == "" {
		o.errand = filepath.Join(o.dir, "errand")
		if err := build(ctx, o.errand); err != nil {
			return err
		}
	}
	database, err := pgtest.Open(pgtest.Options{}) //nolint:contextcheck // it ends with this program
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Close()) }() //nolint:contextcheck // it has its own limit
	if err := os.Setenv(pgtest.Env, database.URL("postgres")); err != nil {
		return err
	}
	return compare(ctx, o, out)
}

// compare lets the peers take turns, the first of which is not always the same one.
func compare(ctx context.Context, o options, out io.Writer) error {
	all := kinds()
	all = slices.DeleteFunc(all, func(k kind) bool { return k.name != all[0].name && !o.only.MatchString(k.name) })
	programs := map[string]string{}
	all = slices.DeleteFunc(all, func(k kind) bool {
		if k.program == nil {
			return false
		}
		found, err := k.program(ctx, o.cache)
		if err != nil {
			fmt.Fprintf(out, "# %s is left out: %v\n", k.name, err)
		}
		programs[k.name] = found
		return err != nil
	})
	t := table{kinds: all, turns: make([][]figures, len(all))}
	for n := range o.turns {
		for i := range all {
			i = (i + n) % len(all)
			o.program = programs[all[i].name]
			got, err := apart(ctx, all[i], o)
			if err != nil {
				return fmt.Errorf("%s: %w", all[i].name, err)
			}
			t.turns[i] = append(t.turns[i], got)
			fmt.Fprintf(out, "# turn %d, %s: %.0f tasks/s, handler start p50 %.1f ms, load %s\n", n+1, all[i].name, got[whole], 1000*got[start50], load())
		}
	}
	_, err := io.WriteString(out, "\n"+t.markdown())
	return err
}

// apart is a turn in a process of its own.
func apart(ctx context.Context, k kind, o options) (got figures, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-one", k.name, "-errand", o.errand, "-program", o.program, "-dir", o.dir, "-lasting", o.lasting.String())
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stderr = os.Stderr
	printed, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	return got, json.Unmarshal(printed, &got)
}

// build compiles the program, with the dependencies of its own module.
func build(ctx context.Context, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", to, "./cmd/errand")
	cmd.Dir = "../.."
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build errand: %w: %s", err, said)
	}
	return nil
}
