// Worker executes the tasks of agent-123 until it is interrupted; then it
// lets what runs finish. It needs ERRAND_URL and ERRAND_API_KEY. Try it:
//
//	errand task create --agent agent-123 --watch "Analyze the sales data"
package main

import (
	"context"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/errand-dev/errand"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	client, err := errand.NewClient()
	if err != nil {
		return err
	}
	worker := errand.NewWorker(client, errand.WorkerOptions{Slots: 4, Log: slog.Default()})
	worker.Handle("agent-123", handle)
	return worker.Run(ctx)
}

// handle says the prompt's words one by one. When the task is stopped, ctx ends
// and context.Cause(ctx) is errand.ErrStopped.
func handle(ctx context.Context, attempt *errand.Attempt) (string, error) {
	words := strings.Fields(attempt.Task.Input.Text)
	if len(words) == 0 {
		return "", errand.Failf("there is nothing to say")
	}
	if err := attempt.Progress(ctx, "speaking"); err != nil {
		return "", err
	}
	for _, word := range words {
		if err := attempt.Chunk(ctx, word+" "); err != nil {
			return "", err
		}
	}
	return strings.Join(words, " "), nil
}
