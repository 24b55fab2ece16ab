package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// attackers is how many callers send what is refused.
const attackers = 4

// attacks creates tasks, alone and beside callers whose writes are refused: they
// change an executing task in a way that only a pending one can be changed in.
func attacks(ctx context.Context, b *bench) error {
	var alone, beside, ratios []float64
	for range b.runs {
		s, end, err := b.fresh(ctx)
		if err != nil {
			return err
		}
		quiet, attacked, err := b.attack(ctx, s)
		if err := errors.Join(err, end()); err != nil {
			return err
		}
		alone, beside, ratios = append(alone, quiet), append(beside, attacked), append(ratios, attacked/quiet)
	}
	b.report(figure{
		section: "Beside refusals", name: "32 creators, 4 callers who are refused", value: perSecond(median(beside)),
		raw: perSecond(median(alone)) + " undisturbed", ratio: strconv.FormatFloat(median(ratios), 'f', 2, 64), bar: "ratio 0.9", amount: median(beside),
	})
	return nil
}

// attack measures the creators before and during the attack.
func (b *bench) attack(ctx context.Context, s *server) (quiet, attacked float64, err error) {
	const creators = 32
	victim, err := s.running(ctx, 1)
	if err != nil {
		return 0, 0, err
	}
	creating := subject{maker: s.creator(ctx), server: s}
	before, err := b.speed(ctx, creators, creating)
	if err != nil {
		return 0, 0, err
	}
	over, stop := context.WithCancel(ctx)
	defer stop()
	var refused atomic.Int64
	var group errgroup.Group
	for range attackers {
		c, err := s.dial(ctx)
		if err != nil {
			return 0, 0, err
		}
		group.Go(func() error {
			for over.Err() == nil {
				_, err := c.call(http.MethodPatch, "/v1/tasks/"+victim[0].task, []byte(`{"payload_extension":{"a":1},"priority":5}`))
				if err == nil {
					return errors.New("what should be refused was not")
				}
				refused.Add(1)
			}
			return nil
		})
	}
	during, err := b.speed(ctx, creators, creating)
	stop()
	err = errors.Join(err, group.Wait())
	if err == nil && refused.Load() == 0 {
		err = errors.New("nobody was refused")
	}
	return before.rate, during.rate, err
}
