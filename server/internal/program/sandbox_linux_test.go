package program_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/program/sandbox"
)

// boxed is a program in shell in a box of bubblewrap's.
func boxed(t *testing.T, script string) program.Program {
	t.Helper()
	if _, err := exec.LookPath(sandbox.Bwrap); err != nil && os.Getenv("CI") == "" {
		t.Skip("bubblewrap is not installed")
	}
	p := shell(script)
	p.Box = sandbox.Box{Kind: sandbox.Bwrap}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	return p
}

// A confined program gets the same as any, in a folder of its own, and ends the same.
func TestC5ConfinedProgramIsAProgram(t *testing.T) {
	t.Parallel()
	result, _, err := run(t, boxed(t, `cat; echo; cat "$ERRAND_TASK_FILE"; echo; pwd; echo $HOME; echo scratch >f; cat f`))
	lines := strings.Split(result, "\n")
	if err != nil || len(lines) != 7 || lines[0] != "Do it" || lines[2] != `{"id":"task-1","answers":{}}` || lines[3] != lines[4] || lines[5] != "scratch" {
		t.Errorf("C5: %q, %v", result, err)
	}
	for _, c := range []struct {
		script string
		code   int
		signal string
	}{{`exit 3`, 3, ""}, {`exit 130`, 130, ""}, {`kill -SEGV $$`, -1, "segmentation fault"}, {`kill -TERM $$`, -1, "terminated"}} {
		_, _, err := run(t, boxed(t, c.script))
		exit, is := errors.AsType[*program.ExitError](err)
		if !is || exit.Code != c.code || exit.Signal != c.signal || !strings.Contains(exit.Error(), "256 processes") {
			t.Errorf("C5: %s ended with %v", c.script, err)
		}
	}
}

// A program that is told to end may tidy up; what has left its session ends with it.
func TestC5StopReachesIntoTheBox(t *testing.T) {
	t.Parallel()
	p := boxed(t, `trap 'echo tidied; exit' TERM; setsid sleep 1000 & echo ready; while :; do sleep 0.01; done`)
	p.Grace = patience
	s := start(t, p)
	eventually(t, "it is ready", func() bool { return len(s.log.texts()) > 0 })
	s.cancel(errTold)
	s.wait(t, patience/2)
	if !errors.Is(s.err, errTold) {
		t.Errorf("C5: %v", s.err)
	}
	deaf := boxed(t, `trap '' TERM; echo ready; while :; do sleep 0.01; done`)
	deaf.Grace = 100 * time.Millisecond
	s = start(t, deaf)
	eventually(t, "it is ready", func() bool { return len(s.log.texts()) > 0 })
	s.cancel(errTold)
	s.wait(t, patience)
}

// What cannot be confined is refused.
func TestC5NoBoxIsRefused(t *testing.T) {
	p := boxed(t, `true`)
	p.Run[0] = "/bin/sh"
	t.Setenv("PATH", "/nowhere")
	if err := p.Check(); err == nil || !strings.Contains(err.Error(), "there is no bwrap in PATH: install the package bubblewrap") {
		t.Errorf("C5: %v", err)
	}
}

// A folder that shows other programs, or the folders of other tasks, is refused.
func TestC5FoldersThatShowTooMuch(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/", "/proc", "/proc/self", "/dev/shm", os.TempDir()} { //nolint:usetesting // in which all tasks have folders
		read, start := boxed(t, "true"), boxed(t, "true")
		read.Box.Read, start.Dir = []string{path}, path
		if err := read.Check(); err == nil || !strings.Contains(err.Error(), "shows what is not the program's") {
			t.Errorf("C5: read: %s: %v", path, err)
		}
		if err := start.Check(); err == nil || !strings.Contains(err.Error(), "shows what is not the program's") {
			t.Errorf("C5: dir: %s: %v", path, err)
		}
	}
	fine := boxed(t, "true")
	fine.Box.Read = []string{"/usr/share"}
	if err := fine.Check(); err != nil {
		t.Errorf("C5: %v", err)
	}
}

// The keys in the session keyring of who runs a worker are not its programs'.
func TestC5KeyringStaysOutside(t *testing.T) {
	t.Parallel()
	runtime.LockOSThread() // whose keyring it is: it ends with the test
	if _, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0); err != nil {
		t.Skipf("there are no keyrings here: %v", err)
	}
	if _, err := unix.AddKey("user", "errand-test-key", []byte("hidden"), unix.KEY_SPEC_SESSION_KEYRING); err != nil {
		t.Skipf("there are no keyrings here: %v", err)
	}
	look := fmt.Sprintf(`/usr/bin/python3 -c 'import ctypes; print(ctypes.CDLL(None).syscall(%d, %d, %d, b"user", b"errand-test-key", 0) > 0)'`,
		unix.SYS_KEYCTL, unix.KEYCTL_SEARCH, unix.KEY_SPEC_SESSION_KEYRING)
	if found, _, err := run(t, shell(look)); err != nil || found != "True\n" {
		t.Errorf("without a sandbox the key is found: %q, %v: this proves nothing", found, err)
	}
	if found, _, err := run(t, boxed(t, look)); err != nil || found != "False\n" {
		t.Errorf("C5: the key is found: %q, %v", found, err)
	}
}
