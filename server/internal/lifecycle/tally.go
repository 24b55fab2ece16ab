package lifecycle

// Tally finds out which attempts on a Python worker are over although the end
// that the worker reported never arrived (rule L6).
//
// After each attempt the worker posts once that it has capacity again, and it
// does so after its report. A post therefore belongs to an attempt that was sent
// before it, but does not say to which. If more posts than reports have come,
// as many reports are lost, and they are among those attempts that were sent
// before the post and had not been reported then. That stays true: each later
// report clears one of them, and when no more are left than are lost, all that
// are left are lost. Until then nothing is concluded.
type Tally struct {
	// Posts counts the posts that an attempt is over, Reports the attempts whose
	// report arrived, Lost the posts that are known to have none.
	Posts   int `json:"posts,omitempty"`
	Reports int `json:"reports,omitempty"`
	Lost    int `json:"lost,omitempty"`
	// Doubts are what could not be concluded yet, the oldest first.
	Doubts []Doubt `json:"doubts,omitempty"`
}

// Doubt says that after so many posts so many reports were missing.
type Doubt struct {
	Post    int `json:"post"`
	Missing int `json:"missing"`
}

// Sent is an attempt whose end its worker has not reported.
type Sent struct {
	Task   string
	Number int
	// After is how many posts the worker had made when the attempt was sent.
	After int
}

// Posted counts a post.
func (t *Tally) Posted() {
	t.Posts++
	missing := t.Posts - t.Reports - t.Lost
	if n := len(t.Doubts); missing > 0 && (n == 0 || missing > t.Doubts[n-1].Missing) {
		t.Doubts = append(t.Doubts, Doubt{Post: t.Posts, Missing: missing})
	}
}

// Reported counts an attempt whose report has arrived, lost ones excepted.
func (t *Tally) Reported() { t.Reports++ }

// Conclude returns which of the attempts that are still unreported never will
// be. Posts for which no attempt is left to blame are forgotten: they must not
// be held against later ones.
func (t *Tally) Conclude(unreported []Sent) []Sent {
	var lost []Sent
	for {
		i := t.certain(unreported)
		if i < 0 {
			return lost
		}
		settled := t.Doubts[i]
		suspects := settled.suspects(unreported)
		t.Lost += settled.Missing
		lost = append(lost, suspects...)
		var rest []Doubt
		for _, d := range t.Doubts {
			if d.Post >= settled.Post {
				d.Missing -= settled.Missing
			} else {
				d.Missing -= len(d.suspects(suspects))
			}
			if d.Missing > 0 {
				rest = append(rest, d)
			}
		}
		t.Doubts = rest
		unreported = without(unreported, suspects)
	}
}

// certain is the index of a doubt whose suspects are all lost, -1 for none.
func (t *Tally) certain(unreported []Sent) int {
	for i, d := range t.Doubts {
		if len(d.suspects(unreported)) <= d.Missing {
			return i
		}
	}
	return -1
}

// suspects are those that were sent before the post.
func (d Doubt) suspects(attempts []Sent) []Sent {
	var found []Sent
	for _, a := range attempts {
		if a.After < d.Post {
			found = append(found, a)
		}
	}
	return found
}

func without(attempts, gone []Sent) []Sent {
	var rest []Sent
	for _, a := range attempts {
		found := false
		for _, g := range gone {
			found = found || a == g
		}
		if !found {
			rest = append(rest, a)
		}
	}
	return rest
}
