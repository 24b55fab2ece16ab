// Package program runs one program for one run attempt of a task: any program
// in any language becomes a worker.
//
// The program gets the task's message on standard input, the task as JSON in
// the file that ERRAND_TASK_FILE names, and ERRAND_TASK_ID, ERRAND_ATTEMPT and
// ERRAND_RESULT_FILE. Of its parent's environment it sees only PATH, HOME,
// LANG, TZ and the names in its definition, and PYTHONUNBUFFERED, so that Python shows
// what it prints. Each line of its standard output is an event as soon as it is whole,
// or within 200 ms as far as it is there; its result is what it leaves in
// ERRAND_RESULT_FILE, else all of standard output. Exit code 0 is success. What it leaves
// in the folder ERRAND_OUT are its task's output files.
//
// It runs in a process group of its own below a supervisor (this program,
// started again; see Supervise), which ends the whole group when it is told
// to, when the program itself has ended, and when its parent dies in whatever
// way. The package knows neither the server nor a client of it: both use it.
package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/errand-dev/errand/server/internal/program/sandbox"
	"github.com/errand-dev/errand/server/internal/task"
)

// DefaultGrace is how long a group that is told to end may take.
const DefaultGrace = 5 * time.Second

// Program is how an operator has defined a program.
type Program struct {
	// Run is the program and its arguments; the first is looked up in PATH.
	// No shell reads them.
	Run []string
	// Dir is the folder that it starts in; "" is the parent's own.
	Dir string
	// Env names variables of the parent's environment that it may see.
	Env []string
	// Events lets lines that are JSON objects with a writable "type" be
	// events of that type; their "data" is the event's. The program sees
	// ERRAND_EVENTS=json.
	Events bool
	// Timeout bounds how long it may run; 0 is no bound.
	Timeout time.Duration
	// Grace is how long its group may go on after TERM; 0 is DefaultGrace.
	Grace time.Duration
	// TTY makes its standard output a pseudo-terminal.
	TTY bool
	// Box confines it; the zero value does not.
	Box sandbox.Box
}

// Check says what is wrong with a definition, as far as that can be known
// before it runs.
func (p Program) Check() error {
	if len(p.Run) == 0 || p.Run[0] == "" {
		return errors.New("run: name a program")
	}
	if p.Dir != "" {
		if info, err := os.Stat(p.Dir); err != nil || !info.IsDir() {
			return fmt.Errorf("dir: %s is no folder", p.Dir)
		}
	}
	// A name with a slash is looked up from Dir.
	name, in := p.Run[0], "in PATH"
	if strings.Contains(name, "/") {
		in = "that can be executed"
		if !filepath.IsAbs(name) {
			name, _ = filepath.Abs(filepath.Join(p.Dir, name)) // it fails where there is no working folder; then nothing is found
		}
	}
	if _, err := exec.LookPath(name); err != nil && p.Box.Kind != sandbox.Podman { // which has programs of its own
		return fmt.Errorf("run: there is no program %q %s", p.Run[0], in)
	}
	for _, name := range p.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return fmt.Errorf("env: %q is not the name of a variable", name)
		}
	}
	if p.Timeout < 0 || p.Grace < 0 {
		return errors.New("timeout and grace: must not be negative")
	}
	if err := p.checkTTY(); err != nil {
		return err
	}
	return p.Box.Check(p.Dir)
}

func (p Program) checkTTY() error {
	switch {
	case p.TTY && runtime.GOOS == "windows":
		return errors.New("tty: there are no pseudo-terminals for programs on Windows")
	case p.TTY && p.Box.Kind == sandbox.Podman:
		return errors.New("tty: podman has none for programs here: use the sandbox bwrap, or no tty")
	default:
		return nil
	}
}

