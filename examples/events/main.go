// Events follows a task live. Kill the server while it does, start it again,
// and it goes on where it was. It needs ERRAND_URL and ERRAND_API_KEY.
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
	file, err := client.Files.Upload(ctx, "sales_data.csv", strings.NewReader("region,amount\nNorth,10.50\n"))
	if err != nil {
		return err
	}
	task, err := client.Tasks.Create(ctx, errand.TaskRequest{
		AgentID: "profile", Prompt: "Analyze the sales data", FileURLs: []string{file.URL},
	})
	if err != nil {
		return err
	}
	chunks := 0
	for event, err := range task.Events(ctx) {
		if err != nil {
			return err
		}
		if event.Type == errand.Chunk {
			chunks++ // event.Text() is the next piece of the answer
		}
		if event.Type == errand.TaskFinished {
			fmt.Println("the task has finished")
		}
	}
	fmt.Println("the answer was streamed:", chunks > 0)
	return nil
}
