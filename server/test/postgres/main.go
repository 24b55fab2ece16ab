// Command postgres runs another command, whose arguments are its own, beside a
// PostgreSQL server: the environment variable of package pgtest names that. So
// the tests of many packages share one server. It is part of `make test-more`.
//
// A test that is no Go program, started in this way, gets a database of its own by
// `postgres -create`, which prints its URL, and ends it by `postgres -drop URL`.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if errors.Is(err, pgtest.ErrNotInstalled) && os.Getenv("CI") != "true" {
		fmt.Fprintln(os.Stderr, "postgres: SKIPPED:", err)
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "postgres:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, command []string) error {
	if len(command) == 0 {
		return errors.New("name a command to run, like go test ./internal/store/sqlite")
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	// What ends this program may be meant for it alone.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	switch {
	case os.Getenv(pgtest.Env) == "":
	case command[0] == "-create":
		database, err := pgtest.Create() //nolint:contextcheck // it has its own limit
		if err == nil {
			_, err = fmt.Fprintln(os.Stdout, database)
		}
		return err
	case command[0] == "-drop" && len(command) == 2:
		return pgtest.Drop(command[1]) //nolint:contextcheck // it has its own limit
	}
	if os.Getenv(pgtest.Env) != "" { // the user brings a server
		return cmd.Run()
	}
	server, err := pgtest.Open(pgtest.Options{Volatile: true}) //nolint:contextcheck // it ends after the command, whatever ends that
	if err != nil {
		return err
	}
	cmd.Env = append(os.Environ(), pgtest.Env+"="+server.URL("postgres"))
	return errors.Join(cmd.Run(), server.Close()) //nolint:contextcheck // as above
}
