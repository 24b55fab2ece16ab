package crash

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errand-dev/errand"
)

// sdk makes a Go client of the server.
func (s *server) sdk(t *testing.T) *errand.Client {
	t.Helper()
	c, err := errand.NewClient(errand.WithURL(s.url()), errand.WithKey(adminKey), errand.WithRetry(startLimit))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestGoWalk goes the walk of a user's first day with the Go client.
func TestGoWalk(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.sdk(t)
	ctx := t.Context()
	if _, err := c.Agents.Apply(ctx, "agent-123", errand.Agent{Name: "Analyst"}); err != nil {
		t.Fatal(err)
	}
	upload := func(name, content string) string {
		f, err := c.Files.Upload(ctx, name, strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		return f.URL
	}
	task, err := c.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "Analyze the sales data", FileURLs: []string{
		upload("report.pdf", "%PDF-1.7 …"), upload("chart.png", "\x89PNG\r\n\x1a\n…"), upload("data.csv", "a,b\n1,2\n"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if task, err = c.Tasks.Get(ctx, task.ID); err != nil || task.Status != errand.Pending || task.Waiting.Reason != "no_worker" {
		t.Fatalf("got %+v, %v", task, err)
	}
	documents, err := task.Files(ctx)
	if err != nil || len(documents) != 1 || string(documents[0].Content) != "%PDF-1.7 …" {
		t.Errorf("files: %+v, %v", documents, err)
	}
	if images := task.Images(); len(images) != 1 || !strings.HasSuffix(images[0].URL, "/chart.png") {
		t.Errorf("images: %+v", images)
	}
	message, err := task.Message(ctx)
	if err != nil || !strings.Contains(message, `"content": "a,b\n1,2\n"`) || strings.Contains(message, "Attachment notes") {
		t.Errorf("message: %q, %v", message, err)
	}

	w := errand.NewWorker(c, errand.WorkerOptions{})
	w.Handle("agent-123", func(ctx context.Context, a *errand.Attempt) (string, error) {
		return "Sales are up.", a.Chunk(ctx, "Reading …")
	})
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(working) }()
	var told []string
	for event, err := range task.Events(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, string(event.Type)+" "+event.Text())
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := len(told); n < 4 || told[0] != "task_created " || told[n-2] != "chunk Reading …" || told[n-1] != "task_finished " {
		t.Errorf("events: %q", told)
	}

	// Stop one, and then say how it ended after all.
	other, err := c.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", ID: "task-456"})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Stop(ctx); err != nil || other.Status != errand.Stopped {
		t.Errorf("stopped: %s, %v", other.Status, err)
	}
	other, err = c.Tasks.Update(ctx, "task-456", errand.TaskUpdate{
		Status: errand.Completed, Result: new("Analysis completed successfully"), Override: true,
	})
	if err != nil || other.Status != errand.Completed || other.Result != "Analysis completed successfully" {
		t.Errorf("updated: %+v, %v", other, err)
	}
	s.quiet(t)
}

// TestGoClientsOutliveTheServer kills the server again and again under a
// worker that talks and a viewer that listens, both of the Go client: every
// event is there once and in order, and the task ends as if nothing had been.
func TestGoClientsOutliveTheServer(t *testing.T) {
	t.Parallel()
	const chunks, kills = 400, 4
	s := newServer(t)
	c := s.sdk(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := c.Agents.Apply(ctx, "agent-123", errand.Agent{Name: "Analyst"}); err != nil {
		t.Fatal(err)
	}
	heard := make(chan int, chunks+1)
	w := errand.NewWorker(s.sdk(t), errand.WorkerOptions{})
	w.Handle("agent-123", func(ctx context.Context, a *errand.Attempt) (string, error) {
		for i := range chunks {
			if err := a.Chunk(ctx, strconv.Itoa(i)); err != nil {
				return "", err
			}
			if i%10 == 9 { // goes on when its last words were heard, so that the server dies in between
				for n := -1; n < i; {
					select {
					case n = <-heard:
					case <-ctx.Done():
						return "", context.Cause(ctx)
					}
				}
			}
		}
		return "done", nil
	})
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(working) }()

	task, err := c.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "count"})
	if err != nil {
		t.Fatal(err)
	}
	n, last := 0, int64(0)
	for event, err := range task.Events(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if event.ID != last+1 {
			t.Fatalf("event %d follows %d", event.ID, last)
		}
		if last = event.ID; event.Type != errand.Chunk {
			continue
		}
		if event.Text() != strconv.Itoa(n) {
			t.Fatalf("chunk %q, want %d", event.Text(), n)
		}
		if n%(chunks/kills) == chunks/kills/2 {
			s.kill(t)
			s.start(t)
		}
		heard <- n
		n++
	}
	if err := task.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	if n != chunks || task.Status != errand.Completed || task.Result != "done" || task.Attempt != 1 || last != task.LastEventSeq {
		t.Errorf("%d chunks, %d of %d events, %s %q in attempt %d", n, last, task.LastEventSeq, task.Status, task.Result, task.Attempt)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	s.quiet(t)
}

// TestGoCreatesAreNotDoubled kills the server under clients that create: a
// create whose answer was lost is tried again, and there is one task of it.
func TestGoCreatesAreNotDoubled(t *testing.T) {
	t.Parallel()
	const creators, each, kills = 4, 60, 3
	s := newServer(t)
	c := s.sdk(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := c.Agents.Apply(ctx, "agent-123", errand.Agent{Name: "Analyst"}); err != nil {
		t.Fatal(err)
	}
	var created atomic.Int32
	var all sync.WaitGroup
	for who := range creators {
		all.Go(func() {
			for i := range each {
				_, err := c.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "x", Title: fmt.Sprint(who, " ", i)})
				if err != nil {
					t.Errorf("create %d of %d: %v", i, who, err)
					return
				}
				created.Add(1)
			}
		})
	}
	s.killAmid(t, kills, creators*each, created.Load)
	all.Wait()
	titles := map[string]int{}
	for item, err := range c.Tasks.All(ctx, errand.ListOptions{AgentID: "agent-123", PerPage: 50}) {
		if err != nil {
			t.Fatal(err)
		}
		titles[item.Title]++
	}
	if len(titles) != creators*each {
		t.Errorf("%d tasks, not %d", len(titles), creators*each)
	}
	for title, n := range titles {
		if n != 1 {
			t.Errorf("task %q is there %d times", title, n)
		}
	}
	s.quiet(t)
}
