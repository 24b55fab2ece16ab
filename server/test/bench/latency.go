package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/errand-dev/errand"
)

// latencies measures one thing at a time on an idle server.
func latencies(ctx context.Context, b *bench) error {
	if err := b.latency(ctx, "create to handler start", "p50 2.5 ms, p99 6 ms", (*server).toHandler); err != nil {
		return err
	}
	if err := b.latency(ctx, "append to viewer", "p50 1 ms", (*server).toViewer); err != nil {
		return err
	}
	return b.latency(ctx, "first chunk to viewer, Go client", "like HTTP's", (*server).firstChunk)
}

func (b *bench) latency(ctx context.Context, name, bar string, probe func(*server, context.Context, int) ([]time.Duration, error)) error {
	var middle, high []time.Duration
	for range b.runs {
		s, end, err := b.fresh(ctx)
		if err != nil {
			return err
		}
		took, err := probe(s, ctx, b.probes)
		if err := errors.Join(err, end()); err != nil {
			return err
		}
		middle, high = append(middle, quantile(took, 0.5)), append(high, quantile(took, 0.99))
	}
	b.report(figure{
		section: "Latency", name: name, bar: bar,
		value:  milliseconds(quantile(middle, 0.5)) + ", p99 " + milliseconds(quantile(high, 0.5)),
		amount: quantile(middle, 0.5).Seconds(), less: true,
	})
	return nil
}

// toHandler is how long it takes from the call that creates a task to the first
// line of its handler, with the Go client on both sides.
func (s *server) toHandler(ctx context.Context, probes int) ([]time.Duration, error) {
	client, err := errand.NewClient(errand.WithURL("http://"+s.addr), errand.WithKey(key))
	if err != nil {
		return nil, err
	}
	started := make(chan time.Time, 1)
	w := errand.NewWorker(client, errand.WorkerOptions{Slots: 1, Log: slog.New(slog.DiscardHandler)})
	w.Handle(agentID, func(context.Context, *errand.Attempt) (string, error) {
		started <- time.Now()
		return "done", nil
	})
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(working) }()
	took := make([]time.Duration, 0, probes)
	for range probes {
		begun := time.Now()
		t, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: agentID, Prompt: prompt()})
		if err == nil {
			took = append(took, (<-started).Sub(begun))
			_, err = client.Tasks.Wait(ctx, t.ID) // so that the worker waits again
		}
		if err != nil {
			stop()
			return nil, errors.Join(err, <-ended)
		}
	}
	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		return nil, err
	}
	return took, nil
}

// toViewer is how long it takes from the call that appends an event to its
// arrival in an open stream.
func (s *server) toViewer(ctx context.Context, probes int) ([]time.Duration, error) {
	running, err := s.running(ctx, 1)
	if err != nil {
		return nil, err
	}
	v, err := s.view(ctx, running[0].task)
	if err != nil {
		return nil, err
	}
	c, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	arrived := make(chan time.Time, probes)
	failed := make(chan error, 1)
	go func() {
		failed <- v.read(func(n int) bool {
			for range n {
				arrived <- time.Now()
			}
			return true
		})
	}()
	for range eventsAtClaim {
		<-arrived
	}
	took := make([]time.Duration, 0, probes)
	for range probes {
		begun := time.Now()
		if _, err := c.post("/v1/tasks/"+running[0].task+"/events", running[0].chunks(1, "one more word")); err != nil {
			return nil, err
		}
		select {
		case at := <-arrived:
			took = append(took, at.Sub(begun))
		case err := <-failed:
			return nil, errors.Join(errors.New("the stream has ended"), err)
		}
	}
	return took, nil
}
