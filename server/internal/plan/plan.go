// Package plan is the deep plan of a turn: the steps that an agent lists before
// it works and ticks off while it does, and the tools by which its model reads
// and changes them. It is pure: the same plan, call and ids give the same plan.
package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/fault"
)

// Limits on what a plan may hold.
const (
	MaxItems = 100
	MaxTitle = 255 // code points
	maxID    = 128 // bytes
)

// Plan is a deep plan as the Python client reads it.
type Plan struct {
	// Enabled and Enforce come from the agent when the turn begins. An enforced
	// plan that has started and is not complete makes the Python client's worker
	// run its handler again.
	Enabled bool `json:"enabled"`
	Enforce bool `json:"enforce"`
	Started bool `json:"started"`
	// QuestionRaised says that the agent waits for an answer.
	QuestionRaised bool   `json:"question_raised"`
	Items          []Item `json:"tasks"`
}

// Item is one step.
type Item struct {
	ID        string `json:"id"`
	Title     string `json:"title"`
	Completed bool   `json:"completed"`
}

// Read reads a plan from its JSON; null and nothing are a plan that is not enabled.
func Read(raw json.RawMessage) (Plan, error) {
	var p Plan
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &p); err != nil {
			return Plan{}, fault.New(fault.Invalid, "must be an object with enabled, enforce, started, question_raised and tasks, each with id, title and completed")
		}
	}
	if p.Items == nil {
		p.Items = []Item{}
	}
	for i, item := range p.Items {
		if item.ID == "" || len(item.ID) > maxID {
			return Plan{}, fault.Field(fmt.Sprintf("tasks[%d].id", i), "must be 1 to %d bytes", maxID)
		}
		if _, err := title(fmt.Sprintf("tasks[%d].title", i), item.Title); err != nil {
			return Plan{}, err
		}
	}
	return p, room(len(p.Items))
}

// Complete reports whether there is a plan and all of it is done.
func (p Plan) Complete() bool {
	return len(p.Items) > 0 && !slices.ContainsFunc(p.Items, func(i Item) bool { return !i.Completed })
}

// Unfinished reports whether there is a plan that has started and is not done:
// a next turn of the task goes on with it.
func (p Plan) Unfinished() bool { return p.Started && len(p.Items) > 0 && !p.Complete() }

// find is the place of an item.
func (p Plan) find(field, id string) (int, error) {
	at := slices.IndexFunc(p.Items, func(i Item) bool { return i.ID == id })
	switch {
	case at >= 0:
		return at, nil
	case len(p.Items) == 0:
		return 0, noPlan()
	}
	return 0, &fault.Error{
		Code: fault.NotFound, Field: field,
		Message: fmt.Sprintf("the plan has no item %q: %s lists the items with their ids", id, Get),
	}
}

func noPlan() error {
	return fault.New(fault.NotFound, "there is no plan: make one with %s", Create)
}

func room(items int) error {
	if items > MaxItems {
		return fault.Field("tasks", "a plan must not hold more than %d items", MaxItems)
	}
	return nil
}

// title checks a title and trims it.
func title(field, given string) (string, error) {
	given = strings.TrimSpace(given)
	switch {
	case given == "":
		return "", fault.Field(field, "must not be empty")
	case utf8.RuneCountInString(given) > MaxTitle:
		return "", fault.Field(field, "must not be longer than %d characters", MaxTitle)
	}
	return given, nil
}
