package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
)

const loadAgent = "load"

// errOdd marks an answer that the API must not give.
var errOdd = errors.New("wrong answer")

// load is one client of the crash test. Each of its calls ends with an answer,
// or with an error that means: the server is gone.
type load struct {
	*client
	book  *book
	rand  *rand.Rand
	name  string
	round int
	n     int
	// called and answered are when the last call was made and over.
	called, answered time.Duration
}

// call makes a call. A server that cannot store anything now is asked again:
// whatever the load does may be done twice.
func (l *load) call(ctx context.Context, method, path string, body any, headers ...string) (answer, error) {
	l.called = l.book.since()
	defer func() { l.answered = l.book.since() }()
	for {
		a, err := l.client.call(ctx, method, path, body, headers...)
		if err != nil || a.status != http.StatusServiceUnavailable {
			return a, err
		}
		l.book.note(func() { l.book.counts.turnedAway++ })
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func odd(what string, a answer) error { return fmt.Errorf("%w to %s: %s", errOdd, what, a) }

// chance is true once in n times.
func (l *load) chance(n int) bool { return l.rand.IntN(n) == 0 }

// creator creates tasks for the load's own workers.
func (l *load) creator(ctx context.Context) error {
	return l.creates(ctx, loadAgent, 8*time.Millisecond)
}

// giver creates tasks for the herd.
func (l *load) giver(ctx context.Context) error {
	return l.creates(ctx, herdAgent, 25*time.Millisecond)
}

// creates creates tasks, a few of them twice.
func (l *load) creates(ctx context.Context, agent string, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		l.n++
		c := &creation{agent: agent, key: fmt.Sprintf("%s-%d-%d", l.name, l.round, l.n), turn: 1}
		c.text = "do " + c.key + " " + pad(l.rand.IntN(300))
		l.book.note(func() { l.book.creations = append(l.book.creations, c) })
		if err := l.create(ctx, c); err != nil {
			return err
		}
		if l.chance(6) {
			if err := l.create(ctx, c); err != nil {
				return err
			}
		}
	}
}

// create sends a create. One that was acknowledged before must be answered
// with the same task.
func (l *load) create(ctx context.Context, c *creation) error {
	a, err := l.call(ctx, http.MethodPost, "/v1/tasks", c.body(), "Idempotency-Key", c.key)
	if err != nil {
		l.did(deed{verb: "create", creation: c}, outcome{word: lost})
		return err
	}
	var made taskView
	if err := json.Unmarshal(a.body, &made); err != nil {
		return odd("create "+c.key, a)
	}
	replay := a.header.Get("Idempotent-Replay") == "true"
	switch {
	case a.status != http.StatusCreated && a.status != http.StatusOK,
		(a.status == http.StatusOK) != replay,
		c.acked && (!replay || made.ID != c.task),
		!replay && (made.Input.Text != c.text || made.Title != c.key),
		c.next && made.ID != c.task:
		return odd("create "+c.key, a)
	}
	word := "ok"
	if replay {
		word = "replay"
	}
	l.did(deed{verb: "create", creation: c}, outcome{word: word})
	l.made(c, made.ID, made.Turn, replay)
	return nil
}

// made notes that a create was acknowledged.
func (l *load) made(c *creation, id string, turn int, replay bool) {
	l.book.note(func() {
		l.book.touch(id)
		if c.acked {
			return
		}
		c.acked, c.task = true, id
		if !replay { // a later turn may have begun between
			c.turn = turn
		}
		if c.next {
			l.book.counts.turns++
		} else {
			l.book.counts.creates++
		}
	})
}

// batcher creates tasks many at once, some of them twice; now and then more than one
// commit of the server's holds.
func (l *load) batcher(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		n := 1 + l.rand.IntN(8)
		if l.chance(8) {
			n = 60
		}
		many := make([]*creation, n)
		for i := range many {
			l.n++
			many[i] = &creation{agent: loadAgent, key: fmt.Sprintf("%s-%d-%d", l.name, l.round, l.n), turn: 1}
			many[i].text = "do " + many[i].key
		}
		l.book.note(func() { l.book.creations = append(l.book.creations, many...) })
		all := l.chance(2)
		for range 1 + l.rand.IntN(2) {
			if err := l.createMany(ctx, many, all); err != nil {
				return err
			}
		}
	}
}

