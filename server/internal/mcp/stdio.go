package mcp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/errand-dev/errand/server/internal/program"
)

// stdio starts a server that speaks on standard input and output.
type stdio struct {
	program program.Program
	log     *slog.Logger
}

// dial starts the program. It ends with its transport, or when this process does: its
// standard input is at its end then.
func (s stdio) dial() (sdk.Transport, error) {
	cmd := exec.Command(s.program.Run[0], s.program.Run[1:]...) //nolint:gosec,noctx // an operator's own program; it ends with its connection
	cmd.Dir, cmd.Env = s.program.Dir, s.program.Environment()
	ownGroup(cmd)
	in, errIn := cmd.StdinPipe()
	out, outEnd, errOut := os.Pipe()
	if err := errors.Join(errIn, errOut); err != nil {
		return nil, fmt.Errorf("make pipes for the program: %w", err)
	}
	cmd.Stdout, cmd.Stderr = outEnd, &logged{log: s.log}
	err := cmd.Start()
	_ = outEnd.Close() // the program has it
	if err != nil {
		_ = out.Close()
		return nil, fmt.Errorf("start the program: %w", err)
	}
	p := &process{cmd: cmd, in: in, out: out, lines: bufio.NewReaderSize(out, 64<<10), ended: make(chan struct{})}
	p.grace = s.program.Grace
	if p.grace == 0 {
		p.grace = program.DefaultGrace
	}
	go func() {
		defer close(p.ended)
		if err := cmd.Wait(); err != nil {
			s.log.Warn("an MCP server has ended", "error", err)
		}
	}()
	return &sdk.IOTransport{Reader: p, Writer: in, MaxLineLength: maxMessage}, nil
}

// process is a running server: what it writes, and how it is ended.
type process struct {
	cmd   *exec.Cmd
	in    io.Closer
	out   *os.File
	lines *bufio.Reader
	rest  []byte // of a line that is being read
	within,
	passing bool // within a line, which is passed over
	grace time.Duration
	ended chan struct{}
	once  sync.Once
}

// Read reads the lines that may be messages: some servers greet people on the way.
func (p *process) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		line, err := p.lines.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return 0, err
		}
		if !p.within {
			p.passing = !bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("{"))
		}
		if p.within = err != nil; !p.passing {
			p.rest = line
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// Close ends the program: its input ends, then it is told to, then it is killed.
func (p *process) Close() error {
	p.once.Do(func() {
		_ = p.in.Close() // it may be closed
		p.end()
		_ = p.out.Close() // nothing more is read
	})
	return nil
}

func (p *process) end() {
	for _, how := range []func(*exec.Cmd){terminate, kill} {
		select {
		case <-p.ended:
			kill(p.cmd) // whatever it has started
			return
		case <-time.After(p.grace / 2):
			how(p.cmd)
		}
	}
	<-p.ended
}

// logged brings what a program says to people into the log, line by line.
type logged struct {
	log  *slog.Logger
	line []byte
}

// maxLine bounds a line of the log, in bytes.
const maxLine = 4 << 10

// Write implements io.Writer.
func (l *logged) Write(b []byte) (int, error) {
	for _, c := range b {
		if c != '\n' && len(l.line) < maxLine {
			l.line = append(l.line, c)
			continue
		}
		if said := bytes.TrimSpace(l.line); len(said) > 0 {
			l.log.Debug("an MCP server says", "text", string(bytes.ToValidUTF8(said, nil)))
		}
		l.line = l.line[:0]
	}
	return len(b), nil
}
