package errand

import (
	"context"
	"iter"
	"time"
)

// Caps are what the tasks of one owner, group, agent or key may spend together in a day
// and in a month, of UTC.
type Caps struct {
	// Day and Month are nil for no limit.
	Day   *Allowance `json:"day,omitempty"`
	Month *Allowance `json:"month,omitempty"`
	// WarnAt is the part of a limit at which logs have a [BudgetWarning]; 0 is 0.8.
	WarnAt float64 `json:"warn_at,omitempty"`
	// AtLimit is what happens at a limit; "" is PauseAtLimit: tasks go on on the next day
	// or in the next month, or when the cap is raised.
	AtLimit AtLimit `json:"at_limit,omitempty"`
}

// Allowance is what may be spent; 0 is no limit.
type Allowance struct {
	// Tokens are a model's, those that it reads and writes.
	Tokens int64 `json:"tokens,omitempty"`
	// Cost is money, in the currency of the prices in the server's configuration.
	Cost float64 `json:"cost,omitempty"`
}

// CapOf says for what something was spent, and what a cap is of.
type CapOf string

// Each task counts for all of these.
const (
	CapOfAgent CapOf = "agent"
	CapOfGroup CapOf = "group"
	CapOfKey   CapOf = "key"   // that began the turn
	CapOfOwner CapOf = "owner" // key:ID or user:NAME
)

// ReachedCap is a cap that holds a task.
type ReachedCap struct {
	Of CapOf  `json:"of"`
	ID string `json:"id"`
	// Period is day or month, and Limit tokens or cost.
	Period string `json:"period"`
	Limit  string `json:"limit"`
	// Used and Most are as they were when it was reached.
	Used float64 `json:"used"`
	Most float64 `json:"most"`
	// Until is when the next day or month begins.
	Until time.Time `json:"until"`
}

// Usage is what was spent for one agent, group, key or owner.
type Usage struct {
	Of CapOf  `json:"of"`
	ID string `json:"id"`
	// Day and Month are those in which the wanted moment is.
	Day   PeriodUsage `json:"day"`
	Month PeriodUsage `json:"month"`
}

// PeriodUsage is what was spent in a day or a month.
type PeriodUsage struct {
	From   time.Time `json:"from"`
	Until  time.Time `json:"until"`
	Tokens int64     `json:"tokens"`
	Cost   float64   `json:"cost"`
	// Cap is what may be spent, nil for no cap.
	Cap *CapInForce `json:"cap"`
}

// CapInForce is a cap as it is now.
type CapInForce struct {
	// Tokens and Cost are its limits; 0 is none.
	Tokens  int64   `json:"tokens"`
	Cost    float64 `json:"cost"`
	WarnAt  float64 `json:"warn_at"`
	AtLimit AtLimit `json:"at_limit"`
	// Over names the limits that are reached.
	Over []string `json:"over"`
}

// UsageQuery narrows a list of usage; the zero value does not.
type UsageQuery struct {
	Of CapOf
	// ID needs Of; the one that it names is there although nothing was spent.
	ID string
	// At is a moment in the day and the month that are wanted; now if it is zero.
	At time.Time
}

// Usage yields what was spent in a day and a month, beside the caps, sorted by Of and ID:
// of those for whom something was spent in the month. A key that does not see all gets
// what counts for itself, for its owner and, if it sees its group, for that. An error is
// yielded last.
func (c *Client) Usage(ctx context.Context, q UsageQuery) iter.Seq2[Usage, error] {
	parameters := map[string]string{"of": string(q.Of), "id": q.ID, "at": ""}
	if !q.At.IsZero() {
		parameters["at"] = q.At.UTC().Format(time.RFC3339Nano)
	}
	return parts[Usage](ctx, c, "/v1/usage", parameters)
}
