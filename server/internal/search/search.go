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
	// MaxQuery is how long a question may be, in bytes, and MaxTerms how many words and
	// phrases it may have.
	MaxQuery = 256
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
		words := Words(part)
		if i%2 == 1 && len(words) > 0 { // between two marks, or behind one that none follows
			q.Terms = append(q.Terms, words)
			continue
		}
		for _, w := range words {
			q.Terms = append(q.Terms, []string{w})
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

// Words are those of a text, as the index has them: letters, marks and digits, without
// regard to case.
func Words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), apart)
}

// maxWord is how long a word may be, in bytes: what is longer is no word that anybody
// looks for.
const maxWord = 100

// indexed are the words of a text that the index has.
func indexed(text string) []string {
	return slices.DeleteFunc(Words(text), func(w string) bool { return len(w) > maxWord })
}

// apart reports whether a rune separates words.
func apart(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) }

// Part is where in a task a text stands.
type Part string

// The parts of a task that can be found.
const (
	Title  Part = "title"
	Prompt Part = "prompt"
	Result Part = "result"
	Event  Part = "event"
)

// Text is what an event says in words, "" for nothing.
type Text struct {
	Part Part
	Seq  int64
	Text string
}

// MaxText bounds what is indexed of one text, in bytes: words behind it are not found.
const MaxText = 64 << 10

// Texts are what the events of a log say in words, in their order. Chunks that follow one
// another are one text, under the number of the first. Secrets stand in no event (A5).
func Texts(events []task.Event) []Text {
	var found []Text
	add := func(part Part, seq int64, text string) {
		if text = cut(text); text != "" {
			found = append(found, Text{part, seq, text})
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
				add(Title, e.Seq, *asked.Title)
			}
			if asked.Input.Text != nil {
				add(Prompt, e.Seq, *asked.Input.Text)
			}
		case task.TaskUpdated:
			var changed struct {
				Title *string `json:"title"`
			}
			if _ = json.Unmarshal(e.Own, &changed); changed.Title != nil { // see above
				add(Title, e.Seq, *changed.Title)
			}
		case task.TaskFinished:
			var ended struct {
				Result *string `json:"result"`
			}
			if _ = json.Unmarshal(e.Kept, &ended); ended.Result != nil { // see above
				add(Result, e.Seq, *ended.Result)
			}
		case task.Chunk:
			var said strings.Builder
			first := e.Seq
			for ; i < len(events) && events[i].Type == task.Chunk; i++ {
				var piece string
				_ = json.Unmarshal(events[i].Own, &piece) // one that is no text says nothing
				said.WriteString(piece)
			}
			i--
			add(Event, first, said.String())
		case task.AgentMessage, task.Think, task.Analyze, task.ToolCallRequest, task.ToolCallResult, task.StepDone, task.ApprovalRequested, task.ApprovalAnswered:
			add(Event, e.Seq, said(e.Own))
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
	Hit  bool   `json:"hit" doc:"Whether it is one of the words that were looked for."`
}

// around is how many runes a snippet shows before its first hit, and in all.
const (
	around = 40
	length = 200
)

// Snippet is what stands around the first term of a text that has one, with each word of
// the question marked; nil if it has none.
func (q Query) Snippet(text string) []Piece {
	wanted := map[string]bool{}
	for _, term := range q.Terms {
		for _, w := range term {
			wanted[w] = true
		}
	}
	runes := []rune(text)
	type span struct{ from, to int }
	var hits []span
	for i := 0; i < len(runes); {
		if apart(runes[i]) {
			i++
			continue
		}
		j := i
		for j < len(runes) && !apart(runes[j]) {
			j++
		}
		if wanted[strings.ToLower(string(runes[i:j]))] {
			hits = append(hits, span{i, j})
		}
		if len(hits) > 0 && j > hits[0].from+length {
			break
		}
		i = j
	}
	if len(hits) == 0 {
		return nil
	}
	from := max(0, hits[0].from-around)
	to := min(len(runes), max(from+length, hits[0].to))
	var pieces []Piece
	put := func(a, b int, hit bool) {
		if a < b {
			pieces = append(pieces, Piece{string(runes[a:b]), hit})
		}
	}
	at := from
	for _, h := range hits {
		if h.to > to {
			break
		}
		put(at, h.from, false)
		put(h.from, h.to, true)
		at = h.to
	}
	put(at, to, false)
	return pieces
}
