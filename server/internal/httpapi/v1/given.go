package v1

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

// GivenFile is a file of a task, and what its agent was given of it.
type GivenFile struct {
	ID          string      `json:"id" doc:"It names the file in its task: the turn and the file's place in it, such as 1-2. Empty in a preview."`
	Name        string      `json:"name" doc:"Its name with extension."`
	Size        int64       `json:"size" doc:"How many bytes it has, as far as it was read; 0 while that is not known."`
	ContentType string      `json:"content_type" doc:"What it is, found from its name and content; empty while that is not known."`
	State       GivenState  `json:"state" enum:"waiting,given,failed,unread" doc:"waiting: the agent has not read it yet; given; failed: it could not be read, reason says why; unread: the turn ended before."`
	Reason      string      `json:"reason" doc:"Why it could not be read; empty otherwise."`
	Given       []GivenPart `json:"given" doc:"What the agent was given of it."`
}

// GivenState says how far a file is.
type GivenState string

// The states of files.
const (
	GivenWaits  GivenState = "waiting"
	GivenIs     GivenState = "given"
	GivenFailed GivenState = "failed"
	GivenNever  GivenState = "unread"
)

// GivenPart is one thing that was given of a file.
type GivenPart struct {
	As      task.GivenAs `json:"as" enum:"text,table,picture,link,nothing" doc:"As what it was given. Agents on workers and commands are given links."`
	Name    string       `json:"name" doc:"A table's name, where the file has several; empty otherwise."`
	Chars   int          `json:"chars" doc:"How many characters of text were given; 0 where it is none."`
	Tokens  int          `json:"tokens" doc:"How many tokens that is, as estimated; 0 where nobody counts."`
	Pages   int          `json:"pages" doc:"How many pages it has; 0 where it has none."`
	Rows    int          `json:"rows" doc:"How many rows were read; 0 where it has none."`
	Columns int          `json:"columns" doc:"How many columns it has; 0 where it has none."`
	Width   int          `json:"width" doc:"Of a picture, in pixels."`
	Height  int          `json:"height" doc:"Of a picture, in pixels."`
	Why     string       `json:"why" doc:"What else the agent was told: why it is nothing, what was left out. Empty for nothing."`
}

// GivenList is a part of a task's files.
type GivenList struct {
	Items      []GivenFile `json:"items" doc:"The files of the turn, in their order."`
	NextCursor *string     `json:"next_cursor" doc:"Give it as cursor for what follows; null at the end."`
}

// GivenPath names a file of a task, and a page of it.
type GivenPath struct {
	TaskPath
	File string `path:"file" doc:"The file's id in its task."`
	Page int    `query:"page" minimum:"1" maximum:"1000000" default:"1" doc:"Which page, from 1."`
}

// GivenText is a page of a text that an agent was given.
type GivenText struct {
	Page  int    `json:"page" doc:"Which page it is."`
	Pages int    `json:"pages" doc:"How many there are."`
	Text  string `json:"text" doc:"The text of the page, 64 KiB at most."`
	Cut   bool   `json:"cut" doc:"Whether the file has more text than the agent was given."`
}

// GivenTable is a page of tables that an agent was given.
type GivenTable struct {
	Page    int        `json:"page" doc:"Which page it is, of all tables of the file together."`
	Pages   int        `json:"pages" doc:"How many there are."`
	Name    string     `json:"name" doc:"The table's name, where the file has several."`
	Columns []string   `json:"columns" doc:"The names of its columns; none where the file does not name them."`
	Rows    [][]string `json:"rows" doc:"The rows of the page, 100 at most, as the agent was given them: a row may be shorter or longer than others."`
}

const (
	textPage  = 64 << 10 // bytes
	tablePage = 100      // rows
)

// Preview reads a file as an agent would be given it; known is false for an agent that
// is given links.
type Preview func(ctx context.Context, who agent.Agent, ref string) (g runtime.Given, known bool, err error)

