// Package delegate has the tool with which a model has other agents do things.
package delegate

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/tool"
)

// Tools are those of an attempt: none for an agent that names no others.
func Tools(_ context.Context, _ *runtime.Attempt, who agent.Agent) ([]tool.Tool, error) {
	names := who.Record.SubAgents
	if len(names) == 0 {
		return nil, nil
	}
	one, err := json.Marshal(names)
	if err != nil {
		return nil, fmt.Errorf("encode the names of agents: %w", err)
	}
	return []tool.Tool{{
		Name: "delegate",
		Description: "Has another agent do a task and waits for its result, which may take long. There are: " + strings.Join(names, ", ") + ". " +
			"Several calls in one answer are worked on side by side.",
		Input: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["agent","task"],"properties":{` +
			`"agent":{"type":"string","enum":` + string(one) + `},` +
			`"task":{"type":"string","minLength":1,"description":"All that the other agent has to know: it sees nothing else."},` +
			`"title":{"type":"string","maxLength":200,"description":"A headline for people."}}}`),
		Idempotent: true, // the call's id names the sub-task
		Run:        run,
	}}, nil
}

func run(ctx context.Context, c tool.Call) (tool.Result, error) {
	var given struct {
		Agent string `json:"agent"`
		Task  string `json:"task"`
		Title string `json:"title"`
	}
	if err := json.Unmarshal(c.Arguments, &given); err != nil {
		return tool.Error(err.Error()), nil
	}
	below, err := c.SubTask(ctx, c.ID, runtime.SubTask{Agent: given.Agent, Prompt: given.Task, Title: given.Title})
	if err != nil {
		return tool.Refused(err)
	}
	switch {
	case below.Gone:
		return tool.Error("Somebody has deleted that task (" + below.ID + ")."), nil
	case below.Ended == "":
		return tool.Result{}, &tool.Pending{SubTasks: []string{below.ID}}
	case below.Ended == task.EndCompleted:
		return tool.Text(below.Result), nil
	default:
		return tool.Error(fmt.Sprintf("The agent %s has not done it (%s): %s", given.Agent, below.Ended, below.Result)), nil
	}
}
