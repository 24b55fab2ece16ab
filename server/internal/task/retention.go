package task

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MinRetention is the least that ended tasks may be kept for by a rule: for so long are
// repeats of the request that made one answered (rules D1, H3).
const MinRetention = 24 * time.Hour

// Retained says how long some ended tasks are kept.
type Retained struct {
	// Agent and Status narrow which they are; "" is any.
	Agent  string
	Status Status
	// For is how long they stay after their end; 0 is until somebody deletes them.
	For time.Duration
}

// Retention are such rules. Without one, nothing is ever deleted unasked (rule D1).
type Retention []Retained

// ParseRetention reads rules as the command line has them: 30d, failed=90d, agent:A=7d,
// agent:A/failed=never. No two may be about the same tasks.
func ParseRetention(rules []string) (Retention, error) {
	var all Retention
	for _, text := range rules {
		one, err := parseRetained(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		for _, other := range all {
			if other.Agent == one.Agent && other.Status == one.Status {
				return nil, fmt.Errorf("%q: another rule is about the same tasks", text)
			}
		}
		all = append(all, one)
	}
	return all, nil
}

func parseRetained(text string) (r Retained, err error) {
	which, period, narrowed := strings.Cut(text, "=")
	if !narrowed {
		which, period = "", text
	}
	status := which
	if agent, ok := strings.CutPrefix(which, "agent:"); ok {
		if r.Agent, status, narrowed = strings.Cut(agent, "/"); r.Agent == "" {
			return r, errors.New("name an agent behind 'agent:', for example agent:A=7d")
		}
	}
	if r.Status = Status(status); narrowed && !r.Status.Ends() {
		return r, errors.New("write a period, or one for a status (completed, failed, error, stopped) or an agent, for example 30d, failed=90d or agent:A/failed=never")
	}
	if period == "never" {
		return r, nil
	}
	if days, ok := strings.CutSuffix(period, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return r, errors.New("write a period in days or hours, for example 30d or 36h, or never")
		}
		r.For = time.Duration(n) * 24 * time.Hour
	} else if r.For, err = time.ParseDuration(period); err != nil {
		return r, errors.New("write a period in days or hours, for example 30d or 36h, or never")
	}
	if r.For < MinRetention {
		return r, errors.New("must be at least 24h, for so long are repeats of a request answered")
	}
	return r, nil
}

// Of is how long ended tasks of an agent are kept, 0 for ever: what is said of the agent
// and the status, else of the agent, else of the status, else of all.
func (r Retention) Of(agent string, status Status) time.Duration {
	best, kept := -1, time.Duration(0)
	for _, x := range r {
		if x.Agent != "" && x.Agent != agent || x.Status != "" && x.Status != status {
			continue
		}
		weight := 0
		if x.Agent != "" {
			weight += 2
		}
		if x.Status != "" {
			weight++
		}
		if weight > best {
			best, kept = weight, x.For
		}
	}
	return kept
}

// Least is the shortest period of any rule, 0 if none ever deletes.
func (r Retention) Least() (least time.Duration) {
	for _, x := range r {
		if x.For > 0 && (least == 0 || x.For < least) {
			least = x.For
		}
	}
	return least
}