// Environment is what it sees of this process's environment.
func (p Program) Environment() []string {
	var env []string
	for _, name := range append([]string{"PATH", "HOME", "LANG", "TZ"}, p.Env...) {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// Event is one thing that a program said.
type Event struct {
	Type task.Type // a writable one
	Data json.RawMessage
}

// Attempt is one run attempt of a task, as a program is given it.
type Attempt struct {
	TaskID string
	Number int
	// Task is the task as JSON.
	Task json.RawMessage
	// Message is what the program reads on standard input.
	Message string
	// TraceParent is the W3C trace context of the attempt, "" for none.
	TraceParent string
	// Models is how the program asks models through the server, nil for not at all.
	Models *Models
	// Emit takes what the program says: one or more events, in order, from
	// one goroutine. While it has not returned the program's output waits.
	// Its error ends the program.
	Emit func(ctx context.Context, events []Event) error
	// Step does the program's steps ('errand step'). Nil is for programs without.
	Step StepFunc
	// Ask asks people in the name of the program ('errand ask'), which is ended when its
	// attempt is over with that. It goes with Step.
	Ask AskFunc
	// Answers is what has come of the questions that the turn has asked, by their keys.
	Answers map[string]Answer
	// Output keeps the files that the program leaves in the folder that ERRAND_OUT
	// names, when it has ended and its attempt goes on. Nil is for programs without.
	Output OutputFunc
	// Lost tells of a cause of the context's end whether the attempt is not
	// its worker's any more: its group is then killed without a grace time.
	// Nil is never.
	Lost func(cause error) bool
}

// Models is how a program asks models through a server (rule B2): the environment
// variables that the providers' own clients read lead there.
type Models struct {
	// URL is the server's, and Token what stands for a provider's key.
	URL, Token string
	// Providers are openai and anthropic, as far as the server has accounts there.
	Providers []string
}

// environment is that of a program, but for what its definition names itself.
func (m *Models) environment(p Program) []string {
	if m == nil {
		return nil
	}
	base := strings.TrimRight(m.URL, "/") + "/proxy/"
	var env []string
	for _, x := range []struct{ provider, name, path string }{
		{"openai", "OPENAI", "openai/v1"},
		{"anthropic", "ANTHROPIC", "anthropic"},
	} {
		own := slices.Contains(p.Env, x.name+"_API_KEY") || slices.Contains(p.Env, x.name+"_BASE_URL")
		if slices.Contains(m.Providers, x.provider) && !own {
			env = append(env, x.name+"_BASE_URL="+base+x.path, x.name+"_API_KEY="+m.Token)
		}
	}
	return env
}

// ExitError is the error of a program that did not end with exit code 0.
type ExitError struct {
	Code   int
	Signal string // that ended it, "" for none
	// Stderr is the end of its standard error, at most 4 KiB.
	Stderr string
	// Limits names those of its box, "" for none.
	Limits string
}

// Later reports whether the program has said by its exit code, 75 (EX_TEMPFAIL), that
// it cannot do the task now: the attempt is to be given back (rule C3).
func (e *ExitError) Later() bool { return e.Code == exitLater && e.Signal == "" }

const exitLater = 75

// LaterThan is how long a task rests that a program has put off in that attempt, the
// same as after so many lost ones.
func LaterThan(attempt int) time.Duration { return task.Backoff(attempt) }

func (e *ExitError) Error() string {
	how := fmt.Sprintf("the program ended with exit code %d", e.Code)
	if e.Signal != "" {
		how = "the program was ended by the signal " + e.Signal
	}
	if e.Limits != "" {
		how += " (it may have " + e.Limits + ")"
	}
	if said := strings.TrimSpace(e.Stderr); said != "" {
		return how + ": " + said
	}
	return how + " and said nothing on standard error"
}

// Execute runs the program to its end and returns its result. When ctx ends
// first, the program's group is ended and the context's cause is the error. So it is
// when the program asks what nobody has answered, with ErrWaiting.
func (p Program) Execute(ctx context.Context, a Attempt) (result string, err error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	folder, err := newFolder(a)
	if err != nil {
		return "", err
	}
	defer folder.remove()
	ctx, over := context.WithCancelCause(ctx)
	defer over(nil)
	steps, err := openCounter(ctx, folder, a.Step, asking(a.Ask, over))
	if err != nil {
		return "", err
	}
	defer steps.close()
	g, err := p.start(folder, a, steps)
	if err != nil {
		return "", err
	}
	said := listen(ctx, g, p, a.Emit)
	stopped := p.attend(ctx, g, said.failed, a.Lost)
	end := g.wait()
	text, tail, failed := said.rest()
	var lost error
	if ctx.Err() == nil && failed == nil {
		lost = folder.collect(ctx, a)
	}
	switch {
	case stopped != nil:
		return "", stopped
	case end.Error != "":
		return "", errors.New(end.Error)
	case end.Exit != 0 || end.Signal != "":
		return "", &ExitError{Code: end.Exit, Signal: end.Signal, Stderr: tail, Limits: p.limits()}
	case failed != nil:
		return "", failed
	case lost != nil:
		return "", lost
	}
	return folder.result(text)
}

// limits names the limits of the program's box.
func (p Program) limits() string {
	if !p.Box.Confines() {
		return ""
	}
	return p.Box.Told()
}

// attend waits for the end of the program, and ends it when it has to. It
// returns why it had to.
func (p Program) attend(ctx context.Context, g *group, failed <-chan error, lost func(error) bool) error {
	var timeout <-chan time.Time
	if p.Timeout > 0 {
		timer := time.NewTimer(p.Timeout)
		defer timer.Stop()
		timeout = timer.C
	}
	grace := p.Grace
	if grace == 0 {
		grace = DefaultGrace
	}
	var why error
	select {
	case <-g.ended:
		return nil
	case <-ctx.Done():
		if why = context.Cause(ctx); lost != nil && lost(why) {
			grace = 0
		}
	case why = <-failed:
	case <-timeout:
		why = fmt.Errorf("the program was ended: it ran longer than its timeout of %s", p.Timeout)
	}
	g.stop(grace)
	select {
	case <-g.ended:
	case <-ctx.Done():
		if cause := context.Cause(ctx); lost != nil && lost(cause) {
			g.stop(0)
		}
		<-g.ended
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause // it says more than an event that could not be written
	}
	return why
}
