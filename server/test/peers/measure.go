package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// figures are what one turn of a peer has come to, by row; what the peer cannot do is absent.
type figures map[row]float64

// A row of the table.
type row string

const (
	whole      row = "64 creators, create → finish"
	work       row = "processor time a task, then, of all programs"
	start50    row = "50 tasks/s, create → handler start, p50"
	start99    row = "50 tasks/s, create → handler start, p99"
	startCores row = "50 tasks/s, cores in use"
	invoke     row = "64 callers who wait for the result"
	word       row = "handler's first word → viewer, p50"
	idleMemory row = "memory, idle"
	fullMemory row = "memory, after 64 creators"
	idleCores  row = "cores in use, idle"
)

// paced is how many tasks a second a peer gets that has little to do.
const paced = 50

// turn measures a peer once, from its start to its end.
func turn(ctx context.Context, k kind, o options) (got figures, err error) {
	s := &site{errand: o.errand, program: o.program}
	if s.dir, err = os.MkdirTemp(o.dir, "peer-"); err != nil {
		return nil, err
	}
	t := &measurement{peer: k.make(), site: s, figures: figures{}, began: map[string]time.Time{}}
	defer func() {
		err = errors.Join(err, t.stop())
		if s.drop != nil {
			err = errors.Join(err, s.drop())
		}
		err = errors.Join(err, os.RemoveAll(s.dir))
	}()
	if err := t.start(ctx, s, t.begun); err != nil {
		return nil, err
	}
	for _, measure := range []func(context.Context, time.Duration) error{t.rest, t.starts, t.throughput, t.invocations, t.words} {
		if err := measure(ctx, o.lasting); err != nil {
			return nil, err
		}
	}
	return t.figures, nil
}

// measurement is a turn as it goes on.
type measurement struct {
	peer
	site    *site
	figures figures
	last    atomic.Int64 // number of the last task

	mu    sync.Mutex
	began map[string]time.Time // creates, by the task's id
	took  []time.Duration      // from there to handlers
}

func (t *measurement) next() string { return "t" + strconv.FormatInt(t.last.Add(1), 10) }

// begun is what handlers call.
func (t *measurement) begun(id string) {
	at := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if began, ok := t.began[id]; ok {
		t.took = append(t.took, at.Sub(began))
	}
}

// rest is what the peer costs when nobody wants anything of it.
func (t *measurement) rest(_ context.Context, lasting time.Duration) (err error) {
	<-time.After(time.Second) // what its start has begun is over
	before, begin := t.site.processor(), time.Now()
	<-time.After(lasting)
	t.figures[idleCores] = (t.site.processor() - before).Seconds() / time.Since(begin).Seconds()
	t.figures[idleMemory], err = t.site.memory()
	return err
}

// starts creates tasks at a steady rate.
func (t *measurement) starts(ctx context.Context, lasting time.Duration) error {
	tick := time.NewTicker(time.Second / paced)
	defer tick.Stop()
	var group errgroup.Group
	before, begin := t.site.processor(), time.Now()
	for end := begin.Add(lasting); time.Now().Before(end); <-tick.C {
		id := t.next()
		t.mu.Lock()
		t.began[id] = time.Now()
		t.mu.Unlock()
		group.Go(func() error { return t.create(ctx, id) })
	}
	if err := errors.Join(group.Wait(), t.settled(ctx)); err != nil {
		return err
	}
	t.figures[startCores] = (t.site.processor() - before).Seconds() / time.Since(begin).Seconds()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.took) != len(t.began) {
		return fmt.Errorf("%d of %d tasks reached a handler", len(t.took), len(t.began))
	}
	t.figures[start50], t.figures[start99] = quantile(t.took, 0.5), quantile(t.took, 0.99)
	t.began = nil
	return nil
}

// settled waits until all tasks are finished.
func (t *measurement) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		idle, err := t.idle(ctx)
		if err != nil || idle {
			return err
		}
		<-time.After(5 * time.Millisecond)
	}
}

// callers is how many create, or wait, at a time.
const callers = 64

// throughput counts the tasks that many creators get done, from the first create to
// the last finish.
func (t *measurement) throughput(ctx context.Context, lasting time.Duration) (err error) {
	before, first, begin := t.site.processor(), t.last.Load(), time.Now()
	if err := t.together(lasting, func(id string) error { return t.create(ctx, id) }); err != nil {
		return err
	}
	if err := t.settled(ctx); err != nil {
		return err
	}
	done := float64(t.last.Load() - first)
	t.figures[whole] = done / time.Since(begin).Seconds()
	t.figures[work] = (t.site.processor() - before).Seconds() / done
	t.figures[fullMemory], err = t.site.memory()
	return err
}

// together is what many do at a time, each again and again.
func (t *measurement) together(lasting time.Duration, do func(id string) error) error {
	var group errgroup.Group
	end := time.Now().Add(lasting)
	for range callers {
		group.Go(func() error {
			for time.Now().Before(end) {
				if err := do(t.next()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func (t *measurement) invocations(ctx context.Context, lasting time.Duration) error {
	p, can := t.peer.(invoker)
	if !can {
		return nil
	}
	first, begin := t.last.Load(), time.Now()
	err := t.together(lasting, func(id string) error { return p.invoke(ctx, id) })
	t.figures[invoke] = float64(t.last.Load()-first) / time.Since(begin).Seconds()
	return err
}

func (t *measurement) words(ctx context.Context, lasting time.Duration) error {
	p, can := t.peer.(streamer)
	if !can {
		return nil
	}
	var took []time.Duration
	for end := time.Now().Add(lasting / 2); time.Now().Before(end); {
		one, err := p.firstWord(ctx, t.next())
		if err != nil {
			return err
		}
		took = append(took, one)
	}
	t.figures[word] = quantile(took, 0.5)
	return nil
}

// quantile of durations of any order, in seconds.
func quantile(of []time.Duration, q float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Seconds()
}
