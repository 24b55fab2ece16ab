package search

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// Of names a task: an id may be another's after a deletion.
type Of struct {
	Org, ID   string
	CreatedAt task.Stamp
}

// Document is what is found as one: an event, or chunks that follow one another.
type Document struct {
	Of          Of
	First, Last int64      // the numbers of its events
	At          task.Stamp // when the first of them was
	// Words are those that it is found by, Bounds' among them.
	Words []string
}

// Bounds are words that no text has, for what never changes of a task: who looks for
// them finds the tasks of an organization, and of an agent, an owner or a group if one
// is given.
func Bounds(in auth.Scope, agent string) []string {
	all := []string{bound("o", in.Organization)}
	for _, b := range [][2]string{{"a", agent}, {"u", in.Owner}, {"g", in.Group}} {
		if b[1] != "" {
			all = append(all, bound(b[0], in.Organization+"\x00"+b[1]))
		}
	}
	return all
}

func bound(kind, name string) string {
	sum := sha256.Sum256([]byte(kind + name))
	return kind + "0" + hex.EncodeToString(sum[:10])
}

// Unindexed is a task whose log may have events that are not in the index.
type Unindexed struct {
	Of
	Agent, Owner, Group string
	// Last is the last event that is in the index, End the last one of the log.
	Last, End int64
	// Speaks says that this is a chunk, which another may follow.
	Speaks bool
}

// Place is how far the index has come.
type Place struct {
	// Step counts the commits of the index.
	Step int64
	// Feed is the entry behind which news are.
	Feed feed.Position
	// Org and Task are the last of the tasks that were there before the index and are in
	// it; Walked says that all are.
	Org, Task string
	Walked    bool
}

// Hit is a document that was found, with what lists show of its task.
type Hit struct {
	ID          int64
	Task, Agent string
	Status      task.Status
	Title       *string
	Prompt      string // how what its turn was asked begins
	CreatedAt   task.Stamp
	First, Last int64
}

// Store keeps the index.
type Store interface {
	// SearchPlace reads how far the index has come.
	SearchPlace(ctx context.Context) (Place, error)
	// UnindexedOf reads tasks of one organization by their ids; those that are not there
	// are left out.
	UnindexedOf(ctx context.Context, org string, ids []string) ([]Unindexed, error)
	// UnindexedBehind reads tasks of all organizations in the order of their ids.
	UnindexedBehind(ctx context.Context, org, id string, limit int) ([]Unindexed, error)
	// PutDocuments adds documents, drops those of tasks that were deleted, and puts a place
	// in front of which all is done in that of the one before it, in one commit. If another
	// has done that step, it does nothing.
	PutDocuments(ctx context.Context, all []Document, gone []Of, at Place) error
	// Found finds documents that have the words, of tasks that the scope sees and the
	// filter matches, newest first, in front of one, 0 for all, at most limit. It looks at
	// a bounded number and returns behind which to go on, 0 at the end.
	Found(ctx context.Context, in auth.Scope, q Query, f lifecycle.Filter, before int64, limit int) (found []Hit, next int64, err error)

	Events(ctx context.Context, org, id string, after int64, limit int, types ...task.Type) ([]task.Event, error)
	Feed(ctx context.Context, after feed.Position, limit int) ([]feed.Entry, error)
	FeedBegin(ctx context.Context) (feed.Position, error)
	FeedEnd(ctx context.Context) (feed.Position, error)
}

const (
	// news is how many entries of the feed are read at once, pages how often at most in
	// one step, and walk how many tasks are read at once.
	news, pages = 500, 10
	walk        = 100
	// stepText and stepDocuments bound what one step indexes, so that its commit takes some
	// ten milliseconds: the first is passed by one document at most.
	stepText, stepDocuments = 64 << 10, 250
	// read is how many events of a log one reading has.
	read = 1000
)

// Found is a place in a task's log where something was found.
type Found struct {
	Hit
	Text    // the one of the document that has most of what was looked for
	Snippet []Piece
}

// Finder answers questions. It is safe for concurrent use.
type Finder struct{ store Store }

// NewFinder makes one.
func NewFinder(s Store) *Finder { return &Finder{s} }

// Find finds the places that have the words of a question, of tasks that the scope sees
// and the filter matches, newest first, in front of one, 0 for all, at most limit. It also
// returns behind which to go on, 0 at the end. A part may have fewer although more follow.
func (d *Finder) Find(ctx context.Context, in auth.Scope, question string, f lifecycle.Filter, before int64, limit int) ([]Found, int64, error) {
	q, err := Parse(question)
	if err != nil {
		return nil, 0, err
	}
	hits, next, err := d.store.Found(ctx, in, q, f, before, limit)
	if err != nil {
		return nil, 0, err
	}
	found := make([]Found, 0, len(hits))
	for _, h := range hits {
		shown, err := d.show(ctx, in.Organization, q, h)
		if err != nil {
			return nil, 0, err
		}
		if shown.Snippet != nil { // else its task was deleted meanwhile
			found = append(found, shown)
		}
	}
	return found, next, nil
}

