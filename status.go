package errand

import (
	"encoding/json"
	"slices"
)

// Status is what a task shows: one of a closed list.
type Status string

// The statuses. The last four end a task's turn.
const (
	// Pending: it waits; Task.Waiting says for what.
	Pending Status = "pending"
	// Executing: a worker, or somebody, is at work on it.
	Executing Status = "executing"
	// Paused: nothing happens until it is resumed.
	Paused Status = "paused"
	// Completed: it was done.
	Completed Status = "completed"
	// Failed: the agent could not do it.
	Failed Status = "failed"
	// Errored: the platform or the worker could not do it.
	Errored Status = "error"
	// Stopped: somebody wanted no more of it.
	Stopped Status = "stopped"
)

// Statuses lists every status, those that end a turn last.
func Statuses() []Status {
	return []Status{Pending, Executing, Paused, Completed, Failed, Errored, Stopped}
}

// Valid reports whether s is one of the list. A newer server may know others.
func (s Status) Valid() bool { return slices.Contains(Statuses(), s) }

// Ends reports whether s is one of the four that end a turn.
func (s Status) Ends() bool {
	return s == Completed || s == Failed || s == Errored || s == Stopped
}

// ResultCheck is how a result follows the schema that its task asks for.
type ResultCheck struct {
	State CheckState `json:"state"`
	// Rounds is how often a result was sent back to be repaired in this turn.
	Rounds int `json:"rounds"`
	// Errors says what does not follow: at most 10 lines, each of at most 300 bytes.
	Errors []string `json:"errors"`
}

// CheckState is the verdict of a ResultCheck.
type CheckState string

// The verdicts.
const (
	CheckValid    CheckState = "valid"
	CheckRepaired CheckState = "repaired" // valid, after at least one round
	CheckInvalid  CheckState = "invalid"
)

// EndReason says why a turn ended: one of a closed list, "" while it has not.
type EndReason string

// The reasons. The first leads to Completed, the next three to Failed, the next
// four to Errored, the last to Stopped.
const (
	// EndCompleted: the agent says that it is done.
	EndCompleted EndReason = "completed"
	// EndFailed: the agent says that it cannot do it.
	EndFailed EndReason = "failed"
	// EndSchemaMismatch: the result is not what the output schema asks for.
	EndSchemaMismatch EndReason = "schema_mismatch"
	// EndBudget: what it may cost was spent.
	EndBudget EndReason = "budget"
	// EndWorkerError: the worker met an error that is not the agent's.
	EndWorkerError EndReason = "worker_error"
	// EndWorkerLost: the worker was not heard of again, and no other attempt may follow.
	EndWorkerLost EndReason = "worker_lost"
	// EndTimeout: it executed for longer than its Timeout.
	EndTimeout EndReason = "timeout"
	// EndExpired: it waited for longer than its ExpiresIn.
	EndExpired EndReason = "expired"
	// EndStopped: somebody stopped it.
	EndStopped EndReason = "stopped"
)

// EndReasons lists every reason.
func EndReasons() []EndReason {
	return []EndReason{
		EndCompleted, EndFailed, EndSchemaMismatch, EndBudget, EndWorkerError,
		EndWorkerLost, EndTimeout, EndExpired, EndStopped,
	}
}

// Status is the status that a reason leads to, "" if the reason is not one of
// the list.
func (r EndReason) Status() Status {
	switch r {
	case EndCompleted:
		return Completed
	case EndFailed, EndSchemaMismatch, EndBudget:
		return Failed
	case EndWorkerError, EndWorkerLost, EndTimeout, EndExpired:
		return Errored
	case EndStopped:
		return Stopped
	default:
		return ""
	}
}

// MarshalJSON writes null for "", as the server does.
func (r EndReason) MarshalJSON() ([]byte, error) {
	if r == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(r))
}
