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
)

// superviseArg makes this program a supervisor. It is nothing for people.
const superviseArg = "supervise-program"

// The files that a supervisor finds open beside the standard ones, which it
// hands on to the program.
const (
	controlFD = 3
	reportFD  = 4
)

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
	if len(args) < 3 || args[0] != superviseArg {
		return 0, false
	}
	s := &supervisor{folder: folder{args[1]}, argv: args[2:]}
	if err := s.run(); err != nil {
		s.report(report{Error: err.Error()})
		return 1, true
	}
	return 0, true
}

type supervisor struct {
	folder   folder
	argv     []string
	pid      int
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
	path, err := exec.LookPath(s.argv[0])
	if err != nil {
		return fmt.Errorf("start the program: %w", err)
	}
	s.pid, err = syscall.ForkExec(path, s.argv, &syscall.ProcAttr{ //nolint:gosec // an operator's own program
		Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: ownSession(),
	})
	if err != nil {
		return fmt.Errorf("start the program %s: %w", path, err)
	}
	s.report(report{Group: s.pid})
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
		s.folder.remove()
	}
	return nil
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
		_ = syscall.Kill(-s.pid, syscall.SIGTERM) // it may be gone
		time.AfterFunc(grace, func() { killGroup(s.pid) })
	}
	s.orphaned.Store(true)
	killGroup(s.pid)
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
