package dispatch

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// errand is a queued task of the model.
type errand struct {
	agent, pin string
	readyAt    task.Stamp
	unheard    bool // its hint was lost, and nobody has looked into all queues since
}

func (e *errand) task() task.Task {
	t := task.Task{OrganizationID: "o", AgentID: e.agent, ReadyAt: e.readyAt}
	if e.pin != "" {
		t.Terms.PinnedWorkerID = &e.pin
	}
	return t
}

// customer is somebody in line.
type customer struct {
	*place
	agents []string
	slots  int
	stream bool
	busy   bool
	doing  string // looks, has looked, waits or rests
	got    []*errand
}

// hall is a line with what it is about.
type hall struct {
	line   *Line
	now    task.Stamp
	errand []*errand
	in     []*customer
	asked  []question // that are not answered
	lost   bool       // a hint was lost, and nobody has looked into all queues since
}

func (h *hall) fits(c *customer, e *errand) bool {
	return e.readyAt <= h.now && slices.Contains(c.agents, e.agent) && (e.pin == "" || e.pin == c.worker)
}

func (h *hall) drop(c *customer) {
	h.in = slices.DeleteFunc(h.in, func(x *customer) bool { return x == c })
	c.leave()
}

func (h *hall) publish(e *errand, own bool) {
	entry := feed.Entry{Organization: "o", Agent: e.agent, Kind: feed.Ready}
	if own {
		entry.Change = &task.Change{Task: e.task(), Events: []task.Event{{Time: h.now}}}
	}
	h.line.Publish([]feed.Entry{entry})
}

// step does what a customer does next of itself, and reports whether there was anything.
func (h *hall) step(c *customer) bool {
	switch c.doing {
	case "looks":
		c.got = nil
		if c.busy {
			c.doing = "has looked"
			return true
		}
		h.errand = slices.DeleteFunc(h.errand, func(e *errand) bool {
			take := len(c.got) < c.slots && h.fits(c, e)
			if take {
				c.got = append(c.got, e)
			}
			return take
		})
		c.doing = "has looked"
	case "has looked":
		for _, e := range c.got {
			c.took(e.task())
			if e.unheard { // it was taken in the place of one of which somebody has heard
				h.lost = true
			}
		}
		if len(c.got) > 0 && !c.stream {
			h.drop(c)
			return true
		}
		c.busy = c.busy || len(c.got) == c.slots
		if c.got = nil; c.busy {
			c.rest(false)
			c.doing = "rests"
			return true
		}
		c.wait()
		c.doing = "waits"
	default:
		select {
		case <-c.called:
			c.look()
			c.doing = "looks"
		default:
			return false
		}
	}
	return true
}

func (h *hall) ask() { h.asked = append(h.asked, h.line.questions(h.now)...) }

func (h *hall) answer(x question) {
	var fronts []lifecycle.Front
	for _, lane := range x.lanes {
		f := lifecycle.Front{Lane: lane}
		for _, e := range h.errand {
			switch {
			case e.agent != lane.Agent || e.pin != lane.Pin:
			case e.readyAt <= h.now:
				f.Ready = min(f.Ready+1, x.limit)
			case f.Next == 0 || e.readyAt < f.Next:
				f.Next = e.readyAt
			}
		}
		fronts = append(fronts, f)
	}
	h.line.answer(x.org, fronts)
}

// settle lets everything take its course, as Workers does.
func (h *hall) settle(t interface{ Fatalf(string, ...any) }) {
	rounds := 0
	for busy := true; busy; rounds++ {
		if busy = false; rounds > 1000 {
			t.Fatalf("it never comes to rest: %d in line, %d tasks", len(h.in), len(h.errand))
		}
		for _, c := range slices.Clone(h.in) {
			busy = h.step(c) || busy
		}
		h.ask()
		for _, x := range h.asked {
			h.answer(x)
			busy = true
		}
		h.asked = nil
	}
}

