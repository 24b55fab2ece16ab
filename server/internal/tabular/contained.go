package tabular

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/errand-dev/errand/server/internal/program"
)

const (
	// serveArg makes this program a process that reads a file. It is nothing for people.
	serveArg = "read-parquet"
	// maxMemory is what such a process takes beyond what it begins with, in bytes, and
	// maxTime how long it may take.
	maxMemory = 512 << 20
	maxTime   = 5 * time.Minute
	// maxHead is the most that it tells before the first row, or after the last one.
	maxHead = 16 << 20
)

// running are the processes that read files, which need memory.
var running = make(chan struct{}, 2) //nolint:gochecknoglobals // of the process

// lost says that this process may be lost.
var lost atomic.Bool //nolint:gochecknoglobals // of the process

// MayBeLost says that this process has bounds of its own: it reads itself what is read
// in a process of its own elsewhere.
func MayBeLost() { lost.Store(true) }

// Table is the table of a file that names its columns, as parquet does.
type Table struct {
	// Columns are their names.
	Columns []string

	read  func() ([]string, error)
	notes func() []string
	close func()
	rows  int
	err   error
}

// Next returns the next row, with a cell for each column, and false after the last one.
// It is valid until the next call. A cell that is missing is empty.
func (t *Table) Next() ([]string, bool) {
	if t.err != nil {
		return nil, false
	}
	cells, err := t.read()
	if t.err = err; err != nil {
		return nil, false
	}
	t.rows++
	return cells, true
}

// Notes say what is to be known about the table, once it has been read: one sentence each.
func (t *Table) Notes() []string {
	notes := t.notes()
	if t.err != nil && !errors.Is(t.err, io.EOF) {
		notes = append(notes, fmt.Sprintf("Reading stopped after row %d: %s.", t.rows, t.err))
	}
	return notes
}

// parquet reads a parquet file, in this process if that may be lost.
func (c *Content) parquet(ctx context.Context, content io.Reader) {
	all, err := readAll(content)
	if err != nil {
		c.unread(unreadable("a parquet file", err))
		return
	}
	c.Text, c.Format = nil, "parquet"
	open := openContained
	if lost.Load() {
		open = openHere
	}
	if c.Table, err = open(ctx, all); err != nil {
		c.unread(&Unread{"a parquet file that cannot be read: " + err.Error(), ""})
	}
}

func openHere(_ context.Context, all []byte) (*Table, error) {
	p, err := openParquet(all)
	if err != nil {
		return nil, err
	}
	return &Table{Columns: p.names(), read: p.next, notes: p.notes, close: func() {}}, nil
}

// head is what a process tells first, in a line of JSON, and tail what it tells last.
// Between them are rows: a 1, and for each cell its length and its bytes.
type head struct {
	Columns []string `json:"columns"`
	Error   string   `json:"error,omitempty"`
}

type tail struct {
	Notes []string `json:"notes"`
	Error string   `json:"error,omitempty"`
}

