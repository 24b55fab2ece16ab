package lifecycle

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// Beat is the answer to a heartbeat.
type Beat struct {
	Do task.Directive
	// Until is when the lease ends without another write or heartbeat.
	Until task.Stamp
	Lease time.Duration
}

// Heartbeat renews a lease and tells the worker whether to go on (rules L2,
// X2). A superseded attempt gets a Conflict.
func (s *Service) Heartbeat(ctx context.Context, org, id, token string) (Beat, error) {
	return s.HeartbeatWith(ctx, org, id, token, nil)
}

// HeartbeatWith is a Heartbeat that also sets fields of task.State, in the same
// commit, while its attempt is to go on. They are made to fit (S5).
func (s *Service) HeartbeatWith(ctx context.Context, org, id, token string, side json.RawMessage) (Beat, error) {
	if err := invalidToken(token); err != nil {
		return Beat{}, err
	}
	side, adjusted := storableSide(side)
	var beat Beat
	_, err := s.change(ctx, s.self(org), id, func(tx writing, t task.Task) (task.Command, error) {
		by, err := fenced(tx, t, token)
		if err != nil {
			return nil, err
		}
		if beat.Do, err = t.Directive(by.Attempt); err != nil && (by.Attempt == nil || len(side) == 0) {
			return nil, err
		}
		beat.Lease = by.Attempt.Lease
		beat.Until = tx.Now().Add(beat.Lease)
		return task.Renew{By: by, Side: side, Adjusted: adjusted}, nil
	})
	return beat, err
}

// Progress sets an attempt's internal status; one that is too long is cut (S5).
func (s *Service) Progress(ctx context.Context, org, id, token, status string) error {
	if err := invalidToken(token); err != nil {
		return err
	}
	side, err := json.Marshal(map[string]string{"internal_status": status})
	if err != nil {
		return err
	}
	side, adjusted := storableSide(side)
	_, err = s.change(ctx, s.self(org), id, func(tx writing, t task.Task) (task.Command, error) {
		by, err := fenced(tx, t, token)
		return task.Edit{By: by, Side: side, Adjusted: adjusted}, err
	})
	return err
}

// NewEvent is an event that a worker or pusher wants in the log.
type NewEvent struct {
	Type     string
	Data     json.RawMessage
	ClientID string
}

// ChunkOf makes a chunk event of a piece of text.
func ChunkOf(text string) (NewEvent, error) {
	data, err := json.Marshal(text)
	if err != nil {
		return NewEvent{}, fmt.Errorf("encode chunk: %w", err)
	}
	return NewEvent{Type: string(task.Chunk), Data: data}, nil
}

// unfenced is the caller as one who shows no token. A worker's or an admin's key
// counts as the holder where no token exists, and so does the owner of a task that
// its creator executes itself (T6, L8).
func (c Caller) unfenced(t task.Task) task.Writer {
	return task.Writer{Stands: c.Worker || t.Terms.RunLocally && t.Owner == c.Owner}
}

// maxReason is how many bytes are kept of why an attempt was given back.
const maxReason = 4 << 10

// MaxBatch bounds how many events one append may carry.
const MaxBatch = 1000

// Append continues a task's log and returns the numbers of the events, in
// order; one whose client_id is there already keeps its first number (T6).
// Without a token it is a push: what executes the task is written by its holder
// only, and others may write an agent_message.
func (s *Service) Append(ctx context.Context, who Caller, id, token string, events []NewEvent) ([]int64, error) {
	if len(events) == 0 || len(events) > MaxBatch {
		return nil, fault.Field("events", "must be 1 to %d events", MaxBatch)
	}
	if token != "" { // under a lease nothing is refused for a text in it (S5)
		events = mended(events)
	}
	if err := checkEvents(events); err != nil {
		return nil, err
	}
	var seqs []int64
	_, err := s.change(Long(ctx, weight(events)), who, id, func(tx writing, t task.Task) (task.Command, error) {
		c, given := task.Append{By: who.unfenced(t)}, events
		var err error
		if token != "" {
			c.By, err = fenced(tx, t, token)
		} else {
			given, err = nameCalls(tx, t, events)
		}
		if err != nil {
			return nil, err
		}
		seqs, c.Events, err = number(tx, t, given)
		return c, err
	})
	return seqs, err
}

const (
	// besideEvents is how many rows an append writes of its task, its attempt and the feed.
	besideEvents = 3
	// asOneRow is how many events that continue one another cost about as much as a row.
	asOneRow = 16
)

// weight is about how many rows a store writes for an append.
func weight(events []NewEvent) int {
	rows := besideEvents + len(events)/asOneRow
	for i, e := range events {
		if i == 0 || !e.event().Continues(events[i-1].event()) {
			rows++
		}
	}
	return rows
}

// event is what a log has of it.
func (e NewEvent) event() task.Event {
	return task.Event{Type: task.Type(e.Type), Own: e.Data, ClientID: e.ClientID}
}

