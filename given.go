package errand

import (
	"context"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// TaskFile is a file of a task, and what its agent was given of it.
type TaskFile struct {
	// ID names the file in its task. It is empty in a preview.
	ID   string `json:"id"`
	Name string `json:"name"`
	// Size is in bytes, as far as the file was read, and ContentType what it is; 0 and
	// empty while that is not known.
	Size        int64  `json:"size"`
	ContentType string `json:"content_type"`
	// State is waiting (the agent has not read it yet), given, failed (it could not be
	// read, and Reason says why) or unread (the turn ended before).
	State  string  `json:"state"`
	Reason string  `json:"reason"`
	Given  []Given `json:"given"`
}

// Given is one thing that an agent was given of a file. Numbers are 0 where they do
// not apply.
type Given struct {
	// As is text, table, picture, link or nothing.
	As string `json:"as"`
	// Name is a table's, where the file has several.
	Name    string `json:"name"`
	Chars   int    `json:"chars"`
	Tokens  int    `json:"tokens"` // as estimated
	Pages   int    `json:"pages"`
	Rows    int    `json:"rows"`
	Columns int    `json:"columns"`
	Width   int    `json:"width"` // in pixels
	Height  int    `json:"height"`
	// Why says what else the agent was told: why it is nothing, what was left out.
	Why string `json:"why"`
}

// FileText is a page of a text that an agent was given.
type FileText struct {
	Page  int    `json:"page"`
	Pages int    `json:"pages"`
	Text  string `json:"text"`
	// Cut says that the file has more than the agent was given.
	Cut bool `json:"cut"`
}

// FileTable is a page of tables that an agent was given: at most 100 rows of one.
type FileTable struct {
	Page  int `json:"page"`
	Pages int `json:"pages"`
	// Name is the table's, where the file has several. Columns are the names of its
	// columns, none where the file does not name them.
	Name    string     `json:"name"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

// Files yields the files of a task's turn in their order, with what the agent was given
// of each; with 0 those of the present turn. An error is yielded last.
func (t *Tasks) Files(ctx context.Context, id string, turn int) iter.Seq2[TaskFile, error] {
	return parts[TaskFile](ctx, t.c, taskPath(id)+"/files", ofTurn(turn))
}

// FileText reads a page, from 1, of the text that the agent was given of a file.
func (t *Tasks) FileText(ctx context.Context, id, file string, page int) (*FileText, error) {
	var text FileText
	if err := t.c.call(ctx, givenRequest(id, file, "text", page), &text); err != nil {
		return nil, err
	}
	return &text, nil
}

// FileTable reads a page, from 1, of the tables that the agent was given of a file.
func (t *Tasks) FileTable(ctx context.Context, id, file string, page int) (*FileTable, error) {
	var table FileTable
	if err := t.c.call(ctx, givenRequest(id, file, "table", page), &table); err != nil {
		return nil, err
	}
	return &table, nil
}

// OpenFilePicture starts to read a picture, from 1, that the agent was given of a file.
// The caller closes it.
func (t *Tasks) OpenFilePicture(ctx context.Context, id, file string, page int) (io.ReadCloser, error) {
	r := givenRequest(id, file, "picture", page)
	r.repeat = false
	res, err := t.c.send(ctx, r, &content{})
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

func givenRequest(id, file, as string, page int) request {
	return request{
		method: http.MethodGet, path: taskPath(id) + "/files/" + url.PathEscape(file) + "/" + as,
		query: url.Values{"page": {strconv.Itoa(page)}}, repeat: true,
	}
}

// Preview tells what an agent would be given of a file: url is what a task would have
// of it. The server reads it for that, and keeps nothing.
func (f *Files) Preview(ctx context.Context, url, agentID string) (*TaskFile, error) {
	var file TaskFile
	body := struct {
		URL     string `json:"url"`
		AgentID string `json:"agent_id"`
	}{url, agentID}
	if err := f.c.call(ctx, request{method: http.MethodPost, path: "/v1/files/preview", body: body, repeat: true}, &file); err != nil {
		return nil, err
	}
	return &file, nil
}
