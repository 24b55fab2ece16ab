package mcp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/errand-dev/errand/server/internal/program"
)

// stdio starts a server that speaks on standard input and output.
type stdio struct {
	program program.Program
	log     *slog.Logger
}

// dial starts the program. It ends with its transport, or when this process does.
func (s stdio) dial() (sdk.Transport, error) {
	peer, err := s.program.Talk()
	if err != nil {
		return nil, err
	}
	go func() {
		_, _ = io.Copy(&logged{log: s.log}, peer.Err) // its end is the program's
		if err := peer.Wait(); err != nil {
			s.log.Warn("an MCP server has ended", "error", err)
		}
	}()
	p := &process{peer: peer, lines: bufio.NewReaderSize(peer.Out, 64<<10)}
	return &sdk.IOTransport{Reader: p, Writer: peer.In, MaxLineLength: maxMessage}, nil
}

// process is a running server: what it writes, and how it is ended.
type process struct {
	peer  *program.Peer
	lines *bufio.Reader
	rest  []byte // of a line that is being read
	within,
	passing bool // within a line, which is passed over
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

// Close ends the program.
func (p *process) Close() error {
	p.peer.End()
	return nil
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
