// Package cli is the command line: it parses, calls the server's app or the
// Go client, and shows the outcome. Tables and progress are for people, --json
// is for programs.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Streams are the program's standard streams.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// Exit codes. A task's status decides that of run and watch.
const (
	exitOK          = 0
	exitError       = 1 // bad input, no server, anything that went wrong here
	exitFailed      = 3 // the task failed
	exitTaskError   = 4 // the task ended with status error
	exitStopped     = 5 // the task was stopped
	exitInterrupted = 130
)

// exitCodeError ends the program with a code; its message, if any, is shown.
type exitCodeError struct {
	code    int
	message string
}

func (e exitCodeError) Error() string { return e.message }

// root is the whole command line. Its tags are its documentation.
type root struct {
	Serve   serveCmd   `cmd:"" help:"Run the server: API, workers and streams."`
	Run     runCmd     `cmd:"" help:"Run one task and show it live; without a server it brings its own."`
	Task    taskCmds   `cmd:"" help:"Create, read, follow and stop tasks."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// env is what commands work with.
type env struct {
	Streams
	ctx context.Context //nolint:containedctx // the life of the whole command
	// interrupts yields Ctrl-C and termination signals.
	interrupts <-chan os.Signal
}

// Main runs a command line and answers the exit code.
func Main(args []string, streams Streams) int {
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupts)
	e := &env{Streams: streams, ctx: context.Background(), interrupts: interrupts}

	code := exitOK
	var r root
	parser, err := kong.New(&r,
		kong.Name("errand"),
		kong.Description("The durable task layer for AI agents."),
		kong.UsageOnError(),
		kong.Writers(streams.Out, streams.Err),
		kong.Exit(func(c int) { panic(exitCodeError{code: c}) }), // --help ends the parse this way
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Vars{"version": version()},
	)
	if err != nil {
		return e.report(err)
	}
	func() {
		defer func() {
			if p := recover(); p != nil {
				exit, ok := p.(exitCodeError)
				if !ok {
					panic(p)
				}
				code = exit.code
			}
		}()
		if len(args) == 0 {
			args = []string{"--help"}
		}
		parsed, err := parser.Parse(args)
		if err == nil {
			err = parsed.Run(e)
		}
		code = e.report(err)
	}()
	return code
}

// report shows an error in one line and answers its exit code.
func (e *env) report(err error) int {
	if err == nil {
		return exitOK
	}
	code := exitError
	if exit, ok := errors.AsType[exitCodeError](err); ok {
		code = exit.code
	}
	if text := strings.TrimSpace(strings.ReplaceAll(err.Error(), "\n", "; ")); text != "" {
		fmt.Fprintf(e.Err, "errand: %s\n", text)
	}
	return code
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(e *env) error {
	fmt.Fprintln(e.Out, "errand", version())
	return nil
}

// version is what the build knows of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "dev"
	}
	return info.Main.Version
}
