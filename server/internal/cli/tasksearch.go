package cli

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/errand-dev/errand"
)

type taskSearchCmd struct {
	remote
	Words  []string `arg:"" help:"Words that all have to stand in one place; an argument with spaces is words side by side."`
	Agent  string   `help:"Only this agent's tasks."`
	Status string   `help:"Only tasks with this status: pending, executing, paused, completed, failed, error or stopped." enum:",pending,executing,paused,completed,failed,error,stopped" default:""`
	Limit  int      `help:"How many places." default:"20"`
}

// Run prints a table of places.
func (c *taskSearchCmd) Run(e *env) error {
	if c.Limit < 1 {
		return misused("--limit must be at least 1")
	}
	if strings.TrimSpace(strings.Join(c.Words, "")) == "" {
		return misused("which words? Name at least one")
	}
	var words []string
	for _, w := range c.Words {
		if strings.ContainsAny(w, " \t") {
			w = `"` + strings.ReplaceAll(w, `"`, " ") + `"`
		}
		words = append(words, w)
	}
	found := []errand.Hit{}
	err := c.call(e, func(ctx context.Context, client *errand.Client) error {
		for hit, err := range client.Tasks.Search(ctx, strings.Join(words, " "), errand.SearchOptions{AgentID: c.Agent, Status: errand.Status(c.Status)}) {
			if err != nil {
				return err
			}
			if found = append(found, hit); len(found) == c.Limit {
				break
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if c.JSON {
		raw := make([]json.RawMessage, len(found))
		for i, h := range found {
			raw[i] = h.JSON()
		}
		return printJSON(e.Out, raw)
	}
	w := newTable(e.Out, "ID", "STATUS", "CREATED", "IN", "TEXT")
	for _, h := range found {
		var text strings.Builder
		for _, p := range h.Snippet {
			text.WriteString(p.Text)
		}
		w.row(h.TaskID, string(h.Status), when(h.CreatedAt), string(h.Part), fitting(printable(text.String()), 100))
	}
	w.end()
	return nil
}
