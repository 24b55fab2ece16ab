package lifecycle_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

const host = "10.0.0.1"

// worksOn submits a task and lets a Python worker start it.
func (b *bench) worksOn(worker string, ids ...string) {
	b.t.Helper()
	for _, id := range ids {
		b.submit(id, nil)
		if got := b.assign(worker); !slices.Contains(got, id) {
			b.t.Fatalf("assigned %v, want %s among them", got, id)
		}
		b.patch(id, b.body(id, fields{"status": "executing"}))
	}
}

// pass lets time go by, in which some workers heartbeat.
func (b *bench) pass(d time.Duration, alive ...string) {
	b.t.Helper()
	for end := b.clock.Now().Add(d); b.clock.Now().Before(end); {
		for _, w := range alive {
			b.beat(w)
		}
		b.later(min(10*time.Second, end.Sub(b.clock.Now())))
	}
}

// restart is what a start of the server does first.
func (b *bench) restart(down time.Duration) {
	b.t.Helper()
	b.clock.forward(down)
	b.must(b.Begin(b.ctx()))
	b.RenewLeases()
}

func TestL5OpenStreamSpeaksForTenSilentMinutes(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.runPython("t", nil)
	speak := func(d time.Duration) {
		for end := b.clock.Now().Add(d); b.clock.Now().Before(end); b.later(15 * time.Second) {
			b.must(b.Speak(b.ctx(), org, bot, w))
		}
	}
	speak(9 * time.Minute)
	b.beat(w)
	speak(9 * time.Minute)
	b.shows("t", task.Executing, "")
	speak(2 * time.Minute)
	b.shows("t", task.Error, task.EndWorkerLost)
}

func TestL5HeirHoldsTheLeasesOfTheCutWorker(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.registerFrom(host)
	b.worksOn(w, "t")
	b.pass(10*time.Second, w)
	b.cut(w)
	b.beat(w) // it does so until it has registered again
	b.clock.forward(2900 * time.Millisecond)
	heir := b.registerFrom(host)
	b.pass(2*time.Minute, heir)
	b.shows("t", task.Executing, "")

	b.beat(heir)
	b.cut(heir)
	b.clock.forward(time.Second)
	next := b.registerFrom(host) // and so on
	b.pass(2*time.Minute, next)
	b.shows("t", task.Executing, "")
	b.beat(next)
	b.cut(next)
	b.pass(29 * time.Second)
	b.shows("t", task.Executing, "")
	b.pass(3 * time.Second)
	b.shows("t", task.Error, task.EndWorkerLost)
}

func TestL5RegistrationThatInheritsNothing(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(b *bench) string{
		"a worker killed and started again": func(b *bench) string {
			b.clock.forward(3*time.Second + time.Microsecond)
			return b.registerFrom(host)
		},
		"another host": func(b *bench) string { return b.registerFrom("10.0.0.2") },
		"another key": func(b *bench) string {
			w, err := b.Register(b.ctx(), lifecycle.Registration{Organization: org, Agent: bot, KeyID: "other", Address: host})
			b.must(err)
			return w.ID
		},
		"another agent": func(b *bench) string {
			w, err := b.Register(b.ctx(), lifecycle.Registration{Organization: org, Agent: "other", KeyID: "key", Address: host})
			b.must(err)
			return w.ID
		},
	} {
		t.Run("L5 "+name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			w := b.registerFrom(host)
			b.worksOn(w, "t")
			b.beat(w)
			b.cut(w)
			other := again(b)
			b.pass(26*time.Second, other)
			b.shows("t", task.Executing, "")
			b.pass(5*time.Second, other)
			b.shows("t", task.Error, task.EndWorkerLost)
		})
	}
}

// A worker whose stream is open has no heir: a second process beside it is a
// second worker.
func TestL5AnOpenStreamHasNoHeir(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.registerFrom(host)
	b.worksOn(w, "t")
	second := b.registerFrom(host)
	b.cut(w)
	b.pass(32*time.Second, second)
	b.shows("t", task.Error, task.EndWorkerLost)
}

