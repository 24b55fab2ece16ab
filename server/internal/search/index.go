package search

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// Document is what of a task's log is found together: the events from First to Last.
type Document struct {
	Of          lifecycle.Cursor // its task: the id, and when it was created
	Org         string
	First, Last int64
	At          task.Stamp // when the first event was
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

// Unindexed is a task whose log may have grown behind an event.
type Unindexed struct {
	Org, ID, Agent, Owner, Group string
	CreatedAt                    task.Stamp
	// Last is the last event that the index has.
	Last int64
}

// Place is how far the index has come.
type Place struct {
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
	// PutDocuments adds documents, but for those of tasks that are no more or whose log
	// is in the index up to there already, and notes the place, in one commit.
	PutDocuments(ctx context.Context, all []Document, at Place) error
	// Found finds documents that have the words, of tasks that the scope sees and the
	// filter matches, newest first, in front of one, 0 for all, at most limit. It looks at
	// a bounded number and answers behind which to go on, 0 at the end.
	Found(ctx context.Context, in auth.Scope, q Query, f lifecycle.Filter, before int64, limit int) (found []Hit, next int64, err error)

	Events(ctx context.Context, org, id string, after int64, limit int, types ...task.Type) ([]task.Event, error)
	Feed(ctx context.Context, after feed.Position, limit int) ([]feed.Entry, error)
	FeedEnd(ctx context.Context) (feed.Position, error)
}

const (
	// news is how many entries of the feed, and walk how many tasks, one step indexes.
	news = 500
	walk = 100
	// part is after how much text a document ends.
	part = 64 << 10
	// read is how many events of a log one reading has.
	read = 1000
)

// Found is a place in a task's log where something was found.
type Found struct {
	Hit
	Text    // where the first of the words stands
	Snippet []Piece
}

// Desk answers questions. It is safe for concurrent use.
type Desk struct{ store Store }

// NewDesk makes one.
func NewDesk(s Store) *Desk { return &Desk{s} }

// Find finds the places that have the words of a question, of tasks that the scope sees
// and the filter matches, newest first, in front of one, 0 for all, at most limit. It also
// answers behind which to go on, 0 at the end. A part may have fewer although more follow.
func (d *Desk) Find(ctx context.Context, in auth.Scope, question string, f lifecycle.Filter, before int64, limit int) ([]Found, int64, error) {
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
func (d *Desk) show(ctx context.Context, org string, q Query, h Hit) (Found, error) {
	events, err := d.store.Events(ctx, org, h.Task, h.First-1, int(min(h.Last-h.First+1, read)))
	if err != nil {
		return Found{}, err
	}
	events = slices.DeleteFunc(events, func(e task.Event) bool { return e.Seq > h.Last })
	for _, text := range Texts(events) {
		if pieces := q.Snippet(text.Text); pieces != nil {
			return Found{Hit: h, Text: text, Snippet: pieces}, nil
		}
	}
	return Found{}, nil
}

// Indexer keeps the index of a store up with its feed, beside whoever writes tasks. One
// may run on a database at a time; where two do, nothing is indexed twice.
type Indexer struct{ store Store }

// NewIndexer makes one.
func NewIndexer(s Store) *Indexer { return &Indexer{s} }

// Step indexes some of what is new, and some of what was there before. It reports
// whether there may be more.
func (x *Indexer) Step(ctx context.Context) (more bool, err error) {
	at, err := x.store.SearchPlace(ctx)
	if err != nil {
		return false, err
	}
	if at.Feed == (feed.Position{}) && !at.Walked && at.Task == "" { // what is there now the walk finds
		if at.Feed, err = x.store.FeedEnd(ctx); err != nil {
			return false, err
		}
	}
	entries, err := x.store.Feed(ctx, at.Feed, news)
	if err != nil {
		return false, fmt.Errorf("read what is to be indexed: %w", err)
	}
	tasks, err := x.changed(ctx, entries)
	if err != nil {
		return false, err
	}
	if n := len(entries); n > 0 {
		at.Feed = entries[n-1].Position
	}
	if !at.Walked {
		old, err := x.store.UnindexedBehind(ctx, at.Org, at.Task, walk)
		if err != nil {
			return false, err
		}
		if at.Walked = len(old) < walk; len(old) > 0 {
			at.Org, at.Task = old[len(old)-1].Org, old[len(old)-1].ID
		}
		tasks = append(tasks, old...)
	} else if len(entries) == 0 {
		return false, nil
	}
	var all []Document
	for _, t := range tasks {
		docs, err := x.documents(ctx, t)
		if err != nil {
			return false, err
		}
		all = append(all, docs...)
	}
	slices.SortStableFunc(all, func(a, b Document) int { return int(a.At - b.At) })
	return !at.Walked || len(entries) == news, x.store.PutDocuments(ctx, all, at)
}

// changed reads the tasks whose logs have grown.
func (x *Indexer) changed(ctx context.Context, entries []feed.Entry) ([]Unindexed, error) {
	ids := map[string][]string{}
	for _, e := range entries {
		if e.Kind&feed.Grew != 0 && !slices.Contains(ids[e.Organization], e.Task) {
			ids[e.Organization] = append(ids[e.Organization], e.Task)
		}
	}
	var all []Unindexed
	for org, some := range ids {
		found, err := x.store.UnindexedOf(ctx, org, some)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// documents reads what of a task is not in the index.
func (x *Indexer) documents(ctx context.Context, t Unindexed) ([]Document, error) {
	var all []Document
	after := t.Last
	for {
		events, err := x.store.Events(ctx, t.Org, t.ID, after, read)
		if err != nil {
			return nil, err
		}
		whole := events
		if len(events) < read { // text that is being written is indexed when something else follows, so that no word is cut
			for n := len(events); n > 0 && events[n-1].Type == task.Chunk; n-- {
				events = events[:n-1]
			}
		}
		all = append(all, documentsOf(t, events)...)
		if len(whole) < read {
			return all, nil
		}
		after = events[len(events)-1].Seq
	}
}

// documentsOf makes documents of events that follow one another.
func documentsOf(t Unindexed, events []task.Event) []Document {
	if len(events) == 0 {
		return nil
	}
	in := auth.Scope{Organization: t.Org, Owner: t.Owner, Group: t.Group}
	var all []Document
	begin := func(seq int64) {
		all = append(all, Document{Of: lifecycle.Cursor{ID: t.ID, CreatedAt: t.CreatedAt}, Org: t.Org, First: seq, Words: Bounds(in, t.Agent)})
	}
	size := part
	for _, text := range Texts(events) {
		if size >= part {
			begin(text.Seq)
			size = 0
		}
		d := &all[len(all)-1]
		d.Words, size = append(d.Words, indexed(text.Text)...), size+len(text.Text)
	}
	for i := range all {
		d := &all[i]
		if d.Last = events[len(events)-1].Seq; i+1 < len(all) {
			d.Last = all[i+1].First - 1
		}
		at := slices.IndexFunc(events, func(e task.Event) bool { return e.Seq >= d.First })
		d.At = events[at].Time
	}
	return all
}
