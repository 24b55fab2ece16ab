// Package search says what of a task can be found by its words, which words a question
// has, and where in a text they stand. It is pure: a store keeps the index.
package search

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// MaxQuery is how long a question may be, in bytes.
	MaxQuery = 256
	// MaxTerms is how many words and phrases it may have.
	MaxTerms = 16
)

// Query is what is looked for: terms that all have to stand in one document. A term is
// one word, or several that follow one another.
type Query struct {
	Terms [][]string
}

// Parse reads a question as people type it: words, and phrases in quotation marks.
// Whatever is no letter or digit separates words; no sign means anything else. A question
// without a word is Invalid.
func Parse(text string) (Query, error) {
	switch {
	case len(text) > MaxQuery:
		return Query{}, fault.Field("q", "must be at most %d bytes", MaxQuery)
	case !utf8.ValidString(text):
		return Query{}, fault.Field("q", "must be text")
	}
	var q Query
	for i, part := range strings.Split(text, `"`) {
		phrase := i%2 == 1 // between two marks, or behind one that none follows
		end := -1
		for j, w := range wordsOf(part) {
			if n := len(q.Terms) - 1; j > 0 && (phrase || w.from == end) {
				q.Terms[n] = append(q.Terms[n], w.text)
			} else {
				q.Terms = append(q.Terms, []string{w.text})
			}
			end = w.to
		}
	}
	switch {
	case len(q.Terms) == 0:
		return Query{}, fault.Field("q", "has no word")
	case len(q.Terms) > MaxTerms:
		return Query{}, fault.Field("q", "has more than %d words", MaxTerms)
	}
	return q, nil
}

// word is one of a text, in small letters, and which bytes of the text it is.
type word struct {
	text     string
	from, to int
}

// wordsOf are the words of a text, as the index has them: letters, marks and digits that
// stand together, without regard to case. In scripts that put no space between words
// each character is one: whoever looks for several of them looks for them side by side.
func wordsOf(text string) []word {
	var found []word
	from := -1
	end := func(to int) {
		if from >= 0 {
			found = append(found, word{strings.ToLower(text[from:to]), from, to})
		}
		from = -1
	}
	for i, r := range text {
		switch {
		case apart(r):
			end(i)
		case alone(r):
			end(i)
			from = i
			end(i + utf8.RuneLen(r))
		case from < 0:
			from = i
		}
	}
	end(len(text))
	return found
}

// maxWord is how long a word may be, in bytes: what is longer is no word that anybody
// looks for.
const maxWord = 100

// indexed are the words of a text that the index has.
func indexed(text string) []string {
	var found []string
	for _, w := range wordsOf(text) {
		if len(w.text) <= maxWord {
			found = append(found, w.text)
		}
	}
	return found
}

// apart reports whether a rune separates words.
func apart(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) }

