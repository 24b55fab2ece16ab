package task

import (
	"encoding/json"
	"fmt"

	"github.com/errand-dev/errand/server/internal/fault"
)

// MaxOutputs is how many output files one turn may have.
const MaxOutputs = 1000

// Output is a file that an attempt has written (rule O1). Its event in the log says
// what it is; the store also keeps which event is the newest of its name.
type Output struct {
	Turn int
	// Name names the output in its turn.
	Name string
	// File is the SHA-256 of its content, hexadecimal, and Size how many bytes that has.
	File        string
	Size        int64
	ContentType string
	// Replaces is the File that its writing took the place of, "" for none. Only the
	// change that writes it says so.
	Replaces string
	// Seq is the number of its event, At the moment of its commit.
	Seq int64
	At  Stamp
	// Attempt is the Number of the attempt that wrote it, 0 for none.
	Attempt int
}

// outputData is what an output's event says of it.
type outputData struct {
	Name        string `json:"name"`
	File        string `json:"file_id"`
	Size        int64  `json:"size"`
	ContentType string `json:"content_type"`
}

// OutputOf reads an output from its event.
func OutputOf(e Event) (Output, error) {
	var own outputData
	if err := json.Unmarshal(e.Own, &own); err != nil {
		return Output{}, fmt.Errorf("decode output: %w", err)
	}
	return Output{
		Turn: e.Turn, Name: own.Name, File: own.File, Size: own.Size, ContentType: own.ContentType,
		Seq: e.Seq, At: e.Time, Attempt: e.Author.Attempt,
	}, nil
}

// WriteOutput keeps an output file of the attempt that holds the lease.
type WriteOutput struct {
	By Writer
	// Output is what is kept: its Name, File, Size and ContentType are taken. Without
	// one the holder begins to bring it, which writes nothing.
	Output *Output
	// Before is the turn's output of that name, nil for none. It is replaced, unless
	// it is the same file.
	Before *Output
}

func (c WriteOutput) apply(d *draft) error {
	if !c.By.Fenced && !d.t.stands(c.By) {
		return fault.New(fault.Forbidden, "an output is written under its attempt's lease: send its token")
	}
	again := c.Before != nil && c.Output != nil && c.Before.File == c.Output.File
	switch may := d.mayWrite(c.By); {
	case may && (c.Output == nil || again):
		return nil
	case may:
	case again: // nothing of it is lost, so nothing is logged
		return fault.New(fault.Conflict, "this attempt no longer owns the task, which is %s", d.t.state.Status)
	case !c.By.Fenced:
		d.late(d.t.unnamed(), "", nil)
		return nil
	default:
		d.late(c.By.Attempt, "", nil)
		return nil
	}
	o := *c.Output
	d.log(OutputWritten, outputData{o.Name, o.File, o.Size, o.ContentType})
	e := d.events[len(d.events)-1]
	o.Turn, o.Seq, o.At, o.Attempt = e.Turn, e.Seq, e.Time, e.Author.Attempt
	if c.Before != nil {
		o.Replaces = c.Before.File
	}
	d.outputs = append(d.outputs, o)
	return nil
}
