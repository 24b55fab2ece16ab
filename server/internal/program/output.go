package program

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// maxLine is how much of a line is looked at as a whole: the largest
	// event, and what stands around it.
	maxLine = task.MaxEvent + 1<<10
	// maxPiece is the most that one chunk carries of a longer line: in JSON a
	// byte may become six.
	maxPiece = 32 << 10
	// maxTail is how much is kept of standard error.
	maxTail = 4 << 10
	// One batch for Emit is what has gathered while the last was being
	// written, at most so much.
	maxBatch      = 500
	maxBatchBytes = 1 << 20
	// patience is how long text waits for the end of its line.
	patience = 100 * time.Millisecond
)

// output is a program's standard output and error on their way.
type output struct {
	failed chan error // of Emit, at most one

	heard   chan struct{} // closed when standard output has been read
	text    strings.Builder
	more    bool
	told    chan struct{} // closed when all of it has been emitted
	err     error         // of Emit
	tail    []byte
	tailEnd chan struct{}
}

// listen reads what a group writes until all its ends are closed. What comes
// after ctx or after a failure of emit is read and dropped, so that a program
// that is told to end is not held up by its own output.
func listen(ctx context.Context, g *group, p Program, emit func(context.Context, []Event) error) *output {
	o := &output{
		failed: make(chan error, 1), heard: make(chan struct{}), told: make(chan struct{}), tailEnd: make(chan struct{}),
	}
	queue := make(chan Event, maxBatch)
	var stdout io.Reader = g.stdout
	if p.TTY {
		stdout = &screen{from: stdout}
	}
	go func() {
		defer close(o.heard)
		defer close(queue)
		o.read(stdout, p.Events, queue)
	}()
	go func() {
		defer close(o.told)
		for batch := range batches(queue) {
			if o.err != nil {
				continue
			}
			if o.err = context.Cause(ctx); o.err == nil {
				o.err = emit(ctx, batch)
			}
			if o.err != nil {
				o.failed <- o.err
			}
		}
	}()
	go func() {
		defer close(o.tailEnd)
		o.keepTail(g.stderr)
	}()
	return o
}

// rest waits for the end of the output.
func (o *output) rest() (out said, tail string, failed error) {
	<-o.heard
	<-o.told
	<-o.tailEnd
	return said{o.text.String(), o.more}, task.CleanText(string(o.tail)), o.err
}

// batches yields what has gathered in a queue.
func batches(queue <-chan Event) func(func([]Event) bool) {
	return func(yield func([]Event) bool) {
		for first := range queue {
			batch, size := []Event{first}, len(first.Data)
			for more := true; more && len(batch) < maxBatch && size < maxBatchBytes; {
				select {
				case e, open := <-queue:
					if more = open; open {
						batch, size = append(batch, e), size+len(e.Data)
					}
				default:
					more = false
				}
			}
			if !yield(batch) {
				return
			}
		}
	}
}

