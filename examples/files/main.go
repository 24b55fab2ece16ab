// Files shows a task's files as an agent needs them: PDFs with their bytes,
// pictures as URLs, texts as texts, and all of it as one message for a model.
// It needs ERRAND_URL and ERRAND_API_KEY, an admin's, to create its agent.
package main

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/errand-dev/errand"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	client, err := errand.NewClient()
	if err != nil {
		return err
	}
	if _, err := client.Agents.Apply(ctx, "agent-123", errand.Agent{Name: "Analyst"}); err != nil {
		return err
	}
	request := errand.TaskRequest{AgentID: "agent-123", Prompt: "Analyze the attached documents and images"}
	for name, content := range map[string]string{
		"report.pdf": "%PDF-1.7 …",
		"chart.png":  "\x89PNG\r\n\x1a\n…",
		"data.csv":   "region,amount\nNorth,10.50\n",
	} {
		file, err := client.Files.Upload(ctx, name, strings.NewReader(content))
		if err != nil {
			return err
		}
		request.FileURLs = append(request.FileURLs, file.URL)
	}
	task, err := client.Tasks.Create(ctx, request)
	if err != nil {
		return err
	}

	files, err := task.Files(ctx)
	if err != nil {
		return err
	}
	images := task.Images()
	texts, err := task.HumanReadableFiles(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%d PDF, %d image, %d readable file\n", len(files), len(images), len(texts))

	message, err := task.Message(ctx)
	if err != nil {
		return err
	}
	fmt.Println("the message holds the data:", strings.Contains(message, `region,amount\nNorth,10.50`))
	return nil
}
