package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/cloudwego/eino-ext/components/model/openai"
	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/components/tool"
	"github.com/cloudwego/eino/compose"
	"github.com/cloudwego/eino/schema"

	"github.com/errand-dev/errand"
)

// handler executes a task with the agent that it is for.
func handler(client *errand.Client, key string, tools ...tool.BaseTool) errand.Handler {
	return func(ctx context.Context, attempt *errand.Attempt) (string, error) {
		record, err := load(ctx, client, attempt.Task)
		if err != nil {
			return "", err
		}
		question, options, err := ask(ctx, attempt.Task)
		if err != nil {
			return "", err
		}
		agent, err := build(ctx, record, attempt.Task, key, tools)
		if err != nil {
			return "", err
		}
		runner := adk.NewRunner(ctx, adk.RunnerConfig{Agent: agent, EnableStreaming: true})
		return tell(ctx, attempt, runner.Run(ctx, []adk.Message{question}, adk.WithChatModelOptions(options)))
	}
}

// load reads the version of the agent that the task is for.
func load(ctx context.Context, client *errand.Client, task *errand.Task) (*errand.Agent, error) {
	if version, err := strconv.Atoi(task.AgentVersion); err == nil {
		return client.Agents.GetVersion(ctx, task.AgentID, version)
	}
	return client.Agents.Get(ctx, task.AgentID)
}

// build makes an eino agent of an agent's record.
func build(ctx context.Context, record *errand.Agent, task *errand.Task, key string, tools []tool.BaseTool) (adk.Agent, error) {
	model, err := openai.NewChatModel(ctx, &openai.ChatModelConfig{
		APIKey: key, BaseURL: record.LLMAPIBase, Model: record.ModelName,
	})
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", record.ModelName, err)
	}
	told := instructions(record, task)
	return adk.NewChatModelAgent(ctx, &adk.ChatModelAgentConfig{
		Name: record.ID, Description: record.Name, Instruction: told, Model: model,
		ToolsConfig: adk.ToolsConfig{ToolsNodeConfig: compose.ToolsNodeConfig{Tools: tools}},
		// As it is: eino would take braces in it for placeholders.
		GenModelInput: func(_ context.Context, told string, in *adk.AgentInput) ([]adk.Message, error) {
			return append([]adk.Message{schema.SystemMessage(told)}, in.Messages...), nil
		},
	})
}

// instructions are what the agent is told about itself and this task.
func instructions(record *errand.Agent, task *errand.Task) string {
	var parts []string
	add := func(title, text string) {
		if text != "" {
			parts = append(parts, title+text)
		}
	}
	if i := record.Instructions; i != nil {
		add("", i.General)
		add("Your role:\n", strings.Join(i.Role, "\n"))
		add("Your goals:\n", strings.Join(i.Goal, "\n"))
	}
	add("", task.InstructionsOverride)
	add("Context:\n", task.AdditionalContext)
	add("What is expected:\n", task.ExpectedOutput)
	return strings.Join(parts, "\n\n")
}

// tell passes on what the agent says and does while it works, and returns its
// last words.
func tell(ctx context.Context, attempt *errand.Attempt, events *adk.AsyncIterator[*adk.AgentEvent]) (string, error) {
	answer := ""
	for {
		event, more := events.Next()
		switch {
		case !more:
			return answer, context.Cause(ctx)
		case event.Err != nil:
			return "", event.Err
		case event.Output == nil || event.Output.MessageOutput == nil:
			continue
		}
		message, err := read(ctx, attempt, event.Output.MessageOutput)
		if err != nil {
			return "", err
		}
		if message.Role == schema.Assistant && len(message.ToolCalls) == 0 {
			answer = message.Content
		}
		if err := report(ctx, attempt, message); err != nil {
			return "", err
		}
	}
}

// read puts a message together; the agent's text is streamed on as it comes.
func read(ctx context.Context, attempt *errand.Attempt, out *adk.MessageVariant) (*schema.Message, error) {
	if !out.IsStreaming {
		if out.Role != schema.Assistant {
			return out.Message, nil
		}
		return out.Message, attempt.Chunk(ctx, out.Message.Content)
	}
	defer out.MessageStream.Close()
	var pieces []*schema.Message
	for {
		piece, err := out.MessageStream.Recv()
		if errors.Is(err, io.EOF) {
			return schema.ConcatMessages(pieces)
		}
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, piece)
		if out.Role == schema.Assistant {
			if err := attempt.Chunk(ctx, piece.Content); err != nil {
				return nil, err
			}
		}
	}
}

// report tells of tools and tokens.
func report(ctx context.Context, attempt *errand.Attempt, message *schema.Message) error {
	if message.Role == schema.Tool {
		return attempt.ToolResult(ctx, errand.ToolCall{
			RequestID: message.ToolCallID, OperationID: message.ToolName, ToolName: message.ToolName, Result: message.Content,
		})
	}
	for _, call := range message.ToolCalls {
		err := attempt.ToolCall(ctx, errand.ToolCall{
			RequestID: call.ID, OperationID: call.Function.Name, ToolName: call.Function.Name, Payload: call.Function.Arguments,
		})
		if err != nil {
			return err
		}
	}
	if meta := message.ResponseMeta; meta != nil && meta.Usage != nil {
		attempt.Spend(errand.Tokens{
			Prompt: int64(meta.Usage.PromptTokens), Completion: int64(meta.Usage.CompletionTokens),
			CacheRead: int64(meta.Usage.PromptTokenDetails.CachedTokens),
		})
	}
	return nil
}
