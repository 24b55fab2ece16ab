package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"

	acl "github.com/cloudwego/eino-ext/libs/acl/openai"
	"github.com/cloudwego/eino/components/model"
	"github.com/cloudwego/eino/schema"

	"github.com/errand-dev/errand"
)

// ask makes the model's question of a task: its message, its pictures and its
// PDFs. A picture or PDF that cannot be read is left out; the message says so.
func ask(ctx context.Context, task *errand.Task) (*schema.Message, []model.Option, error) {
	text, err := task.Message(ctx)
	if err != nil {
		return nil, nil, err
	}
	question := schema.UserMessage(text)
	if images := task.Images(); len(images) > 0 {
		question = &schema.Message{Role: schema.User, UserInputMultiContent: []schema.MessageInputPart{
			{Type: schema.ChatMessagePartTypeText, Text: text},
		}}
		for _, image := range images {
			content, kind, err := image.Fetch(ctx)
			if err != nil {
				continue
			}
			encoded := base64.StdEncoding.EncodeToString(content)
			question.UserInputMultiContent = append(question.UserInputMultiContent, schema.MessageInputPart{
				Type:  schema.ChatMessagePartTypeImageURL,
				Image: &schema.MessageInputImage{MessagePartCommon: schema.MessagePartCommon{Base64Data: &encoded, MIMEType: kind}},
			})
		}
	}
	files, _ := task.Files(ctx) // what cannot be read stands in the message
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	if len(files) == 0 {
		return question, nil, nil
	}
	return question, []model.Option{acl.WithRequestPayloadModifier(attach(files))}, nil
}

// attach puts PDFs into the first question of a request: eino's client for
// OpenAI knows no parts of the type file.
func attach(files []errand.Document) acl.RequestPayloadModifier {
	return func(_ context.Context, _ []*schema.Message, body []byte) ([]byte, error) {
		var request map[string]any
		if err := json.Unmarshal(body, &request); err != nil {
			return nil, fmt.Errorf("read request: %w", err)
		}
		messages, _ := request["messages"].([]any)
		for _, m := range messages {
			message, _ := m.(map[string]any)
			if message["role"] != "user" {
				continue
			}
			parts, ok := message["content"].([]any)
			if !ok {
				parts = []any{map[string]any{"type": "text", "text": message["content"]}}
			}
			for _, f := range files {
				parts = append(parts, map[string]any{"type": "file", "file": map[string]any{
					"filename": f.Name, "file_data": "data:application/pdf;base64," + base64.StdEncoding.EncodeToString(f.Content),
				}})
			}
			message["content"] = parts
			break
		}
		return json.Marshal(request)
	}
}