// Serve is what a program that reads files calls first, before it looks at its
// arguments (without its own name): if it was started to read one it does so, and
// returns its exit code and true.
func Serve(args []string) (code int, mine bool) {
	if len(args) != 1 || args[0] != serveArg {
		return 0, false
	}
	signal.Ignore(os.Interrupt) // Ctrl-C at a terminal is for the server, which decides
	debug.SetMemoryLimit(maxMemory / 2)
	err := program.LimitMemory(maxMemory)
	if err == nil {
		err = serve(os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

// serve reads a file and tells its rows.
func serve(in io.Reader, to io.Writer) error {
	all, err := readAll(in)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(to, 64<<10)
	p, err := openParquet(all)
	if err != nil {
		return errors.Join(json.NewEncoder(out).Encode(head{Error: err.Error()}), out.Flush())
	}
	if err := json.NewEncoder(out).Encode(head{Columns: p.names()}); err != nil {
		return err
	}
	var row []byte
	var end error
	for {
		cells, err := p.next()
		if err != nil {
			end = err
			break
		}
		row = append(row[:0], 1)
		for _, cell := range cells {
			row = append(binary.AppendUvarint(row, uint64(len(cell))), cell...)
		}
		if _, err := out.Write(row); err != nil {
			return err
		}
	}
	last := tail{Notes: p.notes()}
	if !errors.Is(end, io.EOF) {
		last.Error = end.Error()
	}
	if err := out.WriteByte(0); err != nil {
		return err
	}
	return errors.Join(json.NewEncoder(out).Encode(last), out.Flush())
}

// contained is a process that reads a file.
type contained struct {
	cmd   *exec.Cmd
	out   *bufio.Reader
	wrong *bytes.Buffer
	end   context.CancelFunc
	ctx   context.Context //nolint:containedctx // of the process
	over  bool
	cells []string
	last  tail
}

// openContained reads a file in a process of its own, which has neither the server's
// environment nor its data, and bounds of its own.
func openContained(ctx context.Context, all []byte) (*Table, error) {
	self, err := program.Executable()
	if err != nil {
		return nil, err
	}
	select {
	case running <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	limited, end := context.WithTimeout(ctx, maxTime)
	c := &contained{ctx: limited, end: end, wrong: &bytes.Buffer{}}
	c.cmd = exec.CommandContext(limited, self) //nolint:gosec // this program's own file
	c.cmd.Args, c.cmd.Env, c.cmd.Dir = []string{"errand", serveArg}, []string{}, os.TempDir()
	c.cmd.Stdin, c.cmd.Stderr = bytes.NewReader(all), &beginning{to: c.wrong}
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		end()
		<-running
		return nil, err
	}
	c.out = bufio.NewReaderSize(out, 64<<10)
	var h head
	if err := c.line(&h); err != nil {
		return nil, c.ended(err)
	}
	if h.Error != "" {
		c.close()
		return nil, errors.New(h.Error)
	}
	c.cells = make([]string, len(h.Columns))
	return &Table{Columns: h.Columns, read: c.next, notes: func() []string { return c.last.Notes }, close: c.close}, nil
}

// line reads a line of JSON.
func (c *contained) line(into any) error {
	var line []byte
	for {
		part, err := c.out.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxHead {
			return errors.New("it has too many columns")
		}
		if err == nil {
			return json.Unmarshal(line, into)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

func (c *contained) next() ([]string, error) {
	more, err := c.out.ReadByte()
	switch {
	case err != nil:
		return nil, c.ended(err)
	case more == 0:
		if err := c.line(&c.last); err != nil {
			return nil, c.ended(err)
		}
		c.close()
		if c.last.Error != "" {
			return nil, errors.New(c.last.Error)
		}
		return nil, io.EOF
	}
	for i := range c.cells {
		if c.cells[i], err = c.cell(); err != nil {
			return nil, c.ended(err)
		}
	}
	return c.cells, nil
}

func (c *contained) cell() (string, error) {
	size, err := binary.ReadUvarint(c.out)
	if err != nil || size == 0 {
		return "", err
	}
	if size > maxText {
		return "", errors.New("a cell is too long")
	}
	b := make([]byte, size)
	_, err = io.ReadFull(c.out, b)
	return string(b), err
}

// ended says why a process has ended too early.
func (c *contained) ended(err error) error {
	var exit error
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		exit = c.cmd.Wait()
	}
	late := errors.Is(c.ctx.Err(), context.DeadlineExceeded)
	c.close()
	switch {
	case late:
		return fmt.Errorf("it takes longer than %s to read", maxTime)
	case program.WantedMemory(exit, c.wrong.String()):
		return fmt.Errorf("it needs more than %d MiB of memory to be read", maxMemory>>20)
	}
	return errors.New("it is broken, and so was what read it")
}

// close ends the process, if it has not ended.
func (c *contained) close() {
	if c.over {
		return
	}
	c.over = true
	c.end()
	_ = c.cmd.Wait() // it is not asked for anything any more
	<-running
}

// beginning keeps the beginning of what is written.
type beginning struct{ to *bytes.Buffer }

func (b *beginning) Write(p []byte) (int, error) {
	const most = 4 << 10
	b.to.Write(p[:min(len(p), most-b.to.Len())])
	return len(p), nil
}
