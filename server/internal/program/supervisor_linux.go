package program

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Executable is this program's file, also when another has taken its name.
func Executable() (string, error) { return "/proc/self/exe", nil }

// adopt makes this process the parent of all descendants that lose theirs.
func adopt() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } // kernels older than 3.4 do without

// ownSession also lets the program die with its supervisor.
func ownSession() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// killChildren kills the processes that were adopted. Their own children are
// adopted then, so it is called until none is left.
func killChildren() {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil { // the pattern is a good one
		return
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path) //nolint:gosec // a name of the kernel's
		if err != nil {
			continue // it has ended
		}
		// "pid (name) state ppid …": the name may hold anything.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && len(fields) > 1 && string(fields[1]) == strconv.Itoa(os.Getpid()) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone
		}
	}
}
