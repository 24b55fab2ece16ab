package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/errand-dev/errand"
)

type taskImportCmd struct {
	remote
	From           string `arg:"" name:"file" help:"A file with a task on each line, as POST /v1/tasks takes it; - reads standard input."`
	Agent          string `help:"Who is to do those that name no agent_id."`
	All            bool   `help:"Create all of them, or none if one is refused; 1000 at most."`
	IdempotencyKey string `name:"idempotency-key" help:"A repeat with the same key makes none twice, for 24 hours: each line's own key is this and the line's number."`
}

// maxTask is the most that a line may hold, in bytes, and maxImport how many bytes
// go in one request beside it.
const (
	maxTask   = 10 << 20
	maxImport = 4 << 20
)

// importLine is a task of the file. Those that are no tasks have an err.
type importLine struct {
	number int
	task   json.RawMessage
	err    *errand.Error
}

// Run creates the tasks as they are read, and prints their ids.
func (c *taskImportCmd) Run(e *env) error {
	from := e.In
	if c.From != "-" {
		if info, err := os.Stat(c.From); err == nil && info.IsDir() {
			return fmt.Errorf("%s: is a folder; name a file", c.From)
		}
		f, err := os.Open(c.From)
		if err != nil {
			return fmt.Errorf("%s: %w", c.From, errors.Unwrap(err))
		}
		defer f.Close() //nolint:errcheck // it was only read
		from = f
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	i := importer{taskImportCmd: c, env: e, tasks: client.Tasks}
	return e.interruptible(func(ctx context.Context) error {
		if err := i.read(ctx, from); err != nil {
			return err
		}
		return i.end()
	})
}

// importer sends tasks in requests of as many as one may hold.
type importer struct {
	*taskImportCmd
	*env
	tasks            *errand.Tasks
	waiting          []importLine
	bytes            int
	created, refused int
}

func (i *importer) read(ctx context.Context, from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxTask)
	n := 0
	for lines.Scan() {
		n++
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		line := i.line(n, text)
		full := len(i.waiting) == errand.MaxBatch || i.bytes+len(line.task) > maxImport && len(i.waiting) > 0
		if full && i.All {
			return fmt.Errorf("line %d: --all is for %d tasks and %d MiB at most", n, errand.MaxBatch, maxImport>>20)
		}
		if full {
			if err := i.send(ctx); err != nil {
				return err
			}
		}
		i.waiting, i.bytes = append(i.waiting, line), i.bytes+len(line.task)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("line %d holds more than %d MiB", n+1, maxTask>>20)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return i.send(ctx)
}

// line is a line as it is sent, with what the command line says of all of them.
func (i *importer) line(n int, text []byte) importLine {
	var task map[string]json.RawMessage
	if err := json.Unmarshal(text, &task); err != nil || task == nil {
		return importLine{number: n, err: &errand.Error{Code: errand.CodeMalformed, Message: "not a JSON object"}}
	}
	set := func(name, value string) {
		if _, there := task[name]; !there && value != "" {
			task[name], _ = json.Marshal(value) //nolint:errchkjson // a string
		}
	}
	set("agent_id", i.Agent)
	if i.IdempotencyKey != "" {
		set("idempotency_key", i.IdempotencyKey+":"+strconv.Itoa(n))
	}
	encoded, _ := json.Marshal(task) //nolint:errchkjson // what was decoded
	return importLine{number: n, task: encoded}
}

// fewLines is how many lines go in one request where a line was refused for its shape.
const fewLines = 25

// send creates what waits. A request that the server refuses for the shape of one task has
// created none of them: that one is told and left out, and the others go again, some at a
// time, since where one is wrong others may be, too.
func (i *importer) send(ctx context.Context) error {
	for size := len(i.waiting); len(i.waiting) > 0; {
		some := i.waiting[:min(size, len(i.waiting))]
		made, wrong, err := i.create(ctx, some)
		switch {
		case err != nil:
			return fmt.Errorf("lines %d to %d: %w", some[0].number, some[len(some)-1].number, err)
		case wrong && !i.All:
			size = fewLines
			continue
		}
		if err := i.tell(some, made); err != nil {
			return err
		}
		i.waiting = i.waiting[len(some):]
	}
	i.waiting, i.bytes = nil, 0
	return nil
}

// create creates the tasks of some lines. wrong says that there are none because of one,
// whose line has the reason now.
func (i *importer) create(ctx context.Context, some []importLine) (made []errand.Created, wrong bool, err error) {
	var tasks []json.RawMessage
	var sent []int
	for at, line := range some {
		if line.err == nil {
			tasks, sent = append(tasks, line.task), append(sent, at)
		}
	}
	if len(sent) == 0 || i.All && len(sent) < len(some) { // one is refused already
		return nil, false, nil
	}
	made, err = i.tasks.CreateRaw(ctx, tasks, i.All)
	at, field, named := blamed(err)
	if !named || at >= len(sent) {
		return made, false, err
	}
	why, _ := errors.AsType[*errand.Error](err)
	why.Field = field
	some[sent[at]].err = why
	return nil, true, nil
}

// blamed reads which task of a request an error is about, and which member of it.
func blamed(err error) (at int, field string, ok bool) {
	why, ok := errors.AsType[*errand.Error](err)
	if !ok {
		return 0, "", false
	}
	rest, ok := strings.CutPrefix(why.Field, "tasks[")
	if !ok {
		return 0, "", false
	}
	number, field, ok := strings.Cut(rest, "]")
	at, err = strconv.Atoi(number)
	return at, strings.TrimPrefix(field, "."), ok && err == nil
}

// tell prints what became of some lines, in their order.
func (i *importer) tell(some []importLine, made []errand.Created) error {
	for _, line := range some {
		var c errand.Created
		if line.err == nil && len(made) > 0 {
			c, made = made[0], made[1:]
			line.err, _ = errors.AsType[*errand.Error](c.Err)
		}
		switch {
		case line.err != nil:
			i.refused++
		case c.ID == "": // for the sake of another, with --all
			continue
		default:
			i.created++
		}
		if err := i.tellLine(line, c); err != nil {
			return err
		}
	}
	return nil
}

func (i *importer) tellLine(line importLine, c errand.Created) error {
	type reason struct {
		Code   errand.Code `json:"code"`
		Detail string      `json:"detail"`
		Field  string      `json:"field,omitempty"`
	}
	switch {
	case i.JSON && line.err != nil:
		return printJSON(i.Out, struct {
			Line  int    `json:"line"`
			Error reason `json:"error"`
		}{line.number, reason{line.err.Code, line.err.Message, line.err.Field}})
	case i.JSON:
		return printJSON(i.Out, struct {
			Line    int    `json:"line"`
			ID      string `json:"id"`
			Created bool   `json:"created"`
		}{line.number, c.ID, !c.Repeated})
	case line.err != nil && i.refused > maxRefused: // the rest are counted
	case line.err != nil:
		told := line.err.Message
		if line.err.Field != "" {
			told = line.err.Field + ": " + told
		}
		fmt.Fprintf(i.Err, "line %d: %s\n", line.number, told)
	default:
		fmt.Fprintln(i.Out, c.ID)
	}
	return nil
}

// maxRefused is of how many refused lines people are told why, one by one.
const maxRefused = 20

// end is an error if a line was refused, or if there was none.
func (i *importer) end() error {
	switch {
	case i.refused > maxRefused && !i.JSON:
		return fmt.Errorf("%d created, %d refused, of which the first %d are told; --json tells all", i.created, i.refused, maxRefused)
	case i.refused > 0:
		return fmt.Errorf("%d created, %d refused", i.created, i.refused)
	case i.created == 0:
		return fmt.Errorf("%s holds no task", i.From)
	}
	return nil
}
