// Command peer is an eino agent that does the work of `make bench-models` each time a
// line comes: `peer BASE_URL KEY`. It answers its seconds, to the first word and in all.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/cloudwego/eino-ext/components/model/openai"
	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/components/tool"
	"github.com/cloudwego/eino/components/tool/utils"
	"github.com/cloudwego/eino/compose"
	"github.com/cloudwego/eino/schema"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: peer BASE_URL KEY")
	}
	files, err := utils.InferTool("list_files", "Lists the names of the files that the task was given.",
		func(context.Context, struct{}) (string, error) { return "The task was given no files.", nil })
	if err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		began := time.Now()
		first, err := work(ctx, args[0], args[1], lines.Text(), files)
		if err != nil {
			return err
		}
		fmt.Println(first.Sub(began).Seconds(), time.Since(began).Seconds())
	}
	return nil
}

// work answers when the first word of the last answer came.
func work(ctx context.Context, base, key, prompt string, files tool.BaseTool) (first time.Time, err error) {
	model, err := openai.NewChatModel(ctx, &openai.ChatModelConfig{APIKey: key, BaseURL: base, Model: "o4-mini"})
	if err != nil {
		return first, err
	}
	agent, err := adk.NewChatModelAgent(ctx, &adk.ChatModelAgentConfig{
		Name: "peer", Description: "Does the bench's work.", Model: model, MaxIterations: 20,
		ToolsConfig: adk.ToolsConfig{ToolsNodeConfig: compose.ToolsNodeConfig{Tools: []tool.BaseTool{files}}},
	})
	if err != nil {
		return first, err
	}
	events := adk.NewRunner(ctx, adk.RunnerConfig{Agent: agent, EnableStreaming: true}).Run(ctx, []adk.Message{schema.UserMessage(prompt)})
	for {
		event, more := events.Next()
		switch {
		case !more:
			return first, nil
		case event.Err != nil:
			return first, event.Err
		case event.Output == nil || event.Output.MessageOutput == nil || !event.Output.MessageOutput.IsStreaming:
			continue
		}
		stream := event.Output.MessageOutput.MessageStream
		for {
			piece, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return first, err
			}
			if first.IsZero() && strings.Contains(piece.Content, "That is") {
				first = time.Now()
			}
		}
	}
}
