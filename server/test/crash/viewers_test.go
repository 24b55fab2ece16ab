package crash

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errand-dev/errand"
)

// TestViewers lets viewers of every kind look at one task: all see the same.
// One of them reads nothing for a while. Where the server is patient, it must
// find what it missed in the log; where it is not, it is cut off and resumes.
func TestViewers(t *testing.T) {
	t.Parallel()
	for name, timeout := range map[string]time.Duration{"Patient": 50 * time.Second, "Strict": time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, "--write-timeout", timeout.String(), "--keep-alive", "50ms")
			lookOn(t, s, name == "Strict")
		})
	}
}

func lookOn(t *testing.T, s *server, strict bool) {
	t.Helper()
	const (
		// Long events first, which fill every buffer of the network on the
		// way to a viewer that does not read; then more short ones than the
		// server keeps in memory for a viewer.
		long, events = 250, 900
		// feedLimit is far more than the feed takes, and less than what a
		// viewer could hold it up with.
		feedLimit = 25 * time.Second
	)
	f := newFed(t, s.client())
	a := newAudience(t)
	fedAll := make(chan struct{})
	viewers := map[string]*viewer{
		"from the start": {client: s.client(), task: f.id},
		"late":           {client: s.client(), task: f.id},
		"cut again and again": {client: s.client(), task: f.id, next: func() int {
			return 1 + rand.IntN(80)
		}},
		"slow": {client: s.client().slowly(), task: f.id, pause: fedAll},
	}
	a.add("from the start", viewers["from the start"])
	a.add("cut again and again", viewers["cut again and again"])
	a.add("slow", viewers["slow"])
	var sdk []string
	a.all.Go(func() { sdk = followBySDK(a, s.url(), f.id, nil) })
	eventually(t, 10*time.Second, "four streams are open", func() bool { return openStreams(t, s) >= 4 })

	begun := time.Now()
	f.feed(a.ctx, t, long, 48<<10)
	a.add("late", viewers["late"])
	f.feed(a.ctx, t, events, 200)
	took := time.Since(begun)
	if took > feedLimit {
		t.Errorf("%d appends beside a viewer that reads nothing took %v", events, took)
	}
	f.finish(a.ctx, t)
	if strict {
		eventually(t, 20*time.Second, "the server has let go of the viewer that reads nothing", func() bool { return openStreams(t, s) == 0 })
	}
	close(fedAll)
	a.all.Wait()
	if t.Failed() {
		return
	}
	viewers["after the end"] = &viewer{client: s.client(), task: f.id}
	a.add("after the end", viewers["after the end"])
	a.all.Wait()

	want := pages(t, s.client(), f.id)
	if len(want) != events+4 { // task_created, attempt_started, task_updated, task_finished
		t.Errorf("the log has %d events", len(want))
	}
	for who, v := range viewers {
		same(t, who, v.got, want)
		t.Logf("%s: %d events, %d cuts", who, len(v.got), v.cuts)
	}
	same(t, "the Go client", sdk, authorless(want))
	if viewers["cut again and again"].cuts < 5 {
		t.Error("the viewer was not cut often enough to show anything")
	}
	if cut := viewers["slow"].cuts > 0; cut != strict {
		t.Errorf("the slow viewer was cut: %v", cut)
	}
	t.Logf("%d events appended in %v", events, took.Round(time.Millisecond))
	edges(t, s.client(), f.id, len(want))
	s.quiet(t)
}

// edges looks at cursors at and beyond the end of an ended task's log.
func edges(t *testing.T, c *client, id string, last int) {
	t.Helper()
	path := "/v1/tasks/" + id + "/events"
	if _, err := c.open(t.Context(), path, strconv.Itoa(last)); !errors.Is(err, errRests) {
		t.Errorf("a stream behind all of %d events: %v", last, err)
	}
	stream, err := c.open(t.Context(), path, strconv.Itoa(last-1))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.close()
	_, first := stream.next()
	if _, then := stream.next(); first != nil || !errors.Is(then, io.EOF) {
		t.Errorf("a stream behind all but one of %d events: %v, then %v", last, first, then)
	}
	for _, cursor := range []string{strconv.Itoa(last + 1), "-1", "x"} {
		c.must(t, http.StatusBadRequest, http.MethodGet, path, nil, "Accept", "text/event-stream", "Last-Event-ID", cursor)
	}
}

// openStreams asks the server how many streams are open.
func openStreams(t *testing.T, s *server) int {
	t.Helper()
	return metric(t, s.client(), "errand_streams_open")
}

// followBySDK follows with the Go client, which survives everything by
// itself. It returns the events in the form of the pages.
func followBySDK(a *audience, url, id string, seen func(int)) []string {
	c, err := errand.NewClient(errand.WithURL(url), errand.WithKey(adminKey))
	if err != nil {
		a.t.Error(err)
		return nil
	}
	var got []string
	for e, err := range c.Tasks.Events(a.ctx, id) {
		if err != nil {
			a.t.Errorf("the Go client, after %d events: %v", len(got), err)
			return got
		}
		got = append(got, fmt.Sprintf(`{"id":%d,"type":"%s","task_id":"%s","organization_id":"default","turn":%d,"time":"%s","data":%s}`,
			e.ID, e.Type, e.TaskID, e.Turn, e.Time.Format(time.RFC3339Nano), e.Data))
		if seen != nil {
			seen(len(got))
		}
	}
	return got
}

// TestViewersThroughKill kills the server twice while a task is written to and
// looked at.
func TestViewersThroughKill(t *testing.T) {
	t.Parallel()
	const events = 300
	s := newServer(t)
	f := newFed(t, s.client())
	a := newAudience(t)
	var sdkSeen, rawSeen atomic.Int64
	raw := &viewer{client: s.client(), task: f.id, seen: func(n int) { rawSeen.Store(int64(n)) }}
	a.add("resuming", raw)
	var sdk []string
	a.all.Go(func() { sdk = followBySDK(a, s.url(), f.id, func(n int) { sdkSeen.Store(int64(n)) }) })

	for part := 1; part <= 3; part++ {
		upTo := part * events / 3
		fed := make(chan struct{})
		go func() {
			defer close(fed)
			f.feed(a.ctx, t, upTo, 500)
		}()
		if part < 3 {
			// In the middle of the feed, while both are reading.
			half := int64((part - 1) * events / 3)
			eventually(t, 20*time.Second, "both viewers are in the middle", func() bool {
				return sdkSeen.Load() > half+10 && rawSeen.Load() > half+10
			})
			s.kill(t)
			s.start(t)
		}
		<-fed
	}
	f.finish(a.ctx, t)
	a.all.Wait()
	want := pages(t, s.client(), f.id)
	if len(want) != events+4 {
		t.Errorf("the log has %d events, not %d: an append was lost or doubled", len(want), events+4)
	}
	same(t, "resuming", raw.got, want)
	same(t, "the Go client", sdk, authorless(want))
	if raw.cuts < 2 {
		t.Errorf("the viewer was cut %d times by two kills", raw.cuts)
	}
	s.quiet(t)
}
