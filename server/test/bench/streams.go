package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/errand-dev/errand"
)

// tokenEvery is the pace of a model that writes 50 tokens a second.
const tokenEvery = 20 * time.Millisecond

// client is a Go client of the server with connections of its own.
func (s *server) client() (*errand.Client, error) {
	return errand.NewClient(errand.WithURL("http://"+s.addr), errand.WithKey(key))
}

// work runs workers of the Go client, so many slots in all, until the answered
// function is called.
func (s *server) work(ctx context.Context, slots int, h errand.Handler) (end func() error, err error) {
	const most = 100 // of one worker
	working, stop := context.WithCancel(ctx)
	var group errgroup.Group
	end = func() error {
		stop()
		return group.Wait()
	}
	for ; slots > 0; slots -= most {
		client, err := s.client()
		if err != nil {
			return nil, errors.Join(err, end())
		}
		w := errand.NewWorker(client, errand.WorkerOptions{Slots: min(slots, most), Log: slog.New(slog.DiscardHandler)})
		w.Handle(agentID, h)
		group.Go(func() error { return w.Run(working) })
	}
	return end, nil
}

// token is a chunk that says when it was told.
func token() string { return strconv.FormatInt(time.Now().UnixNano(), 10) + " word " }

// tokens reads a stream. It tells of each token how long it was on its way, and
// begins with a call of started when the attempt has.
func (v *viewer) tokens(started func(), told func(took time.Duration)) error {
	lines := bufio.NewScanner(v.body)
	lines.Buffer(nil, 1<<20)
	for seen := 0; lines.Scan(); {
		now := time.Now()
		data, isData := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !isData {
			continue
		}
		if seen++; seen == eventsAtClaim {
			started()
		}
		if bytes.Contains(data, []byte(`"type":"attempt_lost"`)) { // the next one tells all tokens anew
			return fmt.Errorf("an attempt was lost after %d events: %s", seen, data)
		}
		if !bytes.Contains(data, []byte(`"type":"chunk"`)) {
			continue
		}
		_, text, _ := bytes.Cut(data, []byte(`"data":"`))
		at, _, _ := bytes.Cut(text, []byte(" "))
		nanos, err := strconv.ParseInt(string(at), 10, 64)
		if err != nil {
			return fmt.Errorf("a token that cannot be read: %s", data)
		}
		told(now.Sub(time.Unix(0, nanos)))
	}
	return lines.Err()
}

// firstChunk is how long it takes from an attempt's first chunk, told with the Go
// client, to its arrival in an open stream.
func (s *server) firstChunk(ctx context.Context, probes int) ([]time.Duration, error) {
	watched := make(chan struct{})
	end, err := s.work(ctx, 1, func(ctx context.Context, a *errand.Attempt) (string, error) {
		<-watched
		return "done", a.Chunk(ctx, token())
	})
	if err != nil {
		return nil, err
	}
	took := make([]time.Duration, 0, probes)
	for range probes {
		err = s.stream(ctx, func() { watched <- struct{}{} }, func(d time.Duration) { took = append(took, d) })
		if err != nil {
			break
		}
	}
	if err == nil && len(took) != probes {
		err = fmt.Errorf("%d first chunks were seen of %d", len(took), probes)
	}
	return took, errors.Join(err, end())
}

// stream creates a task and follows it to its end.
func (s *server) stream(ctx context.Context, started func(), told func(time.Duration)) error {
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // it is of no more use
	answer, err := c.post("/v1/tasks", createBody())
	if err != nil {
		return err
	}
	var t struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(answer, &t); err != nil {
		return err
	}
	v, err := s.view(ctx, t.ID)
	if err != nil {
		return err
	}
	defer v.Close() //nolint:errcheck // it is of no more use
	return v.tokens(started, told)
}

// streams lets many attempts tell 50 tokens a second each, and a viewer of each
// read them.
func streams(ctx context.Context, b *bench) error {
	s, end, err := b.fresh(ctx)
	if err != nil {
		return err
	}
	took, work, theirs, err := b.talk(ctx, s)
	if err := errors.Join(err, end()); err != nil {
		return err
	}
	b.report(figure{
		section: "Streams", name: fmt.Sprintf("%d attempts of 50 tokens/s, each with a viewer", b.talkers),
		value: milliseconds(quantile(took, 0.5)) + ", p99 " + milliseconds(quantile(took, 0.99)) + "; workers and viewers " + microseconds(theirs) + " each",
		work:  microseconds(work),
		bar:   "p99 300 ms", amount: quantile(took, 0.99).Seconds(), less: true, cost: work,
	})
	return nil
}

// talk returns how long each token was on its way, and what the server, and its
// workers and viewers together, compute for one.
func (b *bench) talk(ctx context.Context, s *server) (took []time.Duration, work, theirs time.Duration, err error) {
	all := make(chan struct{})
	tokens := int(b.talking / tokenEvery)
	end, err := s.work(ctx, b.talkers, func(ctx context.Context, a *errand.Attempt) (string, error) {
		<-all
		<-time.After(rand.N(tokenEvery)) // they are not in step
		pace := time.NewTicker(tokenEvery)
		defer pace.Stop()
		for range tokens {
			<-pace.C
			if err := a.Chunk(ctx, token()); err != nil {
				return "", err
			}
		}
		return "done", nil
	})
	if err != nil {
		return nil, 0, 0, err
	}
	var (
		mu      sync.Mutex
		waiting sync.WaitGroup
		group   errgroup.Group
	)
	waiting.Add(b.talkers)
	for range b.talkers {
		group.Go(func() error {
			mine := make([]time.Duration, 0, tokens)
			started := sync.OnceFunc(waiting.Done)
			defer started() // also when it never does
			err := s.stream(ctx, started, func(d time.Duration) { mine = append(mine, d) })
			if err == nil && len(mine) != tokens {
				err = fmt.Errorf("a viewer saw %d tokens of %d", len(mine), tokens)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			return err
		})
	}
	waiting.Wait()
	before, err1 := s.processor()
	own := ownProcessor()
	profiled := b.profile(ctx, s, "streams")
	close(all)
	err = group.Wait()
	theirs = ownProcessor() - own
	after, err2 := s.processor()
	each := time.Duration(max(1, len(took)))
	return took, (after - before) / each, theirs / each, errors.Join(err, err1, err2, profiled(), end())
}
