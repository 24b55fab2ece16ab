package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/errand-dev/errand"
)

// Environment of the helper process.
const (
	helperURL    = "ERRAND_CRASH_URL"
	helperAgent  = "ERRAND_CRASH_AGENT"
	helperWorker = "ERRAND_CRASH_WORKER"
)

// helper is the entry of a process of some kind. It ends with the test that has
// started it.
func helper(kind string) int {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	told := lines()
	var err error
	switch kind {
	case "endless":
		err = endlessWorker(ctx)
	case "herd":
		err = herdWorker(ctx)
	case "stepping":
		err = steppingWorker(ctx)
	case "patient":
		err = patientWorker(ctx)
	case "clock":
		err = clockServer(ctx, told)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		return 1
	}
	return 0
}

// patientWorker is a worker of the Go client that says nothing for 8 seconds.
func patientWorker(ctx context.Context) error {
	c, err := errand.NewClient(errand.WithURL(os.Getenv(helperURL)), errand.WithKey(adminKey))
	if err != nil {
		return err
	}
	w := errand.NewWorker(c, errand.WorkerOptions{ID: os.Getenv(helperWorker)})
	w.Handle(os.Getenv(helperAgent), func(ctx context.Context, _ *errand.Attempt) (string, error) {
		select {
		case <-time.After(8 * time.Second):
			return "done", nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	})
	return w.Run(ctx)
}

// endlessWorker claims one task, tells its lease in one line of JSON, and then
// works on without end, one line for each heartbeat.
func endlessWorker(ctx context.Context) error {
	c := newClient(os.Getenv(helperURL))
	got, a, err := c.claims(ctx, os.Getenv(helperAgent), os.Getenv(helperWorker), 20)
	if err != nil || len(got) != 1 {
		return fmt.Errorf("claim: %w %s", err, a)
	}
	mine := got[0]
	if err := json.NewEncoder(os.Stdout).Encode(mine.Lease.Token); err != nil {
		return err
	}
	beat := time.NewTicker(time.Duration(mine.Lease.Seconds * float64(time.Second) / 4))
	defer beat.Stop()
	for n := 0; ; n++ {
		path := "/v1/tasks/" + mine.Task.ID
		a, err := c.call(ctx, http.MethodPost, path+"/events", obj{"lease_token": mine.Lease.Token, "events": []obj{
			{"type": "chunk", "data": fmt.Sprintf("part %d", n), "client_id": fmt.Sprintf("helper-%d", n)},
		}})
		if err == nil && a.status == http.StatusOK {
			a, err = c.call(ctx, http.MethodPost, path+"/heartbeat", obj{"lease_token": mine.Lease.Token})
		}
		if err != nil || a.status != http.StatusOK {
			return fmt.Errorf("lost the task: %w %s", err, a)
		}
		fmt.Fprintln(os.Stdout, "beat")
		select {
		case <-beat.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
