// Tasks creates a task for the built-in agent, which profiles data files, and
// reads it again when it is done. It needs ERRAND_URL and ERRAND_API_KEY.
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
	file, err := client.Files.Upload(ctx, "sales_data.csv", strings.NewReader("region,amount\nNorth,10.50\nSouth,20.25\n"))
	if err != nil {
		return err
	}
	task, err := client.Tasks.Create(ctx, errand.TaskRequest{
		AgentID:  "profile",
		Prompt:   "Analyze the sales data",
		FileURLs: []string{file.URL},
	})
	if err != nil {
		return err
	}
	fmt.Println("created:", task.Status)

	if err := task.Wait(ctx); err != nil {
		return err
	}
	task, err = client.Tasks.Get(ctx, task.ID) // any program may ask, at any time
	if err != nil {
		return err
	}
	fmt.Println("status:", task.Status)
	fmt.Println("knows the sum:", strings.Contains(task.Result, "30.75"))
	return nil
}