type previewInput struct {
	Body struct {
		URL     string `json:"url" minLength:"1" maxLength:"16384" doc:"Of the file, as in the input of a task."`
		AgentID string `json:"agent_id" minLength:"1" maxLength:"255" doc:"The agent that it is to be given to."`
	}
}

func (r *routes) registerGiven() {
	tags := []string{"files"}
	add(r, operation{roles: everybody(), errors: []fault.Code{fault.Malformed}, Operation: huma.Operation{
		OperationID: "list-task-files", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/files", Tags: tags,
		Summary:     "List the files of a task's turn, and what the agent was given of each",
		Description: "Of an earlier turn those of which the agent was given something.",
	}}, r.given)
	add(r, operation{roles: everybody(), errors: []fault.Code{fault.NotFound}, Operation: huma.Operation{
		OperationID: "get-task-file-text", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/files/{file}/text", Tags: tags,
		Summary: "Read the text that an agent was given of a file, page by page",
	}}, r.givenText)
	add(r, operation{roles: everybody(), errors: []fault.Code{fault.NotFound}, Operation: huma.Operation{
		OperationID: "get-task-file-table", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/files/{file}/table", Tags: tags,
		Summary: "Read the tables that an agent was given of a file, page by page",
	}}, r.givenTable)
	text, number, first := &huma.Schema{Type: huma.TypeString}, &huma.Schema{Type: huma.TypeInteger}, 1.0
	number.Minimum = &first
	picture := map[string]*huma.MediaType{"image/*": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}
	r.stream(operation{roles: everybody(), Operation: huma.Operation{
		OperationID: "get-task-file-picture", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/files/{file}/picture", Tags: tags,
		Summary: "Fetch a picture that an agent was given of a file, as the server has made it",
		Parameters: []*huma.Param{
			{Name: "task_id", In: "path", Required: true, Schema: text, Description: "The task's id."},
			{Name: "file", In: "path", Required: true, Schema: text, Description: "The file's id in its task."},
			{Name: "page", In: "query", Schema: number, Description: "Which picture of the file, from 1; the first when left out."},
		},
		Responses: map[string]*huma.Response{
			"200": {Description: "The picture.", Content: picture}, "206": {Description: "The range of it that was asked for.", Content: picture},
			"304": {Description: "It has not changed."}, "416": {Description: "It has no such range."},
		},
	}}, false, r.givenPicture)
	add(r, operation{roles: users(), errors: []fault.Code{fault.NotFound, fault.RateLimited}, Operation: huma.Operation{
		OperationID: "preview-file", Method: http.MethodPost, Path: "/v1/files/preview", Tags: tags,
		Summary: "Tell what an agent would be given of a file, before a run: it is read for that, and nothing is kept",
	}}, r.preview)
}

func partsShown(parts []task.GivenPart) []GivenPart {
	shown := make([]GivenPart, len(parts))
	for i, p := range parts {
		shown[i] = GivenPart{
			As: p.As, Name: p.Name, Chars: p.Chars, Tokens: p.Tokens, Pages: p.Pages, Rows: p.Rows, Columns: p.Columns,
			Width: p.Width, Height: p.Height, Why: p.Why,
		}
	}
	return shown
}

func givenShown(g task.Given) GivenFile {
	f := GivenFile{Name: g.Name, Size: g.Size, ContentType: g.ContentType, State: GivenIs, Reason: g.Failed, Given: partsShown(g.Parts)}
	if g.Failed != "" {
		f.State = GivenFailed
	}
	return f
}

// link is what agents that read files themselves are given.
func link() []GivenPart { return []GivenPart{{As: task.AsLink}} }

