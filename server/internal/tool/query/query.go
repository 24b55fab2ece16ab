// Package query has the tools that query the task's tables with SQL: what the profiler
// reads, as it does, in SQLite's engine, so that both agree. A query runs in a process
// of its own, of the same program, whose memory and time are bounded and which has
// neither the server's environment nor its data: nothing that a query does outlives it.
package query

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/tool"
)

const (
	// maxContent bounds the files of a query together, in bytes.
	maxContent = 100 << 20
	// maxRows and maxText bound a result.
	maxRows = 500
	maxText = tool.MaxResult - 2<<10
	// maxCell bounds a value in it.
	maxCell = 4 << 10
	// maxProcesses is how many queries of a server run at the same time.
	maxProcesses = 2
	// maxSQL bounds a query's text.
	maxSQL = 100_000
)

// limits bound a query, with the loading of its tables.
type limits struct {
	Time time.Duration `json:"time"`
	// Memory is what its process takes beyond what it begins with, in MiB.
	Memory uint64 `json:"memory"`
}

// New makes the source of the tools.
func New() tool.Source { return source(limits{Time: 30 * time.Second, Memory: 512}) }

func source(most limits) tool.Source {
	running := make(chan struct{}, maxProcesses)
	return func(_ context.Context, a *runtime.Attempt, _ agent.Agent) ([]tool.Tool, error) {
		q := querier{files: a.Files, limits: most, running: running}
		return []tool.Tool{
			{
				Name: "list_tables",
				Description: "Lists the tables in the task's files (CSV, TSV, JSON, JSON Lines, xlsx, parquet, also packed with gzip or zip) with their columns, types and first rows, as query_tables" +
					" has them.",
				Input:      json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{}}`),
				Idempotent: true,
				Run: func(ctx context.Context, _ tool.Call) (tool.Result, error) {
					return q.run(ctx, "")
				},
			},
			{
				Name: "query_tables",
				Description: "Runs one SELECT of SQLite over the tables in the task's files, as list_tables names them. Numbers are numbers, whatever their" +
					" signs and units in the file; dates are texts like 2006-01-02, for SQLite's date functions; yes and no are 1 and 0; what is missing is NULL." +
					fmt.Sprintf(" Answers CSV, at most %d rows: aggregate rather than list.", maxRows),
				Input: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["sql"],"properties":{` +
					`"sql":{"type":"string","description":"One SELECT. Put names of tables and columns into double quotes."}}}`),
				Idempotent: true,
				Run: func(ctx context.Context, c tool.Call) (tool.Result, error) {
					var asked struct {
						SQL string `json:"sql"`
					}
					if err := json.Unmarshal(c.Arguments, &asked); err != nil {
						return tool.Error(err.Error()), nil
					}
					if err := checkStatement(asked.SQL); err != nil {
						return tool.Error(err.Error()), nil
					}
					return q.run(ctx, asked.SQL)
				},
			},
		}, nil
	}
}

// late and large are errors of a query that goes beyond its limits.
func (l limits) late() error {
	return fmt.Errorf("the query took longer than %s: ask for less", l.Time)
}

func (l limits) large() error {
	return fmt.Errorf("the query needed more than %d MiB of memory: ask for less", l.Memory)
}

// querier runs the queries of an attempt.
type querier struct {
	limits
	files   []runtime.File
	running chan struct{}
}

// request is the first line that a query's process reads. The files' contents follow, in
// pieces: the length of each in four bytes, and 0 at a file's end.
type request struct {
	SQL    string   `json:"sql"` // "" for the list of tables
	Files  []string `json:"files"`
	Limits limits   `json:"limits"`
}

// reply is what it writes.
type reply struct {
	Text  string `json:"text"`
	Error string `json:"error,omitempty"`
}

