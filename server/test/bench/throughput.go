package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// errDry ends a measurement because nothing is left to be done.
var errDry = errors.New("the queue is empty")

// operation is what one caller does again and again.
type operation func() error

// speed is how many operations a second get done, and how long the server
// computes for each.
type speed struct {
	rate float64
	work time.Duration
}

// speed loads a subject with so many callers.
func (b *bench) speed(ctx context.Context, callers int, s subject) (speed, error) {
	ops := make([]operation, callers)
	for i := range ops {
		var err error
		if ops[i], err = s.maker(i); err != nil {
			return speed{}, err
		}
	}
	before, err := s.server.processor()
	if err != nil {
		return speed{}, err
	}
	var done atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	begun := time.Now()
	end := begun.Add(b.lasting)
	for _, op := range ops {
		group.Go(func() error {
			for ctx.Err() == nil && time.Now().Before(end) {
				if err := op(); errors.Is(err, errDry) {
					return nil
				} else if err != nil {
					return err
				}
				done.Add(1)
			}
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return speed{}, err
	}
	took := time.Since(begun)
	after, err := s.server.processor()
	n := float64(max(done.Load(), 1))
	return speed{n / took.Seconds(), time.Duration(float64(after-before) / n)}, err
}

// subject is one side of a comparison, ready to be loaded.
type subject struct {
	maker  func(caller int) (operation, error)
	end    func() error
	server *server // of Errand's side
}

// compare measures the raw store loop and Errand in turn, with more and more
// callers. Each operation counts for so many.
func (b *bench) compare(ctx context.Context, section string, each int, bars map[int]string, raw, served func(context.Context, int) (subject, error)) error {
	for _, callers := range b.callers {
		var rates [2][]float64
		var works []time.Duration
		for range b.runs {
			for side, prepare := range []func(context.Context, int) (subject, error){raw, served} {
				if b.quiet && side == 0 { // two builds are compared with each other
					rates[side] = append(rates[side], 1)
					continue
				}
				s, err := prepare(ctx, callers)
				if err != nil {
					return err
				}
				profiled := b.profile(ctx, s.server, section)
				got, err := b.speed(ctx, callers, s)
				if err := errors.Join(err, profiled(), s.end()); err != nil {
					return err
				}
				rates[side] = append(rates[side], got.rate*float64(each))
				if s.server != nil {
					works = append(works, got.work)
				}
			}
		}
		ratios := make([]float64, b.runs)
		for i := range ratios {
			ratios[i] = rates[1][i] / rates[0][i]
		}
		b.report(figure{
			section: section, name: strconv.Itoa(callers) + " callers",
			value: perSecond(median(rates[1])), work: microseconds(quantile(works, 0.5)), raw: perSecond(median(rates[0])),
			ratio: strconv.FormatFloat(median(ratios), 'f', 2, 64), bar: bars[callers], amount: median(rates[1]),
			cost: quantile(works, 0.5),
		})
	}
	return nil
}

// prompt makes a task of about 1 KB.
func prompt() string { return strings.Repeat("Analyze the sales data, please. ", 16) }

func createBody() []byte {
	return []byte(`{"agent_id":"` + agentID + `","title":"bench","input":{"text":"` + prompt() + `"}}`)
}

// creates stores new tasks.
func creates(ctx context.Context, b *bench) error {
	record := string(createBody()) + strings.Repeat(" ", 400) // with what a server adds: 1 KB
	return b.compare(ctx, "Create", 1, map[int]string{64: "ratio 0.4"},
		func(ctx context.Context, _ int) (subject, error) {
			s, err := b.rawStore(ctx)
			var ids atomic.Int64
			return subject{func(int) (operation, error) {
				return func() error { return s.create("task-"+strconv.FormatInt(ids.Add(1), 10), record) }, nil
			}, s.close, nil}, err
		},
		func(ctx context.Context, _ int) (subject, error) {
			s, end, err := b.fresh(ctx)
			return subject{s.creator(ctx), end, s}, err
		})
}

func (s *server) creator(ctx context.Context) func(int) (operation, error) {
	body := createBody()
	return func(int) (operation, error) {
		c, err := s.dial(ctx)
		return func() error {
			_, err := c.post("/v1/tasks", body)
			return err
		}, err
	}
}

// fill creates n tasks.
func fill(ctx context.Context, n int, maker func(int) (operation, error)) error {
	group, ctx := errgroup.WithContext(ctx)
	var made atomic.Int64
	for i := range 64 {
		op, err := maker(i)
		if err != nil {
			return err
		}
		group.Go(func() error {
			for made.Add(1) <= int64(n) && ctx.Err() == nil {
				if err := op(); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return group.Wait()
}

// claims hands waiting tasks out, one at a time, and ends each.
func claims(ctx context.Context, b *bench) error {
	enough := func(callers int) int { return int(b.lasting.Seconds()*float64(1000*min(callers, 8))) + callers }
	return b.compare(ctx, "Claim and finish", 1, nil,
		func(ctx context.Context, callers int) (subject, error) {
			s, err := b.rawStore(ctx)
			if err != nil {
				return subject{}, err
			}
			var ids atomic.Int64
			err = fill(ctx, 3*enough(callers), func(int) (operation, error) {
				return func() error { return s.create("task-"+strconv.FormatInt(ids.Add(1), 10), prompt()) }, nil
			})
			return subject{func(int) (operation, error) {
				return func() error { return dryIfNoRows(s.claimAndFinish("done")) }, nil
			}, s.close, nil}, err
		},
		func(ctx context.Context, callers int) (subject, error) {
			s, end, err := b.fresh(ctx)
			if err != nil {
				return subject{}, err
			}
			err = fill(ctx, enough(callers), s.creator(ctx))
			return subject{func(caller int) (operation, error) {
				w, err := s.worker(ctx, "w-"+strconv.Itoa(caller), 1, 0)
				return func() error {
					got, err := w.claim()
					if err == nil && len(got) == 0 {
						return errDry
					}
					return errors.Join(err, w.finish(got))
				}, err
			}, end, s}, err
		})
}

// claim is what an answered claim says of a task.
type claim struct{ task, token string }

// worker takes tasks on one connection.
type worker struct {
	*conn
	ask []byte
}

func (s *server) worker(ctx context.Context, id string, slots int, wait float64) (*worker, error) {
	c, err := s.dial(ctx)
	return &worker{c, fmt.Appendf(nil, `{"agent_ids":[%q],"worker_id":%q,"slots":%d,"wait":%g}`, agentID, id, slots, wait)}, err
}

func (w *worker) claim() ([]claim, error) {
	answer, err := w.post("/v1/claim", w.ask)
	if err != nil {
		return nil, err
	}
	// Where the two stand is known: nothing in the tasks that this program makes
	// looks like them.
	var got []claim
	for {
		_, rest, ok := bytes.Cut(answer, []byte(`{"task":{"id":"`))
		if !ok {
			return got, nil
		}
		id, rest, _ := bytes.Cut(rest, []byte(`"`))
		_, rest, _ = bytes.Cut(rest, []byte(`"lease":{"token":"`))
		token, rest, ok := bytes.Cut(rest, []byte(`"`))
		if !ok {
			return nil, fmt.Errorf("a claim that cannot be read: %s", answer)
		}
		got, answer = append(got, claim{string(id), string(token)}), rest
	}
}

// finish ends the claimed tasks one after the other.
func (w *worker) finish(claims []claim) error {
	for _, c := range claims {
		body := []byte(`{"lease_token":"` + c.token + `","status":"completed","result":"done"}`)
		if _, err := w.post("/v1/tasks/"+c.task+"/finish", body); err != nil {
			return err
		}
	}
	return nil
}

// appends continues the logs of 100 running tasks, in turn.
func appends(ctx context.Context, b *bench) error {
	const tasks = 100
	text := strings.Repeat("word ", 25)
	for _, batch := range []int{1, 20} {
		err := b.compare(ctx, fmt.Sprintf("Append, %d a call", batch), batch, nil,
			func(ctx context.Context, _ int) (subject, error) {
				s, err := b.rawStore(ctx)
				if err != nil {
					return subject{}, err
				}
				for i := range tasks {
					if err := s.create("task-"+strconv.Itoa(i), prompt()); err != nil {
						return subject{}, err
					}
				}
				var turn atomic.Int64
				return subject{func(int) (operation, error) {
					return func() error {
						return s.append("task-"+strconv.FormatInt(turn.Add(1)%tasks, 10), batch, text)
					}, nil
				}, s.close, nil}, nil
			},
			func(ctx context.Context, _ int) (subject, error) {
				s, end, err := b.fresh(ctx)
				if err != nil {
					return subject{}, err
				}
				running, err := s.running(ctx, tasks)
				var turn atomic.Int64
				return subject{func(int) (operation, error) {
					c, err := s.dial(ctx)
					return func() error {
						t := running[turn.Add(1)%tasks]
						_, err := c.post("/v1/tasks/"+t.task+"/events", t.chunks(batch, text))
						return err
					}, err
				}, end, s}, err
			})
		if err != nil {
			return err
		}
	}
	return nil
}

// running creates tasks and claims them.
func (s *server) running(ctx context.Context, n int) ([]claim, error) {
	if err := fill(ctx, n, s.creator(ctx)); err != nil {
		return nil, err
	}
	w, err := s.worker(ctx, "runner", 100, 0)
	if err != nil {
		return nil, err
	}
	var all []claim
	for len(all) < n {
		got, err := w.claim()
		if err != nil || len(got) == 0 {
			return nil, errors.Join(fmt.Errorf("%d tasks were claimed in place of %d", len(all), n), err)
		}
		all = append(all, got...)
	}
	return all, nil
}

// chunks is the body that appends events to the task.
func (c claim) chunks(n int, text string) []byte {
	type event struct {
		Type string `json:"type"`
		Data string `json:"data"`
	}
	events := make([]event, n)
	for i := range events {
		events[i] = event{"chunk", text}
	}
	body, _ := json.Marshal(map[string]any{"lease_token": c.token, "events": events}) // texts always can be
	return body
}

// wholeWay brings tasks from their creation to their end, everything over HTTP:
// creators and workers at the same time, until all is done.
func wholeWay(ctx context.Context, b *bench) error {
	const workers, slots = 64, 16
	var rates []float64
	var works []time.Duration
	for range b.runs {
		got, err := b.throughAll(ctx, workers, slots)
		if err != nil {
			return err
		}
		rates, works = append(rates, got.rate), append(works, got.work)
	}
	b.report(figure{
		section: "Create to finish", name: fmt.Sprintf("64 creators, %d workers of %d slots", workers, slots),
		value: perSecond(median(rates)), work: microseconds(quantile(works, 0.5)), bar: "7,000/s", amount: median(rates),
		cost: quantile(works, 0.5),
	})
	return nil
}

func (b *bench) throughAll(ctx context.Context, workers, slots int) (got speed, err error) {
	s, end, err := b.fresh(ctx)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, end()) }()
	profiled := b.profile(ctx, s, "whole")
	defer func() { err = errors.Join(err, profiled()) }()
	group, ctx := errgroup.WithContext(ctx)
	var ended atomic.Int64
	before, err := s.processor()
	if err != nil {
		return got, err
	}
	begun := time.Now()
	for i := range workers {
		w, err := s.worker(ctx, "w-"+strconv.Itoa(i), slots, 0.2)
		if err != nil {
			return got, err
		}
		group.Go(func() error {
			for ended.Load() < int64(b.tasks) {
				claims, err := w.claim()
				if err != nil {
					return err
				}
				if err := w.finish(claims); err != nil {
					return err
				}
				if ended.Add(int64(len(claims))) >= int64(b.tasks) && len(claims) > 0 {
					got.rate = float64(b.tasks) / time.Since(begun).Seconds()
				}
			}
			return w.Close()
		})
	}
	group.Go(func() error { return fill(ctx, b.tasks, s.creator(ctx)) })
	if err := group.Wait(); err != nil {
		return got, err
	}
	after, err := s.processor()
	got.work = (after - before) / time.Duration(b.tasks)
	return got, err
}