// createMany sends creates together. One that was acknowledged before must be
// answered with the same task.
func (l *load) createMany(ctx context.Context, many []*creation, all bool) error {
	tasks := make([]obj, len(many))
	for i, c := range many {
		tasks[i] = c.body()
		tasks[i]["idempotency_key"] = c.key
	}
	a, err := l.call(ctx, http.MethodPost, "/v1/tasks/batch", obj{"tasks": tasks, "all": all})
	if err != nil {
		for _, c := range many {
			l.did(deed{verb: "create", creation: c}, outcome{word: lost})
		}
		return err
	}
	var answer struct {
		Results []struct {
			ID      string `json:"id"`
			Created bool   `json:"created"`
			Error   *struct {
				Code string `json:"code"`
			} `json:"error"`
		} `json:"results"`
	}
	if err := json.Unmarshal(a.body, &answer); err != nil || a.status != http.StatusOK || len(answer.Results) != len(many) {
		return odd("a batch from "+many[0].key, a)
	}
	for i, c := range many {
		r := answer.Results[i]
		switch {
		case r.Error != nil && r.Error.Code == "unavailable" && !all: // it is created again when the round is over
			l.did(deed{verb: "create", creation: c}, outcome{word: lost})
			continue
		case r.Error != nil, r.ID == "", c.acked && (r.Created || r.ID != c.task):
			return odd("create "+c.key+" in a batch", a)
		case r.Created:
			l.did(deed{verb: "create", creation: c}, outcome{word: "ok"})
		default:
			l.did(deed{verb: "create", creation: c}, outcome{word: "replay"})
		}
		l.made(c, r.ID, 1, !r.Created)
	}
	return nil
}

// turner starts next turns of ended tasks.
func (l *load) turner(ctx context.Context) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		c := &creation{agent: loadAgent, next: true}
		l.book.note(func() {
			if n := len(l.book.free); n > 0 {
				i := l.rand.IntN(n)
				c.task = l.book.free[i]
				l.book.free = slices.Delete(l.book.free, i, i+1)
			}
		})
		if c.task == "" {
			continue
		}
		l.n++
		c.key = fmt.Sprintf("%s-%d-%d", l.name, l.round, l.n)
		c.text = "go on " + c.key
		var before taskView
		a, err := l.call(ctx, http.MethodGet, "/v1/tasks/"+c.task, nil)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(a.body, &before); err != nil || a.status != http.StatusOK {
			return odd("get "+c.task, a)
		}
		c.turn = before.Turn + 1 // nobody else starts turns of what was taken out of free
		l.book.note(func() { l.book.creations = append(l.book.creations, c) })
		if err := l.create(ctx, c); err != nil {
			return err
		}
	}
}

// stopper stops tasks here and there.
func (l *load) stopper(ctx context.Context) error {
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var id string
		l.book.note(func() {
			if n := len(l.book.creations); n > 0 {
				if c := l.book.creations[max(0, n-1-l.rand.IntN(60))]; c.acked {
					id = c.task
				}
			}
		})
		if id == "" {
			continue
		}
		a, err := l.call(ctx, http.MethodPost, "/v1/tasks/"+id+"/stop", nil)
		if err != nil {
			l.did(deed{verb: "stop", task: id}, outcome{word: lost})
			return err
		}
		var after taskView
		if json.Unmarshal(a.body, &after) != nil || a.status != http.StatusOK || !after.ended() {
			return odd("stop "+id, a)
		}
		l.did(deed{verb: "stop", task: id}, outcome{word: after.Status})
		l.book.note(func() {
			l.book.touch(id)
			l.book.stops = append(l.book.stops, &stopping{id, after.Turn, after.Status})
			l.book.counts.stops++
		})
	}
}

