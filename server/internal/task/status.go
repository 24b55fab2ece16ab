package task

import (
	"encoding/json"
	"slices"
	"sync"
)

// Status is what a task shows to its readers (rules S1).
type Status string

// The statuses. The last four end a turn.
const (
	Pending   Status = "pending"
	Executing Status = "executing"
	Paused    Status = "paused"
	Completed Status = "completed"
	Failed    Status = "failed"
	Error     Status = "error"
	Stopped   Status = "stopped"
)

// Statuses lists every status, those of a running turn first.
func Statuses() []Status {
	return []Status{Pending, Executing, Paused, Completed, Failed, Error, Stopped}
}

// Valid reports whether s is one of the closed list.
func (s Status) Valid() bool { return slices.Contains(Statuses(), s) }

// Ends reports whether s is one of the four that end a turn.
func (s Status) Ends() bool {
	return s == Completed || s == Failed || s == Error || s == Stopped
}

// EndReason says why a turn ended (rules S2). The zero value means that it has not.
type EndReason string

// The end reasons.
const (
	EndCompleted      EndReason = "completed"
	EndFailed         EndReason = "failed"
	EndSchemaMismatch EndReason = "schema_mismatch"
	EndBudget         EndReason = "budget"
	EndWorkerError    EndReason = "worker_error"
	EndWorkerLost     EndReason = "worker_lost"
	EndTimeout        EndReason = "timeout"
	EndExpired        EndReason = "expired"
	EndStopped        EndReason = "stopped"
)

// EndReasons lists every end reason.
func EndReasons() []EndReason {
	return []EndReason{
		EndCompleted, EndFailed, EndSchemaMismatch, EndBudget, EndWorkerError,
		EndWorkerLost, EndTimeout, EndExpired, EndStopped,
	}
}

// Status is the status that a reason leads to. An unknown reason leads to none.
func (r EndReason) Status() Status {
	switch r {
	case EndCompleted:
		return Completed
	case EndFailed, EndSchemaMismatch, EndBudget:
		return Failed
	case EndWorkerError, EndWorkerLost, EndTimeout, EndExpired:
		return Error
	case EndStopped:
		return Stopped
	default:
		return ""
	}
}

// MarshalJSON writes null for the zero value.
func (r EndReason) MarshalJSON() ([]byte, error) {
	if r == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(r))
}

// PlainEnd is the reason that stands for an end status when the reporter gave no other.
func PlainEnd(s Status) EndReason {
	switch s {
	case Completed:
		return EndCompleted
	case Failed:
		return EndFailed
	case Error:
		return EndWorkerError
	case Stopped:
		return EndStopped
	case Pending, Executing, Paused:
		return ""
	default:
		return ""
	}
}

// action is what may move a turn from one status to another.
type action string

const (
	actStart   action = "start"   // an attempt, or a person, begins to execute
	actPause   action = "pause"   // no slot, no lease, until resumed
	actResume  action = "resume"  // paused, to be dispatched again
	actRejoin  action = "rejoin"  // paused, its unfenced attempt never stopped
	actWait    action = "wait"    // its attempt gives it up until something has come
	actWake    action = "wake"    // that has come, or its time has passed
	actRequeue action = "requeue" // the attempt was lost and another may follow
	actFinish  action = "finish"  // the attempt's own end
	actGiveUp  action = "give up" // the attempt was lost and none may follow
	actSettle  action = "settle"  // a person decides how it ended
	actStop    action = "stop"
	actExpire  action = "expire"
	actTimeout action = "time out"
	actBudget  action = "end" // its budget is used up
)

// move is one line of the table of legal transitions.
type move struct {
	do   action
	from []Status
	to   []Status
}

// moves is the whole lifecycle of a turn. Nothing else decides a status;
// docs/STATE_MACHINE.md shows this table and a test keeps the two equal.
var moves = sync.OnceValue(func() []move { //nolint:gochecknoglobals // a constant that has to be computed
	ends := []Status{Completed, Failed, Error}
	return []move{
		{actStart, []Status{Pending}, []Status{Executing}},
		{actPause, []Status{Pending, Executing}, []Status{Paused}},
		{actResume, []Status{Paused}, []Status{Pending}},
		{actRejoin, []Status{Paused}, []Status{Executing}},
		{actWait, []Status{Executing}, []Status{Paused}},
		{actWake, []Status{Paused}, []Status{Pending}},
		{actRequeue, []Status{Executing}, []Status{Pending}},
		{actFinish, []Status{Executing, Paused}, ends},
		{actGiveUp, []Status{Executing}, []Status{Error}},
		{actSettle, []Status{Pending, Executing, Paused}, ends},
		{actStop, []Status{Pending, Executing, Paused}, []Status{Stopped}},
		{actExpire, []Status{Pending}, []Status{Error}},
		{actTimeout, []Status{Executing}, []Status{Error}},
		{actBudget, []Status{Pending, Executing, Paused}, []Status{Failed}},
	}
})

// legal reports whether the table allows the move.
func legal(do action, from, to Status) bool {
	for _, m := range moves() {
		if m.do == do {
			return slices.Contains(m.from, from) && slices.Contains(m.to, to)
		}
	}
	return false
}
