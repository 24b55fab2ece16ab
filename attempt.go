package errand

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// Attempt is one handing-out of a task to a worker. Its methods tell what
// happens: they are safe for concurrent use, keep the order in which they are
// called, and do not wait for the server. It gets an event at once, or together
// with all that was told while the request before was under way and for at most
// 200 ms after it, and before the attempt ends. Each event reaches the log once,
// whatever happens to connections. An error means that the attempt is over; a handler
// may as well ignore it and heed its ctx.
type Attempt struct {
	// Task is the task as it was when it was claimed.
	Task *Task
	// Number counts the attempts of the task's turn, from 1.
	Number int

	trace  string
	models *Models
	lease  *lease
	out    *outbox
	steps  *steps
	part   context.CancelCauseFunc // ends the work because the task waits
	began  time.Time

	mu     sync.Mutex // guards what follows, and keeps events in order
	events int
	tokens *Tokens
	tools  []string
}

// TraceParent is the W3C trace context of the attempt, the value of a header
// traceparent: whoever traces makes it the parent of the handler's spans. It is
// "" when the task's creator sent none and the server makes no traces.
func (a *Attempt) TraceParent() string { return a.trace }

// Models is how models are asked with the server's own accounts.
type Models struct {
	// URL is the server's: chat completions are below /proxy/openai/v1, Anthropic's
	// messages below /proxy/anthropic/v1. Token takes the place of the provider's key,
	// for as long as the attempt holds its task.
	URL   string `json:"-"`
	Token string `json:"token"`
	// Providers are openai and anthropic, as far as the server has accounts there.
	Providers []string `json:"providers"`
}

// Models is how the attempt asks models with the server's accounts, nil if that has
// none. What it uses so is counted on the task, and on its budget.
func (a *Attempt) Models() *Models { return a.models }

// largestPiece bounds a chunk's text in bytes: however it is escaped, it fits
// in an event.
const largestPiece = 32 << 10

// Chunk tells the next piece of the answer's text. A long one becomes several
// events.
func (a *Attempt) Chunk(ctx context.Context, text string) error {
	for len(text) > 0 {
		n := min(len(text), largestPiece)
		for n < len(text) && n > largestPiece-utf8.UTFMax && !utf8.RuneStart(text[n]) {
			n--
		}
		if err := a.Emit(ctx, Chunk, text[:n]); err != nil {
			return err
		}
		text = text[n:]
	}
	return nil
}

// Emit tells an event of a type that workers may write; see NewEvent. Its data
// is anything that encodes as JSON, at most MaxEvent bytes of it; NUL and bytes that
// are no UTF-8 become U+FFFD. An event that cannot be written is refused here and
// costs no other.
func (a *Attempt) Emit(ctx context.Context, kind EventType, data any) error {
	return a.emit(ctx, kind, data, "")
}

