package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

// textType is what a text is kept as.
const textType = "text/plain; charset=utf-8"

// made is a content that the server has made, to be kept.
type made struct {
	content []byte
	kind    string
}

// Give keeps what an attempt gives its agent of files: first what holds it, each content
// once for all tasks, then which task uses it, in one commit with the word of it (O3).
func (s *Shelf) Give(ctx context.Context, service *lifecycle.Service, org, id, token string, list []runtime.Given) error {
	contents := map[string]made{}
	records := make([]task.Given, len(list))
	for i, g := range list {
		r := g.Given
		r.Parts = slices.Clone(r.Parts)
		if g.Content != "" {
			r.Text, r.TextSize = note(contents, []byte(g.Content), textType), int64(len(g.Content))
		}
		for n, picture := range g.Pictures {
			if picture != nil {
				r.Parts[n].PictureType = http.DetectContentType(picture)
				r.Parts[n].Picture = note(contents, picture, r.Parts[n].PictureType)
			}
		}
		records[i] = r
	}
	const tries = 3 // what is there may go before the commit, which happens once at most
	for range tries {
		missing, err := service.Give(ctx, org, id, token, records)
		if err != nil || len(missing) == 0 {
			return err
		}
		for _, id := range missing {
			m := contents[id]
			if _, err := s.bring(ctx, "", bytes.NewReader(m.content), func(ctx context.Context, f File) error {
				f.ContentType = m.kind
				return s.store.PutKept(ctx, org, f)
			}); err != nil {
				return err
			}
		}
	}
	return errors.New("what the agent is given could not be kept: it goes as soon as it is there")
}

// note remembers a content under its id.
func note(contents map[string]made, content []byte, kind string) (id string) {
	sum := sha256.Sum256(content)
	id = hex.EncodeToString(sum[:])
	contents[id] = made{content, kind}
	return id
}

// givenRead is of how many files one read asks what was given.
const givenRead = 100

// Given reads what was given of the files of a turn, with what holds it.
func (s *Shelf) Given(ctx context.Context, service *lifecycle.Service, org, id string, turn int) ([]runtime.Given, error) {
	var all []runtime.Given
	for after := 0; ; {
		found, err := service.Given(ctx, org, id, turn, after, givenRead)
		if err != nil || len(found) == 0 {
			return all, err
		}
		for _, r := range found {
			after = r.Number
			g := runtime.Given{Given: r, Pictures: make([][]byte, len(r.Parts))}
			if r.Text != "" {
				text, err := s.whole(ctx, org, r.Text)
				if err != nil {
					return nil, err
				}
				g.Content = string(text)
			}
			for n, p := range r.Parts {
				if p.Picture == "" {
					continue
				}
				if g.Pictures[n], err = s.whole(ctx, org, p.Picture); err != nil {
					return nil, err
				}
			}
			all = append(all, g)
		}
	}
}

// Known is what is known of a file that the organization has.
func (s *Shelf) Known(ctx context.Context, org, id string) (File, error) {
	return s.store.File(ctx, org, id)
}

func (s *Shelf) whole(ctx context.Context, org, id string) ([]byte, error) {
	content, _, err := s.Open(ctx, org, id)
	if err != nil {
		return nil, err
	}
	defer content.Close() //nolint:errcheck // it was only read
	return io.ReadAll(content)
}

// Files lists the files of a turn whose numbers are higher than one, with what the agent
// was given of each; of the present turn also those of which it was given nothing yet,
// whose Seq is 0. At most limit, or fewer when they are long.
func (s *Shelf) Files(ctx context.Context, service *lifecycle.Service, t lifecycle.Snapshot, turn, after, limit int) ([]task.Given, error) {
	org := t.Task.OrganizationID
	found, err := service.Given(ctx, org, t.Task.ID, turn, after, limit)
	if err != nil || turn != t.Task.Terms.Turn {
		return found, err
	}
	_, refs, err := t.Asked()
	if err != nil {
		return nil, err
	}
	last := min(after+limit, len(refs))
	if len(found) > 0 && len(found) < limit { // which may be for their length
		if more, err := service.Given(ctx, org, t.Task.ID, turn, found[len(found)-1].Number, 1); err != nil || len(more) > 0 {
			last = found[len(found)-1].Number
		}
	}
	var list []task.Given
	for n := after + 1; n <= last; n++ {
		g := task.Given{Turn: turn, Number: n, Name: NameOf(refs[n-1])}
		if len(found) > 0 && found[0].Number == n {
			g, found = found[0], found[1:]
		}
		if id, _, ours := SplitRef(refs[n-1]); ours && (g.Size == 0 || g.ContentType == "") {
			f, err := s.store.File(ctx, org, id)
			if err != nil {
				return nil, err
			}
			g.Size, g.ContentType = f.Size, f.ContentType
		}
		list = append(list, g)
	}
	return list, nil
}
