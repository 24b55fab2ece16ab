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
	// Going says that it has not visited all sub-tasks yet; After is the last one
	// that it has.
	Going bool   `json:"-"`
	After string `json:"after,omitempty"`
}

// Reaches reports whether the descent stops a sub-task.
func (x Descent) Reaches(child *Task) bool {
	return child.ended == "" && child.BegunAt <= x.At && (x.All || !child.Terms.Keep)
}

// PassesBy reports whether it goes on to what is below a sub-task that it does not
// stop. One that it has passed by before is left out: so it ends although somebody
// has made a circle of tasks.
func (x Descent) PassesBy(child *Task) bool {
	return x.All && child.Subtasks > 0 && !(child.Descent.All && child.Descent.At >= x.At)
}

// descend begins a descent, if there may be anybody to visit. What one before it
// has left is this one's, which is as wide.
func (d *draft) descend(x Descent) {
	if d.t.Subtasks == 0 {
		return
	}
	x.Going, x.All = true, x.All || d.t.Descent.Going && d.t.Descent.All
	d.t.Descent = x
}

// Pass lets a descent go on to what is below a task that it does not stop.
type Pass struct{ Descent Descent }

func (c Pass) apply(d *draft) error { //nolint:unparam // the form of every Command
	d.descend(Descent{At: c.Descent.At, By: c.Descent.By, All: c.Descent.All})
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
