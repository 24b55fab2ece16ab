// Package files has the tools that list the task's files and read them as text.
package files

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/reading"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/tool"
)

const (
	// maxRead is how far into a file can be read, in bytes of text.
	maxRead = 32 << 20
	// piece is how much of it one call answers.
	piece = tool.MaxResult - 1<<10
)

// New makes the tools of an attempt; the reader makes text of files.
func New(reader *reading.Reader) tool.Source {
	return func(_ context.Context, a *runtime.Attempt, _ agent.Agent) ([]tool.Tool, error) {
		return tools(reader, a), nil
	}
}

func tools(reader *reading.Reader, a *runtime.Attempt) []tool.Tool {
	return []tool.Tool{
		{
			Name:        "list_files",
			Description: "Lists the names of the files that the task was given, and of those that were written for it.",
			Input:       json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{}}`),
			Idempotent:  true,
			Run: func(ctx context.Context, _ tool.Call) (tool.Result, error) {
				all, err := filesOf(ctx, a)
				if err != nil {
					return tool.Result{}, err
				}
				if len(all) == 0 {
					return tool.Text("The task was given no files."), nil
				}
				return tool.Text(strings.Join(names(all), "\n")), nil
			},
		},
		{
			Name: "read_file",
			Description: "Reads a file of the task as text, by its name in list_files. Long files come in pieces: ask again with the " +
				"offset that the end of a piece names.",
			Input: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["name"],"properties":{` +
				`"name":{"type":"string","description":"The file's name."},` +
				`"offset":{"type":"integer","minimum":0,"description":"Where in the text to begin, in bytes; 0 when left out."}}}`),
			Idempotent: true,
			Run: func(ctx context.Context, c tool.Call) (tool.Result, error) {
				all, err := filesOf(ctx, a)
				if err != nil {
					return tool.Result{}, err
				}
				return read(ctx, reader, all, c.Arguments)
			},
		},
	}
}

// filesOf are the files that the task was given, and then those that its turn has written.
func filesOf(ctx context.Context, a *runtime.Attempt) ([]runtime.File, error) {
	if a.Written == nil {
		return a.Files, nil
	}
	written, err := a.Written(ctx)
	return slices.Concat(a.Files, written), err
}

func names(list []runtime.File) []string {
	all := make([]string, len(list))
	for i, f := range list {
		all[i] = f.Name
	}
	return all
}

func read(ctx context.Context, reader *reading.Reader, list []runtime.File, arguments json.RawMessage) (tool.Result, error) {
	var asked struct {
		Name   string `json:"name"`
		Offset int    `json:"offset"`
	}
	if err := json.Unmarshal(arguments, &asked); err != nil {
		return tool.Error(err.Error()), nil
	}
	if asked.Offset > maxRead-piece {
		return tool.Error(fmt.Sprintf("Files can be read up to %d bytes.", maxRead)), nil
	}
	for _, f := range list {
		if f.Name != asked.Name {
			continue
		}
		text, err := reader.Open(ctx, f, asked.Offset+piece)
		switch {
		case err != nil:
			return tool.Error(fmt.Sprintf("The file %s could not be read: %v", f.Name, err)), nil
		case text.As == reading.AsNothing:
			return tool.Error(fmt.Sprintf("The file %s has no text for you. %s", f.Name, strings.Join(text.Why, " "))), nil
		}
		return tool.Text(part(text, asked.Offset)), nil
	}
	return tool.Error(fmt.Sprintf("There is no file %q. There are: %s.", asked.Name, strings.Join(names(list), ", "))), nil
}

// part is the end of what was read, from an offset.
func part(text reading.Text, offset int) string {
	if text.Whole {
		return tool.Piece(text.Text, offset, piece)
	}
	end := len(text.Text)
	return fmt.Sprintf("%s\n(Bytes %d to %d; there is more. The next piece has the offset %d.)", strings.ToValidUTF8(text.Text[offset:], ""), offset, end, end)
}
