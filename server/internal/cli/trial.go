package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/app"
)

// What is measured.
const (
	latencyCreate = "create"
	latencyStart  = "create to start"
	latencyAppend = "append to viewer"
	latencyFirst  = "first byte"
)

// latencies of one kind, in milliseconds.
type latencies struct {
	Median  float64 `json:"median_ms"`
	Slowest float64 `json:"slowest_ms"`
	Of      int     `json:"of"`
}

// trial is some tasks that are run to see how a server does.
type trial struct {
	client   *errand.Client
	line     *cuttable
	x        *examination
	measured map[string][]time.Duration
	created  []string // ids of tasks
	uploaded []string // ids of files
}

const (
	trialTasks  = 5
	trialEvents = 20
)

// run runs the tasks, and deletes them with what they have read.
func (t *trial) run(ctx context.Context) {
	t.measured = map[string][]time.Duration{}
	defer t.tidy(ctx)
	if !t.endToEnd(ctx) {
		return
	}
	t.stream(ctx)
	t.x.Latencies = map[string]latencies{}
	for name, all := range t.measured {
		slices.Sort(all)
		ms := func(d time.Duration) float64 { return math.Round(float64(d)/1e4) / 100 }
		t.x.Latencies[name] = latencies{Median: ms(all[len(all)/2]), Slowest: ms(all[len(all)-1]), Of: len(all)}
	}
}

func (t *trial) tidy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), doctorPatience/10)
	defer cancel()
	for _, id := range t.created {
		_ = t.client.Tasks.Delete(ctx, id) // what cannot be deleted is small, and says what it is
	}
	for _, id := range t.uploaded {
		_ = t.client.Files.Delete(ctx, id) // likewise
	}
}

func (t *trial) took(name string, since time.Time) {
	t.measured[name] = append(t.measured[name], time.Since(since))
}

func (t *trial) create(ctx context.Context, r errand.TaskRequest) (*errand.Task, error) {
	r.AgentID, r.Prompt, r.Title, r.Source = app.ProfileAgent, "errand doctor", "errand doctor", "errand doctor"
	began := time.Now()
	task, err := t.client.Tasks.Create(ctx, r)
	if err == nil {
		t.took(latencyCreate, began)
		t.created = append(t.created, task.ID)
	}
	return task, err
}

// endToEnd runs tasks that the server itself executes.
func (t *trial) endToEnd(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	file, err := t.client.Files.Upload(ctx, "errand-doctor.csv", strings.NewReader("month,sales\n2026-01,1200\n2026-02,1350\n"))
	if errors.Is(err, errand.ErrForbidden) {
		t.x.fail("key", "use the key of a user or an admin", "it may not upload files")
		return false
	} else if err != nil {
		t.x.fail("upload", "read the server's log", "%v", err)
		return false
	}
	t.uploaded = append(t.uploaded, file.ID)
	var took time.Duration
	for range trialTasks {
		began := time.Now()
		task, err := t.create(ctx, errand.TaskRequest{FileURLs: []string{file.URL}})
		switch {
		case errors.Is(err, errand.ErrForbidden):
			t.x.fail("key", "use the key of a user or an admin", "it may not create tasks")
			return false
		case errors.Is(err, errand.ErrNotFound):
			t.x.fail("task", "errand agent apply "+app.ProfileAgent+" --runtime profile", "the agent %s is gone", app.ProfileAgent)
			return false
		case err != nil:
			t.x.fail("task", "read the server's log", "creating one: %v", err)
			return false
		}
		if len(t.created) == 1 {
			t.x.ok("key", "may create tasks")
			t.clock(task.CreatedAt, began, time.Now())
		}
		if err := t.follow(ctx, task, began); err != nil {
			t.blame(ctx, task, err)
			return false
		}
		took = time.Since(began)
	}
	t.x.ok("task", "ran from end to end in %s", brieflyTook(took))
	return true
}

// follow waits for a task's end and notes when it was started.
func (t *trial) follow(ctx context.Context, task *errand.Task, began time.Time) error {
	for event, err := range task.Events(ctx) {
		if err != nil {
			return err
		}
		if begins(event) {
			t.took(latencyStart, began)
		}
	}
	if err := task.Reload(ctx); err != nil {
		return err
	}
	if task.Status != errand.Completed {
		return fmt.Errorf("ended as %s: %s", task.Status, task.Result)
	}
	return nil
}

