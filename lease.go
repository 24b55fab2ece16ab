package errand

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// claim is a task that was handed out, and the lease on it.
type claim struct {
	Task  *Task `json:"task"`
	Lease struct {
		Token   string  `json:"token"`
		Seconds float64 `json:"seconds"`
		Attempt int     `json:"attempt"`
	} `json:"lease"`
	TraceParent string  `json:"traceparent"`
	Models      *Models `json:"models"`
	// came is when the answer came. The lease is a little older; the first
	// heartbeat, long before its end, finds out if it is much older.
	came time.Time
}

// claimSlack is how much longer than it was asked to wait a claim may take
// before its connection is taken to be dead.
const claimSlack = 15 * time.Second

// claimBody asks for work.
type claimBody struct {
	Agents   []string       `json:"agent_ids"`
	Worker   string         `json:"worker_id"`
	Slots    int            `json:"slots"`
	Wait     float64        `json:"wait,omitempty"`
	Finished []finishedBody `json:"finished,omitempty"`
}

// finishedBody is an attempt's end among others.
type finishedBody struct {
	Task string `json:"task_id"`
	outcome
}

// claimAnswer answers it.
type claimAnswer struct {
	Claims   []claim `json:"claims"`
	Finished []struct {
		Error *reason `json:"error"`
	} `json:"finished"`
}

// came makes the claims of an answer that has come just now ready for use.
func (a claimAnswer) came(c *Client) []claim {
	for i := range a.Claims {
		a.Claims[i].came = time.Now()
		a.Claims[i].Task.client = c
		if m := a.Claims[i].Models; m != nil {
			m.URL = c.base
		}
	}
	return a.Claims
}

// claim asks for work and waits for the first task, at most a minute.
func (c *Client) claim(ctx context.Context, agents []string, worker string, slots int, wait time.Duration) ([]claim, error) {
	var answer claimAnswer
	err := c.call(ctx, request{
		method: http.MethodPost, path: "/v1/claim", limit: wait + claimSlack,
		body: claimBody{Agents: agents, Worker: worker, Slots: slots, Wait: wait.Seconds()},
	}, &answer)
	return answer.came(c), err
}

// lease is an attempt's right to its task. It is safe for concurrent use.
type lease struct {
	tasks  *Tasks
	task   string
	token  string
	length time.Duration
	// nudge asks for a heartbeat at once.
	nudge chan struct{}
	// used is what the attempt has used until now.
	used func() spending

	mu      sync.Mutex // guards what follows
	renewed time.Time  // when the last write that renewed it was sent
	told    spending   // what the server knows to have been used
}

// spending is what an attempt has used, as it is told with what the attempt does.
type spending struct {
	Tokens    *Tokens  `json:"tokens,omitempty"`
	UsedTools []string `json:"used_tools,omitempty"`
	Duration  float64  `json:"duration,omitempty"`
}

// spent is what was used since the server was told of it: all of it, or nothing.
func (l *lease) spent() spending {
	s := l.used()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(s.UsedTools) == len(l.told.UsedTools) && (s.Tokens == nil || l.told.Tokens != nil && *s.Tokens == *l.told.Tokens) {
		return spending{}
	}
	return s
}

// tell notes what a call has told that the server has answered.
func (l *lease) tell(s spending, err error) {
	if err != nil && !errors.Is(err, ErrConflict) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.Tokens != nil {
		l.told.Tokens = s.Tokens
	}
	if len(s.UsedTools) > len(l.told.UsedTools) {
		l.told.UsedTools = s.UsedTools
	}
}

func newLease(tasks *Tasks, c claim) *lease {
	return &lease{
		tasks: tasks, task: c.Task.ID, token: c.Lease.Token, length: duration(c.Lease.Seconds),
		nudge: make(chan struct{}, 1), renewed: c.came, used: func() spending { return spending{} },
	}
}

// write makes a call with the token. One that is answered has renewed the lease.
func (l *lease) write(call func() error) error {
	began := time.Now()
	err := call()
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		if began.After(l.renewed) {
			l.renewed = began
		}
	}
	return err
}

// limit is when the work has to end: well before the lease may (rule L3).
func (l *lease) limit() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.renewed.Add(l.length * 4 / 5)
}

const (
	// longestBeat bounds how long a stop may take to reach a quiet handler
	// where the log does not tell of it.
	longestBeat = 2 * time.Second
	// listenAfter is how long an attempt lasts before it listens to its log:
	// most are shorter and need no stream.
	listenAfter = 500 * time.Millisecond
)

// listen follows what a task's log says behind an event about the attempt's right to
// go on, and asks for a heartbeat as soon as that may have ended: by a stop or a
// pause, or because somebody else has ended the attempt or the turn. What the attempt
// itself tells does not come by here. It is a hint: what cannot be heard is left to
// the next heartbeat.
func (l *lease) listen(ctx context.Context, after int64) {
	if !sleep(ctx, listenAfter) {
		return
	}
	for _, err := range l.tasks.Events(ctx, l.task, After(after), OnlyTypes(StopRequested, TurnPaused, AttemptLost, TaskFinished)) {
		if err != nil {
			return
		}
		signal(l.nudge)
	}
}