func TestL5AsManyHeirsAsOwners(t *testing.T) {
	t.Parallel()
	cut := func(t *testing.T) (b *bench, busy string) {
		t.Helper()
		b = open(t)
		busy = b.registerFrom(host)
		b.worksOn(busy, "t")
		idle := b.registerFrom(host)
		b.beat(busy)
		b.beat(idle)
		b.cut(busy)
		b.cut(idle)
		b.clock.forward(time.Second)
		return b, busy
	}
	t.Run("L5 both came back", func(t *testing.T) {
		t.Parallel()
		b, _ := cut(t)
		first := b.registerFrom(host)
		b.clock.forward(time.Second)
		second := b.registerFrom(host)
		b.pass(time.Minute, first, second)
		b.shows("t", task.Executing, "")
		b.pass(29*time.Second, first) // one of the two is gone: nobody knows whose
		b.shows("t", task.Executing, "")
		b.cut(second)
		b.pass(31*time.Second, first)
		b.shows("t", task.Error, task.EndWorkerLost)
	})
	t.Run("L5 only one came back", func(t *testing.T) {
		t.Parallel()
		b, _ := cut(t)
		first := b.registerFrom(host)
		b.pass(31*time.Second, first)
		b.shows("t", task.Error, task.EndWorkerLost)
	})
	t.Run("L5 the other proves itself by its own posts", func(t *testing.T) {
		t.Parallel()
		b, busy := cut(t)
		first := b.registerFrom(host)
		b.pass(time.Minute, first, busy)
		b.shows("t", task.Executing, "")
	})
	t.Run("L5 one too many", func(t *testing.T) {
		t.Parallel()
		b, _ := cut(t)
		all := []string{b.registerFrom(host), b.registerFrom(host), b.registerFrom(host)}
		b.pass(31*time.Second, all...)
		b.shows("t", task.Error, task.EndWorkerLost)
	})
	t.Run("L5 one was cut off again at once", func(t *testing.T) {
		t.Parallel()
		b, _ := cut(t)
		first := b.registerFrom(host)
		b.cut(first)
		again := b.registerFrom(host)
		second := b.registerFrom(host)
		b.pass(time.Minute, again, second)
		b.shows("t", task.Executing, "")
	})
}

// The time in which the server was down does not count, and each worker takes
// some seconds to find it again.
func TestL5HeirsAfterARestart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after time.Duration
		lost  bool
	}{
		"at once":  {time.Second, false},
		"12 s":     {12 * time.Second, false},
		"too late": {12*time.Second + time.Microsecond, true},
	} {
		t.Run("L5 "+name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			w := b.registerFrom(host)
			b.worksOn(w, "t")
			b.pass(4*time.Second, w)
			b.restart(10 * time.Hour)
			b.clock.forward(c.after)
			heir := b.registerFrom(host)
			b.pass(time.Minute, heir)
			if c.lost {
				b.shows("t", task.Error, task.EndWorkerLost)
				return
			}
			b.shows("t", task.Executing, "")
		})
	}
	t.Run("L5 ten restarts", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		w := b.registerFrom(host)
		b.worksOn(w, "t")
		for range 10 {
			b.pass(3*time.Second, w)
			b.restart(5 * time.Second)
			b.clock.forward(2 * time.Second)
			w = b.registerFrom(host)
		}
		b.pass(time.Minute, w)
		b.shows("t", task.Executing, "")
		b.patch("t", b.body("t", fields{"status": "completed", "result": "done"}))
		b.shows("t", task.Completed, task.EndCompleted)
	})
	t.Run("L5 one was dead before", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		dead, w := b.registerFrom(host), b.registerFrom(host)
		b.worksOn(w, "t")
		b.beat(dead)
		b.pass(8*time.Second, w)
		b.beat(w) // the other's stream still looks open
		b.restart(time.Minute)
		heir := b.registerFrom(host)
		b.pass(time.Minute, heir)
		b.shows("t", task.Executing, "")
	})
}

// TestL5NodesThatEndOneAfterTheOther, each before its streams have spoken for their
// workers, and while another node is there: a lease has its full length since the last
// of them has ended.
func TestL5NodesThatEndOneAfterTheOther(t *testing.T) {
	t.Parallel()
	for name, leaves := range map[string]bool{"L5 by leaving": true, "L5 by silence": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			node := func(id string) *lifecycle.Service {
				s := b.service(b.store)
				s.Name(id)
				return s
			}
			stays := node("stays")
			pass := func(d time.Duration, nodes ...*lifecycle.Service) {
				t.Helper()
				for range int(d / time.Second) {
					b.clock.forward(time.Second)
					for _, s := range append(nodes, stays) {
						_, err := s.Beat(b.ctx(), false)
						b.must(err)
					}
					b.must(b.Sweep(b.ctx()))
				}
			}
			pass(time.Second)
			_, err := stays.Beat(b.ctx(), true)
			b.must(err)
			for i := range 12 {
				b.Service = node("node-" + strconv.Itoa(i))
				b.must(b.Begin(b.ctx()))
				if worker := b.registerFrom(host); i == 0 {
					b.worksOn(worker, "t")
				}
				pass(4*time.Second, b.Service)
				if leaves {
					b.must(b.Leave(b.ctx()))
				} else {
					pass(4 * time.Second)
				}
			}
			b.shows("t", task.Executing, "")
			pass(25 * time.Second)
			b.shows("t", task.Executing, "")
			pass(10 * time.Second)
			b.shows("t", task.Error, task.EndWorkerLost)
		})
	}
}

