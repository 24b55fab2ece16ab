//go:build unix

package program

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/errand-dev/errand/server/internal/program/sandbox"
)

// superviseArg makes this program a supervisor. It is nothing for people.
const superviseArg = "supervise-program"

// The files that a supervisor finds open beside the standard ones, which it
// hands on to the program.
const (
	controlFD = 3
	reportFD  = 4
)

// exitNotStarted is the exit code of a program that could not be started in its box.
const exitNotStarted = 127

// orders are what a supervisor is told.
type orders struct {
	// Folder is the attempt's own, which goes with the parent.
	Folder string `json:"folder,omitempty"`
	// Box is what confines the program, which starts in Dir there.
	Box *sandbox.Box `json:"box,omitempty"`
	Dir string       `json:"dir,omitempty"`
	// Limits are the program's, in a box.
	Limits *sandbox.Limits `json:"limits,omitempty"`
}

// args are the arguments that make this program a supervisor of the program.
func (o orders) args(argv []string) ([]string, error) {
	said, err := json.Marshal(o)
	return append([]string{superviseArg, string(said)}, argv...), err
}

// Supervise is what a program that calls Execute calls first, before it looks
// at its arguments (without its own name): if it was started as a supervisor
// it is one, and returns its exit code and true.
//
// A supervisor starts the program in a session, hence a process group, of its
// own. A line on its control pipe, a duration, ends the group with TERM and,
// after that time, with KILL. The end of the pipe, which the kernel sees to
// when the parent dies, kills it at once. When the program has ended, all that
// it has left running is killed; on Linux also what has left the group.
func Supervise(args []string) (code int, mine bool) {
	if len(args) < 3 || args[0] != superviseArg && args[0] != limitArg {
		return 0, false
	}
	if args[0] == limitArg {
		fmt.Fprintln(os.Stderr, "errand:", limit(args[1:]))
		return exitNotStarted, true
	}
	s := &supervisor{argv: args[2:]}
	err := json.Unmarshal([]byte(args[1]), &s.orders)
	if err == nil {
		err = s.run()
	}
	if err != nil {
		s.report(report{Error: err.Error()})
		return 1, true
	}
	return 0, true
}

type supervisor struct {
	orders

	argv     []string
	pid      int
	within   *os.File    // the control pipe of the supervisor in the box
	orphaned atomic.Bool // the parent has gone, or wants it over now
}

func (s *supervisor) run() error {
	syscall.CloseOnExec(controlFD)
	syscall.CloseOnExec(reportFD)
	// What is sent to everybody (a service manager's TERM, a terminal's HUP)
	// is the parent's to answer. Ignoring them would be inherited.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
	runtime.LockOSThread() // whose end would be taken for the supervisor's (PDEATHSIG)
	adopt()
	if err := s.start(); err != nil {
		return fmt.Errorf("start the program: %w", err)
	}
	if s.Limits == nil { // in a box its number says nothing
		s.report(report{Group: s.pid})
	}
	if err := letGo(); err != nil {
		return err
	}
	go s.obey(os.NewFile(controlFD, "control"))
	status := s.reap()
	end := report{Done: true, Exit: status.ExitStatus()}
	if status.Signaled() {
		end.Signal = signalName(status.Signal())
	}
	s.report(end)
	if s.orphaned.Load() {
		folder{s.Folder}.remove()
	}
	return nil
}

// start starts the program, or the box in which it is.
func (s *supervisor) start() (err error) {
	if s.Box != nil {
		s.pid, err = s.boxed()
		return err
	}
	path, err := s.file()
	if err != nil {
		return err
	}
	attr := ownSession()
	if _, err := unix.IoctlGetWinsize(1, unix.TIOCGWINSZ); err == nil { // its output is a terminal: its own
		attr.Setctty, attr.Ctty = true, 1
	}
	s.pid, err = syscall.ForkExec(path, s.argv, &syscall.ProcAttr{ //nolint:gosec // an operator's own program
		Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: attr,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// file is what is executed: the program, or what lays its limits upon itself first.
func (s *supervisor) file() (string, error) {
	if s.Limits == nil {
		return exec.LookPath(s.argv[0])
	}
	keepPrivate()
	limits, err := json.Marshal(s.Limits)
	if err != nil {
		return "", err
	}
	s.argv = append([]string{"errand", limitArg, string(limits)}, s.argv...)
	return Executable()
}

// letGo leaves the standard streams to the program alone, so that they end
// with it.
func letGo() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("let go of the program's streams: %w", err)
	}
	for fd := range 3 {
		if err := unix.Dup2(int(null.Fd()), fd); err != nil {
			return fmt.Errorf("let go of the program's streams: %w", err)
		}
	}
	return nil
}

func signalName(s syscall.Signal) string {
	if s == syscall.SIGKILL {
		return "KILL (it was killed, perhaps for want of memory)"
	}
	return s.String()
}

func (s *supervisor) report(r report) {
	line, err := json.Marshal(r)
	if err != nil { // a report always encodes
		return
	}
	_, _ = syscall.Write(reportFD, append(line, '\n')) // nobody listens any more: the end is the same
}

// obey ends the group when it is told to.
func (s *supervisor) obey(control *os.File) {
	for lines := bufio.NewScanner(control); lines.Scan(); {
		grace, err := time.ParseDuration(lines.Text())
		if err != nil {
			break
		}
		s.tell(grace)
	}
	s.orphaned.Store(true)
	s.tell(0)
}

// tell tells the program to end, and kills its group after grace.
func (s *supervisor) tell(grace time.Duration) {
	switch {
	case s.Box != nil:
		s.tellBox(grace)
	case grace == 0:
		killGroup(s.pid)
	default:
		_ = syscall.Kill(-s.pid, syscall.SIGTERM) // it may be gone
		time.AfterFunc(grace, func() { killGroup(s.pid) })
	}
}

// reap waits until the program and all that is left of it have ended.
func (s *supervisor) reap() (status syscall.WaitStatus) {
	for ended := false; ; {
		if ended {
			killGroup(s.pid)
			killChildren()
		}
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil: // no children are left
			return status
		case pid == s.pid:
			ended, status = true, ws
		}
	}
}