func mended(events []NewEvent) []NewEvent {
	fit := slices.Clone(events)
	for i := range fit {
		fit[i].Data = Mend(fit[i].Data)
	}
	return fit
}

// number finds out which events are new and what number each will have.
func number(tx Tx, t task.Task, events []NewEvent) ([]int64, []task.Event, error) {
	var names []string
	for _, e := range events {
		if e.ClientID != "" {
			names = append(names, e.ClientID)
		}
	}
	known := map[string]int64{}
	if len(names) > 0 {
		stored, err := tx.SeqsOfClients(t.OrganizationID, t.ID, t.Terms.Turn, names)
		if err != nil {
			return nil, nil, err
		}
		maps.Copy(known, stored)
	}
	fresh := make([]task.Event, 0, len(events))
	seqs := make([]int64, len(events))
	for i, e := range events {
		if seq := known[e.ClientID]; seq != 0 {
			seqs[i] = seq
			continue
		}
		fresh = append(fresh, e.event())
		seqs[i] = t.LastSeq + int64(len(fresh))
		if e.ClientID != "" {
			known[e.ClientID] = seqs[i]
		}
	}
	return seqs, fresh, nil
}

// seqOf is the number of the event of the present turn that first carried a
// client_id, 0 for none.
func seqOf(tx Tx, t task.Task, clientID string) (int64, error) {
	known, err := tx.SeqsOfClients(t.OrganizationID, t.ID, t.Terms.Turn, []string{clientID})
	return known[clientID], err
}

func checkEvents(events []NewEvent) error {
	for i, e := range events {
		if err := checkEvent(fmt.Sprintf("events[%d]", i), e); err != nil {
			return err
		}
	}
	return nil
}

func checkEvent(field string, e NewEvent) error {
	switch {
	case !task.Type(e.Type).Valid():
		return fault.Field(field+".type", "unknown event type %q", e.Type)
	case !task.Type(e.Type).Writable():
		return fault.Field(field+".type", "%s is written by the server only", e.Type)
	case len(e.Data) > task.MaxEvent:
		return &fault.Error{Code: fault.TooLarge, Field: field + ".data", Message: fmt.Sprintf("must not exceed %d bytes", task.MaxEvent)}
	case len(e.Data) == 0 || !json.Valid(e.Data):
		return fault.Field(field+".data", "must be JSON (null is allowed)")
	case len(e.ClientID) > task.MaxID:
		return fault.Field(field+".client_id", "must not exceed %d bytes", task.MaxID)
	case e.Type == string(task.Chunk) && !bytes.HasPrefix(e.Data, []byte(`"`)):
		return fault.Field(field+".data", "the data of a chunk is text")
	}
	return nil
}

// Outcome is how a fenced worker ended its attempt.
type Outcome struct {
	Reason task.EndReason
	Result *string
	Side   json.RawMessage // tokens, used_tools, duration and other fields of task.State
	// Adjusted names fields that had to be changed before they came here.
	Adjusted []string
	// Open are calls of the caller's tools, whose results the next turn brings (T10).
	Open []task.OpenCall
	// Retry lets another attempt follow if the reason is no success, and if one may
	// (L4). Delay is how long none may begin, nil for the backoff of lost attempts.
	Retry bool
	Delay *time.Duration
	// Repair lets the attempt go on if its result does not follow the task's schema,
	// as often as its agent says: the end is refused then, and says why (S8).
	Repair bool
}

// GivenBack is how a worker gives an attempt back.
type GivenBack struct {
	// Reason says for a person why, "" for that its worker shuts down.
	Reason string
	// Delay is how long no other attempt may begin: at most task.MaxDelay.
	Delay time.Duration
	// Side is what the attempt tells of itself: fields of task.State.
	Side json.RawMessage
}

// FitDelay reads a delay in seconds as JSON, nil for none. What is out of bounds is
// cut to them and what is no number left out, which adjusted tells (S5).
func FitDelay(raw json.RawMessage) (delay *time.Duration, adjusted bool) {
	if isNull(raw) {
		return nil, false
	}
	var given float64
	if json.Unmarshal(raw, &given) != nil {
		return nil, true
	}
	fits := min(max(given, 0), task.MaxDelay.Seconds())
	d := time.Duration(fits * float64(time.Second))
	return &d, fits != given
}

// End is an attempt's end as its worker reports it.
type End struct {
	Task  string // its id
	Token string // of the attempt's lease
	Outcome
}

// Finish ends an attempt and its turn, or acknowledges a stop (X2). Repeating
// it with the same outcome is answered like the first time.
func (s *Service) Finish(ctx context.Context, org, id, token string, o Outcome) (Snapshot, error) {
	e := End{id, token, o}
	if err := e.check(); err != nil {
		return Snapshot{}, err
	}
	ctx = context.WithoutCancel(ctx) // an end that has arrived counts, though its sender may be gone: it would be run again
	return s.change(ctx, s.self(org), id, e.command)
}

