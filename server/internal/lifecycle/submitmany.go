package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
)

const (
	// MaxSubmissions is how many tasks one SubmitMany may create.
	MaxSubmissions = 1000
	// submitStep is how many of them one commit creates, unless it has to be all:
	// few enough that others get their turn at the writer in between.
	submitStep = 50
)

// Submitted is what became of one submission of many.
type Submitted struct {
	Begun
	// Refused is why there is no such task; nil if there is.
	Refused error
}

// SubmitMany is Submit for many tasks, which begin in their order. Each is accepted
// or refused for itself; it commits in steps, and what an error finds done stays
// done. With all, one commit holds them all, and the first refusal is that of the
// whole: nothing is stored then, and its field names the task. The answers are in
// the order of the submissions.
func (s *Service) SubmitMany(ctx context.Context, who Caller, subs []Submission, all bool) ([]Submitted, error) {
	done := make([]Submitted, len(subs))
	ready := make([]prepared, len(subs))
	for i, sub := range subs {
		var err error
		ready[i], err = s.prepare(ctx, who, sub)
		if err != nil && (all || !Refusal(err)) {
			return nil, ofTask(i, err)
		}
		done[i].Refused = err
	}
	step := submitStep
	if all {
		step = max(1, len(subs))
	}
	for first := 0; first < len(subs); first += step {
		end := min(first+step, len(subs))
		if err := s.submitStep(ctx, who, ready[first:end], done[first:end], all); err != nil {
			return nil, err
		}
	}
	return done, nil
}

// submitStep writes submissions in one commit, but for those that were refused.
func (s *Service) submitStep(ctx context.Context, who Caller, ready []prepared, done []Submitted, all bool) error {
	var about []Key
	for _, p := range ready {
		about = append(about, p.about...)
	}
	before := slices.Clone(done)
	return s.write(ctx, who.By, about, func(tx writing) error {
		copy(done, before) // it may be run again
		for i, p := range ready {
			if done[i].Refused != nil {
				continue
			}
			begun, err := s.begin(tx, p)
			if err != nil && (all || !Refusal(err)) {
				return ofTask(i, err)
			}
			done[i] = Submitted{begun, err}
		}
		return nil
	})
}

// ofTask says of which of many tasks a refusal is.
func ofTask(i int, err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || !Refusal(err) {
		return err
	}
	of := *f
	of.Field = strings.TrimSuffix(fmt.Sprintf("tasks[%d].%s", i, f.Field), ".")
	return &of
}

// Refusal reports whether an error is about what was asked for, not about whether
// the server can do anything at the moment.
func Refusal(err error) bool {
	return err != nil && !slices.Contains([]fault.Code{fault.Internal, fault.Unavailable}, fault.CodeOf(err))
}
