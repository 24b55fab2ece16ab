// Eino executes an agent's tasks with the agent framework eino and any
// OpenAI-compatible model. What the agent is told and which model it has stand
// in its record in Errand; the model's key is in OPENAI_API_KEY. It needs
// ERRAND_URL and ERRAND_API_KEY, and the agent's id:
//
//	go run . agent-123
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/errand-dev/errand"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: %s AGENT", os.Args[0])
	}
	client, err := errand.NewClient()
	if err != nil {
		return err
	}
	worker := errand.NewWorker(client, errand.WorkerOptions{Log: slog.Default()})
	worker.Handle(os.Args[1], handler(client, os.Getenv("OPENAI_API_KEY")))
	return worker.Run(ctx)
}