func (r *routes) given(ctx context.Context, in *TurnPart) (*struct{ Body GivenList }, error) {
	after, err := in.in(in.ID)
	if err != nil {
		return nil, err
	}
	s, err := r.Service.Snapshot(ctx, edge.Scope(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	turn, links := in.of(s.Task), r.givesLinks(ctx, s)
	items, next, err := partOf(after, in.Limit, func(after int64, limit int) ([]task.Given, error) {
		return r.Shelf.Files(ctx, r.Service, s, turn, int(after), limit)
	}, func(g task.Given) (GivenFile, int64) {
		f := givenShown(g)
		f.ID = fmt.Sprintf("%d-%d", g.Turn, g.Number)
		switch {
		case g.Seq != 0:
		case links:
			f.Given = link()
		case s.Task.Ended() != "":
			f.State = GivenNever
		default:
			f.State = GivenWaits
		}
		return f, int64(g.Number)
	}, func(after int64) *string { return next(in.ID, after) })
	return &struct{ Body GivenList }{GivenList{items, next}}, err
}

// givesLinks reports whether the agent of a task's present turn reads files itself.
func (r *routes) givesLinks(ctx context.Context, s lifecycle.Snapshot) bool {
	spec, _, err := s.Asked()
	if err != nil {
		return false
	}
	who, err := r.Service.AgentOf(ctx, s.Task.OrganizationID, spec) // one that was deleted gives nothing
	return err == nil && (who.Record.Runtime == agent.Worker || who.Record.Runtime == agent.Command)
}

// givenFile finds a file of a task by its id there.
func (r *routes) givenFile(ctx context.Context, taskID, id string) (org string, g task.Given, err error) {
	t, err := r.Service.Task(ctx, edge.Scope(ctx), taskID)
	if err != nil {
		return "", task.Given{}, err
	}
	first, second, _ := strings.Cut(id, "-")
	turn, turnErr := strconv.Atoi(first)
	number, numberErr := strconv.Atoi(second)
	if turnErr != nil || numberErr != nil || turn < 1 || number < 1 || fmt.Sprintf("%d-%d", turn, number) != id {
		return "", task.Given{}, fault.New(fault.NotFound, "the task has no file %q", id)
	}
	g, err = r.Service.GivenOf(ctx, t.OrganizationID, t.ID, turn, number)
	return t.OrganizationID, g, err
}

// beyond is the error of a page that is not there.
func beyond(pages int, what string) error {
	if pages == 0 {
		return fault.New(fault.NotFound, "the agent was given no %s of this file", what)
	}
	return fault.New(fault.NotFound, "there are %d pages", pages)
}

func (r *routes) givenText(ctx context.Context, in *GivenPath) (*struct{ Body GivenText }, error) {
	org, g, err := r.givenFile(ctx, in.ID, in.File)
	if err != nil {
		return nil, err
	}
	pages := int((g.TextSize + textPage - 1) / textPage)
	if in.Page > pages {
		return nil, beyond(pages, "text")
	}
	content, _, err := r.Shelf.Open(ctx, org, g.Text)
	if err != nil {
		return nil, err
	}
	defer content.Close() //nolint:errcheck // it was only read
	text, err := pageOf(content, int64(in.Page-1)*textPage)
	return &struct{ Body GivenText }{GivenText{Page: in.Page, Pages: pages, Text: text, Cut: g.Cut}}, err
}

// pageOf reads a page of a text: the characters that begin in it.
func pageOf(content io.ReadSeeker, offset int64) (string, error) {
	page, n := make([]byte, textPage+utf8.UTFMax-1), 0
	_, err := content.Seek(offset, io.SeekStart)
	if err == nil {
		n, err = io.ReadFull(content, page)
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", fmt.Errorf("read a text: %w", err)
	}
	page = page[:n]
	end := min(textPage, n)
	for end < n && !utf8.RuneStart(page[end]) {
		end++
	}
	begin := 0
	for offset > 0 && begin < end && !utf8.RuneStart(page[begin]) {
		begin++
	}
	return string(page[begin:end]), nil
}

func (r *routes) givenTable(ctx context.Context, in *GivenPath) (*struct{ Body GivenTable }, error) {
	org, g, err := r.givenFile(ctx, in.ID, in.File)
	if err != nil {
		return nil, err
	}
	var text []byte
	if g.Text != "" {
		content, _, err := r.Shelf.Open(ctx, org, g.Text)
		if err != nil {
			return nil, err
		}
		defer content.Close() //nolint:errcheck // it was only read
		if text, err = io.ReadAll(content); err != nil {
			return nil, fmt.Errorf("read tables: %w", err)
		}
	}
	out := GivenTable{Page: in.Page, Columns: []string{}, Rows: [][]string{}}
	for _, p := range g.Parts {
		if p.As != task.AsTable || p.To > len(text) || p.From > p.To {
			continue
		}
		columns, rows := tableOf(text[p.From:p.To], p.Headed)
		pages := max((len(rows)+tablePage-1)/tablePage, 1)
		if at := in.Page - out.Pages; at >= 1 && at <= pages {
			out.Name = p.Name
			if columns != nil {
				out.Columns = columns
			}
			out.Rows = append(out.Rows, rows[(at-1)*tablePage:min(at*tablePage, len(rows))]...)
		}
		out.Pages += pages
	}
	if in.Page > out.Pages {
		return nil, beyond(out.Pages, "table")
	}
	return &struct{ Body GivenTable }{out}, nil
}

// tableOf reads a table from CSV of our own, whose last row may be cut.
func tableOf(text []byte, headed bool) (columns []string, rows [][]string) {
	in := csv.NewReader(bytes.NewReader(text))
	in.FieldsPerRecord = -1
	for {
		row, err := in.Read()
		if err != nil {
			return columns, rows
		}
		if headed && columns == nil {
			columns = row
			continue
		}
		rows = append(rows, row)
	}
}

func (r *routes) givenPicture(w http.ResponseWriter, req *http.Request) error {
	ctx, page := req.Context(), 1
	if asked := req.URL.Query().Get("page"); asked != "" {
		var err error
		if page, err = strconv.Atoi(asked); err != nil || page < 1 {
			return fault.Field("page", "must be a whole number from 1")
		}
	}
	org, g, err := r.givenFile(ctx, req.PathValue("task_id"), req.PathValue("file"))
	if err != nil {
		return err
	}
	pages := 0
	for _, p := range g.Parts {
		if p.Picture == "" {
			continue
		}
		if pages++; pages < page {
			continue
		}
		content, _, err := r.Shelf.Open(ctx, org, p.Picture)
		if err != nil {
			return err
		}
		defer content.Close() //nolint:errcheck // it was only read
		edge.ServeFile(w, req, edge.Content{Name: files.Name(g.Name), Type: p.PictureType, ID: p.Picture, At: g.At.Time(), ReadSeeker: content})
		return nil
	}
	return beyond(pages, "picture")
}

func (r *routes) preview(ctx context.Context, in *previewInput) (*struct{ Body GivenFile }, error) {
	scope := edge.Scope(ctx)
	who, err := r.Service.Agent(ctx, scope.Organization, in.Body.AgentID, 0)
	if err != nil {
		return nil, err
	}
	ref, _, err := r.Shelf.Keep(ctx, scope, in.Body.URL, "url")
	if err != nil {
		return nil, err
	}
	g, known, err := r.Preview(ctx, who, ref)
	if err != nil {
		return nil, err
	}
	f := givenShown(g.Given)
	if f.Name = files.NameOf(ref); !known {
		f.Given = link()
	}
	if id, _, ours := files.SplitRef(ref); ours {
		x, err := r.Shelf.Known(ctx, scope.Organization, id)
		if err != nil {
			return nil, err
		}
		f.Size, f.ContentType = x.Size, x.ContentType
	}
	return &struct{ Body GivenFile }{f}, nil
}
