package lifecycle

import (
	"context"
	"fmt"
	"slices"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/task"
)

// Waiting tells why a task is not executing.
type Waiting struct {
	// Reason is one of a closed list, Message says it for a person.
	Reason   string   `json:"reason" enum:"paused,budget,person,approval,child,timer,assigned,run_locally,earlier_attempt,scheduled,retry,pinned_worker_absent,no_worker,behind,workers_busy" doc:"What it waits for, from a closed list."`
	Message  string   `json:"message" doc:"The same for a person."`
	WorkerID string   `json:"worker_id,omitempty" doc:"The worker that it waits for."`
	SubTasks []string `json:"sub_tasks,omitempty" doc:"The sub-tasks that it waits for."`
	// Cap is the one that holds it, nil for none.
	Cap *task.Capped `json:"cap,omitempty" doc:"The cap that holds it, of reason budget."`
	// Approvals are those that it waits for.
	Approvals []string   `json:"approvals,omitempty" doc:"The approvals and questions that it waits for."`
	Until     task.Stamp `json:"until,omitzero" doc:"When it may start, or goes on whatever it waits for."`
	LastSeen  task.Stamp `json:"last_seen,omitzero" doc:"When a worker of the agent was last there."`
	// Ahead counts tasks of the agent that come first, Busy its executing ones.
	Ahead int `json:"ahead,omitempty" doc:"How many tasks of the agent come first."`
	Busy  int `json:"busy,omitempty" doc:"How many of them are executing."`
}

// WhyWaiting returns what a pending or paused task waits for, nil for any other.
func (s *Service) WhyWaiting(ctx context.Context, snap Snapshot) (*Waiting, error) {
	t := snap.Task
	if w, known := plainly(t); known {
		return w, nil
	}
	q, err := s.store.Waiting(ctx, t.OrganizationID, t.ID)
	if err != nil {
		return nil, err
	}
	return s.whyWaiting(ctx, t, q, s.store.Now())
}

// plainly is what a task itself tells of what it waits for, nil for nothing; known is
// false if its queue has to be asked.
func plainly(t task.Task) (w *Waiting, known bool) {
	switch {
	case t.Ended() != "", t.Status() == task.Executing:
		return nil, true
	case t.Waits() && !t.Wait.Paused:
		return awaits(t), true
	}
	return nil, false
}

// whyWaiting is what a task waits for in its queue.
func (s *Service) whyWaiting(ctx context.Context, t task.Task, q Queue, now task.Stamp) (*Waiting, error) {
	var lastSeen task.Stamp
	for _, w := range q.Workers {
		lastSeen = max(lastSeen, w.LastHeard)
	}
	w := why(t, q, q.alive(), lastSeen, now)
	if w.Reason != reasonNobody {
		return w, nil
	}
	a, err := s.store.Agent(ctx, t.OrganizationID, t.AgentID, 0)
	switch {
	case err != nil:
	case !s.executes(a.Record):
		w.Message = fmt.Sprintf("the server's configuration file does not define the command %q of agent %s", a.Record.Command, a.ID)
	case a.Record.Runtime != agent.Worker:
		w.Message = fmt.Sprintf("the server executes agent %s itself, and begins this when it has room", a.ID)
	}
	return w, err
}

// alive are the workers that may take a task that is ready. One that claims is given it
// at once: if it holds nothing, it does not claim any more.
func (q Queue) alive() []Worker {
	return slices.DeleteFunc(slices.Clone(q.Workers), func(w Worker) bool {
		return !w.Connected && (w.Kind != FencedWorker || !q.Occupied[w.ID])
	})
}