// alone reports whether a rune is of a script without spaces.
func alone(r rune) bool {
	return r >= '\u0e00' && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// Part is where in a task a text stands.
type Part string

// The parts of a task that can be found.
const (
	Title  Part = "title"
	Prompt Part = "prompt"
	Result Part = "result"
	Event  Part = "event"
)

// Text is what an event says in words, or chunks that follow one another.
type Text struct {
	Part Part
	// Seq is the number of the event, and Last that of the last chunk.
	Seq, Last int64
	Text      string
}

// MaxText bounds what is indexed of one text, in bytes: words behind it are not found.
const MaxText = 64 << 10

// Texts are what the events of a log say in words, in their order. Chunks that follow one
// another are one text of at most MaxText, under the number of the first. Secrets stand in no event (A5).
func Texts(events []task.Event) []Text {
	var found []Text
	add := func(part Part, seq, last int64, text string) {
		if text = cut(text); text != "" {
			found = append(found, Text{part, seq, last, text})
		}
	}
	for i := 0; i < len(events); i++ {
		switch e := events[i]; e.Type { //nolint:exhaustive // what says nothing in words is not found
		case task.TaskCreated:
			var asked struct {
				Title *string `json:"title"`
				Input struct {
					Text *string `json:"text"`
				} `json:"input"`
			}
			_ = json.Unmarshal(e.Kept, &asked) // what cannot be read says nothing
			if asked.Title == nil {            // it is part of the state
				_ = json.Unmarshal(e.Own, &asked)
			}
			if asked.Title != nil {
				add(Title, e.Seq, e.Seq, *asked.Title)
			}
			if asked.Input.Text != nil {
				add(Prompt, e.Seq, e.Seq, *asked.Input.Text)
			}
		case task.TaskUpdated:
			var changed struct {
				Title *string `json:"title"`
			}
			if _ = json.Unmarshal(e.Own, &changed); changed.Title != nil { // see above
				add(Title, e.Seq, e.Seq, *changed.Title)
			}
		case task.TaskFinished:
			var ended struct {
				Result *string `json:"result"`
			}
			if _ = json.Unmarshal(e.Kept, &ended); ended.Result != nil { // see above
				add(Result, e.Seq, e.Seq, *ended.Result)
			}
		case task.Chunk:
			var said strings.Builder
			first := e.Seq
			for ; i < len(events) && events[i].Type == task.Chunk; i++ {
				var piece string
				_ = json.Unmarshal(events[i].Own, &piece) // one that is no text says nothing
				if said.Len() > 0 && said.Len()+len(piece) > MaxText {
					break
				}
				said.WriteString(piece)
			}
			i--
			add(Event, first, events[i].Seq, said.String())
		case task.AgentMessage, task.Think, task.Analyze, task.ToolCallRequest, task.ToolCallResult, task.StepDone, task.ApprovalRequested, task.ApprovalAnswered:
			add(Event, e.Seq, e.Seq, said(e.Own))
		}
	}
	return found
}

// said is every text in a JSON value, in its order.
func said(value json.RawMessage) string {
	d := json.NewDecoder(strings.NewReader(string(value)))
	var words []string
	var inObject []bool // of the values that are open; a name is no text
	name := false
	for size := 0; size < MaxText; {
		t, err := d.Token()
		if err != nil {
			break
		}
		switch x := t.(type) {
		case json.Delim:
			if x == '{' || x == '[' {
				inObject = append(inObject, x == '{')
			} else {
				inObject = inObject[:len(inObject)-1]
			}
			name = len(inObject) > 0 && inObject[len(inObject)-1]
			continue
		case string:
			if !name {
				words = append(words, x)
				size += len(x)
			}
		}
		if len(inObject) > 0 && inObject[len(inObject)-1] {
			name = !name
		}
	}
	return strings.Join(words, " ")
}

// cut is the beginning of a text, of at most MaxText bytes.
func cut(text string) string {
	if len(text) <= MaxText {
		return text
	}
	text = text[:MaxText]
	for len(text) > 0 && !utf8.ValidString(text[max(0, len(text)-utf8.UTFMax):]) {
		text = text[:len(text)-1]
	}
	return text
}

// Piece is a part of a snippet; Hit says that it is what was looked for.
type Piece struct {
	Text string `json:"text" doc:"A piece of the text."`
	Hit  bool   `json:"hit" doc:"Whether it is one of the words."`
}

const (
	// length is how long a snippet is, and around how much of it stands before the first
	// of the words, in characters.
	length = 200
	around = 40
)

// hit is where a word of a term stands in a text, in bytes.
type hit struct{ from, to, term int }

// hits are the words of all terms in a text, in their order.
func (q Query) hits(text string) []hit {
	var found []hit
	words := wordsOf(text)
	same := func(w word, term string) bool { return w.text == term }
	for i := range words {
		for n, term := range q.Terms {
			if len(words)-i < len(term) || !slices.EqualFunc(words[i:i+len(term)], term, same) {
				continue
			}
			for _, w := range words[i : i+len(term)] {
				found = append(found, hit{w.from, w.to, n})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b hit) int { return a.from - b.from }) // phrases may overlap
	return found
}

// Snippet is the part of a text in which most of the terms stand, the first of such
// parts, with each of their words marked; and how many of the terms the text has.
func (q Query) Snippet(text string) (pieces []Piece, terms int) {
	all := q.hits(text)
	if len(all) == 0 {
		return nil, 0
	}
	first, most := 0, 0
	for i, h := range all {
		end := i
		for end < len(all) && all[end].to <= h.from+length-around { // in bytes: no fewer characters fit
			end++
		}
		if n := distinct(all[i:end]); n > most {
			first, most = i, n
		}
	}
	return cutOut(text, all[first:]), distinct(all)
}

// distinct counts the terms of places.
func distinct(all []hit) int {
	var seen [MaxTerms]bool
	n := 0
	for _, h := range all {
		if !seen[h.term] {
			seen[h.term], n = true, n+1
		}
	}
	return n
}

// cutOut is what of a text stands around the first of some places.
func cutOut(text string, hits []hit) []Piece {
	from := hits[0].from
	for n := 0; from > 0 && n < around; n++ {
		_, size := utf8.DecodeLastRuneInString(text[:from])
		from -= size
	}
	to := from
	for n := 0; to < len(text) && (n < length || to < hits[0].to); n++ {
		_, size := utf8.DecodeRuneInString(text[to:])
		to += size
	}
	var pieces []Piece
	at := from
	put := func(to int, hit bool) {
		if at < to { // else it has been marked for another term
			pieces = append(pieces, Piece{text[at:to], hit})
			at = to
		}
	}
	for _, h := range hits {
		if h.to > to {
			break
		}
		put(h.from, false)
		put(h.to, true)
	}
	put(to, false)
	return pieces
}
