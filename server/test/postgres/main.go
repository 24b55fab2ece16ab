// Command postgres runs another command, whose arguments are its own, beside a
// PostgreSQL server: the environment variable of package pgtest names that. So
// the tests of many packages share one server. It is part of `make test-more`.
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
