package cli_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// typist sits at a pseudo-terminal on which errand runs.
type typist struct {
	t     *testing.T
	c     *exec.Cmd
	keys  *os.File
	shown *lockedBuffer
	read  chan struct{} // closed when all of it has been read
	seen  int           // how much of it was waited for
	ended chan error
}

// sit runs errand on a pseudo-terminal of its own.
func sit(t *testing.T, env []string, args ...string) *typist {
	t.Helper()
	return sitAt(t, "", env, append([]string{"errand"}, args...)...)
}

// sitAt runs any command so, in a folder.
func sitAt(t *testing.T, dir string, env []string, command ...string) *typist {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no pseudo-terminals here: %v", err)
	}
	fd := int(keys.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &typist{t: t, c: exec.CommandContext(context.WithoutCancel(t.Context()), command[0], command[1:]...), keys: keys, shown: &lockedBuffer{}, ended: make(chan error, 1)}
	p.c.Dir = dir
	p.c.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0", "NO_COLOR=1", "TERM=dumb"), env...)
	p.c.Stdin, p.c.Stdout, p.c.Stderr = screen, screen, screen
	p.c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.c.Start(); err != nil {
		t.Fatal(err)
	}
	_ = screen.Close() // it is the program's
	read := make(chan struct{})
	p.read = read
	go func() {
		defer close(read)
		_, _ = io.Copy(p.shown, keys) // it ends with an error when nobody is left on the other end
	}()
	go func() { p.ended <- p.c.Wait() }()
	t.Cleanup(func() {
		_ = p.c.Process.Kill() // it has usually ended
		_ = keys.Close()
		<-read
		if t.Failed() {
			t.Logf("%v showed:\n%s", command, p.shown)
		}
	})
	return p
}

// types presses keys.
func (p *typist) types(keys string) {
	p.t.Helper()
	if _, err := p.keys.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// sees waits for a text behind the last one that was waited for.
func (p *typist) sees(text string) {
	p.t.Helper()
	eventually(p.t, patience, fmt.Sprintf("%q is shown", text), func() bool {
		shown := p.shown.String()
		i := strings.Index(shown[p.seen:], text)
		if i >= 0 {
			p.seen += i + len(text)
		}
		return i >= 0
	})
}

const (
	ctrlC = "\x03"
	ctrlD = "\x04"
)