// read makes events of what is written. Text is shown with its line, or after a moment
// if the line takes longer: words of a model, a prompt, a progress bar. A line keeps
// its newline, so that the chunks together are what was written, but for what a
// carriage return let go before anybody saw it.
func (o *output) read(from io.Reader, events bool, queue chan<- Event) {
	w := &written{output: o, events: events, queue: queue, fresh: true}
	pieces := make(chan []byte)
	go func() {
		defer close(pieces)
		buf := make([]byte, maxPiece)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				pieces <- bytes.Clone(buf[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	var overdue <-chan time.Time
	for {
		select {
		case piece, more := <-pieces:
			if !more {
				w.end()
				return
			}
			if begun := w.add(piece); begun || overdue == nil {
				overdue = time.After(patience)
			}
		case <-overdue:
			overdue = nil
			w.show()
		}
	}
}

// written is what a program has written and nobody has seen yet.
type written struct {
	*output

	events bool
	queue  chan<- Event
	text   []byte
	fresh  bool // The text begins its line.
}

// add takes what comes next, and tells whether a line has begun in it.
func (w *written) add(piece []byte) (begun bool) {
	w.text = append(w.text, piece...)
	for {
		end := bytes.IndexByte(w.text, '\n') + 1
		if end == 0 {
			break
		}
		w.line(w.text[:end])
		w.text, w.fresh, begun = w.text[end:], true, true
	}
	if len(w.text) >= maxLine {
		w.chunk()
	}
	return begun
}

// line takes a whole line, or what was not shown of it.
func (w *written) line(line []byte) {
	e, ok := eventOf(line)
	if !w.events || !w.fresh || !ok {
		w.chunks(w.fold(line), true, w.queue)
		return
	}
	if e.Type == task.Chunk {
		var text string
		if json.Unmarshal(e.Data, &text) == nil {
			w.keep(text)
		}
	}
	w.queue <- e
}

// show shows a line that has not ended, unless it may become an event.
func (w *written) show() {
	if w.events && w.fresh && bytes.HasPrefix(bytes.TrimLeft(w.text, " \t\r"), []byte("{")) {
		return
	}
	w.chunk()
}

// end takes what is written without a newline at the end.
func (w *written) end() {
	if len(w.text) > 0 {
		w.line(w.text)
	}
}

// chunk shows the text. The beginning of a character stays, and so does a
// carriage return, as a newline may follow it.
func (w *written) chunk() {
	text, last := bytes.CutSuffix(w.fold(w.text), []byte("\r"))
	if len(text) > 0 {
		w.fresh = false
	}
	w.text = bytes.Clone(w.chunks(text, false, w.queue))
	if last {
		w.text = append(w.text, '\r')
	}
}

// fold leaves of a line what stands there in the end: what comes after its last
// carriage return. If something of the line was shown, the carriage return stays.
func (w *written) fold(line []byte) []byte {
	body := bytes.TrimRight(line, "\r\n")
	back := bytes.LastIndexByte(body, '\r')
	if back >= 0 && w.fresh {
		back++
	}
	return line[max(0, back):]
}

// chunks queues text in pieces. Unless it ends here, a character whose end is
// still to come is answered instead.
func (o *output) chunks(text []byte, ends bool, queue chan<- Event) (left []byte) {
	for len(text) > 0 {
		n := min(len(text), maxPiece)
		if n < len(text) || !ends {
			n = wholeRunes(text[:n])
		}
		if n == 0 { // only the beginning of a character
			return append([]byte(nil), text...)
		}
		piece := task.CleanText(string(text[:n]))
		text = text[n:]
		o.keep(piece)
		data, err := json.Marshal(piece)
		if err != nil { // text always encodes
			continue
		}
		queue <- Event{Type: task.Chunk, Data: data}
	}
	return nil
}

// keep gathers the result.
func (o *output) keep(text string) {
	if o.more = o.more || o.text.Len()+len(text) > task.MaxResult; !o.more {
		o.text.WriteString(text)
	}
}

// wholeRunes is the length of b without an unfinished character at its end.
func wholeRunes(b []byte) int {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}

// eventOf reads a line as an event: an object with a writable type. Its data
// is null when it has none.
func eventOf(line []byte) (Event, bool) {
	line = bytes.TrimSpace(line)
	if !bytes.HasPrefix(line, []byte("{")) || !utf8.Valid(line) || bytes.Contains(line, []byte(`\u0000`)) {
		return Event{}, false
	}
	var e struct {
		Type task.Type       `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(line, &e) != nil || !e.Type.Writable() || len(e.Data) > task.MaxEvent || !fits(e.Data) {
		return Event{}, false
	}
	if len(e.Data) == 0 {
		e.Data = json.RawMessage("null")
	}
	if e.Type == task.Chunk && !bytes.HasPrefix(e.Data, []byte(`"`)) {
		return Event{}, false
	}
	return Event{Type: e.Type, Data: e.Data}, true
}

// levels is how much deeper than an event's data the request is in which it is written.
const levels = 8

// fits reports whether data can be read as values inside a request: its numbers are not
// too large, nor is it nested too deep. What a server would refuse is text.
func fits(data []byte) bool {
	var values any
	inside := slices.Concat(bytes.Repeat([]byte("["), levels), data, bytes.Repeat([]byte("]"), levels))
	return len(data) == 0 || json.Unmarshal(inside, &values) == nil
}

// keepTail keeps the end of what it reads.
func (o *output) keepTail(from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		o.tail = append(o.tail, buf[:n]...)
		if over := len(o.tail) - maxTail; over > 0 {
			o.tail = append(o.tail[:0], o.tail[over:]...)
		}
		if err != nil {
			return
		}
	}
}
