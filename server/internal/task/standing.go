package task

// Standing says why a turn that has not ended is not executing, as far as the task
// itself tells; "" for any other. What is Queued, or waits for a Retry, may be handed
// out from ReadyAt on: what it waits for after that is a matter of its queue.
type Standing string

// The ways to stand. Those of a wait are its Cause.
const (
	StandsPaused     Standing = "paused"
	StandsHolderless Standing = "run_locally"
	StandsLocal      Standing = "assigned"
	StandsBehind     Standing = "earlier_attempt"
	StandsRetry      Standing = "retry"
	StandsQueued     Standing = "queued"
)

// Standing tells why the task is not executing.
func (t *Task) Standing() Standing {
	switch {
	case t.ended != "", t.state.Status != Pending && t.state.Status != Paused:
		return ""
	case t.Waits() && !t.Wait.Paused:
		return Standing(t.Wait.Cause)
	case t.Account != nil && t.Account.Exhausted:
		return Standing(ForBudget)
	case t.state.Status == Paused:
		return StandsPaused
	case t.Run.Live():
		return StandsLocal
	case t.Earlier != nil:
		return StandsBehind
	case t.Terms.RunLocally:
		return StandsHolderless
	case t.Again.Why != "":
		return StandsRetry
	default:
		return StandsQueued
	}
}

// Asks reports whether a person is asked something, and the next deadline, 0 for none.
func (t *Task) Asks() (asks bool, until Stamp) {
	return t.ended == "" && len(t.Open) > 0, t.nextDeadline()
}
