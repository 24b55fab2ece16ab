package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/errand-dev/errand"
)

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// view shows a task's events as they come: the text of its chunks on standard
// output, what it is doing on standard error. On a terminal the latter is one
// line that changes in place.
type view struct {
	out, err io.Writer
	live     bool
	plain    bool   // no colours: NO_COLOR is set
	said     string // the line that stands there now, on a terminal
	midLine  bool   // the text does not end with a newline
	anyText  bool
	status   errand.Status // as the events have told it
}

func newView(e *env) *view {
	return &view{out: e.Out, err: e.Err, live: isTerminal(e.Err), plain: os.Getenv("NO_COLOR") != ""}
}

// event shows one event.
func (v *view) event(e errand.Event) {
	switch e.Type { //nolint:exhaustive // what is not shown is not for people
	case errand.Chunk:
		v.text(e.Text())
	case errand.TaskCreated, errand.TaskUpdated, errand.TaskFinished, "override":
		var change struct {
			Status         errand.Status `json:"status"`
			InternalStatus *string       `json:"internal_status"`
		}
		if json.Unmarshal(e.Data, &change) != nil {
			return
		}
		if change.Status != "" {
			v.status = change.Status
		}
		switch {
		case change.InternalStatus != nil && e.Type == errand.TaskUpdated:
			v.say(*change.InternalStatus)
		case e.Type == errand.TaskFinished && change.Status == errand.Stopped:
			// The worker may still have to confirm; the last line tells.
		case change.Status != "":
			v.say(string(change.Status))
		}
	case "attempt_lost":
		v.say("the worker was lost")
	case "stop_requested":
		v.endLine()
		v.say("stopping: waiting for the worker")
	}
}

// say shows what the task is doing.
func (v *view) say(line string) {
	line = printable(line)
	if !v.live {
		fmt.Fprintf(v.err, "· %s\n", line)
		return
	}
	if v.midLine {
		return // it would stand inside the text
	}
	v.wipe()
	line = fitting(line, v.width()-len("· "))
	v.said = line
	if v.plain {
		fmt.Fprintf(v.err, "· %s", line)
		return
	}
	fmt.Fprintf(v.err, "\x1b[2m· %s\x1b[0m", line)
}

// width is how many columns the changing line may take. One that wrapped could
// not be wiped.
func (v *view) width() int {
	if f, ok := v.err.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// fitting cuts a line to a number of columns. What is not ASCII may take two.
func fitting(line string, columns int) string {
	used := 0
	for i, r := range line {
		if used++; r > 0x7f {
			used++
		}
		if used >= columns {
			return line[:i] + "…"
		}
	}
	return line
}

// endLine ends a line of text, so that something else can stand below it.
func (v *view) endLine() {
	if v.midLine {
		fmt.Fprintln(v.out)
		v.midLine = false
	}
}

// wipe takes the changing line away.
func (v *view) wipe() {
	if v.said != "" {
		fmt.Fprint(v.err, "\r\x1b[K")
		v.said = ""
	}
}

func (v *view) text(text string) {
	if text == "" {
		return
	}
	v.wipe()
	v.anyText = true
	v.midLine = !strings.HasSuffix(text, "\n")
	fmt.Fprint(v.out, safeText(text, isTerminal(v.out)))
}

// end shows what is left to show of a task that has ended: its result, if it
// was not among the chunks, and how it ended if that was not well.
func (v *view) end(t *errand.Task) {
	v.wipe()
	if !v.anyText && t.Result != "" && t.Status == errand.Completed {
		v.text(t.Result)
	}
	v.endLine()
	if t.Status != errand.Completed {
		line := fmt.Sprintf("task %s: %s", t.ID, t.Status)
		if t.EndReason != "" && string(t.EndReason) != string(t.Status) {
			line += " (" + string(t.EndReason) + ")"
		}
		if t.Result != "" {
			line += ": " + t.Result
		}
		fmt.Fprintln(v.err, printable(line))
	}
}

// printable makes text safe as one line of a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}

// safeText takes from text what could command a terminal.
func safeText(text string, terminal bool) string {
	if !terminal {
		return text
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, text)
}

// exitFor is the exit code of a task that has ended.
func exitFor(t *errand.Task) error {
	switch t.Status { //nolint:exhaustive // the others have not ended
	case errand.Completed:
		return nil
	case errand.Failed:
		return exitCodeError{code: exitFailed}
	case errand.Stopped:
		return exitCodeError{code: exitStopped}
	default:
		return exitCodeError{code: exitTaskError}
	}
}
