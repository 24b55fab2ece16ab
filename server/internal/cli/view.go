package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/errand-dev/errand"
)

// view shows a task's events as they come: the text of its chunks on standard
// output, what it is doing on standard error. On a terminal the latter ends
// with a line that changes in place, below the text.
type view struct {
	out, err io.Writer
	live     bool
	safe     bool  // standard output is a terminal, which text could command
	plain    bool  // no colours: NO_COLOR is set
	joined   bool  // both streams are on a terminal, hence on the same one
	page     *page // the text is Markdown; nil if it is shown as it is written
	drawn    bool  // the changing line stands there now
	above    int   // the rows above it that change with it
	midLine  bool  // the text does not end with a newline
	columns  int   // that its last line takes, if each letter takes one
	anyText  bool
	thoughts bool // what the agent thinks is shown as it comes, dim, where there are colours
	thinking bool // a thought stands there whose line has not ended

	status  errand.Status // as the events have told it
	note    string        // what it is doing
	said    string        // what say has last said, where nothing changes in place
	saidAt  time.Time     // when that was a note
	began   time.Time     // when it was started
	attempt int
	tools   int
	plan    string
}

func newView(e *env, asWritten bool) *view {
	v := &view{
		out: e.Out, err: e.Err, safe: isTerminal(e.Out), plain: os.Getenv("NO_COLOR") != "", joined: isTerminal(e.Out) && isTerminal(e.Err),
		live: shows(isTerminal(e.Err)),
	}
	if shows(v.safe) && !asWritten {
		v.page = &page{}
	}
	return v
}

// event shows one event.
func (v *view) event(e errand.Event) {
	switch e.Type { //nolint:exhaustive // what is not shown is not for people
	case errand.Chunk:
		v.text(e.Text())
	case errand.TaskCreated, errand.TaskUpdated, errand.TaskFinished, errand.Override:
		v.change(e)
	case errand.AttemptStarted:
		v.attempted(e)
	case errand.AttemptLost:
		v.line("attempt over: " + lostWhy(e))
	case errand.TaskCompactization:
		var begins struct{ Type string }
		if e.Decode(&begins) != nil {
			break
		}
		switch begins.Type {
		case "retry":
			v.line("what was said so far is void: the answer begins again")
		case "summarization":
			v.line("the conversation has become long and was summed up")
		}
	case errand.StopRequested:
		v.line("stopping: waiting for the worker")
	case errand.ToolCallRequest, errand.ToolCallResult:
		v.tool(e)
	case errand.Think, errand.Analyze:
		if t, is := e.Thought(); is && v.thoughts && v.live && !v.plain {
			v.thought(t.Thought)
		} else if is {
			v.say(t.Title)
		}
	case errand.OutputWritten:
		v.line("wrote " + written(e))
	case errand.FileGiven:
		v.line("was given " + givenBriefly(e))
	case errand.AgentMessage:
		v.line(e.Author.String() + ": " + brief(e))
	case errand.SubAgentTrigger:
		if s, is := e.SubAgent(); is {
			v.line("→ agent " + s.AgentID + " " + s.Query)
		}
	case errand.PlanUpdated:
		if p, is := e.Plan(); is && len(p.Items) > 0 {
			done := 0
			for _, item := range p.Items {
				if item.Completed {
					done++
				}
			}
			v.plan = fmt.Sprintf("%d of %d planned steps", done, len(p.Items))
			v.draw()
		}
	}
}

func (v *view) change(e errand.Event) {
	change, is := e.Change()
	if !is {
		return
	}
	if change.Status != nil {
		v.status = *change.Status
		if v.note = ""; v.status == errand.Executing {
			v.began = e.Time
		}
	}
	switch {
	case change.InternalStatus != nil && e.Type == errand.TaskUpdated:
		v.say(*change.InternalStatus)
	case e.Type == errand.TaskFinished && v.status == errand.Stopped:
		// The worker may still have to confirm; the last line tells.
	case change.Status != nil:
		v.say(string(v.status))
	}
}

func (v *view) attempted(e errand.Event) {
	var started struct {
		Attempt int `json:"attempt"`
	}
	if e.Decode(&started) == nil && started.Attempt > 0 {
		v.attempt = started.Attempt
	}
	v.draw()
}

// toolWords bounds what is shown of what a tool was given.
const toolWords = 60

func (v *view) tool(e errand.Event) {
	call, is := e.ToolCall()
	if !is {
		return
	}
	name := call.ToolName
	if name == "" {
		name = call.OperationID
	}
	if e.Type == errand.ToolCallResult {
		if call.IsError {
			v.line("✗ " + name)
		}
		return
	}
	v.tools++
	given := ""
	if call.Payload != nil {
		if text, err := json.Marshal(call.Payload); err == nil {
			given = fitting(" "+string(text), toolWords)
		}
	}
	v.line("→ " + name + given)
}

// say shows what the task is doing, until it does something else.
func (v *view) say(words string) {
	if words == string(v.status) {
		if !v.live {
			v.line(words)
		}
	} else {
		v.note = words
	}
	v.pass()
}

// noteEvery is how often at most a line says what the task is doing, where lines do not
// change in place.
const noteEvery = 5 * time.Second

// pass shows what time has changed.
func (v *view) pass() {
	switch {
	case v.live:
		v.draw()
	case v.note != "" && v.note != v.said && time.Since(v.saidAt) >= noteEvery:
		v.said, v.saidAt = v.note, time.Now()
		v.line(v.note)
	}
}