// TestL5HeirOfANodeThatWasKilled: a registration that comes before anybody knows that the
// node is dead waits until it is cut off, and then is the worker's heir. If the node
// lives, it is another process.
func TestL5HeirOfANodeThatWasKilled(t *testing.T) {
	t.Parallel()
	for name, killed := range map[string]bool{"L5 killed": true, "L5 alive": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			first, next := b.service(b.store), b.service(b.store)
			first.Name("first")
			next.Name("next")
			beat := func(nodes ...*lifecycle.Service) {
				t.Helper()
				for _, s := range nodes {
					_, err := s.Beat(b.ctx(), false)
					b.must(err)
				}
			}
			b.Service = first
			w := b.registerFrom(host)
			b.worksOn(w, "t")
			beat(first, next)
			b.clock.forward(300 * time.Millisecond)
			b.Service = next
			r := lifecycle.Registration{Organization: org, Agent: bot, KeyID: "key", Address: host}
			came := b.Now()
			waits := func(want bool) {
				t.Helper()
				if got, err := b.Undecided(b.ctx(), r, came); got != want || err != nil {
					t.Fatalf("waits: %v, want %v; %v", got, want, err)
				}
			}
			waits(true)
			for range 4 {
				b.clock.forward(time.Second)
				if beat(next); !killed {
					beat(first)
					break
				}
				b.beat(w) // until it is told its new id
				b.clock.forward(time.Millisecond)
			}
			b.clock.forward(time.Second)
			if killed {
				b.beat(w)
			}
			waits(false)
			heir := b.registerFrom(host)
			for range 60 {
				b.clock.forward(time.Second)
				if beat(next); !killed {
					beat(first)
				}
				b.beat(heir)
				b.must(b.Sweep(b.ctx()))
			}
			if killed {
				b.shows("t", task.Executing, "")
				return
			}
			b.shows("t", task.Error, task.EndWorkerLost)
		})
	}
}

func TestL5UnstartedIsNeverInherited(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.registerFrom(host)
	b.submit("t", nil)
	b.assign(w)
	mine := b.body("t", nil)
	b.restart(time.Second)
	if s := b.state("t"); s.Status != task.Pending || s.ExecutionAttempts != 2 || s.WorkerID != nil {
		t.Fatalf("L5: %s with number %d, worker %s", s.Status, s.ExecutionAttempts, text(s.WorkerID))
	}
	if got := b.assign(b.registerFrom(host)); !slices.Equal(got, []string{"t"}) {
		t.Errorf("L5: assigned %v", got)
	}
	if _, err := b.tryPatch("t", mine.with(fields{"status": "executing"})); err == nil {
		t.Error("L5: the old assignment may start")
	}
}

func TestL9CountsWhatAnHeirsOldIdsHold(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.registerFrom(host)
	for i := range 4 {
		b.worksOn(w, "t"+strconv.Itoa(i))
	}
	b.beat(w)
	b.cut(w)
	heir := b.registerFrom(host)
	b.fill("u", 6)
	if got := b.assign(heir); len(got) != 2 {
		t.Fatalf("L9: beside four it goes on with, the heir gets %v", got)
	}
	b.patch("t0", b.body("t0", fields{"status": "completed", "result": "r"}))
	if got := b.assign(heir); len(got) != 1 {
		t.Errorf("L9: after one end the heir gets %v", got)
	}
}

// However often workers were cut off together, a heartbeat costs little: a break
// that can be reached in many ways is looked at once.
func TestL5ManyBreaks(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := []string{b.registerFrom(host), b.registerFrom(host)}
	b.worksOn(w[0], "t")
	for range 40 { // 2 to the 40th ways
		for i := range w {
			b.beat(w[i])
			b.cut(w[i])
		}
		b.clock.forward(time.Second)
		w = []string{b.registerFrom(host), b.registerFrom(host)}
		b.beat(w[0])
		b.beat(w[1])
	}
	b.pass(time.Minute, w...)
	b.shows("t", task.Executing, "")
}
