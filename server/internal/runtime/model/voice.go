package model

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// gather is how long what a model says is collected after something was sent, so
	// that a fast one does not fill the log with an event for each syllable. What
	// comes first, or after a silence, is sent at once.
	gather = 50 * time.Millisecond
	// maxPiece is the most that one event says. Written as JSON, one byte becomes six
	// at worst, which still fits the limit of an event.
	maxPiece = 32 << 10
)

// voice brings what a model says into the log while it goes on talking.
type voice struct {
	report runtime.Journal
	more   chan struct{} // holds a token after something was said
	over   chan struct{} // closed when nothing more will be said
	told   chan struct{} // closed when everything is in the log, or cannot be

	status string // is told first, "" for nothing
	keep   bool   // what is left at the end is not told; read after over

	mu     sync.Mutex
	said   []piece
	spoken bool
	err    error // of the log; read after told
}

// piece is something that was said in one go.
type piece struct {
	as   task.Type // chunk or think
	text []byte
}

// newVoice makes a voice, which tells a status first, "" for none; failed is called when
// the log takes nothing more.
func newVoice(ctx context.Context, report runtime.Journal, status string, failed func(error)) *voice {
	v := &voice{report: report, status: status, more: make(chan struct{}, 1), over: make(chan struct{}), told: make(chan struct{})}
	go func() {
		defer close(v.told)
		if v.err = v.tell(ctx); v.err != nil {
			failed(v.err)
		}
	}()
	return v
}

// say continues what is said. It does not wait.
func (v *voice) say(as task.Type, text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.spoken = true
	if last := len(v.said) - 1; last >= 0 && v.said[last].as == as {
		v.said[last].text = append(v.said[last].text, text...)
	} else {
		v.said = append(v.said, piece{as, []byte(text)})
	}
	select {
	case v.more <- struct{}{}:
	default:
	}
}

// end waits until all of it is in the log, and returns whether there was anything.
func (v *voice) end() (spoken bool, err error) {
	close(v.over)
	<-v.told
	return v.spoken, v.err
}

// leave is end, but for what was not under way yet: that is answered, for whoever has
// more to bring into the log.
func (v *voice) leave() (rest []runtime.Event, spoken bool, err error) {
	v.keep = true
	if spoken, err = v.end(); err == nil {
		rest, err = v.events()
	}
	return rest, spoken, err
}

func (v *voice) tell(ctx context.Context) error {
	if v.status != "" {
		if err := v.report.Progress(ctx, v.status); err != nil {
			return err
		}
	}
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-v.over:
		case <-v.more:
		}
		select {
		case <-v.over: // goes before more: what is kept is not sent
			if v.keep {
				return nil
			}
			return v.send(ctx)
		default:
		}
		if err := v.send(ctx); err != nil {
			return err
		}
		rest.Reset(gather)
		select {
		case <-v.over:
		case <-rest.C:
		}
	}
}

// events are what was said and not told yet.
func (v *voice) events() (events []runtime.Event, err error) {
	v.mu.Lock()
	said := v.said
	v.said = nil
	v.mu.Unlock()
	for _, p := range said {
		for rest := p.text; len(rest) > 0; {
			n := runtime.PieceEnd(rest, maxPiece)
			e, err := event(p.as, string(rest[:n]))
			if err != nil {
				return nil, err
			}
			events = append(events, e)
			rest = rest[n:]
		}
	}
	return events, nil
}

// send brings what was said so far into the log.
func (v *voice) send(ctx context.Context) error {
	events, err := v.events()
	if err != nil {
		return err
	}
	return tellAll(ctx, v.report, events)
}

// tellAll brings events into the log, some at a time.
func tellAll(ctx context.Context, log runtime.Journal, events []runtime.Event) error {
	for some := range slices.Chunk(events, maxEvents) {
		if err := log.Events(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// maxEvents is how many long pieces are sent at a time.
const maxEvents = 16

// event makes the event of what was said: a chunk of the result, or a thought.
func event(as task.Type, text string) (runtime.Event, error) {
	var data any = text
	if as == task.Think {
		data = thought{Title: "Thinking", Thought: text}
	}
	raw, err := json.Marshal(data)
	return runtime.Event{Type: as, Data: raw}, err
}

// thought is the data of a think event.
type thought struct {
	Title   string `json:"title"`
	Thought string `json:"thought"`
}