// begins tells whether an event says that a task is executing now.
func begins(e errand.Event) bool {
	change, is := e.Change()
	return is && change.Status != nil && *change.Status == errand.Executing
}

// blame says what is wrong if a task could not be followed to a good end. One that
// has completed all the same was not shown to the end, which is its stream's fault.
func (t *trial) blame(ctx context.Context, task *errand.Task, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), doctorPatience)
	defer cancel()
	found := task.Reload(ctx)
	switch {
	case found == nil && task.Status == errand.Completed:
		t.x.fail("stream", betweenHere, "task %s has completed, and its stream did not tell: %v", task.ID, err)
	case found == nil && task.Waiting != nil:
		t.x.fail("task", "it waits: "+waitingLine(task.Waiting), "%s: %v", task.ID, err)
	default:
		t.x.fail("task", "read the server's log", "%s: %v", task.ID, err)
	}
}

// betweenHere is what to do about streams that do not come through whole.
const betweenHere = "look at proxies between here and the server: they must neither buffer nor cut event streams"

// farApart is how much two clocks may differ.
const farApart = 2 * time.Second

// clock compares the server's clock with this machine's: what the server did
// between two moments has a time between them.
func (t *trial) clock(theirs, before, after time.Time) {
	var apart time.Duration
	switch {
	case theirs.Before(before):
		apart = before.Sub(theirs)
	case theirs.After(after):
		apart = theirs.Sub(after)
	}
	if apart > farApart {
		t.x.warn("clock", "let both machines set their clocks by NTP", "the server's and this machine's are %s apart", apart.Round(time.Millisecond))
		return
	}
	t.x.ok("clock", "the server's and this machine's agree")
}

// stream appends events to a task of its own, follows them, cuts the stream in
// the middle, and looks whether each comes once and in order all the same.
func (t *trial) stream(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience/3)
	defer cancel()
	task, err := t.create(ctx, errand.TaskRequest{RunLocally: true})
	if err == nil {
		_, err = t.client.Tasks.Update(ctx, task.ID, errand.TaskUpdate{Status: errand.Executing})
	}
	if err != nil {
		t.x.fail("stream", "read the server's log", "making a task for it: %v", err)
		return
	}
	seen, err := t.follows(ctx, task)
	cuts := t.line.cuts()
	switch {
	case err != nil:
		t.x.fail("stream", betweenHere, "after %d events and %d cuts: %v", seen, cuts, err)
	case cuts == 0:
		t.x.fail("stream", betweenHere, "it could not be cut")
	default:
		t.x.ok("stream", "%d events, each once and in order, across a cut", seen)
	}
}

func (t *trial) follows(ctx context.Context, task *errand.Task) (seen int, err error) {
	opened, said, appended := time.Now(), 0, time.Time{}
	for event, err := range task.Events(ctx) {
		if err != nil {
			return seen, err
		}
		if seen++; event.ID != int64(seen) {
			return seen, fmt.Errorf("event %d came where %d belonged", event.ID, seen)
		}
		switch {
		case seen == 1:
			t.took(latencyFirst, opened)
		case event.Type == errand.Chunk && event.Text() != strconv.Itoa(said):
			return seen, fmt.Errorf("it says %q, not %d", event.Text(), said)
		case event.Type == errand.Chunk && said != trialEvents/2+1: // that one had to reconnect first
			t.took(latencyAppend, appended)
		}
		if event.Type != errand.Chunk && !begins(event) {
			continue
		}
		if said == trialEvents/2 {
			t.line.cut()
		}
		if appended = time.Now(); said == trialEvents {
			_, err = t.client.Tasks.Update(ctx, task.ID, errand.TaskUpdate{Status: errand.Completed})
		} else {
			said++
			_, err = t.client.Tasks.PushEvents(ctx, task.ID, errand.NewEvent{Type: errand.Chunk, Data: strconv.Itoa(said)})
		}
		if err != nil {
			return seen, err
		}
	}
	return seen, nil
}
