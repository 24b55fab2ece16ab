package task

import (
	"bytes"
	"encoding/json"
)

// SetPlan gives the turn another deep plan and tells its viewers, in one
// commit. It is a write like a pushed event (T6): too late, it is refused and
// noted, and it is the holder's.
type SetPlan struct {
	By   Writer          // shows no token
	Plan json.RawMessage // the whole plan, an object
	// ClientID is that of the plan_updated event, "" for none.
	ClientID string
}

func (c SetPlan) apply(d *draft) error {
	t := &d.t
	if err := t.mayPush(c.By); err != nil {
		return err
	}
	if !d.mayWrite(c.By) {
		d.late(t.unnamed(), "", nil)
		return nil
	}
	if bytes.Equal(c.Plan, t.state.DeepPlanning) {
		return nil
	}
	t.state.DeepPlanning = c.Plan
	d.logState(TaskUpdated, nil)
	d.add(Event{Type: PlanUpdated, Own: c.Plan, ClientID: c.ClientID, Author: d.author})
	return nil
}
