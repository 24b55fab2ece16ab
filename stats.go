package errand

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// StatsQuery says which time Stats is about; the zero value is the last hour, by minutes.
type StatsQuery struct {
	// From and To are the time's ends: an hour before To, and now, when they are zero.
	From, To time.Time
	// Step is how long the parts are: whole minutes for the last 6 hours, quarters of an hour
	// for 3 days, hours for 32 days, days for 400; a minute when it is zero.
	Step time.Duration
	// AgentID leaves out all other agents.
	AgentID string
	// ByModel sums up by models, and not by agents.
	ByModel bool
}

// Stats is what happened to tasks in a time.
type Stats struct {
	// From and To are its ends, and Step is how long each step is, in seconds.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	Step int       `json:"step"`
	// Steps follow one another; Total is all of them together.
	Steps []StatsStep `json:"steps"`
	Total StatsCounts `json:"total"`
	// By is the same for each agent or model: of a model what was spent. ID is "" for what
	// counts for no model.
	By []StatsOf `json:"by"`
}

// StatsStep is what happened in a step.
type StatsStep struct {
	At time.Time `json:"at"`
	// Waiting is how many tasks were pending at its end, or are now; nil of one that is to
	// come.
	Waiting *int64 `json:"waiting"`
	StatsCounts
}

// StatsOf is what happened to the tasks of an agent or a model.
type StatsOf struct {
	ID string `json:"id"`
	StatsCounts
}

// StatsCounts are what was counted of turns: of tasks, and of what follows them up.
type StatsCounts struct {
	// Created is how many have begun, and Ended how many have ended for which reason.
	Created int64               `json:"created"`
	Ended   map[EndReason]int64 `json:"ended"`
	Tokens  int64               `json:"tokens"`
	Cost    float64             `json:"cost"`
	// StartWait is how long those that have started were ready before, and Run how long
	// those that have ended took from their start.
	StartWait StatsSpread `json:"start_wait"`
	Run       StatsSpread `json:"run"`
}

// StatsSpread says how long something took: in about how many seconds half of it, 95 %
// and 99 %.
type StatsSpread struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
}

// Stats reads what happened to tasks: all of them, or for a key that does not see all those
// of its owner or its group. It was counted as it happened, and stays when tasks are deleted.
func (c *Client) Stats(ctx context.Context, q StatsQuery) (*Stats, error) {
	v := url.Values{}
	for name, at := range map[string]time.Time{"from": q.From, "to": q.To} {
		if !at.IsZero() {
			v.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	if q.Step != 0 {
		v.Set("step", strconv.Itoa(int(q.Step.Seconds())))
	}
	if q.AgentID != "" {
		v.Set("agent_id", q.AgentID)
	}
	if q.ByModel {
		v.Set("by", "model")
	}
	var found Stats
	if err := c.call(ctx, request{method: http.MethodGet, path: "/v1/stats", query: v, repeat: true}, &found); err != nil {
		return nil, err
	}
	return &found, nil
}
