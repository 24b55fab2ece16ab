// Package cli is the command line: it parses, calls the server's app or the
// Go client, and shows the outcome. Tables and progress are for people, --json
// is for programs.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/tabular"
	"github.com/errand-dev/errand/server/internal/tool/query"
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
	exitUsage       = 2 // what was typed is no command
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
	Serve   serveCmd    `cmd:"" help:"Run the server: API, workers and streams."`
	Run     runCmd      `cmd:"" help:"Run one task and show it live; without a server it brings its own."`
	Status  statusCmd   `cmd:"" help:"Show the server, who works, how many tasks there are and which are stuck."`
	Chat    chatCmd     `cmd:"" help:"Talk with an agent; without a server it brings its own."`
	Task    taskCmds    `cmd:"" help:"Create, read, follow and stop tasks."`
	Inbox   inboxCmds   `cmd:"" help:"Show and answer what tasks ask of people."`
	Agent   agentCmds   `cmd:"" help:"Define and read agents."`
	File    fileCmds    `cmd:"" help:"Upload, list and delete files for tasks."`
	Key     keyCmds     `cmd:"" help:"Make, cap, list and revoke API keys."`
	Webhook webhookCmds `cmd:"" help:"Have addresses told of tasks: make, try, list, change and delete webhooks."`
	Usage   usageCmd    `cmd:"" help:"Show what was spent in a day and a month, beside the caps."`
	Stats   statsCmd    `cmd:"" help:"Show what happened to tasks lately: how many, how they ended, how long it took."`
	Worker  workerCmds  `cmd:"" help:"Do an agent's tasks with a program of yours, or show who does."`
	Events  eventsCmd   `cmd:"" help:"Print the changes of all tasks as they come."`
	Step    stepCmd     `cmd:"" help:"Inside a program of a worker: run a command once, whatever becomes of the attempt."`
	Ask     askCmd      `cmd:"" help:"Inside a program of a worker: ask a person, and wait for the answer without a slot."`
	Store   storeCmds   `cmd:"" help:"Copy the record from one database into another."`
	MCP     mcpCmd      `cmd:"" name:"mcp" help:"Let a program that speaks MCP on standard input and output use the server."`
	Backup  backupCmd   `cmd:"" help:"Copy the data folder, also while the server runs."`
	Doctor  doctorCmd   `cmd:"" help:"Try a server out, measure it, and say what to fix."`
	Login   loginCmd    `cmd:"" help:"Keep a server and its key, for every other command."`
	Logout  logoutCmd   `cmd:"" help:"Forget a server and its key."`

	Completion completionCmd `cmd:"" help:"Print a script that completes command lines in a shell."`

	Version versionCmd `cmd:"" help:"Print the version."`
}

// env is what commands work with.
type env struct {
	Streams
	ctx context.Context //nolint:containedctx // the life of the whole command
	// interrupts yields Ctrl-C, termination signals, and that the terminal has gone.
	interrupts chan os.Signal
}

// interruptible runs fn with a context that Ctrl-C ends, and with it the
// program. What shows a task to its end attends to Ctrl-C itself. A Ctrl-C that
// came when fn had all it needs is for what follows.
func (e *env) interruptible(fn func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(e.ctx)
	defer cancel(nil)
	over, came := make(chan struct{}), make(chan os.Signal, 1)
	go func() {
		defer close(came)
		select {
		case <-over:
		case s := <-e.interrupts:
			cancel(exitCodeError{code: exitInterrupted})
			came <- s
		}
	}()
	err := fn(ctx)
	close(over)
	s, interrupted := <-came
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if interrupted {
		select {
		case e.interrupts <- s:
		default: // there are others
		}
	}
	return err
}

// await waits for something that knows no context, until Ctrl-C.
func await[T any](e *env, fn func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	came := make(chan answer, 1)
	go func() {
		value, err := fn()
		came <- answer{value, err}
	}()
	select {
	case a := <-came:
		return a.value, a.err
	case <-e.interrupts:
		var none T
		return none, exitCodeError{code: exitInterrupted}
	}
}

// atOnce is within which signals count as one. timeout(1), for example, tells a
// program and then its whole process group.
const atOnce = 200 * time.Millisecond

// moments passes on the first signal of each moment until signals is closed.
func moments(signals <-chan os.Signal) chan os.Signal {
	first := make(chan os.Signal, 2)
	go func() {
		var last time.Time
		for s := range signals {
			if time.Since(last) < atOnce {
				continue
			}
			last = time.Now()
			select {
			case first <- s:
			default: // two that nobody has attended to are enough
			}
		}
	}()
	return first
}