// No task that is ready stays while somebody waits who may have it: whatever the
// order of arrivals, departures, failures, calls and losses.
func TestNobodyWaitsInVain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := &hall{line: NewLine(), now: 1}
		agents, workers := []string{"a", "b"}, []string{"v", "w"}
		pick := func(t *rapid.T) *customer {
			if len(h.in) == 0 {
				t.Skip("nobody is there")
			}
			return rapid.SampledFrom(h.in).Draw(t, "who")
		}
		t.Repeat(map[string]func(*rapid.T){
			"arrive": func(t *rapid.T) {
				c := &customer{
					agents: rapid.SliceOfNDistinct(rapid.SampledFrom(agents), 1, 2, rapid.ID).Draw(t, "agents"),
					slots:  rapid.IntRange(1, 2).Draw(t, "slots"), doing: "looks",
				}
				worker := rapid.SampledFrom(workers).Draw(t, "worker")
				if c.stream = rapid.Bool().Draw(t, "stream"); c.stream {
					worker = rapid.StringMatching("s-[a-z]{8}").Draw(t, "id")
					c.agents = c.agents[:1]
				}
				c.place = h.line.join("o", c.agents, worker, c.stream)
				h.in = append(h.in, c)
			},
			"create": func(t *rapid.T) {
				e := &errand{agent: rapid.SampledFrom(agents).Draw(t, "agent"), readyAt: h.now}
				if rapid.IntRange(0, 3).Draw(t, "pinned") == 0 {
					e.pin = rapid.SampledFrom(workers).Draw(t, "pin")
				}
				if rapid.IntRange(0, 3).Draw(t, "scheduled") == 0 {
					e.readyAt += task.Stamp(rapid.IntRange(1, 3).Draw(t, "delay"))
				}
				h.errand = append(h.errand, e)
				if by := rapid.SampledFrom([]string{"own", "another", "lost"}).Draw(t, "by"); by == "lost" {
					e.unheard = true
				} else {
					h.publish(e, by == "own")
				}
			},
			"step": func(t *rapid.T) { h.step(pick(t)) },
			"fail": func(t *rapid.T) { // others may have passed over what it had almost taken
				c := pick(t)
				if c.doing != "has looked" {
					t.Skip("it has not looked")
				}
				h.errand = append(h.errand, c.got...)
				c.failed()
				h.drop(c)
			},
			"leave": func(t *rapid.T) {
				if c := pick(t); len(c.got) == 0 { // else it fails
					h.drop(c)
				}
			},
			"free": func(t *rapid.T) {
				c := pick(t)
				c.busy = false
				h.line.Publish([]feed.Entry{{Organization: "o", Agent: c.agents[0], Worker: c.worker, Kind: feed.Freed}})
			},
			"ask": func(*rapid.T) { h.ask() },
			"answer": func(t *rapid.T) {
				if len(h.asked) == 0 {
					t.Skip("nothing was asked")
				}
				i := rapid.IntRange(0, len(h.asked)-1).Draw(t, "question")
				x := h.asked[i]
				h.asked = slices.Delete(h.asked, i, i+1)
				if rapid.IntRange(0, 3).Draw(t, "outage") == 0 {
					h.line.giveUp(x)
					return
				}
				h.answer(x)
			},
			"time passes": func(*rapid.T) { h.now++ },
			"look into all": func(*rapid.T) {
				h.line.doubtAll()
				h.lost = false
				for _, e := range h.errand {
					e.unheard = false
				}
			},
			"settle": func(t *rapid.T) {
				h.settle(t)
				for _, e := range h.errand {
					for _, c := range h.in {
						if !h.lost && !e.unheard && c.doing == "waits" && h.fits(c, e) {
							t.Fatalf("%+v waits for nobody, and worker %s of %v for nothing", *e, c.worker, c.agents)
						}
					}
				}
			},
		})
	})
}

// One task calls one worker: the one that has waited longest, and goes back to its
// place when it finds nothing.
func TestLongestWaitingIsCalledFirst(t *testing.T) {
	t.Parallel()
	h := &hall{line: NewLine(), now: 1}
	for range 5 {
		c := &customer{agents: []string{"a"}, slots: 1, doing: "looks"}
		c.place = h.line.join("o", c.agents, "w", false)
		h.in = append(h.in, c)
	}
	all := slices.Clone(h.in)
	h.settle(t)
	calls := func() (n []int) {
		for i, c := range all {
			if len(c.called) > 0 {
				n = append(n, i)
			}
		}
		return n
	}
	for range 2 {
		h.publish(&errand{agent: "a", readyAt: 1}, true) // somebody else is faster
		if got := calls(); !slices.Equal(got, []int{0}) {
			t.Fatalf("called %v, want the first", got)
		}
		h.settle(t)
	}
	h.publish(&errand{agent: "a", readyAt: 1}, true)
	h.publish(&errand{agent: "a", readyAt: 1}, true)
	if got := calls(); !slices.Equal(got, []int{0, 1}) {
		t.Fatalf("two tasks called %v", got)
	}
	h.drop(all[0])
	if got := calls(); !slices.Contains(got, 2) {
		t.Errorf("the first has gone, and its call went to nobody: %v", got)
	}
}
