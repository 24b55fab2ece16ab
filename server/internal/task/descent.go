package task

// Descent is a stop on its way to what is below a task (X1). It visits the
// sub-tasks in the order of their ids; each that it stops takes it further down.
// It may take many commits, between which others write.
type Descent struct {
	// At is when it began: a turn that began later is none of its business.
	At Stamp `json:"at"`
	// By is in whose name it stops.
	By string `json:"by"`
	// All says that somebody has asked for it, so it reaches all that runs. Without,
	// it is the end of the task's turn, which those sub-tasks outlive that are to
	// (on_parent_end).
	All bool `json:"all"`
	// To is what it does to what it reaches, if not to stop it.
	To DescentTo `json:"to,omitempty"`
	// Going says that it has not visited all sub-tasks yet; After is the last one
	// that it has.
	Going bool   `json:"-"`
	After string `json:"after,omitempty"`
}

// DescentTo says what a descent does to what it reaches.
type DescentTo string

// What a budget does to those that spend from it (B1).
const (
	DescentPauses DescentTo = "hold"
	DescentFrees  DescentTo = "free"
	DescentEnds   DescentTo = "end"
)

// Command is what the descent asks of a sub-task that it reaches.
func (x Descent) Command() Command {
	switch x.To {
	case DescentPauses:
		return spread{Exhaust{x.By}, x}
	case DescentFrees:
		return spread{Free{x.By}, x}
	case DescentEnds:
		return UseUp{}
	default:
		return RequestStop{By: x.By}
	}
}

// spread goes on to what is below, which a stop does by itself.
type spread struct {
	Command
	on Descent
}

func (c spread) apply(d *draft) error {
	d.descend(Descent{At: c.on.At, By: c.on.By, All: true, To: c.on.To})
	return c.Command.apply(d)
}

// Reaches reports whether the descent stops a sub-task, or does to it what else it is
// to do.
func (x Descent) Reaches(child *Task) bool {
	switch x.To {
	case DescentPauses:
		return child.Running()
	case DescentFrees:
		return child.ended == "" && child.Account != nil && child.Account.Exhausted
	case DescentEnds:
		return child.ended == ""
	}
	return child.ended == "" && child.BegunAt <= x.At && (x.All || !child.Terms.Keep)
}

// PassesBy reports whether it goes on to what is below a sub-task that it does not
// stop. One that it has passed by before is left out: so it ends although somebody
// has made a circle of tasks.
func (x Descent) PassesBy(child *Task) bool {
	return x.All && child.Subtasks > 0 && !(child.Descent.All && child.Descent.At >= x.At && child.Descent.To == x.To)
}

// descend begins a descent, if there may be anybody to visit. What one before it
// has left is this one's, which is as wide.
func (d *draft) descend(x Descent) {
	if d.t.Subtasks == 0 {
		return
	}
	was := d.t.Descent
	if was.Going && was.ends() && !x.ends() { // which do not go on whatever their budget
		return
	}
	x.Going, x.All = true, x.All || was.Going && was.ends() && was.All
	d.t.Descent = x
}

// Same reports whether they are the same descent, however far it has come.
func (x Descent) Same(y Descent) bool {
	return x.At == y.At && x.By == y.By && x.All == y.All && x.To == y.To
}

// ends reports whether what it reaches is over then.
func (x Descent) ends() bool { return x.To == "" || x.To == DescentEnds }

// Pass lets a descent go on to what is below a task that it does not stop.
type Pass struct{ Descent Descent }

func (c Pass) apply(d *draft) error { //nolint:unparam // the form of every Command
	d.descend(Descent{At: c.Descent.At, By: c.Descent.By, All: c.Descent.All, To: c.Descent.To})
	return nil
}

// Visited notes how far the task's descent has come.
type Visited struct {
	After string
	Done  bool
}

func (c Visited) apply(d *draft) error { //nolint:unparam // the form of every Command
	d.t.Descent.After, d.t.Descent.Going = c.After, !c.Done
	return nil
}