func why(t task.Task, q Queue, alive []Worker, lastSeen, now task.Stamp) *Waiting {
	seen := "never seen"
	if lastSeen != 0 {
		seen = "last seen " + lastSeen.String()
	}
	switch t.Standing() { //nolint:exhaustive // the others wait in the queue
	case task.Standing(task.ForBudget):
		return &Waiting{Reason: "budget", Message: fmt.Sprintf("the budget of task %s is used up: raise it to let this go on", t.Account.Payer)}
	case task.StandsPaused:
		return &Waiting{Reason: "paused", Message: "paused by " + q.PausedBy}
	case task.StandsLocal:
		return &Waiting{
			Reason: "assigned", WorkerID: t.Run.WorkerID,
			Message: fmt.Sprintf("assigned to worker %s, which has not started it yet", t.Run.WorkerID),
		}
	case task.StandsBehind:
		return &Waiting{
			Reason: "earlier_attempt", WorkerID: t.Earlier.WorkerID,
			Message: fmt.Sprintf("worker %s may still be executing an earlier attempt; this turn is handed out when that is over", t.Earlier.WorkerID),
		}
	case task.StandsHolderless:
		return &Waiting{Reason: "run_locally", Message: "its creator executes it; no worker is given it"}
	}
	switch {
	case t.ReadyAt > now && t.ReadyAt > t.State().RunAt && t.Again.Why != "":
		return &Waiting{Reason: "retry", Until: t.ReadyAt, Message: fmt.Sprintf("the next attempt may start at %s; %s", t.ReadyAt, t.Again.Why)}
	case t.ReadyAt > now:
		return &Waiting{Reason: "scheduled", Until: t.ReadyAt, Message: fmt.Sprintf("scheduled for %s", t.ReadyAt)}
	}
	if pin := t.Terms.PinnedWorkerID; pin != nil {
		there := q.Occupied[*pin] // it may be too busy to claim
		for _, w := range alive {
			there = there || w.ID == *pin
		}
		if !there {
			return &Waiting{Reason: reasonPin, WorkerID: *pin, Message: fmt.Sprintf("pinned to worker %s, which is not connected", *pin)}
		}
	}
	switch {
	case len(alive) == 0 && q.Executing == 0: // a worker that executes may be too busy to claim
		return &Waiting{Reason: reasonNobody, LastSeen: lastSeen, Message: fmt.Sprintf("no worker of agent %s is connected (%s)", t.AgentID, seen)}
	case q.Ahead > 0:
		return &Waiting{Reason: reasonBehind, Ahead: q.Ahead, Busy: q.Executing, Message: fmt.Sprintf("behind %s of agent %s", tasks(q.Ahead), t.AgentID)}
	default:
		return &Waiting{Reason: reasonBusy, Busy: q.Executing, Message: fmt.Sprintf("all workers of agent %s are busy (%s executing)", t.AgentID, tasks(q.Executing))}
	}
}

// awaits tells what a turn has given its attempt up for.
func awaits(t task.Task) *Waiting {
	w := t.Wait
	x := &Waiting{Reason: string(w.Cause), SubTasks: w.SubTasks, Approvals: w.Asks, Until: w.Until}
	for _, o := range t.Open { // the next deadline of those
		if slices.Contains(w.Asks, o.ID) && o.Until != 0 && (x.Until == 0 || o.Until < x.Until) {
			x.Until = o.Until
		}
	}
	switch w.Cause {
	case task.ForBudget:
		x.Cap, x.Message = w.Cap, w.Cap.String()
		return x
	case task.ForChild:
		x.Message = "waits for the end of " + subTasks(len(w.SubTasks))
	case task.ForTimer:
		x.Message = "goes on at " + w.Until.String()
		return x
	case task.ForPerson:
		x.Message = "waits for a person to answer a question"
	case task.ForApproval:
		x.Message = "waits for a person's approval"
	}
	if x.Until != 0 {
		x.Message += ", until " + x.Until.String()
	}
	return x
}

func subTasks(n int) string {
	if n == 1 {
		return "1 sub-task"
	}
	return fmt.Sprintf("%d sub-tasks", n)
}

func tasks(n int) string {
	if n == 1 {
		return "1 task"
	}
	return fmt.Sprintf("%d tasks", n)
}
