package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/errand-dev/errand"
)

type taskRetryCmd struct {
	remote
	reading
	IDs   []string `arg:"" name:"id" help:"The tasks' ids, or the first 6 characters or more of each."`
	Watch bool     `help:"Follow the new task until it ends; with one id."`
}

// Help says what cannot be said in flags.
func (taskRetryCmd) Help() string {
	return "Each is created again, with what its last turn was asked: the same agent, prompt, files and limits. The ended task stays as it is;" +
		" the new one's source says which it is. It has no pin to a worker, no parent, and none of the task's secrets, which nobody is shown." +
		" To go on in the same conversation instead: errand task create --id ID."
}

// Run creates the tasks again and prints their new ids.
func (c *taskRetryCmd) Run(e *env) error {
	if c.Watch && len(c.IDs) != 1 {
		return misused("--watch follows one task: name one id")
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	var again *errand.Task
	err = e.interruptible(func(ctx context.Context) error {
		if err := whole(ctx, client, pointers(c.IDs)...); err != nil {
			return err
		}
		return each(c.IDs, func(id string) (err error) {
			if again, err = retry(ctx, client, id); err == nil && !c.Watch {
				c.tell(e, again)
			}
			return err
		})
	})
	if err != nil || !c.Watch {
		return err
	}
	f := follower{env: e, client: client, quiet: c.JSON, back: c.again, asWritten: c.asWritten(again)}
	return f.follow(again.ID, c.JSON)
}

// tell prints a task that was created.
func (c *taskRetryCmd) tell(e *env, t *errand.Task) {
	if c.JSON {
		fmt.Fprintln(e.Out, string(t.JSON()))
		return
	}
	fmt.Fprintln(e.Out, t.ID)
}

// asked are the members of a task that say what it was asked, by which POST /v1/tasks
// knows them as well.
var asked = [...]string{ //nolint:gochecknoglobals // a constant list
	"agent_id", "title", "tags", "priority", "max_attempts", "timeout", "expires_in", "budget", "agent_version", "output_format", "output_schema",
	"expected_output", "instructions_override", "additional_context", "think_mode", "disable_attachment_injection", "payload_extension", "mcp_servers",
	"triggering_agent_id", "llm_model_provider", "llm_model_name", "llm_reasoning_effort", "tool_call_limit", "harness_cli", "permission_mode", "client_tools",
}

// retry creates a task that has ended again.
func retry(ctx context.Context, client *errand.Client, id string) (*errand.Task, error) {
	before, err := client.Tasks.Get(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case !before.Ended():
		return nil, fmt.Errorf("task %s is %s: what has not ended is not done again; stop it first", id, before.Status)
	case before.AgentID == programAgent:
		return nil, fmt.Errorf("task %s was done by a program that has gone with its run: errand run again, with the program behind --", id)
	}
	var members map[string]json.RawMessage
	var input struct {
		Input struct {
			Text  json.RawMessage `json:"text,omitempty"`
			Files []string        `json:"files,omitempty"`
			User  json.RawMessage `json:"user,omitempty"`
			// Attachments are files as newer Python clients give them, with their URLs.
			Attachments []struct {
				URL string `json:"url"`
			} `json:"attachments,omitempty"`
		} `json:"input"`
	}
	if err := errors.Join(json.Unmarshal(before.JSON(), &members), json.Unmarshal(before.JSON(), &input)); err != nil {
		return nil, err
	}
	for _, a := range input.Input.Attachments {
		input.Input.Files = append(input.Input.Files, a.URL)
	}
	input.Input.Attachments = nil
	body := map[string]any{"input": input.Input, "source": "retry of " + id}
	for _, name := range asked {
		if value, is := members[name]; is && string(value) != "null" {
			body[name] = value
		}
	}
	request, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	made, err := client.Tasks.CreateRaw(ctx, []json.RawMessage{request}, true)
	if err != nil {
		return nil, err
	}
	return client.Tasks.Get(ctx, made[0].ID)
}
