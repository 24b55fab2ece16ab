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
	said     string // the line that stands there now, on a terminal
	midLine  bool   // the text does not end with a newline
	anyText  bool
}

func newView(e *env) *view {
	return &view{out: e.Out, err: e.Err, live: isTerminal(e.Err)}
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
		if change.InternalStatus != nil && e.Type == errand.TaskUpdated {
			v.say(*change.InternalStatus)
		} else if change.Status != "" {
			v.say(string(change.Status))
		}
	case "attempt_lost":
		v.say("the worker was lost")
	case "stop_requested":
		v.say("stopping")
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
	v.said = line
	fmt.Fprintf(v.err, "\x1b[2m· %s\x1b[0m", line)
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
	if v.midLine {
		fmt.Fprintln(v.out)
		v.midLine = false
	}
	if t.Status != errand.Completed {
		line := fmt.Sprintf("task %s: %s", t.ID, t.Status)
		if t.EndReason != "" && t.EndReason != string(t.Status) {
			line += " (" + t.EndReason + ")"
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
