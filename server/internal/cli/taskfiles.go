package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/errand-dev/errand"
)

type taskFilesCmd struct {
	remote
	ID   string `arg:"" help:"The task's id, or its first 6 characters or more."`
	Turn int    `help:"Of which turn; of the present one when left out."`
	Text string `help:"Print the text that the agent was given of this file." placeholder:"FILE"`
}

// Run lists the files of the task, or prints what the agent was given of one.
func (c *taskFilesCmd) Run(e *env) error {
	if c.Turn < 0 {
		return misused("--turn must be at least 1")
	}
	return c.callOn(e, []*string{&c.ID}, func(ctx context.Context, client *errand.Client) error {
		if c.Text != "" {
			return c.text(ctx, e, client)
		}
		files := []errand.TaskFile{}
		for f, err := range client.Tasks.Files(ctx, c.ID, c.Turn) {
			if err != nil {
				return err
			}
			files = append(files, f)
		}
		if c.JSON {
			return printJSON(e.Out, files)
		}
		w := newTable(e.Out, "ID", "NAME", "STATE", "GIVEN AS")
		for _, f := range files {
			w.row(f.ID, f.Name, f.State, strings.Join(givenLines(f), "; "))
		}
		w.end()
		return nil
	})
}

// text prints the text of a file, page by page.
func (c *taskFilesCmd) text(ctx context.Context, e *env, client *errand.Client) error {
	for page, pages := 1, 1; page <= pages; page++ {
		got, err := client.Tasks.FileText(ctx, c.ID, c.Text, page)
		if err != nil {
			return err
		}
		pages = got.Pages
		if c.JSON {
			err = printJSON(e.Out, got)
		} else {
			_, err = fmt.Fprint(e.Out, safeText(got.Text, isTerminal(e.Out)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// givenLines say what was given of a file, each thing in a few words.
func givenLines(f errand.TaskFile) []string {
	if f.Reason != "" {
		return []string{f.Reason}
	}
	lines := make([]string, len(f.Given))
	for i, g := range f.Given {
		words := []string{g.As}
		if g.Name != "" {
			words = append(words, g.Name)
		}
		for _, n := range []struct {
			count int
			of    string
		}{{g.Pages, "pages"}, {g.Rows, "rows"}, {g.Columns, "columns"}, {g.Chars, "characters"}, {g.Tokens, "tokens"}} {
			if n.count > 0 {
				words = append(words, fmt.Sprintf("%d %s", n.count, n.of))
			}
		}
		if g.Width > 0 {
			words = append(words, fmt.Sprintf("%d × %d", g.Width, g.Height))
		}
		lines[i] = strings.Join(words, ", ")
		if g.Why != "" {
			lines[i] += ": " + g.Why
		}
	}
	return lines
}

// givenBriefly says what an event tells to have been given of a file.
func givenBriefly(e errand.Event) string {
	var f struct {
		errand.TaskFile
		Failed string `json:"failed"`
	}
	if e.Decode(&f) != nil {
		return "a file"
	}
	f.Reason = f.Failed
	lines := givenLines(f.TaskFile)
	if len(lines) > 1 {
		lines = append(lines[:1], "…")
	}
	return f.Name + " (" + strings.Join(lines, "; ") + ")"
}