// thought shows a piece of what the agent thinks.
func (v *view) thought(text string) {
	if text == "" {
		return
	}
	v.wipe()
	if v.joined {
		v.endLine()
	}
	fmt.Fprint(v.err, v.dim(safeText(text, true)))
	v.thinking = !strings.HasSuffix(text, "\n")
}

// endThought ends the line of a thought, so that something else can stand below it.
func (v *view) endThought() {
	if v.thinking {
		fmt.Fprintln(v.err)
		v.thinking = false
	}
}

// line shows something that stays.
func (v *view) line(words string) {
	v.wipe()
	v.endThought()
	if v.joined { // else the line would end in a file
		v.endLine()
	}
	fmt.Fprintln(v.err, v.dim("· "+printable(words)))
	v.draw()
}

// summary is the changing line.
func (v *view) summary() string {
	parts := []string{string(v.status)}
	if v.attempt > 1 {
		parts = append(parts, fmt.Sprintf("attempt %d", v.attempt))
	}
	if v.status == errand.Executing {
		parts = append(parts, max(time.Since(v.began), 0).Truncate(time.Second).String())
	}
	switch {
	case v.tools == 1:
		parts = append(parts, "1 tool call")
	case v.tools > 1:
		parts = append(parts, fmt.Sprintf("%d tool calls", v.tools))
	}
	if v.plan != "" {
		parts = append(parts, v.plan)
	}
	if v.note != "" {
		parts = append(parts, v.note)
	}
	return "· " + strings.Join(parts, " · ")
}

// draw draws the changing line anew. Below text that has not ended its line it
// goes one line further down and comes back.
func (v *view) draw() {
	if !v.live || v.status == "" || v.thinking {
		return
	}
	v.wipe()
	if v.midLine && v.joined && v.columns%v.width() == 0 {
		return // the next letter wraps, which moving about would prevent
	}
	v.drawn = true
	v.drawPage()
	line := v.dim(fitting(printable(v.summary()), v.width()))
	if v.midLine && v.joined {
		// Index and up make sure that there is a line below.
		line = "\x1bD\x1b[A\x1b7\r\n" + line + "\x1b8"
	}
	fmt.Fprint(v.err, line)
}

// drawPage draws the block of the page that is still open, or as much of its end as the
// terminal can take back.
func (v *view) drawPage() {
	if v.page == nil || !v.joined {
		return
	}
	columns, rows := size(v.out)
	lines, above := last(v.page.lines(v.page.open, columns, !v.plain), columns, rows-2)
	for _, line := range lines {
		fmt.Fprintln(v.err, line)
	}
	v.above = above
}

// wipe takes the changing line away.
func (v *view) wipe() {
	switch {
	case !v.drawn:
		return
	case v.above > 0:
		fmt.Fprintf(v.err, "\r\x1b[%dA\x1b[J", v.above)
		v.above = 0
	case v.midLine && v.joined:
		fmt.Fprint(v.err, "\x1b[J")
	default:
		fmt.Fprint(v.err, "\r\x1b[K")
	}
	v.drawn = false
}

func (v *view) dim(line string) string {
	if !v.live || v.plain {
		return line
	}
	return "\x1b[2m" + line + "\x1b[0m"
}

// width is how many columns the changing line may take. One that wrapped could
// not be wiped.
func (v *view) width() int {
	columns, _ := size(v.err)
	return columns
}

// endLine ends a line of text, so that something else can stand below it.
func (v *view) endLine() {
	if v.page != nil {
		v.close(v.page.open)
		*v.page = page{}
	}
	if v.midLine {
		fmt.Fprintln(v.out)
		v.midLine, v.columns = false, 0
	}
}

func (v *view) text(text string) {
	if text == "" {
		return
	}
	v.anyText = true
	if v.page != nil {
		v.mark(text)
		return
	}
	v.wipe()
	v.endThought()
	v.midLine = !strings.HasSuffix(text, "\n")
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		v.columns = utf8.RuneCountInString(text[i+1:])
	} else {
		v.columns += utf8.RuneCountInString(text)
	}
	fmt.Fprint(v.out, safeText(text, v.safe))
	v.draw()
}

// mark shows a piece of Markdown.
func (v *view) mark(text string) {
	if !v.page.add(safeText(text, true)) {
		return
	}
	v.wipe()
	v.endThought()
	v.close(v.page.closed())
	v.draw()
}

// close shows blocks that stay what they are.
func (v *view) close(text string) {
	columns, _ := size(v.out)
	for _, line := range v.page.lines(text, columns, !v.plain) {
		fmt.Fprintln(v.out, line)
		v.page.begun = true
	}
}

// leave makes room for whatever comes next on the terminal.
func (v *view) leave() {
	v.rest()
	v.live = false // nothing changes any more
}

// rest makes room until the next event.
func (v *view) rest() {
	v.wipe()
	v.endThought()
	if v.joined || v.page != nil {
		v.endLine()
	}
}

// end shows what is left to show of a task that has ended: its result, if it
// was not among the chunks, and how it ended if that was not well.
func (v *view) end(t *errand.Task) {
	v.wipe()
	v.endThought()
	v.live = false
	if !v.anyText && t.Result != "" && t.Status == errand.Completed {
		v.text(t.Result)
	}
	v.endLine()
	if t.Status != errand.Completed {
		line := fmt.Sprintf("task %s: %s", t.ID, statusLine(t))
		if t.Result != "" {
			line += ": " + t.Result
		}
		fmt.Fprintln(v.err, printable(line))
	}
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
