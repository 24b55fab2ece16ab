package model

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/reading"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

// maxFiles is how much of a task's files a model is given, in bytes of text.
const maxFiles = 400_000

// namesOnly says why a model is given no more of files than their names.
const namesOnly = "The task asks for the names of files alone (disable_attachment_injection)."

// maxWhy bounds what is told of a part of a file, in bytes.
const maxWhy = 2000

var _ runtime.Previewer = (*Runner)(nil)

// filesGiven is what the model is given of the turn's files, kept with the task before
// anybody is asked. Whoever goes on with the turn gives the same, and reads no file again.
func filesGiven(ctx context.Context, reader *reading.Reader, a *runtime.Attempt, sees bool) ([]runtime.Given, error) {
	if len(a.Files) == 0 {
		return nil, nil
	}
	given, err := a.Given(ctx)
	if err != nil || len(given) == len(a.Files) {
		return given, err
	}
	given = given[:0]
	room := room{text: maxFiles}
	if sees {
		room.pictures, room.bytes = maxPictures, maxPictureBytes
	}
	for i, f := range a.Files {
		g, err := fileRead(ctx, reader, f, room, a.State.DisableAttachmentInjection)
		if err != nil {
			return nil, err
		}
		g.Number = i + 1
		given = append(given, g)
		if g.Failed != "" {
			if err := a.Give(ctx, given); err != nil {
				return nil, err
			}
			return nil, &failure{fmt.Sprintf("The file %s could not be read: %s", f.Name, g.Failed)}
		}
		room.text -= len(g.Content)
		room.pictures -= len(g.Pictures)
		for _, p := range g.Pictures {
			room.bytes -= len(p)
		}
	}
	return given, a.Give(ctx, given)
}

// Preview implements runtime.Previewer.
func (r *Runner) Preview(ctx context.Context, who agent.Agent, f runtime.File) (runtime.Given, error) {
	room := room{text: maxFiles}
	if provider, _, err := r.endpoint(ctx, who, task.State{}); err == nil && sees(who.Record, provider) {
		room.pictures, room.bytes = maxPictures, maxPictureBytes
	}
	return fileRead(ctx, r.Reading, f, room, false)
}

// room is how much of files there is room for: bytes of text, pictures, and bytes of those.
type room struct{ text, pictures, bytes int }

// The most pictures that a model is given in a turn, and the most bytes of them: Anthropic
// takes 32 MB of a request, in which they are longer by a third.
const (
	maxPictures     = 20
	maxPictureBytes = 20 << 20
)

// sees reports whether an agent's model is given pictures: as its record says, or else if
// all newer models of its provider see.
func sees(r agent.Record, p model.Provider) bool {
	if r.Vision != nil {
		return *r.Vision
	}
	return p.Sees()
}

// fileRead is what a model is given of a file, up to so much text; nothing but its name
// if that is all that is wanted. Its errors are those of the context.
func fileRead(ctx context.Context, reader *reading.Reader, f runtime.File, room room, nameOnly bool) (runtime.Given, error) {
	g := runtime.Given{Given: task.Given{Name: f.Name}}
	if nameOnly {
		g.Parts = []task.GivenPart{{As: task.AsNothing, Why: namesOnly}}
		return g, nil
	}
	text, err := reader.Open(ctx, f, room.text)
	if ctx.Err() != nil {
		return g, context.Cause(ctx)
	}
	g.Size, g.ContentType = text.Size, text.ContentType
	if err != nil {
		g.Failed = beginning(err.Error())
		return g, nil
	}
	if text.Image != nil && room.pictures > 0 {
		return withPicture(ctx, g, text, room)
	}
	g.Content, g.Cut = text.Text, !text.Whole
	g.Parts = partsOf(text)
	if why := strings.Join(text.Why, " "); len(why) > maxWhy {
		g.Parts[0].Why = beginning(why)
	} else {
		g.Parts[0].Why = why
	}
	return g, nil
}

// withPicture is a file that is given as a picture, or nothing of it, and why.
func withPicture(ctx context.Context, g runtime.Given, of reading.Text, room room) (runtime.Given, error) {
	p, err := reading.Fit(ctx, of.Image)
	if ctx.Err() != nil {
		return g, context.Cause(ctx)
	}
	if err == nil && len(p.Content) > room.bytes {
		err = fmt.Errorf("the pictures before it have nearly the %d MiB that a model is given", maxPictureBytes>>20)
	}
	if err != nil {
		g.Parts = []task.GivenPart{{As: task.AsNothing, Width: of.Width, Height: of.Height, Why: "It is not shown: " + err.Error() + "."}}
		return g, nil //nolint:nilerr // it is what is told of the file
	}
	g.Parts = []task.GivenPart{{As: task.AsPicture, Width: p.Width, Height: p.Height, Tokens: reading.PictureTokens(p.Width, p.Height)}}
	g.Pictures = [][]byte{p.Content}
	return g, nil
}

// picturesOf are the pictures that a turn is given, in the order of its files.
func picturesOf(given []runtime.Given) (all []model.Picture) {
	for _, g := range given {
		for _, content := range g.Pictures {
			if content != nil {
				all = append(all, model.Picture{Type: http.DetectContentType(content), Content: content})
			}
		}
	}
	return all
}

// pictureTokens estimates what a picture takes of the window.
func pictureTokens(p model.Picture) int {
	c, _, err := image.DecodeConfig(bytes.NewReader(p.Content))
	if err != nil {
		return 0
	}
	return reading.PictureTokens(c.Width, c.Height)
}

// partsOf is what a file was read as, in parts: there is at least one.
func partsOf(text reading.Text) []task.GivenPart {
	if len(text.Tables) == 0 {
		p := task.GivenPart{As: task.GivenAs(text.As), Pages: text.Pages, Rows: text.Rows, Width: text.Width, Height: text.Height}
		p.Chars, p.Tokens = utf8.RuneCountInString(text.Text), model.Tokens(len(text.Text))
		return []task.GivenPart{p}
	}
	parts := make([]task.GivenPart, len(text.Tables))
	for i, t := range text.Tables {
		inside := text.Text[t.From:t.To]
		parts[i] = task.GivenPart{
			As: task.AsTable, Name: t.Name, Rows: t.Rows, Columns: t.Columns, From: t.From, To: t.To,
			Chars: utf8.RuneCountInString(inside), Tokens: model.Tokens(len(inside)),
		}
	}
	return parts
}

// fileGiven is a file as the model is given it.
func fileGiven(g runtime.Given) string {
	if len(g.Parts) == 1 && g.Parts[0].Why == namesOnly {
		return fmt.Sprintf("<file name=%q/>", g.Name)
	}
	var notes []string
	nothing := true
	for _, p := range g.Parts {
		if p.Why != "" {
			notes = append(notes, p.Why)
		}
		nothing = nothing && p.As == task.AsNothing
	}
	if len(picturesOf([]runtime.Given{g})) > 0 {
		notes = append(notes, "It is the picture above.")
	}
	switch {
	case nothing:
		notes = append(notes, "It was not given to you.")
	case g.Cut:
		notes = append(notes, fmt.Sprintf("Only the first %d bytes of its text were given to you.", len(g.Content)))
	}
	inside := g.Content
	if len(notes) > 0 {
		inside = strings.TrimPrefix(strings.TrimRight(inside, "\n")+"\n("+strings.Join(notes, " ")+")", "\n")
	}
	return fmt.Sprintf("<file name=%q>\n%s\n</file>", g.Name, inside)
}
