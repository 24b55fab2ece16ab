package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/task"
)

type askCmd struct {
	Key      string        `arg:"" help:"Names the question in the task's turn: 1 to 128 bytes. The first one of a key stands."`
	Message  string        `arg:"" optional:"" help:"What is asked."`
	Approval bool          `help:"Ask for a yes or no, in the place of an answer."`
	Title    string        `help:"A headline."`
	Schema   string        `help:"A JSON Schema that the answer is to follow, or @ and a file that holds one: a form." placeholder:"JSON|@FILE"`
	Payload  string        `help:"What it is about, as JSON, or @ and a file that holds it." placeholder:"JSON|@FILE"`
	Deadline time.Duration `help:"How long an answer is awaited, for example 48h; left out, for ever."`
	Default  *string       `help:"The answer if nobody gives one in time: JSON, or else a text; with --approval it is approve or decline."`
	Approver []string      `help:"Who may answer, beside admin keys: user:, key: or group: with a name; may be repeated. Left out, all who see the task." sep:"none" placeholder:"WHO"`
	JSON     bool          `help:"Print all of the answer as JSON."`
}

// Help says what cannot be said in flags.
func (askCmd) Help() string {
	return "For programs behind 'errand worker' or an agent of runtime command: size=$(errand ask size 'How many?')." +
		" If somebody has answered what the task's turn has asked under that key, the answer is printed. Otherwise the task waits for it, without a slot," +
		" in 'errand inbox' and wherever else people are asked: the program is told to end, and begins anew with the answer. What must not be done twice goes behind 'errand step'." +
		" A text is printed as it stands, any other value as JSON, and without a value the note." +
		" Exit code: 0 answered, or yes; 3 no; 4 nobody has answered by the deadline, and there was no default."
}

// Exit codes of an answer.
const (
	exitDeclined = 3
	exitExpired  = 4
)

// exitWaits is what a program ends with whose attempt is over: "later".
const exitWaits = 75

// Run prints the answer.
func (c *askCmd) Run(e *env) error {
	socket := os.Getenv(program.StepSocket)
	if socket == "" {
		return fmt.Errorf("there is no task here (%s is not set): errand ask is for programs that 'errand worker' or an agent of runtime command runs", program.StepSocket)
	}
	q, err := c.question()
	if err != nil {
		return err
	}
	return e.interruptible(func(ctx context.Context) error {
		answer, err := program.Ask(ctx, socket, q)
		if errors.Is(err, program.ErrWaiting) {
			return exitCodeError{exitWaits, err.Error()}
		}
		if err != nil {
			return err
		}
		return c.print(e, answer)
	})
}

// question is what is asked.
func (c *askCmd) question() (q task.Asked, err error) {
	q = task.Asked{Key: c.Key, Kind: task.KindQuestion, Title: c.Title, Message: c.Message, Approvers: c.Approver}
	if q.Schema, err = jsonOrFile("--schema", c.Schema); err != nil {
		return q, err
	}
	if q.Payload, err = jsonOrFile("--payload", c.Payload); err != nil {
		return q, err
	}
	if c.Deadline > 0 {
		q.Deadline = task.StampOf(time.Now().Add(c.Deadline))
	}
	if c.Approval {
		q.Kind = task.KindApproval
	}
	switch {
	case c.Default == nil:
	case c.Deadline <= 0:
		return q, misused("--default goes with --deadline, at which it is taken")
	case c.Approval:
		q.Default = &task.Reply{Answer: task.Answer(*c.Default)}
	default:
		q.Default = &task.Reply{Answer: task.Approve, Value: answerValue(q.Schema, *c.Default)}
	}
	return q, nil
}

// jsonOrFile reads a flag that is JSON, or names a file with it.
func jsonOrFile(flag, given string) (json.RawMessage, error) {
	if name, is := strings.CutPrefix(given, "@"); is {
		content, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		given = string(content)
	}
	if given != "" && !json.Valid([]byte(given)) {
		return nil, fmt.Errorf("%s: it is no JSON", flag)
	}
	return json.RawMessage(given), nil
}

// print shows an answer, and is nil for a yes.
func (c *askCmd) print(e *env, a *program.Answer) error {
	if c.JSON {
		if err := printJSON(e.Out, a); err != nil {
			return err
		}
	} else if text := answerText(a); text != "" {
		fmt.Fprintln(e.Out, text)
	}
	switch {
	case a.Status != task.ApprovalDone:
		return exitCodeError{exitExpired, "nobody has answered by the deadline"}
	case a.Answer == task.Decline:
		return exitCodeError{code: exitDeclined}
	default:
		return nil
	}
}

// answerText is an answer in words: a text as it stands.
func answerText(a *program.Answer) string {
	if !given(a.Value) {
		return a.Note
	}
	return valueText(a.Value)
}
