package lifecycle

import (
	"context"
	"slices"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// MaxOutstanding is how many tasks a Python worker may have at a time (L9).
const MaxOutstanding = 6

// Registration is a Python worker's stream that opens.
type Registration struct {
	Organization, Agent string
	// KeyID and Address are by which key and from which host it comes.
	KeyID, Address string
}

// Register notes a Python worker whose stream has opened, and creates its
// agent if it is unknown (A1). Each stream is a new worker; it may be the heir
// of one that was cut off a moment ago (L5).
func (s *Service) Register(ctx context.Context, r Registration) (Worker, error) {
	if err := CheckID("agent_id", r.Agent); err != nil {
		return Worker{}, err
	}
	id := s.newID()
	var w Worker
	err := s.write(ctx, s.node, aboutAgent(r.Organization, r.Agent), func(tx writing) error {
		now := tx.Now()
		_, err := tx.Agent(r.Organization, r.Agent, 0)
		if fault.CodeOf(err) == fault.NotFound {
			err = tx.PutAgent(agent.Agent{
				OrganizationID: r.Organization, ID: r.Agent, Version: 1, CreatedAt: now, UpdatedAt: now,
				Record: agent.Record{Name: r.Agent, Runtime: agent.Worker},
			})
		}
		if err != nil {
			return err
		}
		w = Worker{
			Organization: r.Organization, Agent: r.Agent, ID: id, Kind: PythonWorker, KeyID: r.KeyID, Address: r.Address,
			RegisteredAt: now, LastHeard: now, Connected: true, Node: s.node,
		}
		known, err := tx.Siblings(w)
		if err != nil {
			return err
		}
		changed := kin(known).inherit(&w, now)
		if changed == nil {
			changed = []Worker{w}
		}
		for _, x := range changed {
			if err := tx.PutWorker(x); err != nil {
				return err
			}
		}
		return nil
	})
	return w, err
}

// Undecided reports whether a registration, which came at a moment, should wait:
// workers that it may be have been cut off a moment ago, with tasks in their hands,
// and have not said since that they live. One that lives heartbeats under its old id
// until it is told the new one; one that was killed and started again does not (L5).
// It also waits while their streams are open on another node of which nothing was
// heard since: that is heard again within a second, or cut off.
func (s *Service) Undecided(ctx context.Context, r Registration, came task.Stamp) (bool, error) {
	undecided := false
	err := s.write(ctx, s.node, nil, func(tx writing) error {
		undecided = false
		known, err := tx.Siblings(Worker{Organization: r.Organization, Agent: r.Agent, KeyID: r.KeyID, Address: r.Address})
		if err != nil || len(known) == 0 {
			return err
		}
		nodes, err := tx.Nodes()
		if err != nil {
			return err
		}
		open := func(w Worker) bool { // for certain
			heard := func(n Node) bool { return n.ID == w.Node && n.Heard >= came }
			return w.Connected && (w.Node == s.node || slices.ContainsFunc(nodes, heard))
		}
		silent := func(w Worker) bool {
			return w.Connected && !open(w) || kin(known).missing(w, tx.Now()) && !w.livedOn()
		}
		if !slices.ContainsFunc(known, silent) {
			return nil
		}
		for _, w := range known { // they may hold tasks under earlier ids
			if open(w) {
				continue
			}
			attempts, err := tx.AttemptsOf(w.Organization, w.ID)
			if undecided = len(attempts) > 0; undecided || err != nil {
				return err
			}
		}
		return nil
	})
	return undecided, err
}

// Sign is a sign of life that a Python worker posts.
type Sign struct {
	// ID names the post: the worker repeats one whose answer it did not get.
	ID string
	// Beat says that it is a heartbeat.
	Beat bool
	// Busy, if not nil, says whether it can take no more. That it can is said
	// after each attempt (L6).
	Busy *bool
}

// Heard notes a sign of life, which extends the worker's leases (L5), and learns
// from it which attempts are over. An unknown worker is passed over quietly.
func (s *Service) Heard(ctx context.Context, org, agentID, workerID string, sign Sign) error {
	return s.write(ctx, s.node, nil, func(tx writing) error {
		w, err := tx.Worker(org, agentID, workerID)
		if err != nil || w == nil || w.Kind != PythonWorker {
			return err
		}
		w.LastHeard = tx.Now()
		if sign.Beat {
			w.LastBeat = w.LastHeard
		}
		if !w.Connected {
			w.HeirUntil = w.LastHeard.Add(heirWithin)
		}
		if sign.Busy != nil {
			if w.Busy && !*sign.Busy {
				if err := tx.Freed(org, agentID, workerID); err != nil {
					return err
				}
			}
			w.Busy = *sign.Busy
		}
		if sign.Busy != nil && !*sign.Busy && sign.ID != "" {
			told, err := tx.Posted(org, workerID, sign.ID)
			if err != nil {
				return err
			}
			if !told {
				w.Tally.Posted()
				if err := tx.PutPost(org, workerID, sign.ID); err != nil {
					return err
				}
			}
		}
		if err := parted(tx.Tx, w); err != nil {
			return err
		}
		if err := conclude(tx, w); err != nil {
			return err
		}
		return renewFor(tx, *w)
	})
}

// parted forgets whose heir a worker is once nothing is left to inherit.
func parted(tx Tx, w *Worker) error {
	if w.HeirOf == "" {
		return nil
	}
	ids, err := identities(tx, *w, false)
	if err != nil {
		return err
	}
	for _, id := range ids[1:] {
		if attempts, err := tx.AttemptsOf(w.Organization, id); len(attempts) > 0 || err != nil {
			return err
		}
	}
	w.HeirOf = ""
	return nil
}

// Speak extends the leases of a worker whose stream is open, unless it has said
// nothing itself for too long (L5).
func (s *Service) Speak(ctx context.Context, org, agentID, workerID string) error {
	return s.write(ctx, s.node, nil, func(tx writing) error {
		w, err := tx.Worker(org, agentID, workerID)
		if err != nil || w == nil {
			return err
		}
		return speakFor(tx, *w)
	})
}

// speakFor renews the leases of a worker, if it is alive.
func speakFor(tx writing, w Worker) error {
	if !alive(w, tx.Now()) {
		return nil
	}
	return renewFor(tx, w)
}

// renewFor extends the leases of a worker that is alive, and of those whose
// heir it is proven to be.
func renewFor(tx writing, w Worker) error {
	a, err := tx.Agent(w.Organization, w.Agent, 0)
	if err != nil {
		return err
	}
	ids, err := identities(tx.Tx, w, true)
	if err != nil {
		return err
	}
	until := tx.Now().Add(a.UnfencedLease())
	for _, id := range ids {
		attempts, err := tx.AttemptsOf(w.Organization, id)
		if err != nil {
			return err
		}
		for _, x := range attempts {
			if err := renew(tx, w.Organization, x, until); err != nil {
				return err
			}
		}
	}
	return nil
}

// renew extends the lease of an attempt on a Python worker, whose task may be
// deleted, or may have forgotten it.
func renew(tx writing, org string, x TaskAttempt, until task.Stamp) error {
	t, err := tx.Task(org, x.Task)
	switch {
	case err == nil && t.Knows(x.Number):
		_, err := apply(tx, t, task.Hear{Number: x.Number, Until: until})
		return err
	case err != nil && fault.CodeOf(err) != fault.NotFound:
		return err
	}
	if heard := x.HeardUntil(until); heard != x.Attempt {
		return tx.PutAttempt(org, x.Task, heard)
	}
	return nil
}

// identities lists the ids under which a worker has, or with sure is proven to
// have, been sent tasks: its own first.
func identities(tx Tx, w Worker, sure bool) ([]string, error) {
	if w.HeirOf == "" {
		return []string{w.ID}, nil
	}
	known, err := tx.Siblings(w)
	if err != nil {
		return nil, err
	}
	return append([]string{w.ID}, kin(known).before(w, sure, tx.Now())...), nil
}

// conclude gives up the attempts whose end is known never to be reported, and
// keeps the worker (L6).
func conclude(tx writing, w *Worker) error {
	if len(w.Tally.Doubts) > 0 {
		untold, err := tx.Untold(w.Organization, w.ID)
		if err != nil {
			return err
		}
		for _, x := range w.Tally.Conclude(untold) {
			if err := readmit(tx.Tx, w); err != nil { // it has let go of something (L4)
				return err
			}
			if err := giveUp(tx, w.Organization, x); err != nil {
				return err
			}
		}
	}
	return tx.PutWorker(*w)
}

func giveUp(tx writing, org string, x Sent) error {
	t, err := tx.Task(org, x.Task)
	if fault.CodeOf(err) == fault.NotFound {
		return endRemnants(tx.Tx, org, x.Task, func(a task.Attempt) bool { return a.Number == x.Number })
	}
	if err != nil {
		return err
	}
	if !t.Knows(x.Number) { // superseded long ago: only its worker's count still looks at it
		a, err := tx.Attempt(org, x.Task, x.Number)
		if err != nil || a == nil {
			return err
		}
		a.Reported = true
		return tx.PutAttempt(org, x.Task, *a)
	}
	_, err = apply(tx, t, task.Lose{Number: x.Number, Over: true, Reason: "its worker is done with it, but its end never arrived"})
	return err
}

// endRemnants notes that the end of attempts of a deleted task has been told.
func endRemnants(tx Tx, org, id string, which func(task.Attempt) bool) error {
	return eachRemnant(tx, org, id, which, func(a *task.Attempt) { a.Reported = true })
}

// letGoRemnants notes that attempts of a deleted task run no more.
func letGoRemnants(tx Tx, org, id string, which func(task.Attempt) bool) error {
	return eachRemnant(tx, org, id, which, func(*task.Attempt) {})
}

func eachRemnant(tx Tx, org, id string, which func(task.Attempt) bool, note func(*task.Attempt)) error {
	left, err := tx.Attempts(org, id)
	if err != nil {
		return err
	}
	for _, a := range left {
		if !which(a) {
			continue
		}
		if note(&a); a.LetGoAt == 0 {
			a.LetGoAt = tx.Now()
			if err := tx.Freed(org, "", a.WorkerID); err != nil {
				return err
			}
		}
		if err := putRemnant(tx, org, id, a); err != nil {
			return err
		}
	}
	return nil
}

// putRemnant keeps an attempt of a deleted task for as long as it matters.
func putRemnant(tx Tx, org, id string, a task.Attempt) error {
	if a.Remains() {
		return tx.PutAttempt(org, id, a)
	}
	return tx.DropAttempt(org, id, a.Number)
}

// reported counts the end that a Python worker reports of an attempt (L6).
func reported(tx writing, org, workerID string) error {
	w, err := tx.PythonWorker(org, workerID)
	if err != nil || w == nil {
		return err
	}
	w.Tally.Reported()
	if err := readmit(tx.Tx, w); err != nil { // it has shown that it is alive to its tasks (L4)
		return err
	}
	return conclude(tx, w)
}

// readmit lets a worker have tasks again; whoever calls keeps it.
func readmit(tx Tx, w *Worker) error {
	if !w.Barred {
		return nil
	}
	w.Barred = false
	return tx.Freed(w.Organization, w.Agent, w.ID)
}

// Disconnect notes that a Python worker's stream has ended. What it was given
// and has not started is queued again at once; a late start is refused.
func (s *Service) Disconnect(ctx context.Context, org, agentID, workerID string) error {
	return s.write(ctx, s.node, nil, func(tx writing) error {
		w, err := tx.Worker(org, agentID, workerID)
		if err != nil || w == nil {
			return err
		}
		return disconnect(tx, *w, w.LastHeard.Add(heirWithin))
	})
}

// disconnect notes that a worker's stream has ended, and until when a registration may
// stand for it. Until now the stream held its leases, however long ago it last spoke
// for them: servers that end one after the other may never come to that (L5).
func disconnect(tx writing, w Worker, heirUntil task.Stamp) error {
	if w.Connected {
		if err := speakFor(tx, w); err != nil {
			return err
		}
	}
	w.Connected, w.CutAt, w.HeirUntil = false, tx.Now(), heirUntil
	if err := tx.PutWorker(w); err != nil {
		return err
	}
	return takeBack(tx, w.Organization, w.ID)
}

// takeBack queues again what a worker was given and has not started.
func takeBack(tx writing, org, workerID string) error {
	attempts, err := tx.AttemptsOf(org, workerID)
	if err != nil {
		return err
	}
	for _, x := range attempts {
		if x.Started() || !x.Live() {
			continue
		}
		t, err := tx.Task(org, x.Task)
		if err != nil {
			return err
		}
		if _, err := apply(tx, t, task.Lose{Number: x.Number, Reason: "its worker has disconnected"}); err != nil {
			return err
		}
	}
	return nil
}

// Assignment is what came of looking for tasks for a Python worker.
type Assignment struct {
	Given []Snapshot
	// Room is how many more it may have now: if there is any, nothing is left that
	// was ready.
	Room int
	// Heir says that the tasks that it had under earlier ids count, too.
	Heir bool
}

// Assign hands tasks to a Python worker, as many as it may have: at most six
// outstanding under all ids it may have had, none while it says that it is busy
// or is held (L4, L9).
func (s *Service) Assign(ctx context.Context, org, agentID, workerID string) (Assignment, error) {
	var all Assignment
	for {
		some, more, err := s.assign(ctx, org, agentID, workerID)
		some.Given = append(all.Given, some.Given...)
		if all = some; err != nil || !more {
			return all, err
		}
	}
}

// assign is one commit of Assign; more is that of handOut.
func (s *Service) assign(ctx context.Context, org, agentID, workerID string) (found Assignment, more bool, err error) {
	err = s.write(ctx, s.node, nil, func(tx writing) error {
		found, more = Assignment{}, false
		w, err := tx.Worker(org, agentID, workerID)
		if err != nil || w == nil || !w.Connected || w.Busy || w.Barred {
			return err
		}
		found.Heir = w.HeirOf != ""
		free, err := room(tx.Tx, *w)
		if err != nil || free <= 0 {
			return err
		}
		a, err := tx.Agent(org, agentID, 0)
		if err != nil {
			return err
		}
		want := Want{Organization: org, Agents: []string{agentID}, Worker: workerID, Limit: free}
		more, err = handOut(tx, want, func(before Snapshot) (bool, error) {
			changed, err := apply(tx, before.Task, task.Assign{
				Worker: workerID, Lease: a.UnfencedLease(), MayRetry: a.Record.RetryStarted, SentAfter: w.Tally.Posts,
			})
			if err != nil || !changed.Task.Run.Live() {
				return false, err
			}
			found.Given = append(found.Given, Snapshot{Task: changed.Task, Spec: before.Spec})
			return true, nil
		})
		found.Room = free - len(found.Given)
		return err
	})
	return found, more, err
}

// room is how many more tasks a worker may have.
func room(tx Tx, w Worker) (int, error) {
	ids, err := identities(tx, w, false)
	if err != nil {
		return 0, err
	}
	free := MaxOutstanding
	for _, id := range ids {
		attempts, err := tx.AttemptsOf(w.Organization, id)
		if err != nil {
			return 0, err
		}
		free -= len(attempts)
	}
	return free, nil
}
