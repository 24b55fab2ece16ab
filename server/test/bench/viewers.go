package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// eventsAtClaim is how many events a task has that was created and claimed.
const eventsAtClaim = 3

// viewer is an open stream of a task's events.
type viewer struct {
	*conn
	body io.ReadCloser
}

func (s *server) view(ctx context.Context, id string) (*viewer, error) {
	return s.open(ctx, face{http.MethodGet, "/v1/tasks/" + id + "/events", "", []string{"Accept", "text/event-stream"}})
}

// read tells of events as they arrive, by their number, until more is false.
func (v *viewer) read(more func(n int) bool) error {
	piece := make([]byte, 8<<10)
	var last byte
	for {
		n, err := v.body.Read(piece)
		if n > 0 {
			events := bytes.Count(piece[:n], []byte("\n\n"))
			if last == '\n' && piece[0] == '\n' {
				events++
			}
			if last = piece[n-1]; events > 0 && !more(events) {
				return nil
			}
		}
		if err != nil {
			return err
		}
	}
}

// viewers spreads the events of one task to many viewers, and once more while
// ten of them read nothing.
func viewers(ctx context.Context, b *bench) error {
	for _, deaf := range []int{0, 10} {
		var rates []float64
		for range b.runs {
			rate, err := b.fanOut(ctx, deaf)
			if err != nil {
				return err
			}
			rates = append(rates, rate)
		}
		f := figure{section: "Viewers", name: fmt.Sprintf("one task to %d viewers", b.viewers), value: perSecond(median(rates)), bar: "150,000/s", amount: median(rates)}
		if deaf > 0 {
			f.name, f.bar = f.name+fmt.Sprintf(", %d of which read nothing", deaf), ""
		}
		b.report(f)
	}
	return nil
}

// fanOut is how many messages a second reach those who read.
func (b *bench) fanOut(ctx context.Context, deaf int) (rate float64, err error) {
	s, end, err := b.fresh(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, end()) }()
	running, err := s.running(ctx, 1)
	if err != nil {
		return 0, err
	}
	t := running[0]
	const batch = 20
	batches := max(1, b.tasks/500)
	group, ctx := errgroup.WithContext(ctx)
	for i := range b.viewers {
		v, err := s.view(ctx, t.task)
		if err != nil {
			return 0, err
		}
		if i < deaf {
			continue
		}
		left := eventsAtClaim + batch*batches
		group.Go(func() error {
			return v.read(func(n int) bool { left -= n; return left > 0 })
		})
	}
	c, err := s.dial(ctx)
	if err != nil {
		return 0, err
	}
	body := t.chunks(batch, "some words of a result as a model gives them")
	begun := time.Now()
	for range batches {
		if _, err := c.post("/v1/tasks/"+t.task+"/events", body); err != nil {
			return 0, err
		}
	}
	err = group.Wait()
	return float64((b.viewers-deaf)*batch*batches) / time.Since(begun).Seconds(), err
}

// idleViewers is what open streams cost on which nothing happens.
func idleViewers(ctx context.Context, b *bench) error {
	var sizes []float64
	for range min(b.runs, 3) { // a minute each, and always the same
		got, err := b.watch(ctx)
		if err != nil {
			return err
		}
		sizes = append(sizes, got)
	}
	b.report(figure{
		section: "Viewers", name: "memory with " + strconv.Itoa(b.idle) + " idle viewers", value: megabytes(median(sizes)), bar: "250 MB",
		amount: median(sizes), less: true,
	})
	return nil
}

func megabytes(n float64) string { return strconv.FormatFloat(n/1e6, 'f', 0, 64) + " MB" }

// watch opens streams of 100 tasks and returns the server's memory.
func (b *bench) watch(ctx context.Context) (memory float64, err error) {
	s, end, err := b.fresh(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, end()) }()
	running, err := s.running(ctx, 100)
	if err != nil {
		return 0, err
	}
	for i := range b.idle {
		v, err := s.view(ctx, running[i%len(running)].task)
		if err != nil {
			return 0, err
		}
		left := eventsAtClaim
		if err := v.read(func(n int) bool { left -= n; return left > 0 }); err != nil {
			return 0, err
		}
	}
	return s.memory()
}