// run runs a query, or lists the tables for "".
func (q querier) run(ctx context.Context, sql string) (tool.Result, error) {
	if len(q.files) == 0 {
		return tool.Error("The task was given no files."), nil
	}
	select {
	case q.running <- struct{}{}:
		defer func() { <-q.running }()
	case <-ctx.Done():
		return tool.Result{}, context.Cause(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, q.Time)
	defer cancel()
	r, err := q.ask(limited, sql)
	var broken *fileError
	switch {
	case ctx.Err() != nil:
		return tool.Result{}, context.Cause(ctx)
	case errors.As(err, &broken):
		return tool.Error(broken.Error()), nil
	case limited.Err() != nil:
		return tool.Error(q.late().Error()), nil
	case errors.Is(err, errMemory):
		return tool.Error(q.large().Error()), nil
	case err != nil:
		return tool.Error("The query could not be run: " + err.Error()), nil
	case r.Error != "":
		return tool.Error(r.Error), nil
	default:
		return tool.Text(r.Text), nil
	}
}

// errMemory: the process could have no more memory.
var errMemory = errors.New("out of memory")

// fileError is what was in the way of reading the files, for the model.
type fileError struct{ message string }

func (e *fileError) Error() string { return e.message }

// ask runs the process.
func (q querier) ask(ctx context.Context, sql string) (reply, error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	self, err := program.Executable()
	if err != nil {
		return reply{}, err
	}
	c := exec.CommandContext(ctx, self) //nolint:gosec // this program's own file
	c.Args, c.Env, c.Dir = []string{"errand", serveArg}, []string{}, os.TempDir()
	var out, wrong bytes.Buffer
	c.Stdout, c.Stderr = &bounded{&out, maxText + maxText/2}, &bounded{&wrong, 4 << 10}
	in, err := c.StdinPipe()
	if err != nil {
		return reply{}, err
	}
	if err := c.Start(); err != nil {
		return reply{}, err
	}
	sent := make(chan error, 1)
	go func() {
		err := q.send(ctx, in, sql)
		if err != nil {
			end()
		}
		sent <- err
	}()
	ended := c.Wait() // it ends the pipe as well
	cut := ctx.Err()
	end()
	err = <-sent
	var r reply
	switch broken := (*fileError)(nil); {
	case errors.As(err, &broken):
		return r, err
	case cut != nil:
		return r, cut
	case json.Unmarshal(out.Bytes(), &r) == nil:
		return r, nil
	case program.WantedMemory(ended, wrong.String()):
		return r, errMemory
	default:
		first, _, _ := strings.Cut(wrong.String(), "\n")
		return r, fmt.Errorf("its process has ended: %w: %s", ended, first)
	}
}

// send writes the request and the files that it is about. That nobody listens any more
// is no error.
func (q querier) send(ctx context.Context, to io.Writer, sql string) error {
	r := request{SQL: sql, Limits: q.limits}
	for _, f := range q.files {
		r.Files = append(r.Files, f.Name)
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := to.Write(append(line, '\n')); err != nil {
		return nil //nolint:nilerr // it has ended: its reply says why
	}
	wanted := mentioned(sql, tableNames(r.Files))
	p := pieces{to: to, left: maxContent}
	for i, f := range q.files {
		if wanted[i] {
			if err := p.file(ctx, f); err != nil {
				return err
			}
		}
		if p.end(); p.gone {
			return nil
		}
	}
	return nil
}

// mentioned says which files a query is about: those whose tables' names stand in it, or
// all if there is none. A list in a JSON object has a name that begins like its file's.
func mentioned(sql string, names []string) []bool {
	words := strings.FieldsFunc(strings.ToLower(sql), func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	})
	wanted, some := make([]bool, len(names)), false
	for i, name := range names {
		name = strings.ToLower(name)
		wanted[i] = slices.ContainsFunc(words, func(word string) bool { return word == name || strings.HasPrefix(word, name+"_") })
		some = some || wanted[i]
	}
	for i := range wanted {
		wanted[i] = wanted[i] || !some
	}
	return wanted
}

// pieces writes files in pieces.
type pieces struct {
	to   io.Writer
	left int64
	gone bool // nobody reads them any more
}

func (p *pieces) file(ctx context.Context, f runtime.File) error {
	content, err := f.Open(ctx)
	if err != nil {
		return &fileError{fmt.Sprintf("The file %s could not be read: %v", f.Name, err)}
	}
	defer content.Close() //nolint:errcheck // it was only read
	n, err := io.Copy(p, io.LimitReader(content, p.left+1))
	switch p.left -= n; {
	case p.gone:
		return nil
	case err != nil:
		return &fileError{fmt.Sprintf("The file %s could not be read: %v", f.Name, err)}
	case p.left < 0:
		return &fileError{fmt.Sprintf("The files are too large for SQL: it takes %d MiB.", maxContent>>20)}
	}
	return nil
}

// Write implements io.Writer: it writes a piece.
func (p *pieces) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	_, err := p.to.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)) //nolint:gosec // io.Copy's pieces are small
	if err != nil {
		p.gone = true
		return 0, err
	}
	return len(b), nil
}

func (p *pieces) end() {
	if _, err := p.to.Write(make([]byte, 4)); err != nil {
		p.gone = true
	}
}

// bounded keeps the beginning of what is written.
type bounded struct {
	to   *bytes.Buffer
	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	b.to.Write(p[:min(len(p), b.most-b.to.Len())])
	return len(p), nil
}
