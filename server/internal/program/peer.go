package program

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Peer is a program with which this process talks for as long as both want to, on its
// standard streams. As an attempt's program it runs below a supervisor: when this
// process dies, however it does, so do the program and all that it has started.
type Peer struct {
	// In is what the program reads. Closing it is how a program is asked to end.
	In io.WriteCloser
	// Out and Err are what it writes. Both must be read to their ends.
	Out, Err io.Reader
	group    *group
	grace    time.Duration
	end      sync.Once
}

// Talk starts the program, without a task. The caller ends it.
func (p Program) Talk() (*Peer, error) {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe for the program: %w", err)
	}
	defer theirs.Close() //nolint:errcheck // the program has its own
	g, err := p.launch(folder{}, p.Environment(), theirs)
	if err != nil {
		_ = ours.Close() // nothing was written
		return nil, err
	}
	return &Peer{In: ours, Out: g.stdout, Err: g.stderr, group: g, grace: cmp.Or(p.Grace, DefaultGrace)}, nil
}

// End closes what the program reads and returns when its group has ended: after half of
// its grace it is told to, and at the end of that it is killed. It may be called again.
func (p *Peer) End() {
	p.end.Do(func() {
		_ = p.In.Close() // it may be closed
		told := time.AfterFunc(p.grace/2, func() { p.group.stop(p.grace / 2) })
		<-p.group.ended
		told.Stop()
	})
}

// Wait waits for the program's end, and tells in the error what was wrong with it.
func (p *Peer) Wait() error {
	switch end := p.group.wait(); {
	case end.Error != "":
		return errors.New(end.Error)
	case end.Signal != "":
		return errors.New("ended by signal " + end.Signal)
	case end.Exit != 0:
		return fmt.Errorf("exit code %d", end.Exit)
	default:
		return nil
	}
}
