package errand

// Budget is what a task and all tasks below it may use: sub-tasks spend from the budget
// of the task above them that has one. What is 0, or nil, has no limit.
type Budget struct {
	// Tokens are a model's, those that it reads and writes.
	Tokens int64 `json:"tokens,omitempty"`
	// Cost is money, in the currency of the prices in the server's configuration.
	Cost      float64 `json:"cost,omitempty"`
	ToolCalls int64   `json:"tool_calls,omitempty"`
	Steps     int64   `json:"steps,omitempty"`
	// Seconds are those of executing, added up over the task and all below it.
	Seconds float64 `json:"seconds,omitempty"`
	// Subtasks is how many tasks may be created below it, Depth how far below; 0 allows
	// none.
	Subtasks *int64 `json:"subtasks,omitempty"`
	Depth    *int64 `json:"depth,omitempty"`
	// WarnAt is the part of a limit at which the log has a [BudgetWarning]; 0 is 0.8.
	WarnAt float64 `json:"warn_at,omitempty"`
	// AtLimit is what happens at a limit; "" is PauseAtLimit.
	AtLimit AtLimit `json:"at_limit,omitempty"`
}

// AtLimit says what a limit of a [Budget] does that is reached.
type AtLimit string

// What it may do.
const (
	// PauseAtLimit: the task and all below it are paused, and go on when
	// TaskUpdate.Budget raises the limit.
	PauseAtLimit AtLimit = "pause"
	// EndAtLimit: they end with the reason EndBudget.
	EndAtLimit AtLimit = "end"
)

// Spent is what was used of a budget.
type Spent struct {
	// TaskID is the task whose budget it is. Of that one all that was spent below it is
	// told, too; of a sub-task what it has spent itself.
	TaskID    string  `json:"task_id"`
	Tokens    int64   `json:"tokens"`
	Cost      float64 `json:"cost"`
	ToolCalls int64   `json:"tool_calls"`
	Steps     int64   `json:"steps"`
	// Seconds are counted when the task ceases to execute, and now and then before if
	// they are limited.
	Seconds  float64 `json:"seconds"`
	Subtasks int64   `json:"subtasks"`
	// Over names the limits that are reached.
	Over []string `json:"over"`
}
