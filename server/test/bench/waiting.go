package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// paced is how many tasks a second come to those who wait.
const paced = 200

// waiting brings tasks at a steady rate, far below what the server can do, to many
// workers that wait for one each: what the server computes should not depend on how
// many they are.
func waiting(ctx context.Context, b *bench) error {
	for _, workers := range b.herds {
		var cores []float64
		var works, middle, high []time.Duration
		for range b.runs {
			c, work, took, err := b.steady(ctx, workers)
			if err != nil {
				return err
			}
			cores, works = append(cores, c), append(works, work)
			middle, high = append(middle, quantile(took, 0.5)), append(high, quantile(took, 0.99))
		}
		b.report(figure{
			section: "Waiting workers", name: fmt.Sprintf("%d tasks/s, %d workers wait", paced, workers), bar: "0.25 cores; p50 2.5 ms, p99 6",
			value:  fmt.Sprintf("%.2f cores, p50 %s, p99 %s", median(cores), milliseconds(quantile(middle, 0.5)), milliseconds(quantile(high, 0.5))),
			work:   microseconds(quantile(works, 0.5)),
			amount: median(cores), less: true, cost: quantile(works, 0.5),
		})
	}
	return nil
}

// steady returns how many cores the server is busy with, what it computes for each
// task, which says more where others use the machine, and how long each task took
// from its create to whoever had waited for it.
func (b *bench) steady(ctx context.Context, workers int) (cores float64, work time.Duration, took []time.Duration, err error) {
	s, end, err := b.fresh(ctx)
	if err != nil {
		return 0, 0, nil, err
	}
	var over atomic.Bool
	var group errgroup.Group
	defer func() {
		over.Store(true) // those who still wait are cut off
		err = errors.Join(err, end(), group.Wait())
	}()
	var mu sync.Mutex
	begun := map[string]time.Time{}
	for i := range workers {
		w, err := s.worker(ctx, "w-"+strconv.Itoa(i), 1, 60)
		if err != nil {
			return 0, 0, nil, err
		}
		group.Go(func() error {
			for {
				got, err := w.claim()
				at := time.Now()
				if over.Load() {
					return nil
				}
				if err != nil {
					return err
				}
				mu.Lock()
				for _, c := range got {
					took = append(took, at.Sub(begun[c.task]))
				}
				mu.Unlock()
				if err := w.finish(got); err != nil && !over.Load() {
					return err
				}
			}
		})
	}
	create, err := s.paced(ctx, func(id string) {
		mu.Lock()
		defer mu.Unlock()
		begun[id] = time.Now()
	})
	if err != nil {
		return 0, 0, nil, err
	}
	if err := create(b.lasting / 2); err != nil { // until everybody waits
		return 0, 0, nil, err
	}
	mu.Lock()
	took = nil
	mu.Unlock()
	before, err := s.processor()
	if err != nil {
		return 0, 0, nil, err
	}
	from := time.Now()
	profiled := b.profile(ctx, s, "waiting"+strconv.Itoa(workers))
	if err := errors.Join(create(2*b.lasting), profiled()); err != nil {
		return 0, 0, nil, err
	}
	after, err := s.processor()
	mu.Lock()
	defer mu.Unlock()
	work = after - before
	return work.Seconds() / time.Since(from).Seconds(), work / time.Duration(max(1, len(took))), append([]time.Duration{}, took...), err
}

// paced creates tasks at their rate, by as many connections as that takes.
func (s *server) paced(ctx context.Context, begin func(id string)) (func(time.Duration) error, error) {
	const hands = 8
	var conns [hands]*conn
	for i := range conns {
		var err error
		if conns[i], err = s.dial(ctx); err != nil {
			return nil, err
		}
	}
	n := 0
	return func(lasting time.Duration) error {
		var group errgroup.Group
		slots := make(chan *conn, hands)
		for _, c := range conns {
			slots <- c
		}
		tick := time.NewTicker(time.Second / paced)
		defer tick.Stop()
		for end := time.Now().Add(lasting); time.Now().Before(end) && ctx.Err() == nil; {
			<-tick.C
			c := <-slots
			id := "t-" + strconv.Itoa(n)
			n++
			group.Go(func() error {
				defer func() { slots <- c }()
				begin(id)
				_, err := c.post("/v1/tasks", bytes.Replace(createBody(), []byte("{"), []byte(`{"id":"`+id+`",`), 1))
				return err
			})
		}
		return errors.Join(group.Wait(), ctx.Err())
	}, nil
}
