// Package tool is the port of tools: what an agent may have done for it while a model
// works on its task. A runtime that gives tools to a model (package runtime/model) asks
// a [Source] which ones an attempt has, runs calls of them, and keeps in the attempt's
// journal what was called and what came of it (rule T9); a tool sees to its own work alone.
package tool

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/runtime"
)

// Tool is one tool. It is used by one attempt alone, whose calls may run side by side.
type Tool struct {
	// Name is what the model calls it: 1 to [MaxName] of A-Z a-z 0-9 _ -, and no other
	// tool of the attempt is called the same.
	Name string
	// Description tells the model what the tool does and when it is of use.
	Description string
	// Input is the JSON Schema of the arguments: an object's.
	Input json.RawMessage
	// Idempotent says that running the same call again does no harm: it is done when
	// nobody knows what became of the first time. Of any other call of which that is
	// not known, the model is told so.
	Idempotent bool
	// Approved says that a person has to approve of each call before it is run.
	Approved bool
	// Run runs one call and returns soon after ctx ends. What the model is to learn, of
	// failures too, is a Result. An error ends the attempt: as soon as the other calls
	// of the model's answer are over, it is returned as the error of [runtime.Runner],
	// so a *runtime.Later gives the task back. The next attempt of the turn then runs
	// the call again, with the same ID, if the tool is Idempotent.
	Run func(ctx context.Context, c Call) (Result, error)
}

// Pending is the error of a call that waits for something that has not come: for
// people, or for sub-tasks. When the other calls of the answer are over the attempt gives
// its task up until that has come, and the next one runs the call again: such a tool is
// Idempotent.
type Pending struct { //nolint:errname // it is what happens, not what is wrong
	// Approvals and SubTasks are the ids of what it waits for.
	Approvals, SubTasks []string
}

func (p *Pending) Error() string { return "the call waits for what has not come" }

// Refused tells the model what the server has refused to do for it. Any other error is
// the attempt's.
func Refused(err error) (Result, error) {
	switch fault.CodeOf(err) { //nolint:exhaustive // the others are not about what was asked
	case fault.Invalid, fault.NotFound, fault.Conflict, fault.Malformed, fault.TooLarge, fault.RateLimited:
		return Error("Not carried out: " + err.Error()), nil
	default:
		return Result{}, err
	}
}

// MaxName is how long a tool's name may be: what all providers take.
const MaxName = 64

// Call is one call of a tool.
type Call struct {
	// ID names the call in its turn, for every attempt alike.
	ID string
	// Arguments are a JSON object that follows the tool's Input.
	Arguments json.RawMessage
	// Attempt is the one that runs it.
	*runtime.Attempt
}

// Result is what came of a call, for the model.
type Result struct {
	// Text is cut for the model at [MaxResult] bytes.
	Text string
	// IsError says that the tool could not do it, and Text why.
	IsError bool
}

// MaxResult is how much of a result a model is given, in bytes.
const MaxResult = 48 << 10

// Text is the result of a call that went well.
func Text(text string) Result { return Result{Text: text} }

// Error is the result of a call that the tool could not carry out.
func Error(text string) Result { return Result{Text: text, IsError: true} }

// Source makes the tools of an attempt. It may be called concurrently.
type Source func(ctx context.Context, a *runtime.Attempt, who agent.Agent) ([]Tool, error)

// Kit is what makes the built-in tools, by the names under which agents' records ask
// for them. One name may stand for several tools.
type Kit map[agent.Tool]Source

// Tools makes those that the agent's record names, sorted by name: providers keep what
// begins alike. What the kit does not have is passed over.
func (k Kit) Tools(ctx context.Context, a *runtime.Attempt, who agent.Agent) ([]Tool, error) {
	var all []Tool
	for _, name := range who.Record.Tools {
		source := k[name]
		if source == nil {
			continue
		}
		made, err := source(ctx, a, who)
		if err != nil {
			return nil, err
		}
		all = append(all, made...)
	}
	Sort(all)
	return all, nil
}

// Sort sorts tools by name.
func Sort(tools []Tool) {
	slices.SortFunc(tools, func(a, b Tool) int { return strings.Compare(a.Name, b.Name) })
}
