//go:build unix

package program

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
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

// launch starts the program below a supervisor, which removes the desk if this process
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
	stderr, stderrEnd := pipes.fromChild()
	reports, reportsEnd := pipes.fromChild()
	control, controlEnd := pipes.toChild()
	if pipes.err != nil {
		return nil, fmt.Errorf("make pipes for the program: %w", pipes.err)
	}
	cmd := exec.Command(self, append([]string{superviseArg, d.dir}, p.Run...)...) //nolint:gosec,noctx // an operator's own program; it ends by the supervisor
	cmd.Args[0] = "errand"
	cmd.Dir, cmd.Env = p.Dir, env
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