// show finds in a document where the words stand.
func (d *Finder) show(ctx context.Context, org string, q Query, h Hit) (Found, error) {
	events, err := d.store.Events(ctx, org, h.Task, h.First-1, int(min(h.Last-h.First+1, read)))
	if err != nil {
		return Found{}, err
	}
	events = slices.DeleteFunc(events, func(e task.Event) bool { return e.Seq > h.Last })
	best, most := Found{}, 0
	for _, text := range Texts(events) {
		if pieces, terms := q.Snippet(text.Text); terms > most {
			best, most = Found{Hit: h, Text: text, Snippet: pieces}, terms
		}
	}
	return best, nil
}

// Indexer keeps the index of a store up with its feed, beside whoever writes tasks. Of
// two that run on a database one is refused its step, and begins anew where the other is.
type Indexer struct {
	store  Store
	told   atomic.Int64 // when something had changed, in nanoseconds
	looked time.Time    // when there was nothing to index
}

// NewIndexer makes one.
func NewIndexer(s Store) *Indexer { return &Indexer{store: s} }

const (
	// settles is within which what was committed can be read in the feed; rarely later.
	settles = 3 * time.Second
	// look is how often the feed is read though nothing was told: what somebody's long
	// transaction has kept from being read is found then at the latest.
	look = 15 * time.Second
)

// Told notes that something has changed.
func (x *Indexer) Told() { x.told.Store(time.Now().UnixNano()) }

// rests reports whether there is hardly anything to index.
func (x *Indexer) rests(now time.Time) bool {
	return now.Sub(time.Unix(0, x.told.Load())) > settles && now.Sub(x.looked) < look
}

// rest is how many times as long as a step took the indexer rests before the next one, so
// that a busy server spends a tenth of what it does on the index at most.
const rest = 9

// StepAndRest does a step if something was told lately, or every few seconds; and, if there
// may be more, rests.
func (x *Indexer) StepAndRest(ctx context.Context) (more bool, err error) {
	begun := time.Now()
	if x.rests(begun) {
		return false, nil
	}
	if more, err = x.Step(ctx); !more || err != nil {
		if err == nil {
			x.looked = begun
		}
		return false, err
	}
	select {
	case <-ctx.Done():
	case <-time.After(rest * time.Since(begun)):
	}
	return true, nil
}

// Step indexes some of what is new and, if there is room, some of what was there before
// the index. It reports whether there may be more.
func (x *Indexer) Step(ctx context.Context) (more bool, err error) {
	at, err := x.store.SearchPlace(ctx)
	if err != nil {
		return false, err
	}
	before := at
	if at.Step == 0 { // what is there now the walk finds
		if at.Feed, err = x.store.FeedEnd(ctx); err != nil {
			return false, err
		}
	}
	if at.Step > 0 {
		lost, end, err := x.lost(ctx, at.Feed)
		if err != nil {
			return false, err
		}
		if lost { // a walk finds what the feed does not tell any more
			at.Feed, at.Org, at.Task, at.Walked = end, "", "", false
		}
	}
	s := step{store: x.store, at: at, seen: map[Of]int64{}}
	done, err := s.news(ctx)
	if err == nil && done && !at.Walked {
		err = s.walk(ctx)
	}
	if err != nil {
		return false, err
	}
	if s.at == before && len(s.documents) == 0 {
		return false, nil
	}
	return !done || !s.at.Walked, x.store.PutDocuments(ctx, s.documents, s.gone, s.at)
}

// lost reports whether news behind a place are not in the feed: a release that knew of no
// index has dropped them, or the database was restored where positions are others.
func (x *Indexer) lost(ctx context.Context, place feed.Position) (lost bool, end feed.Position, err error) {
	begin, err := x.store.FeedBegin(ctx)
	if err != nil {
		return false, end, err
	}
	if end, err = x.store.FeedEnd(ctx); err != nil {
		return false, end, err
	}
	none := feed.Position{}
	return place != none && (place.Before(begin) || end != none && end.Before(place)), end, nil
}

// step is one under way.
type step struct {
	store     Store
	at        Place
	documents []Document
	gone      []Of
	text      int // how much the documents have, in bytes
	// seen are the tasks, by their ids alone, whose logs it has read, and up to which event.
	seen map[Of]int64
}

func (s *step) full() bool { return s.text >= stepText || len(s.documents) >= stepDocuments }