// check refuses what no task is asked for.
func (e End) check() error {
	if err := invalidToken(e.Token); err != nil {
		return err
	}
	switch e.Reason {
	case task.EndCompleted, task.EndFailed, task.EndSchemaMismatch, task.EndBudget, task.EndWorkerError, task.EndStopped:
		return nil
	case task.EndWorkerLost, task.EndTimeout, task.EndExpired:
		return fault.Field("end_reason", "%s is the server's own reason", e.Reason)
	default:
		return fault.Field("end_reason", "unknown end reason %q", e.Reason)
	}
}

// command is what the end asks of its task.
func (e End) command(tx writing, t task.Task) (task.Command, error) {
	by, err := fenced(tx, t, e.Token)
	if err != nil {
		return nil, err
	}
	o, adjusted := storableOutcome(e.Outcome)
	repeats, err := repeated(tx, t, by.Attempt, o)
	if err != nil {
		return nil, err
	}
	retry := o.Retry && o.Reason != task.EndCompleted
	if !retry && o.Reason == task.EndWorkerError && by.Attempt.Live() {
		if retry, err = retriesErrors(tx, t); err != nil {
			return nil, err
		}
	}
	rounds := 0
	if o.Repair {
		if rounds, err = repairs(tx, t); err != nil {
			return nil, err
		}
	}
	return task.Finish{
		Repair: rounds, Retry: retry, Delay: o.Delay, By: by, Reason: o.Reason, Result: o.Result, Side: o.Side, Adjusted: adjusted, Repeats: repeats,
		Open: o.Open,
	}, nil
}

// Offer holds a result against the schema of its task before the attempt ends with it:
// it returns what does not follow, nil if all does, if none was asked for, or if results
// were sent back as often as they may be (S8).
func (s *Service) Offer(ctx context.Context, org, id, token, result string) (wrong []string, err error) {
	if err := invalidToken(token); err != nil {
		return nil, err
	}
	result = storableText(result)
	after, err := s.change(ctx, s.self(org), id, func(tx writing, t task.Task) (task.Command, error) {
		by, err := fenced(tx, t, token)
		if err != nil {
			return nil, err
		}
		rounds, err := repairs(tx, t)
		return task.Offer{By: by, Result: &result, Repair: rounds}, err
	})
	if fault.CodeOf(err) == fault.Invalid { // it was sent back
		return after.Task.State().ResultCheck.Errors, nil
	}
	return nil, err
}

// repairs is how often results of a turn may be sent back.
func repairs(tx Tx, t task.Task) (int, error) {
	if !t.Terms.Schema {
		return 0, nil
	}
	a, err := tx.Agent(t.OrganizationID, t.AgentID, 0)
	if fault.CodeOf(err) == fault.NotFound {
		return 0, nil
	}
	return a.RepairRounds(), err
}

// retriesErrors reports whether a task's agent wants another attempt after one that
// ended with an error.
func retriesErrors(tx Tx, t task.Task) (bool, error) {
	a, err := tx.Agent(t.OrganizationID, t.AgentID, 0)
	if fault.CodeOf(err) == fault.NotFound {
		return false, nil
	}
	return a.Record.RetryErrors, err
}

// repeated reports whether an attempt says again how it ended its turn. An
// override since then does not matter.
func repeated(tx Tx, t task.Task, a *task.Attempt, o Outcome) (bool, error) {
	if a != nil && a.Outcome == task.OutcomeFailed {
		return o.Reason.Status() == task.Error || o.Reason.Status() == task.Failed, nil
	}
	if a == nil || a.Outcome != task.OutcomeFinished {
		return false, nil
	}
	reason, result, err := tx.TurnEnd(t.OrganizationID, t.ID, a.Turn)
	same := result == o.Result || result != nil && o.Result != nil && *result == *o.Result
	return same && reason.Status() == o.Reason.Status(), err
}

// Release gives an attempt back unfinished: for a worker that has to shut down.
// The task is queued again at once, and the attempt is not counted (L4). Repeating
// it is answered like the first time.
func (s *Service) Release(ctx context.Context, org, id, token string) (Snapshot, error) {
	return s.GiveBack(ctx, org, id, token, GivenBack{})
}

// GiveBack is a Release that says why, and for how long.
func (s *Service) GiveBack(ctx context.Context, org, id, token string, g GivenBack) (Snapshot, error) {
	g.Reason = cmp.Or(cutBytes(task.CleanText(g.Reason), maxReason), "its worker is shutting down")
	if err := invalidToken(token); err != nil {
		return Snapshot{}, err
	}
	return s.change(ctx, s.self(org), id, func(tx writing, t task.Task) (task.Command, error) {
		by, err := fenced(tx, t, token)
		switch {
		case err != nil:
			return nil, err
		case by.Attempt != nil && by.Attempt.Outcome == task.OutcomeReleased:
			return task.Append{}, nil
		case !by.Attempt.Live():
			return nil, fault.New(fault.Conflict, "this attempt no longer owns the task")
		}
		side, adjusted := storableSide(g.Side)
		return task.Release{Reason: g.Reason, Delay: min(max(g.Delay, 0), task.MaxDelay), Side: side, Adjusted: adjusted}, nil
	})
}