// keep keeps the lease until ctx ends. It cancels the work when the answer says
// so, and before the lease runs out when nothing has renewed it.
func (l *lease) keep(ctx context.Context, cancel context.CancelCauseFunc) {
	every := min(l.length/3, longestBeat)
	wait := every
	for {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		case <-l.nudge:
			t.Stop()
		}
		cause, err := l.beat(ctx, nil)
		if cause == nil && !time.Now().Before(l.limit()) {
			cause = ErrLeaseLost
		}
		if cause != nil {
			cancel(cause)
			return
		}
		if wait = every; err != nil { // not long before the limit
			wait = min(every, max(time.Until(l.limit()), 0), every/4)
		}
	}
}

// beat renews the lease and returns why the work has to end, if it has to.
func (l *lease) beat(ctx context.Context, note *string) (cause, err error) {
	ctx, done := context.WithDeadline(ctx, l.limit())
	defer done()
	return l.say(ctx, note)
}

// parted tells what was used and not told by an attempt that is over without an end of
// its own.
func (l *lease) parted(ctx context.Context) {
	if s := l.spent(); s.Tokens == nil && len(s.UsedTools) == 0 {
		return
	}
	ctx, done := context.WithTimeout(ctx, parting)
	defer done()
	_, _ = l.say(ctx, nil) // as well as may be
}

// say makes a heartbeat.
func (l *lease) say(ctx context.Context, note *string) (cause, err error) {
	used := l.spent()
	answer, err := beside(ctx, max(l.length/5, time.Second), l.tasks.c.http.CloseIdleConnections, func(ctx context.Context) (beaten, error) {
		var answer beaten
		err := l.write(func() error {
			return l.tasks.c.call(ctx, request{
				method: http.MethodPost, path: taskPath(l.task) + "/heartbeat", repeat: true, limit: -1, // ctx has one
				body: struct {
					LeaseToken string  `json:"lease_token"`
					Note       *string `json:"internal_status,omitempty"`
					spending
				}{l.token, note, used},
			}, &answer)
		})
		return answer, err
	})
	l.tell(used, err)
	switch {
	case errors.Is(err, ErrConflict), errors.Is(err, ErrNotFound):
		return ErrLeaseLost, err
	case err != nil:
		return nil, err
	case answer.Action == "stop":
		return ErrStopped, nil
	case answer.Action == "pause":
		return ErrPaused, nil
	}
	return nil, nil
}

// beaten is the answer to a heartbeat.
type beaten struct {
	Action string `json:"action"`
}

// beside makes a call, and whenever nothing was answered for so long the same once
// more: the connection may be dead, so that before makes ready for a new one, or the
// server so busy that the first call is still in its queue, whose place it keeps. What
// is answered first counts, and an error only if no other call is under way.
func beside[T any](ctx context.Context, every time.Duration, before func(), call func(context.Context) (T, error)) (T, error) {
	type answer struct {
		told T
		err  error
	}
	ctx, done := context.WithCancel(ctx)
	defer done()
	answers := make(chan answer)
	under := 0
	begin := func() {
		under++
		go func() {
			var a answer
			a.told, a.err = call(ctx)
			select {
			case answers <- a:
			case <-ctx.Done():
			}
		}()
	}
	begin()
	again := time.NewTicker(every)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		case <-again.C:
			before()
			begin()
		case a := <-answers:
			if under--; a.err == nil || final(a.err) || under == 0 {
				return a.told, a.err
			}
		}
	}
}

// append appends events and tries until ctx ends.
func (l *lease) append(ctx context.Context, events []eventBody) error {
	return l.persist(ctx, func() error {
		return l.write(func() error {
			_, err := l.tasks.append(ctx, l.task, l.token, events)
			return err
		})
	})
}

// finish reports an attempt's end. It tries for two leases: the attempt may
// still own its task when a server comes back, for only time in which one could
// be reached counts, and if it does not the report is refused.
func (l *lease) finish(ctx context.Context, o outcome) error {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), 2*l.length)
	defer done()
	o.LeaseToken = l.token
	send := func() error {
		return l.tasks.c.call(ctx, request{
			method: http.MethodPost, path: taskPath(l.task) + "/finish", repeat: true, body: o,
		}, nil)
	}
	err := l.persist(ctx, send)
	if errors.Is(err, ErrTooLarge) {
		told := "the result is too large"
		o = outcome{LeaseToken: l.token, Status: Errored, Result: &told, spending: o.spending}
		err = l.persist(ctx, send)
	}
	return err
}

// release gives the attempt back unfinished. why is for people, "" for a shutdown.
func (l *lease) release(ctx context.Context, why string, delay time.Duration) error {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), parting)
	defer done()
	return l.persist(ctx, func() error {
		return l.tasks.c.call(ctx, request{
			method: http.MethodPost, path: taskPath(l.task) + "/release", repeat: true,
			body: struct {
				Token  string  `json:"lease_token"`
				Reason string  `json:"reason,omitempty"`
				Delay  float64 `json:"delay,omitempty"`
				spending
			}{l.token, why, seconds(delay), l.used()},
		}, nil)
	})
}

// persist makes a call until the server has answered it, or ctx ends.
func (l *lease) persist(ctx context.Context, call func() error) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := call()
		if err == nil || final(err) {
			return err
		}
		if e, ok := as[*Error](err); ok {
			wait = max(wait, e.RetryAfter)
		}
		if !sleep(ctx, wait) {
			return err
		}
	}
}