// Main runs a command line and returns the exit code.
func Main(args []string, streams Streams) int {
	if code, mine := program.Supervise(args); mine {
		return code
	}
	if code, mine := query.Serve(args); mine {
		return code
	}
	if code, mine := tabular.Serve(args); mine {
		return code
	}
	signals := make(chan os.Signal, 2)
	defer close(signals)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup asks for
		signal.Notify(signals, syscall.SIGHUP)
	}
	defer signal.Stop(signals)
	e := &env{Streams: streams, ctx: context.Background(), interrupts: moments(signals)}

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
		periods(),
	)
	if err != nil {
		return e.report(err)
	}
	withExamples(parser.Model.Node)
	if len(args) > 0 && args[0] == completeArg {
		complete(streams.Out, parser.Model, args[1:])
		return exitOK
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
		switch {
		case len(args) == 0:
			args = []string{"--help"}
		case args[0] == "--version":
			args = []string{"version"}
		case args[0] == "help":
			args = append(args[1:len(args):len(args)], "--help")
		}
		parsed, err := parser.Parse(args)
		if parse, failed := errors.AsType[*kong.ParseError](err); failed {
			parsed, err = parse.Context, misused(inOurWords(err))
		} else if err == nil {
			err = parsed.Run(e)
		}
		code = e.report(usage(err, parsed))
	}()
	return code
}

// kinds are kong's own words for what it has read, and its guess of what was meant.
var kinds = regexp.MustCompile(` but got ("(?:[^"\\]|\\.)*") \([a-z ]+\)(?:; perhaps try .*\?)?`)

// wholeNumber is what kong says of a value that is none, or that begins with a dash.
var wholeNumber = regexp.MustCompile(`expected (?:int value|a valid \d+ bit u?int) but got (".*")`)

// noValue is what kong says where a line ends in place of a value.
var noValue = regexp.MustCompile(`expected [a-z]+ value but got "EOL" \(<EOL>\)|missing value, expecting "<arg>"`)

// misused is an error of what was typed. That of a parsed line is a command's own.
type misused string

func (m misused) Error() string { return string(m) }

// usage says of an error of what was typed where to read how the command is written.
func usage(err error, parsed *kong.Context) error {
	wrong, is := errors.AsType[misused](err)
	if !is {
		return err
	}
	command := "errand"
	if parsed != nil && parsed.Selected() != nil {
		command = ""
		for n := parsed.Selected(); n != nil; n = n.Parent {
			command = strings.TrimSpace(n.Name + " " + command)
		}
	}
	return exitCodeError{code: exitUsage, message: fmt.Sprintf("%s; see %s --help", wrong, command)}
}

// inOurWords is what the parser says, without its own terms and guesses.
func inOurWords(err error) string {
	// An enum of kong's lists what stands for "left out", too.
	text := strings.Replace(err.Error(), `must be one of "",`, "must be one of ", 1)
	text = noValue.ReplaceAllString(text, "give it a value")
	text = kinds.ReplaceAllString(text, " but got $1")
	text = wholeNumber.ReplaceAllString(text, "expected a whole number but got $1")
	text, _, _ = strings.Cut(text, ", did you mean") // who guesses wrong stops or deletes what was to be shown
	return text
}

// unreachable says in a person's words that no server was reached.
func unreachable(err error) error {
	failed, ok := errors.AsType[*url.Error](err)
	if !ok {
		return err
	}
	server := failed.URL
	if u, err := url.Parse(failed.URL); err == nil {
		server = u.Scheme + "://" + u.Host
	}
	cause := failed.Err
	if op, ok := errors.AsType[*net.OpError](cause); ok {
		cause = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](cause); ok {
		cause = call.Err
	}
	return fmt.Errorf("no server answers at %s (%w): is it running, and is ERRAND_URL right?", server, cause)
}

// report shows an error in one line and returns its exit code.
func (e *env) report(err error) int {
	if err == nil {
		return exitOK
	}
	code := exitError
	if exit, ok := errors.AsType[exitCodeError](err); ok {
		code = exit.code
	}
	if text := strings.TrimSpace(strings.ReplaceAll(unreachable(err).Error(), "\n", "; ")); text != "" {
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

// released is the version of a release's binary, which its linker sets: one that is built in
// a workspace knows none.
var released string //nolint:gochecknoglobals // the linker sets no other

// version is what the build knows of itself.
func version() string {
	if released != "" {
		return released
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "dev"
	}
	return info.Main.Version
}