// news indexes what has changed, as far as there is room, and reports whether this is all.
func (s *step) news(ctx context.Context) (done bool, err error) {
	for range pages {
		entries, err := s.store.Feed(ctx, s.at.Feed, news)
		if err != nil {
			return false, fmt.Errorf("read what is to be indexed: %w", err)
		}
		for some := range slices.Chunk(entries, walk) {
			if whole, err := s.changed(ctx, some); !whole || err != nil {
				return false, err
			}
		}
		if len(entries) < news {
			return true, nil
		}
	}
	return false, nil
}

// changed indexes what entries of the feed tell of, as far as there is room, and moves
// the place behind those of which all is. It reports whether these are all of them.
func (s *step) changed(ctx context.Context, entries []feed.Entry) (whole bool, err error) {
	ids := map[string][]string{}
	for _, e := range entries {
		of := Of{Org: e.Organization, ID: e.Task}
		if e.Kind&feed.Deleted != 0 {
			s.gone = append(s.gone, of)
		}
		if _, seen := s.seen[of]; e.Kind&feed.Grew != 0 && !seen {
			ids[of.Org] = append(ids[of.Org], of.ID)
		}
	}
	tasks := map[Of]Unindexed{}
	for org, some := range ids {
		slices.Sort(some)
		found, err := s.store.UnindexedOf(ctx, org, slices.Compact(some))
		if err != nil {
			return false, err
		}
		for _, t := range found {
			tasks[Of{Org: t.Org, ID: t.ID}] = t
		}
	}
	for _, e := range entries {
		of := Of{Org: e.Organization, ID: e.Task}
		switch end, seen := s.seen[of]; {
		case seen && e.Last > end: // it has grown since
			return false, nil
		case !seen && tasks[of].ID != "":
			if whole, err := s.index(ctx, tasks[of]); !whole || err != nil {
				return false, err
			}
			s.seen[of] = tasks[of].End
		}
		s.at.Feed = e.Position
	}
	return true, nil
}

// walk indexes tasks that were there before the index, as far as there is room.
func (s *step) walk(ctx context.Context) error {
	if s.full() {
		return nil
	}
	tasks, err := s.store.UnindexedBehind(ctx, s.at.Org, s.at.Task, walk)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if _, seen := s.seen[Of{Org: t.Org, ID: t.ID}]; !seen { // else the feed tells of what has come since
			if whole, err := s.index(ctx, t); !whole || err != nil {
				return err
			}
		}
		s.at.Org, s.at.Task = t.Org, t.ID
	}
	s.at.Walked = len(tasks) < walk
	return nil
}

// index makes documents of what of a task is not in the index, as far as there is room.
// It reports whether this is all of it, but for chunks that another may follow: so no
// word is cut, and a streamed text is not cut into as many documents as it has pieces.
func (s *step) index(ctx context.Context, t Unindexed) (whole bool, err error) {
	if t.Speaks && t.End-t.Last <= read {
		next, err := s.store.Events(ctx, t.Org, t.ID, t.Last, 1)
		if err != nil || len(next) == 0 || next[0].Type == task.Chunk { // nothing but what it still says
			return err == nil, err
		}
	}
	for after := t.Last; after < t.End; {
		events, err := s.store.Events(ctx, t.Org, t.ID, after, read)
		if err != nil || len(events) == 0 { // it was deleted meanwhile
			return err == nil, err
		}
		said := events
		for n := len(said); n > 0 && said[n-1].Type == task.Chunk; n-- {
			said = said[:n-1]
		}
		if len(said) == 0 {
			if end := events[len(events)-1].Seq; end >= t.End && len(events) < read {
				return true, nil
			}
			said = events // of a text that is longer than one reading
		}
		for _, d := range documentsOf(t, said) {
			if s.full() {
				return false, nil
			}
			s.documents = append(s.documents, d.Document)
			s.text += d.size
		}
		after = said[len(said)-1].Seq
	}
	return true, nil
}

// sized is a document with the length of its text.
type sized struct {
	Document
	size int
}

// documentsOf makes documents of events that follow one another.
func documentsOf(t Unindexed, events []task.Event) []sized {
	bounds := Bounds(auth.Scope{Organization: t.Org, Owner: t.Owner, Group: t.Group}, t.Agent)
	var all []sized
	for _, text := range Texts(events) {
		if n := len(all); n == 0 || all[n-1].First != text.Seq {
			at, _ := slices.BinarySearchFunc(events, text.Seq, func(e task.Event, seq int64) int { return cmp.Compare(e.Seq, seq) })
			all = append(all, sized{Document{Of: t.Of, First: text.Seq, Last: text.Last, At: events[at].Time, Words: slices.Clone(bounds)}, 0})
		}
		d := &all[len(all)-1]
		d.Words, d.size = append(d.Words, indexed(text.Text)...), d.size+len(text.Text)
	}
	return all
}
