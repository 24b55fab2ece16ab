//go:build unix

package program

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/errand-dev/errand/server/internal/program/sandbox"
)

// start starts the program for an attempt.
func (p Program) start(d folder, a Attempt, steps *counter) (*group, error) {
	message, err := os.Open(d.path(messageFile))
	if err != nil {
		return nil, fmt.Errorf("open the message: %w", err)
	}
	defer message.Close() //nolint:errcheck // it was only read
	return p.launch(d, d.environment(p, a, steps), message)
}

// launch starts the program below a supervisor, which removes the folder if this process
// dies.
func (p Program) launch(d folder, env []string, stdin *os.File) (_ *group, err error) {
	self, err := Executable()
	if err != nil {
		return nil, fmt.Errorf("find the supervisor: %w", err)
	}
	pipes := &pipes{}
	defer func() {
		closeAll(pipes.theirs)
		if err != nil {
			closeAll(pipes.ours)
		}
	}()
	stdout, stdoutEnd := pipes.fromChild()
	if p.TTY {
		stdout, stdoutEnd = pipes.terminal()
	}
	stderr, stderrEnd := pipes.fromChild()
	reports, reportsEnd := pipes.fromChild()
	control, controlEnd := pipes.toChild()
	if pipes.err != nil {
		return nil, fmt.Errorf("make pipes for the program: %w", pipes.err)
	}
	args, err := p.supervised(d)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, args...) //nolint:gosec,noctx // an operator's own program; it ends by the supervisor
	cmd.Args[0] = "errand"
	cmd.Env = env
	if !p.Box.Confines() {
		cmd.Dir = p.Dir
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdoutEnd, stderrEnd
	cmd.ExtraFiles = []*os.File{controlEnd, reportsEnd}
	// Ctrl-C at a terminal is for the server, which decides.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the program: %w", err)
	}
	g := &group{
		supervisor: cmd, control: control, ended: make(chan struct{}),
		stdout: &lingering{pipe: stdout, over: make(chan struct{})},
		stderr: &lingering{pipe: stderr, over: make(chan struct{})},
	}
	go g.watch(reports)
	return g, nil
}

// supervised are the arguments that make this program the supervisor of the program. Who
// supervises a box is in no folder of the program's.
func (p Program) supervised(d folder) ([]string, error) {
	if !p.Box.Confines() {
		return orders{Folder: d.dir}.args(p.Run)
	}
	box, run, dir := p.Box, p.Run, p.Dir
	if p.Dir != "" {
		abs, err := filepath.Abs(p.Dir)
		if err != nil {
			return nil, fmt.Errorf("find the program's folder: %w", err)
		}
		dir = abs
	}
	if box.Kind == sandbox.Bwrap {
		path, err := p.file()
		if err != nil {
			return nil, fmt.Errorf("find the program: %w", err)
		}
		if !box.Shows(path, dir) {
			if path, err = filepath.EvalSymlinks(path); err != nil {
				return nil, fmt.Errorf("find the program: %w", err)
			}
			box.Read = append(slices.Clone(box.Read), path)
		}
		run = append([]string{path}, run[1:]...)
	}
	return orders{Folder: d.dir, Box: &box, Dir: dir}.args(run)
}

// file is the program's file.
func (p Program) file() (string, error) {
	name := p.Run[0]
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		name = filepath.Join(p.Dir, name) // it is looked up from Dir
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// pipes makes pipes and keeps both ends until it is known who closes them.
type pipes struct {
	ours, theirs []*os.File
	err          error
}

func (p *pipes) fromChild() (ours, theirs *os.File) {
	r, w, err := os.Pipe()
	p.add(r, w, err)
	return r, w
}

// The size of a program's terminal.
const (
	rows    = 40
	columns = 120
)

// terminal makes a pseudo-terminal, which leaves what is written on it as it is.
func (p *pipes) terminal() (ours, theirs *os.File) {
	ours, theirs, err := pty.Open()
	if p.add(ours, theirs, err); err != nil {
		return nil, nil
	}
	if _, err = term.MakeRaw(int(theirs.Fd())); err == nil {
		err = pty.Setsize(theirs, &pty.Winsize{Rows: rows, Cols: columns})
	}
	p.err = errors.Join(p.err, err)
	return ours, theirs
}

func (p *pipes) toChild() (ours, theirs *os.File) {
	r, w, err := os.Pipe()
	p.add(w, r, err)
	return w, r
}

func (p *pipes) add(ours, theirs *os.File, err error) {
	if p.err = errors.Join(p.err, err); err == nil {
		p.ours, p.theirs = append(p.ours, ours), append(p.theirs, theirs)
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // nothing was written that could be lost
	}
}

func killGroup(pgid int) {
	if pgid > 0 {
		_ = syscall.Kill(-pgid, syscall.SIGKILL) // it may be gone
	}
}