// worker claims tasks and works on them; first on those that it held when the
// server was killed.
func (l *load) worker(ctx context.Context) error {
	var mine []*lease
	l.book.note(func() {
		for _, h := range l.book.leases {
			if h.worker == l.name && !h.over && !h.dropped {
				mine = append(mine, h)
			}
		}
	})
	for _, h := range mine {
		if l.chance(4) {
			l.book.note(func() { h.dropped = true })
			continue
		}
		if err := l.repeatLast(ctx, h); err != nil {
			return err
		}
		if err := l.work(ctx, h); err != nil {
			return err
		}
	}
	var due []*lease // whose ends go with the next claim
	for ctx.Err() == nil {
		leased, err := l.claim(ctx, due)
		if err != nil { // what it may have been given, the log tells
			return err
		}
		due = nil
		for _, h := range leased {
			if h.dropped {
				continue
			}
			if err := l.prepare(ctx, h); err != nil {
				return err
			}
			if !h.over && l.chance(2) {
				due = append(due, h)
				continue
			}
			if err := l.conclude(ctx, h); err != nil {
				return err
			}
		}
	}
	return nil
}

// claim takes tasks and sends the ends of holds with that.
func (l *load) claim(ctx context.Context, due []*lease) ([]*lease, error) {
	body := claimBody(loadAgent, l.name, 1+l.rand.IntN(2), 0.1)
	if len(due) > 0 {
		ends := make([]obj, len(due))
		for i, h := range due {
			ends[i] = obj{"task_id": h.task, "lease_token": h.token, "status": h.end.status, "result": h.end.result}
		}
		body["finished"] = ends
	}
	a, err := l.call(ctx, http.MethodPost, "/v1/claim", body)
	if err != nil {
		for _, h := range due {
			l.did(h.finishing(), outcome{word: lost})
		}
		return nil, err
	}
	var got struct {
		Claims   []claimed `json:"claims"`
		Finished []struct {
			Task   string `json:"task_id"`
			Status string `json:"status"`
			Error  struct {
				Code string `json:"code"`
			} `json:"error"`
		} `json:"finished"`
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &got) != nil || len(got.Finished) != len(due) {
		return nil, odd("claim", a)
	}
	var late []*lease
	for i, h := range due {
		switch f := got.Finished[i]; {
		case f.Task == h.task && f.Error.Code == "conflict":
			l.did(h.finishing(), outcome{word: "conflict"})
			late = append(late, h)
		case f.Task == h.task && f.Error.Code == "" && f.Status == h.end.status:
			l.ended(h)
			l.book.note(func() { l.book.counts.together++ })
		default:
			return nil, odd("an end of "+h.task+" with a claim", a)
		}
	}
	leased := make([]*lease, 0, len(got.Claims))
	for _, g := range got.Claims {
		leased = append(leased, l.leaseOf(g))
	}
	for _, h := range late { // after all that this answer tells: it makes calls
		if err := l.superseded(ctx, h, "finish"); err != nil {
			return nil, err
		}
	}
	return leased, nil
}

func (l *load) leaseOf(g claimed) *lease {
	h := &lease{
		worker: l.name, task: g.Task.ID, turn: g.Task.Turn, number: g.Task.Number, token: g.Lease.Token,
		want: l.rand.IntN(3), dropped: l.chance(15),
	}
	if l.n++; l.n == 1 { // in each round at least the first is lost
		h.dropped, h.dead = true, true
	}
	l.did(deed{verb: "claim", task: h.task, turn: h.turn, number: h.number}, outcome{word: "ok"})
	l.book.note(func() {
		l.book.touch(h.task)
		l.book.leases = append(l.book.leases, h)
		l.book.counts.claims++
	})
	return h
}

