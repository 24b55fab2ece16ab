package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/errand-dev/errand"
)

// invocations ask an agent and wait for the answer, over HTTP and with the Go client;
// workers of the Go client answer at once.
func invocations(ctx context.Context, b *bench) error {
	for _, way := range []struct {
		name  string
		maker func(*server, context.Context) func(int) (operation, error)
	}{{"HTTP", (*server).invoker}, {"Go client", (*server).goInvoker}} {
		var rates []float64
		var works []time.Duration
		for range b.runs {
			got, err := b.invoke(ctx, way.maker)
			if err != nil {
				return err
			}
			rates, works = append(rates, got.rate), append(works, got.work)
		}
		b.report(figure{
			section: "Invoke", name: fmt.Sprintf("%d callers, %s", waiters, way.name), value: perSecond(median(rates)),
			work: microseconds(quantile(works, 0.5)), amount: median(rates), cost: quantile(works, 0.5),
		})
	}
	return nil
}

// waiters is how many callers wait for answers at a time.
const waiters = 64

func (b *bench) invoke(ctx context.Context, maker func(*server, context.Context) func(int) (operation, error)) (speed, error) {
	s, end, err := b.fresh(ctx)
	if err != nil {
		return speed{}, err
	}
	rest, err := s.work(ctx, waiters, func(context.Context, *errand.Attempt) (string, error) { return "done", nil })
	if err != nil {
		return speed{}, errors.Join(err, end())
	}
	got, err := b.speed(ctx, waiters, subject{maker: maker(s, ctx), server: s})
	return got, errors.Join(err, rest(), end())
}

func (s *server) invoker(ctx context.Context) func(int) (operation, error) {
	body := []byte(`{"input":{"text":"` + prompt() + `"}}`)
	return func(int) (operation, error) {
		c, err := s.dial(ctx)
		return func() error {
			_, err := c.post("/v1/agents/"+agentID+"/invoke", body)
			return err
		}, err
	}
}

func (s *server) goInvoker(ctx context.Context) func(int) (operation, error) {
	client, err := s.client()
	return func(int) (operation, error) {
		return func() error {
			t, err := client.Agents.Invoke(ctx, agentID, errand.TaskRequest{Prompt: prompt()})
			if err == nil && t.Status != errand.Completed {
				err = fmt.Errorf("a task ended %s: %s", t.Status, t.Result)
			}
			return err
		}, err
	}
}
