package lifecycle

import (
	"slices"
	"time"

	"github.com/errand-dev/errand/server/internal/task"
)

// A Python worker whose stream was cut registers anew, under a new id and
// without a word of the old one, while what it was executing goes on. Whether a
// registration is such an heir, or a new process, is found out by counting
// (rule L5): a break is a time in which workers of one agent, key and address
// were cut off, and if as many have registered after it, each of them is one of
// those. A break goes by the id of the first that registered after it.

const (
	// heirWithin is how recently a worker that was cut off must have been heard
	// when its heir registers: it heartbeats every 2 s meanwhile.
	heirWithin = 3 * time.Second
	// HeirsAfterStart is how long after a start of the server the workers that
	// the stop has cut off may take to register: they try for about 9 s.
	HeirsAfterStart = 12 * time.Second
	// silentLimit is how long an open stream speaks for a worker that says
	// nothing itself.
	silentLimit = 10 * time.Minute
	// heardLimit is how long a worker without a stream lives on a post.
	heardLimit = 30 * time.Second
)

// kin are the Python workers of one agent, key and address.
type kin []Worker

// missing reports whether a worker was cut off a moment ago and has no heir yet.
func (k kin) missing(w Worker, now task.Stamp) bool { return cutOff(w, now) && !k.settled(w) }

// cutOff reports whether a registration may stand for a worker.
func cutOff(w Worker, now task.Stamp) bool { return !w.Connected && w.HeirUntil >= now }

// settled reports whether a worker lives on in an heir.
func (k kin) settled(w Worker) bool { return w.OwnerIn != "" && k.balanced(w.OwnerIn) }

// livedOn reports whether a worker has been heard since it was cut off. What it
// had under way at that moment proves nothing.
func (w Worker) livedOn() bool { return w.LastHeard >= w.CutAt.Add(beatAfter) }

// inherit finds out in which break the newly registered worker was cut off. It
// changes the workers concerned and returns them; w is among them, unless it is
// nobody's heir.
func (k kin) inherit(w *Worker, now task.Stamp) []Worker {
	var open, settled []int // cut off a moment ago: without an heir, with one
	for i, o := range k {
		switch {
		case o.ID == w.ID || !cutOff(o, now):
		case k.settled(o):
			settled = append(settled, i)
		default:
			open = append(open, i)
		}
	}
	owners := open
	if len(owners) == 0 { // one too many: it may be the heir just as well
		owners = settled
	}
	if len(owners) == 0 {
		return nil
	}
	into := w.ID
	var from []string // breaks that are found to be one
	for _, i := range owners {
		if name := k[i].OwnerIn; name != "" {
			from, into = append(from, name), name
		}
	}
	var changed []Worker
	for i := range k {
		was := k[i]
		if slices.Contains(owners, i) || slices.Contains(from, was.OwnerIn) {
			k[i].OwnerIn = into
		}
		if slices.Contains(from, was.HeirOf) {
			k[i].HeirOf = into
		}
		if k[i].OwnerIn != was.OwnerIn || k[i].HeirOf != was.HeirOf {
			changed = append(changed, k[i])
		}
	}
	w.HeirOf = into
	return append(changed, *w)
}

// owners and heirs of a break. Who was cut off again within it is neither.
func (k kin) owners(name string) []Worker {
	return k.these(func(w Worker) bool { return w.OwnerIn == name && w.HeirOf != name })
}

func (k kin) heirs(name string) []Worker {
	return k.these(func(w Worker) bool { return w.HeirOf == name && w.OwnerIn != name })
}

func (k kin) these(which func(Worker) bool) []Worker {
	var found []Worker
	for _, w := range k {
		if which(w) {
			found = append(found, w)
		}
	}
	return found
}

func (k kin) balanced(name string) bool {
	n := len(k.owners(name))
	return n > 0 && n == len(k.heirs(name))
}

// proven reports whether all who were cut off in a break are known to live on:
// by themselves, or in heirs of their own.
// What is known of a break already is not found out again.
func (k kin) proven(name string, now task.Stamp, known map[string]bool) bool {
	if proven, ok := known[name]; ok {
		return proven
	}
	known[name] = false
	if name == "" || !k.balanced(name) {
		return false
	}
	for _, h := range k.heirs(name) {
		if !alive(h, now) && !k.proven(h.OwnerIn, now, known) {
			return false
		}
	}
	known[name] = true
	return true
}

// alive reports whether a worker is known to live by its own stream or posts.
func alive(w Worker, now task.Stamp) bool {
	quiet := now.Sub(w.LastHeard)
	return w.Connected && quiet < silentLimit || quiet < heardLimit
}

// mayBe reports whether a worker is proven to be one of those that were once
// known under an id.
func (k kin) mayBe(w Worker, id string, now task.Stamp) bool {
	return slices.Contains(k.before(w, true, now), id)
}

// before lists the ids under which a worker may have been known: those whose
// heir it is, and theirs in turn. With sure it lists only those that are proven
// to have lived on.
func (k kin) before(w Worker, sure bool, now task.Stamp) []string {
	var found []string
	breaks, known := []string{w.HeirOf}, map[string]bool{}
	for i := 0; i < len(breaks); i++ {
		name := breaks[i]
		if name == "" || sure && !k.proven(name, now, known) {
			continue
		}
		for _, o := range k {
			if o.OwnerIn == name && o.ID != w.ID {
				found = append(found, o.ID)
			}
			if o.OwnerIn == name && !slices.Contains(breaks, o.HeirOf) {
				breaks = append(breaks, o.HeirOf)
			}
		}
	}
	return found
}