// work carries a hold to its end.
func (l *load) work(ctx context.Context, h *lease) error {
	if err := l.prepare(ctx, h); err != nil {
		return err
	}
	return l.conclude(ctx, h)
}

// prepare carries a hold to where its end is to be told.
func (l *load) prepare(ctx context.Context, h *lease) error {
	for !h.over && len(h.batches) < h.want {
		next := h.newBatch(1+l.rand.IntN(3), l.rand.IntN(400))
		l.book.note(func() { h.batches = append(h.batches, next) })
		if err := l.append(ctx, h, next); err != nil {
			return err
		}
		if !h.over && l.chance(5) {
			if err := l.append(ctx, h, next); err != nil {
				return err
			}
		}
		if !h.over && l.chance(2) {
			if err := l.beat(ctx, h); err != nil {
				return err
			}
		}
	}
	if h.over {
		return nil
	}
	if h.end == nil {
		end := &ending{status: "completed", result: "by " + h.token[:8] + " " + pad(l.rand.IntN(500))}
		if l.chance(5) {
			end.status = "failed"
		}
		l.book.note(func() { h.end = end })
	}
	return nil
}

// conclude tells the end of a hold, unless it is over, and now and then tells it again.
func (l *load) conclude(ctx context.Context, h *lease) error {
	if h.over {
		return nil
	}
	if err := l.finish(ctx, h); err != nil || h.refused != "" || h.passed {
		return err
	}
	if l.chance(4) {
		return l.finish(ctx, h)
	}
	return nil
}

// repeatLast sends the last write of a hold again, whether it was answered or
// not.
func (l *load) repeatLast(ctx context.Context, h *lease) error {
	if h.end == nil && len(h.batches) > 0 {
		return l.append(ctx, h, h.batches[len(h.batches)-1])
	}
	return nil
}

// append sends a batch. One that was acknowledged before must get the same
// numbers.
func (l *load) append(ctx context.Context, h *lease, b *batch) error {
	b.sent++
	events := make([]obj, len(b.ids))
	for i := range events {
		events[i] = obj{"type": "step", "data": json.RawMessage(b.data[i]), "client_id": b.ids[i]}
	}
	a, err := l.call(ctx, http.MethodPost, "/v1/tasks/"+h.task+"/events", obj{"lease_token": h.token, "events": events})
	d := deed{verb: "append", task: h.task, number: h.number}
	if err != nil {
		l.did(d, outcome{word: lost})
		return err
	}
	var got struct {
		IDs []int64 `json:"ids"`
	}
	switch {
	case a.status == http.StatusConflict:
		l.did(d, outcome{word: "conflict"})
		return l.superseded(ctx, h, "append")
	case a.status != http.StatusOK, json.Unmarshal(a.body, &got) != nil, len(got.IDs) != len(b.ids):
		return odd("append to "+h.task, a)
	case b.seqs != nil && !slices.Equal(b.seqs, got.IDs):
		return odd(fmt.Sprintf("repeated append to %s, first answered %v", h.task, b.seqs), a)
	}
	l.did(d, outcome{word: "ok", seqs: [2]int64{got.IDs[0], got.IDs[len(got.IDs)-1]}, before: b.sent > 1})
	l.book.note(func() {
		l.book.touch(h.task)
		if b.seqs == nil {
			l.book.counts.events += len(b.ids)
		}
		b.seqs = got.IDs
	})
	return nil
}