// emit tells an event that the turn's log has once, whichever of its attempts tell it;
// "" is any number of times.
func (a *Attempt) emit(ctx context.Context, kind EventType, data any, id string) error {
	encoded, err := json.Marshal(data)
	encoded = mend(encoded)
	switch {
	case err != nil:
		return fmt.Errorf("encode %s: %w", kind, err)
	case !kind.Writable():
		return fmt.Errorf("a worker cannot write events of the type %q", kind)
	case len(encoded) > MaxEvent:
		return fmt.Errorf("the data of a %s has %d bytes, %d are allowed", kind, len(encoded), MaxEvent)
	case kind == Chunk && encoded[0] != '"':
		return fmt.Errorf("the data of a %s is text", kind)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if id == "" {
		a.events++
		id = strconv.Itoa(a.Task.ExecutionAttempts) + "-" + strconv.Itoa(a.events)
	}
	return a.out.put(ctx, eventBody{kind, encoded, id})
}

// ToolCall tells that a tool is called. Its name, or else its id, is counted
// among the task's used tools.
func (a *Attempt) ToolCall(ctx context.Context, c ToolCall) error {
	a.mu.Lock()
	if name := firstOf(c.ToolName, c.OperationID); name != "" && !slices.Contains(a.tools, name) {
		a.tools = append(a.tools, name)
	}
	a.mu.Unlock()
	return a.Emit(ctx, ToolCallRequest, c)
}

// ToolResult tells what came of the call of a tool that has the same RequestID.
func (a *Attempt) ToolResult(ctx context.Context, c ToolCall) error {
	return a.Emit(ctx, ToolCallResult, c)
}

// Think tells a step of reasoning.
func (a *Attempt) Think(ctx context.Context, t Thought) error { return a.Emit(ctx, Think, t) }

// Plan tells a plan as it has become.
func (a *Attempt) Plan(ctx context.Context, p Plan) error { return a.Emit(ctx, PlanUpdated, p) }

// Progress sets the task's internal status, of which the server keeps 255
// characters, behind everything that was told before. Unlike other methods it waits for the server.
func (a *Attempt) Progress(ctx context.Context, status string) error {
	if err := a.out.flush(ctx); err != nil {
		return err
	}
	cause, err := a.lease.beat(ctx, &status)
	if cause != nil {
		signal(a.lease.nudge) // the work is cancelled where the lease is held
		return cause
	}
	return err
}

// SubTask creates a sub-task: it is stopped with this task. Attempt.Wait waits for its
// end without a slot; Task.Wait, which keeps the slot, may wait for ever where the
// sub-task needs one of the same worker. The worker's key must be allowed to create
// tasks.
//
// With an IdempotencyKey it is created once in the turn, by whichever attempt, and the
// others find it: it is a Step whose id is "sub-task " and the key (of one that is too
// long for an id, its hash), and what the others ask for is not looked at.
func (a *Attempt) SubTask(ctx context.Context, r TaskRequest) (*Task, error) {
	r.ParentTaskID = a.Task.ID
	r.TriggeringAgentID = firstOf(r.TriggeringAgentID, a.Task.AgentID)
	sub, err := a.subTask(ctx, r)
	if err != nil {
		return nil, err
	}
	return sub, a.emit(ctx, SubAgentTrigger, SubAgent{
		AgentID: r.AgentID, TaskID: sub.ID, Query: r.Prompt, Files: r.FileURLs, Reasoning: Reasoning{Title: r.Title},
	}, "sub-task-"+sub.ID)
}

// subTask creates a sub-task, or finds the one that an attempt has created.
func (a *Attempt) subTask(ctx context.Context, r TaskRequest) (*Task, error) {
	if r.IdempotencyKey == "" {
		return a.lease.tasks.Create(ctx, r)
	}
	var created *Task
	id, err := Once(ctx, a, subTaskStep(r.IdempotencyKey), func(ctx context.Context) (string, error) {
		sub, err := a.lease.tasks.Create(ctx, r)
		if err != nil {
			return "", err
		}
		created = sub
		return sub.ID, nil
	})
	switch {
	case err != nil:
		return nil, err
	case created != nil && created.ID == id: // another attempt's commit may have been before
		return created, nil
	default:
		return a.lease.tasks.Get(ctx, id)
	}
}

func subTaskStep(key string) string {
	const prefix, most = "sub-task ", 128
	if len(prefix)+len(key) > most {
		key = fmt.Sprintf("%x", sha256.Sum256([]byte(key)))
	}
	return prefix + key
}

// Spend adds to the tokens that the attempt has used. They are reported with heartbeats,
// steps and however the attempt ends, and count beside those of the turn's other
// attempts.
func (a *Attempt) Spend(t Tokens) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tokens == nil {
		a.tokens = &Tokens{}
	}
	a.tokens.Prompt += t.Prompt
	a.tokens.Completion += t.Completion
	a.tokens.CacheRead += t.CacheRead
	a.tokens.CacheWrite += t.CacheWrite
}

// spent is what the attempt has cost until now.
func (a *Attempt) spent() spending {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := spending{UsedTools: slices.Clone(a.tools), Duration: seconds(time.Since(a.began))}
	if a.tokens != nil {
		tokens := *a.tokens
		s.Tokens = &tokens
	}
	return s
}
