package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// facesTask is the task that is viewed in all protocols.
const facesTask = "faces"

// face is how a protocol follows the task.
type face struct {
	method, path, body string
	headers            []string
}

// allFaces are the protocols that follow a task as it goes on; /v1 is the first.
func allFaces() []face {
	return []face{
		{http.MethodGet, "/v1/tasks/" + facesTask + "/events", "", []string{"Accept", "text/event-stream"}},
		{http.MethodPost, "/a2a/" + agentID + "/tasks/" + facesTask + "~1:subscribe", "{}", []string{"Content-Type", "application/json"}},
		{http.MethodGet, "/openai/v1/responses/resp_" + facesTask + "_1?stream=true", "", nil},
		{http.MethodPost, "/agui/agents/" + agentID, aguiRun, []string{"Content-Type", "application/json", "Accept", "text/event-stream"}},
		{http.MethodGet, "/aisdk/agents/" + agentID + "/chat/" + facesTask + "/stream", "", nil},
	}
}

// aguiRun begins the run, or follows it if it has begun.
const aguiRun = `{"threadId":"` + facesTask + `","runId":"r1","protocolVersion":"1.0","state":{},"messages":[{"id":"m1","role":"user","content":"work"}],"tools":[],"context":[],"forwardedProps":{}}`

// faces compares streams of mixed protocols with as many of /v1, all of one task.
func faces(ctx context.Context, b *bench) error {
	all := allFaces()
	var plain, mixed []shown
	for range b.runs { // in turns
		for _, of := range []struct {
			faces []face
			into  *[]shown
		}{{all[:1], &plain}, {all, &mixed}} {
			got, err := b.show(ctx, of.faces)
			if err != nil {
				return err
			}
			*of.into = append(*of.into, got)
		}
	}
	of := func(runs []shown, of func(shown) float64) float64 {
		var amounts []float64
		for _, r := range runs {
			amounts = append(amounts, of(r))
		}
		return median(amounts)
	}
	work, memory := func(s shown) float64 { return s.work.Seconds() }, func(s shown) float64 { return s.memory }
	for _, f := range []struct {
		what   string
		of     func(shown) float64
		format func(float64) string
	}{
		{"processor time", work, func(s float64) string { return milliseconds(time.Duration(s * float64(time.Second))) }},
		{"memory", memory, megabytes},
	} {
		one, many := of(plain, f.of), of(mixed, f.of)
		b.report(figure{
			section: "Protocols", name: fmt.Sprintf("%s of %d viewers of all protocols, beside as many of /v1", f.what, b.viewers),
			value: f.format(many), raw: f.format(one) + " by /v1", ratio: fmt.Sprintf("%.2f", many/one), bar: "at most 1.5", amount: many / one, less: true,
		})
	}
	return nil
}

// shown is what it cost to show a task to its viewers.
type shown struct {
	work   time.Duration
	memory float64
}

// show spreads the chunks of a task, and its end, to viewers of some protocols.
func (b *bench) show(ctx context.Context, by []face) (got shown, err error) {
	s, end, err := b.fresh(ctx)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, end()) }()
	begins := allFaces()[3]
	if _, err := s.open(ctx, begins); err != nil {
		return got, err
	}
	w, err := s.worker(ctx, "runner", 1, 60)
	if err != nil {
		return got, err
	}
	claimed, err := w.claim()
	if err != nil || len(claimed) != 1 {
		return got, errors.Join(fmt.Errorf("%d tasks were claimed in place of one", len(claimed)), err)
	}
	group, ctx := errgroup.WithContext(ctx)
	for i := range b.viewers {
		v, err := s.open(ctx, by[i%len(by)])
		if err != nil {
			return got, err
		}
		group.Go(func() error {
			n, err := io.Copy(io.Discard, v.body)
			if err == nil && n < 1000 {
				err = fmt.Errorf("a viewer saw %d bytes", n)
			}
			return err
		})
	}
	before, err := s.processor()
	if err != nil {
		return got, err
	}
	body := claimed[0].chunks(10, "some words of a result as a model gives them")
	for range max(1, b.tasks/500) {
		if _, err := w.post("/v1/tasks/"+facesTask+"/events", body); err != nil {
			return got, err
		}
	}
	if got.memory, err = s.memory(); err != nil {
		return got, err
	}
	if err := errors.Join(w.finish(claimed), group.Wait()); err != nil {
		return got, err
	}
	after, err := s.processor()
	got.work = after - before
	return got, err
}

// open opens a stream of the task.
func (s *server) open(ctx context.Context, f face) (*viewer, error) {
	c, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	c.in = bufio.NewReaderSize(c.Conn, 512) // there are thousands of them
	var body []byte
	if f.body != "" {
		body = []byte(f.body)
	}
	if err := c.send(f.method, f.path, body, f.headers...); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	answer, err := http.ReadResponse(c.in, nil) //nolint:bodyclose // it ends with its connection
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if answer.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s %s was answered with %s", f.method, f.path, answer.Status), c.Close())
	}
	return &viewer{c, answer.Body}, nil
}
