package task

import (
	"encoding/json"
	"fmt"

	"github.com/errand-dev/errand/server/internal/fault"
)

// GivenAs says as what an agent was given a file, or a part of one.
type GivenAs string

// What files are given as.
const (
	AsText    GivenAs = "text"
	AsTable   GivenAs = "table"
	AsPicture GivenAs = "picture"
	AsLink    GivenAs = "link"
	AsNothing GivenAs = "nothing"
)

// Given is what an agent was given of a file of its turn (rule O3). Its event in the
// log says what it is; the store also keeps which event is the newest of its number.
type Given struct {
	Turn int `json:"-"`
	// Number is the file's place among those of the turn, from 1.
	Number int    `json:"number"`
	Name   string `json:"name"`
	// Size is how many bytes the file has, as far as it was read, and ContentType what
	// it is.
	Size        int64  `json:"size,omitempty"`
	ContentType string `json:"content_type,omitempty"`
	// Failed says why it could not be read, "" if it could.
	Failed string `json:"failed,omitempty"`
	// Text is the file id of the text that was given, "" for none; TextSize is how many
	// bytes that has, and Cut says that the file has more.
	Text     string      `json:"text_id,omitempty"`
	TextSize int64       `json:"text_size,omitempty"`
	Cut      bool        `json:"cut,omitempty"`
	Parts    []GivenPart `json:"given"`
	// Seq is the number of its event, At the moment of its commit.
	Seq int64 `json:"-"`
	At  Stamp `json:"-"`
}

// GivenPart is one thing that was given of a file. Numbers are 0 where they do not
// apply.
type GivenPart struct {
	As GivenAs `json:"as"`
	// Name is a table's, where the file has several.
	Name    string `json:"name,omitempty"`
	Chars   int    `json:"chars,omitempty"`
	Tokens  int    `json:"tokens,omitempty"` // as estimated
	Pages   int    `json:"pages,omitempty"`
	Rows    int    `json:"rows,omitempty"`
	Columns int    `json:"columns,omitempty"`
	Width   int    `json:"width,omitempty"`
	Height  int    `json:"height,omitempty"`
	// Why says what else is to be known: why it is nothing, what was left out.
	Why string `json:"why,omitempty"`
	// From and To are where a table stands in the text, as CSV, in bytes. Headed says
	// that the names of its columns stand first.
	From   int  `json:"from,omitempty"`
	To     int  `json:"to,omitempty"`
	Headed bool `json:"headed,omitempty"`
	// Picture is the file id of a picture, and PictureType what it is.
	Picture     string `json:"picture_id,omitempty"`
	PictureType string `json:"picture_type,omitempty"`
}

// Contents are the ids of the files that hold what was given.
func (g Given) Contents() []string {
	var ids []string
	if g.Text != "" {
		ids = append(ids, g.Text)
	}
	for _, p := range g.Parts {
		if p.Picture != "" {
			ids = append(ids, p.Picture)
		}
	}
	return ids
}

// GivenOf reads what was given from its event.
func GivenOf(e Event) (Given, error) {
	var g Given
	if err := json.Unmarshal(e.Own, &g); err != nil {
		return Given{}, fmt.Errorf("decode what was given: %w", err)
	}
	g.Turn, g.Seq, g.At = e.Turn, e.Seq, e.Time
	return g, nil
}

// Give keeps what the attempt that holds the lease gives its agent of files.
type Give struct {
	By    Writer
	Files []Given
}

func (c Give) apply(d *draft) error {
	switch {
	case !c.By.Fenced:
		return fault.New(fault.Forbidden, "what an agent is given is told under its attempt's lease")
	case !d.mayWrite(c.By):
		d.late(c.By.Attempt, "", nil)
		return nil
	}
	for _, g := range c.Files {
		d.log(FileGiven, g)
		e := d.events[len(d.events)-1]
		g.Turn, g.Seq, g.At = e.Turn, e.Seq, e.Time
		d.given = append(d.given, g)
	}
	return nil
}
