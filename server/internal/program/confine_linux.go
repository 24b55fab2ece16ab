package program

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/errand-dev/errand/server/internal/program/sandbox"
)

// A program in a box has two supervisors. The one outside starts the box and ends it
// when it has to; the one within is the same as that of any program, in the box's own
// world of processes, and tells how the program has ended. It lets the program be
// started by limitArg, which lays the limits upon itself.

// limitArg makes this program another one, with limits.
const limitArg = "limit-program"

// boxed starts the box with a supervisor in it.
func (s *supervisor) boxed() (pid int, err error) {
	within, err := orders{Limits: new(s.Box.Limits())}.args(s.argv)
	if err != nil {
		return 0, err
	}
	argv, err := s.Box.Command(s.Folder, s.Dir, append([]string{s.Box.Errand()}, within...))
	if err != nil {
		return 0, err
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return 0, err
	}
	self, err := unix.Open("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(self) //nolint:errcheck // it was only named
	if err := s.Box.Give(s.Folder); err != nil {
		return 0, err
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer theirs.Close() //nolint:errcheck // it was only handed on
	s.within = ours
	attr := ownSession()
	attr.Credential = s.Box.Credential()
	// The keys of this process's user stay outside. Where this is forbidden, so are keyrings.
	_, _ = unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) // of this thread, which starts the box
	files := []uintptr{0, 1, 2, theirs.Fd(), reportFD, uintptr(self)}
	return syscall.ForkExec(path, argv, &syscall.ProcAttr{Env: os.Environ(), Files: files, Sys: attr}) //nolint:gosec // what an operator has configured
}

// patienceWithBox is how much longer than its program a box may take to end.
const patienceWithBox = 2 * time.Second

// tellBox tells the supervisor within to end the program; without a grace time at once. If it
// does not obey, the box is killed.
func (s *supervisor) tellBox(grace time.Duration) {
	if grace > 0 {
		_, _ = io.WriteString(s.within, grace.String()+"\n") // it may be gone
	} else {
		_ = s.within.Close() // it may be gone
	}
	time.AfterFunc(grace+patienceWithBox, func() { killGroup(s.pid) })
}

// keepPrivate keeps the program from what this process has open.
func keepPrivate() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) } // it is of this process alone

// limit becomes the program, with limits.
func limit(args []string) error {
	var l sandbox.Limits
	if err := json.Unmarshal([]byte(args[0]), &l); err != nil {
		return fmt.Errorf("read the limits: %w", err)
	}
	syscall.CloseOnExec(sandbox.SelfFD)
	path, err := exec.LookPath(args[1])
	if err != nil {
		return err
	}
	if err := l.Lay(); err != nil {
		return err
	}
	return syscall.Exec(path, args[1:], os.Environ()) //nolint:gosec // an operator's own program
}