func (l *load) beat(ctx context.Context, h *lease) error {
	a, err := l.call(ctx, http.MethodPost, "/v1/tasks/"+h.task+"/heartbeat", obj{"lease_token": h.token})
	d := deed{verb: "beat", task: h.task, number: h.number}
	if err != nil {
		l.did(d, outcome{word: lost})
		return err
	}
	var got struct {
		Action string    `json:"action"`
		Until  time.Time `json:"lease_expires_at"`
	}
	switch {
	case a.status == http.StatusConflict:
		l.did(d, outcome{word: "conflict"})
		return l.superseded(ctx, h, "heartbeat")
	case a.status != http.StatusOK, json.Unmarshal(a.body, &got) != nil:
		return odd("heartbeat of "+h.task, a)
	case got.Action == "stop":
		l.did(d, outcome{word: "stop"})
		return l.superseded(ctx, h, "heartbeat")
	}
	l.did(d, outcome{word: "ok"})
	l.book.note(func() { h.until, l.book.counts.beats = got.Until, l.book.counts.beats+1 })
	return nil
}

// superseded ends a hold that has lost its task. Was the task stopped, the
// stop is confirmed, which must be let through.
func (l *load) superseded(ctx context.Context, h *lease, what string) error {
	l.book.note(func() {
		l.book.touch(h.task)
		h.over, h.refused = true, what
		l.book.counts.refusals++
	})
	a, err := l.call(ctx, http.MethodPost, "/v1/tasks/"+h.task+"/heartbeat", obj{"lease_token": h.token})
	if err != nil {
		return err
	}
	var got struct {
		Action string `json:"action"`
	}
	if a.status == http.StatusConflict {
		return nil
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &got) != nil || got.Action != "stop" {
		return odd("heartbeat of a superseded attempt of "+h.task, a)
	}
	a, err = l.call(ctx, http.MethodPost, "/v1/tasks/"+h.task+"/finish", obj{"lease_token": h.token, "status": "stopped"})
	if err == nil && a.status != http.StatusOK && a.status != http.StatusConflict { // 409: a next turn has begun
		return odd("confirmation of a stop of "+h.task, a)
	}
	return err
}

// finish sends a hold's end. One that was acknowledged before must be
// acknowledged again, unless the next turn has begun.
func (l *load) finish(ctx context.Context, h *lease) error {
	a, err := l.call(ctx, http.MethodPost, "/v1/tasks/"+h.task+"/finish",
		obj{"lease_token": h.token, "status": h.end.status, "result": h.end.result})
	if err != nil {
		l.did(h.finishing(), outcome{word: lost})
		return err
	}
	var after taskView
	switch {
	case a.status == http.StatusConflict && !h.end.acked:
		l.did(h.finishing(), outcome{word: "conflict"})
		return l.superseded(ctx, h, "finish")
	case a.status != http.StatusOK, json.Unmarshal(a.body, &after) != nil,
		after.Status != h.end.status, after.Result == nil, *after.Result != h.end.result:
		return odd("finish of "+h.task, a)
	}
	l.ended(h)
	return nil
}

// finishing is the telling of a hold's end.
func (h *lease) finishing() deed {
	return deed{verb: "finish", task: h.task, number: h.number, status: h.end.status}
}

// ended notes that the telling of a hold's end was acknowledged.
func (l *load) ended(h *lease) {
	l.did(h.finishing(), outcome{word: "ok"})
	pass := !h.end.acked && l.chance(3)
	l.book.note(func() {
		l.book.touch(h.task)
		if !h.end.acked {
			l.book.counts.finishes++
		}
		h.over, h.end.acked = true, true
		if pass { // from now on the next turn may begin, and the finish is not repeated
			h.passed = true
			l.book.free = append(l.book.free, h.task)
		}
	})
}

// zombie writes for workers that have forgotten their tasks. As long as the
// lease holds that is accepted.
func (l *load) zombie(ctx context.Context) error {
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var h *lease
		l.book.note(func() {
			for _, x := range l.book.leases {
				if x.dropped && !x.dead && !x.over && (h == nil || l.chance(3)) {
					h = x
				}
			}
		})
		if h == nil {
			continue
		}
		if h.end == nil && l.chance(2) {
			h.want = len(h.batches) + 1
		}
		if err := l.work(ctx, h); err != nil {
			return err
		}
	}
}
