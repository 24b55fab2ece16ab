package crash

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// book is what the clients know: each notes what it is about to send, and
// afterwards what was acknowledged.
type book struct {
	mu        sync.Mutex
	creations []*creation
	leases    []*lease
	stops     []*stopping
	free      []string        // tasks whose last turn has ended, as far as known
	dirty     map[string]bool // tasks touched since the last check
	counts    counts          // of this round
	deeds     []porcupine.Operation
	began     time.Time
	jumpy     bool // the server's clock jumps: its times cannot be compared
}

// counts are the acknowledgements of a round.
type counts struct {
	creates, turns, claims, events, beats, finishes, stops, refusals, unknown, turnedAway int
	together                                                                              int // finishes that went with a claim
}

func (c counts) String() string {
	return fmt.Sprintf("acknowledged %d creates, %d next turns, %d claims, %d events, %d heartbeats, %d finishes (%d with a claim), %d stops; %d refused as superseded; %d without an answer; %d turned away",
		c.creates, c.turns, c.claims, c.events, c.beats, c.finishes, c.together, c.stops, c.refusals, c.unknown, c.turnedAway)
}

// creation is one create, of a task or of its next turn.
type creation struct {
	key   string
	text  string
	task  string // the id that it asks for, or that it was given
	agent string
	next  bool
	turn  int
	acked bool
	// watched says that a viewer follows it.
	watched bool
}

func (c *creation) body() obj {
	body := obj{"agent_id": c.agent, "title": c.key, "input": obj{"text": c.text}}
	if c.next {
		body["id"] = c.task
	}
	return body
}

// batch is one append.
type batch struct {
	ids  []string // client_id of each
	data []string // JSON of each
	seqs []int64  // acknowledged numbers, nil if there was no answer
	sent int      // how often it was
}

// ending is one finish.
type ending struct {
	status, result string
	acked          bool
}

// lease is one claim and all that was written with it.
type lease struct {
	worker  string
	task    string
	turn    int
	number  int
	token   string
	batches []*batch
	end     *ending
	until   time.Time // to when the last acknowledged heartbeat holds the lease
	want    int       // batches before the finish
	dropped bool      // its worker has forgotten it: a zombie may yet write
	dead    bool      // so has everybody until the end, when it is superseded
	over    bool      // nothing more is to come
	passed  bool      // ended, and the next turn may begin
	refused string    // what was refused with 409
}

// stopping is an acknowledged stop.
type stopping struct {
	task   string
	turn   int
	status string
}

func newBook() *book { return &book{dirty: map[string]bool{}, began: time.Now()} }

// since is the time of the book.
func (b *book) since() time.Duration { return time.Since(b.began) }

// note changes the book.
func (b *book) note(do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	do()
}

func (b *book) touch(id string) { b.dirty[id] = true }

// begin starts the count of a round.
func (b *book) begin() {
	b.note(func() { b.counts = counts{} })
}

// unresolved lists creates without an answer.
func (b *book) unresolved() []*creation {
	b.mu.Lock()
	defer b.mu.Unlock()
	var open []*creation
	for _, c := range b.creations {
		if !c.acked {
			open = append(open, c)
		}
	}
	return open
}

// takeDirty returns the touched tasks and forgets them.
func (b *book) takeDirty() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := make([]string, 0, len(b.dirty))
	for id := range b.dirty {
		ids = append(ids, id)
	}
	b.dirty = map[string]bool{}
	return ids
}

// account is all that the book says of one task.
type account struct {
	creations []*creation
	leases    []*lease
	stops     []*stopping
}

// herds tells whether it is a task of the herd.
func (x *account) herds() bool {
	return len(x.creations) > 0 && x.creations[0].agent == herdAgent
}

// accounts sorts the book by task.
func (b *book) accounts() map[string]*account {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := map[string]*account{}
	of := func(id string) *account {
		if all[id] == nil {
			all[id] = &account{}
		}
		return all[id]
	}
	for _, c := range b.creations {
		if c.acked {
			of(c.task).creations = append(of(c.task).creations, c)
		}
	}
	for _, h := range b.leases {
		of(h.task).leases = append(of(h.task).leases, h)
	}
	for _, s := range b.stops {
		of(s.task).stops = append(of(s.task).stops, s)
	}
	return all
}

// written is the data of every event that the load appends: it names its own
// attempt, so that the log itself shows whose writes were accepted.
type written struct {
	Client string `json:"client"`
	Number int    `json:"number"`
	Pad    string `json:"pad"`
}

func (h *lease) newBatch(n, size int) *batch {
	made := &batch{}
	for i := range n {
		id := fmt.Sprintf("%s-%d-%d-%d", h.worker, h.number, len(h.batches), i)
		data, err := json.Marshal(written{Client: id, Number: h.number, Pad: pad(size)})
		if err != nil {
			panic(err) // a struct of texts always encodes
		}
		made.ids, made.data = append(made.ids, id), append(made.data, string(data))
	}
	return made
}

func pad(n int) string {
	const letters = "The quick brown fox jumps over the lazy dog. "
	text := make([]byte, n)
	for i := range text {
		text[i] = letters[i%len(letters)]
	}
	return string(text)
}
