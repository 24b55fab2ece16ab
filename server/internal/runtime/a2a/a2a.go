// Package a2a is the runtime in which an agent is a remote one that speaks A2A 1.0. The
// remote task's id is a step of the turn, so that a later attempt goes on with that task
// and does not ask for another.
package a2a

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a2aproject/a2a-go/v2/a2a"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/outbound"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

// Runner implements [runtime.Runner]. It may serve any number of attempts at once.
type Runner struct {
	// Client dials remote agents: guarded, and without a time-out, which would end streams.
	Client *http.Client
	// Headers opens the headers that an agent has for URLs.
	Headers func(ctx context.Context, org, agentID string) (map[string]map[string]string, error)
}

var _ runtime.Runner = (*Runner)(nil)

// Limits of what is sent and awaited.
const (
	// maxFiles is how many bytes the files of a turn may have together.
	maxFiles = 16 << 20
	// maxResend is how often the same answer is given to a remote agent that asks on.
	maxResend = 3
	// patience is how often in a row a remote agent may not be reached, after pauses that
	// double, before the attempt is put off.
	patience = 6
	// parting is how long a remote agent may take to be told that its task is stopped.
	parting = 5 * time.Second
)

// The steps of a turn: that the message is about to be sent, and what came of it.
const (
	stepSent   = "a2a message"
	stepRemote = "a2a task"
	kind       = "a2a"
)

// remoteTask is the body of stepRemote, and without a task that of stepSent.
type remoteTask struct {
	Task    a2a.TaskID `json:"task,omitempty"`
	Context string     `json:"context"`
}

// Run follows the turn's remote task to its end. Whoever stops the turn stops that task.
func (r *Runner) Run(ctx context.Context, a *runtime.Attempt) (runtime.Outcome, error) {
	who, err := a.Agent(ctx)
	if err != nil {
		return runtime.Outcome{}, err
	}
	if who.Record.Remote == nil {
		return runtime.Outcome{}, errors.New("the agent names no remote agent")
	}
	headers, err := r.Headers(ctx, who.OrganizationID, who.ID)
	if err != nil {
		return runtime.Outcome{}, err
	}
	base := who.Record.Remote.URL
	remote, err := dial(ctx, r.Client, base, headers[base])
	if err != nil {
		return runtime.Outcome{}, putOff(a, err)
	}
	x := &exchange{Attempt: a, remote: remote, resent: map[string]int{}}
	o, err := x.run(ctx)
	if code := fault.CodeOf(err); code == fault.Conflict || code == fault.NotFound { // why the attempt is over comes by its context
		select {
		case <-ctx.Done():
		case <-time.After(parting):
		}
	}
	if errors.Is(context.Cause(ctx), runtime.ErrStopped) { // a pause, a lost lease and the server's end leave it to the next attempt
		x.stopRemote(context.WithoutCancel(ctx))
	}
	return o, err
}

// putOff makes an error that may pass one that gives the task back. What the remote agent
// refuses by the protocol's own words it would refuse again.
func putOff(a *runtime.Attempt, err error) error {
	if lasting, is := errors.AsType[*lastingError](err); is {
		return lasting
	}
	if outbound.Refused(err) {
		return &lastingError{"the server does not connect to private addresses, where the remote agent is; --allow-private names those that it may"}
	}
	if refused(err) {
		return &lastingError{"the remote agent refuses: " + err.Error()}
	}
	return &runtime.Later{Reason: err.Error(), Delay: task.Backoff(a.Number)}
}

// refused reports whether the remote agent has said by the protocol's own words that it does
// not do what it was asked.
func refused(err error) bool {
	return slices.ContainsFunc([]error{
		a2a.ErrInvalidParams, a2a.ErrInvalidRequest, a2a.ErrMethodNotFound, a2a.ErrUnsupportedOperation, a2a.ErrUnsupportedContentType,
		a2a.ErrVersionNotSupported, a2a.ErrExtensionSupportRequired, a2a.ErrUnauthenticated, a2a.ErrUnauthorized,
	}, func(known error) bool { return errors.Is(err, known) })
}

// exchange is what an attempt has with the remote agent.
type exchange struct {
	*runtime.Attempt
	remote *remote
	task   remoteTask
	answer answer
	// status is what was heard last of the remote task's.
	status a2a.TaskStatus
	// resent counts how often a question was answered, by its key. The stream that follows
	// an answer may begin with the task as it was before: answered is that question then.
	resent   map[string]int
	answered string
}

func (x *exchange) run(ctx context.Context) (runtime.Outcome, error) {
	sent, err := x.recall(ctx)
	if err != nil {
		return runtime.Outcome{}, err
	}
	if x.Number > 1 && sent { // what its viewers have seen is told anew
		if err := x.void(ctx); err != nil {
			return runtime.Outcome{}, err
		}
	}
	if x.task.Task == "" && sent {
		if err := x.search(ctx); err != nil {
			return runtime.Outcome{}, err
		}
	}
	if x.task.Task != "" {
		return x.follow(ctx, nil)
	}
	message, err := x.message(ctx)
	if err != nil {
		return runtime.Outcome{}, err
	}
	body, err := json.Marshal(remoteTask{Context: x.task.Context})
	if err != nil {
		return runtime.Outcome{}, fmt.Errorf("encode step: %w", err)
	}
	if _, err := x.Commit(ctx, task.Step{ID: stepSent, Kind: kind, Body: body}); err != nil {
		return runtime.Outcome{}, err
	}
	return x.follow(ctx, x.remote.send(ctx, message))
}

// recall finds out what the turn's attempts have done, and in which context its task has
// talked with the agent before. It reports whether the message may have been sent.
func (x *exchange) recall(ctx context.Context) (sent bool, err error) {
	steps, err := x.Steps(ctx)
	if err != nil {
		return false, err
	}
	if sent, err = x.read(steps); err != nil || sent {
		return sent, err
	}
	if x.Turn > 1 {
		past, err := x.Past(ctx, x.Turn-1)
		if err != nil {
			return false, err
		}
		if _, err := x.read(past.Steps); err != nil {
			return false, err
		}
		x.task.Task = ""
	}
	if x.task.Context == "" {
		sum := sha256.Sum256([]byte(x.Organization + "/" + x.TaskID))
		x.task.Context = "errand-" + hex.EncodeToString(sum[:16])
	}
	return false, nil
}

func (x *exchange) read(steps []task.Step) (sent bool, err error) {
	for _, s := range steps {
		if s.ID != stepSent && s.ID != stepRemote {
			continue
		}
		if err := json.Unmarshal(s.Body, &x.task); err != nil {
			return false, fmt.Errorf("decode step: %w", err)
		}
		sent = true
	}
	return sent, nil
}

// messageID names the turn's message, whichever attempt sends it.
func (x *exchange) messageID(more ...string) string {
	return strings.Join(append([]string{x.TaskID, strconv.Itoa(x.Turn)}, more...), ".")
}

// search looks for the task that a message of an earlier attempt has begun: nothing is
// sent twice.
func (x *exchange) search(ctx context.Context) error {
	unknown := func(why string) error {
		return &lastingError{"an attempt was lost when it had sent the message to the remote agent, which does not say whether it has a task of that: " + why}
	}
	found, err := x.remote.list(ctx, x.task.Context)
	if refused(err) {
		return unknown(err.Error())
	}
	if err != nil {
		return putOff(x.Attempt, err)
	}
	silent := false
	for _, t := range found {
		if len(t.History) == 0 { // a list may leave it out
			if t, err = x.remote.get(ctx, t.ID); err != nil {
				return putOff(x.Attempt, err)
			}
		}
		silent = silent || len(t.History) == 0
		if slices.ContainsFunc(t.History, func(m *a2a.Message) bool { return m != nil && m.ID == x.messageID() }) {
			return x.adopt(ctx, t.ID, t.ContextID)
		}
	}
	if silent {
		return unknown("its tasks show no messages")
	}
	return nil
}

// adopt commits which task is the turn's.
func (x *exchange) adopt(ctx context.Context, id a2a.TaskID, in string) error {
	if x.task.Task != "" || id == "" {
		return nil
	}
	x.task = remoteTask{id, cmp.Or(in, x.task.Context)} // from now on a stop has something to cancel
	body, err := json.Marshal(x.task)
	if err != nil {
		return fmt.Errorf("encode step: %w", err)
	}
	kept, err := x.Commit(ctx, task.Step{ID: stepRemote, Kind: kind, Body: body})
	if err != nil {
		return err
	}
	return json.Unmarshal(kept.Body, &x.task)
}

// message is what the turn asks, with its files.
func (x *exchange) message(ctx context.Context) (*a2a.Message, error) {
	parts := a2a.ContentParts{a2a.NewTextPart(x.Prompt())}
	for _, more := range []struct {
		title string
		text  *string
	}{{"Context", x.State.AdditionalContext}, {"Expected output", x.Spec.ExpectedOutput}} {
		if more.text != nil && *more.text != "" {
			parts = append(parts, a2a.NewTextPart(more.title+": "+*more.text))
		}
	}
	left := int64(maxFiles)
	for _, f := range x.Files {
		content, err := read(ctx, f, left)
		if err != nil {
			return nil, err
		}
		if left -= int64(len(content)); left < 0 {
			return nil, &lastingError{fmt.Sprintf("the files have more than %d MiB together, which is what a remote agent is sent", maxFiles>>20)}
		}
		part := a2a.NewRawPart(content)
		part.Filename, part.MediaType = f.Name, cmp.Or(mime.TypeByExtension(path.Ext(f.Name)), "application/octet-stream")
		parts = append(parts, part)
	}
	return &a2a.Message{ID: x.messageID(), ContextID: x.task.Context, Role: a2a.MessageRoleUser, Parts: parts}, nil
}

func read(ctx context.Context, f runtime.File, most int64) ([]byte, error) {
	content, err := f.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", f.Name, err)
	}
	defer content.Close() //nolint:errcheck // it was only read
	all, err := io.ReadAll(io.LimitReader(content, most+1))
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", f.Name, err)
	}
	return all, nil
}

// follow takes what a stream tells, if there is one, and goes on with the remote task
// until that has ended or waits for people.
func (x *exchange) follow(ctx context.Context, events iter.Seq2[a2a.Event, error]) (runtime.Outcome, error) {
	for failed := 0; ; {
		heard, err := false, error(nil)
		if events != nil {
			heard, err = x.take(ctx, events)
			x.answered = ""
		}
		if over, isOver := errors.AsType[*overError](err); isOver {
			return over.Outcome, nil
		}
		if ctx.Err() != nil || errors.Is(err, errOurs) {
			return runtime.Outcome{}, err
		}
		if heard {
			failed = 0
		}
		if x.task.Task == "" { // the next attempt looks whether there is a task
			return runtime.Outcome{}, putOff(x.Attempt, cmp.Or[error](err, errSilent))
		}
		if !x.settled() {
			switch {
			case events == nil:
			case err == nil && heard: // its stream has ended too early
				if err := rest(ctx, 3); err != nil {
					return runtime.Outcome{}, err
				}
			default:
				err = cmp.Or[error](err, errSilent)
				if failed++; failed > patience {
					return runtime.Outcome{}, putOff(x.Attempt, err)
				}
				if err := rest(ctx, failed); err != nil {
					return runtime.Outcome{}, err
				}
			}
			t, err := x.remote.get(ctx, x.task.Task)
			switch {
			case errors.Is(err, a2a.ErrTaskNotFound):
				return runtime.Outcome{}, errors.New("the remote agent has the task no more")
			case err != nil:
				events = broken(err)
				continue
			}
			if _, err := x.take(ctx, one(t)); err != nil {
				return runtime.Outcome{}, err
			}
		}
		if x.settled() {
			o, answered, err := x.settle(ctx)
			if err != nil || answered == nil {
				return o, err
			}
			x.answered, x.status = question(x.status), a2a.TaskStatus{}
			events = x.remote.send(ctx, answered)
			continue
		}
		events = x.remote.subscribe(ctx, x.task.Task)
	}
}

// errSilent is that of a stream that tells nothing: the remote agent may have answered an
// error that is no stream.
var errSilent = &lastingError{"the remote agent has answered nothing that A2A 1.0 knows"}

// errOurs marks errors of the attempt's own journal.
var errOurs = errors.New("the attempt cannot go on")

// overError is that a message without a task was the whole answer.
type overError struct{ runtime.Outcome }

func (*overError) Error() string { return "over" }

func broken(err error) iter.Seq2[a2a.Event, error] {
	return func(yield func(a2a.Event, error) bool) { yield(nil, err) }
}

func one(e a2a.Event) iter.Seq2[a2a.Event, error] {
	return func(yield func(a2a.Event, error) bool) { yield(e, nil) }
}

// rest pauses before a remote agent is asked once more.
func rest(ctx context.Context, failed int) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(100 * time.Millisecond << failed):
		return nil
	}
}

// take tells the task's log what events tell, up to a status in which nothing follows.
func (x *exchange) take(ctx context.Context, events iter.Seq2[a2a.Event, error]) (heard bool, err error) {
	for e, err := range events {
		if err != nil {
			return heard, err
		}
		heard = true
		if err := x.hear(ctx, e); err != nil {
			if _, is := errors.AsType[*overError](err); is {
				return true, err
			}
			return true, errors.Join(errOurs, err)
		}
		if x.settled() {
			break
		}
	}
	return heard, nil
}

func (x *exchange) hear(ctx context.Context, e a2a.Event) error {
	switch e := e.(type) {
	case *a2a.Task:
		if err := x.adopt(ctx, e.ID, e.ContextID); err != nil {
			return err
		}
		for _, part := range e.Artifacts {
			if err := x.artifact(ctx, part, false); err != nil {
				return err
			}
		}
		if x.answered != "" && x.answered == question(e.Status) {
			return nil
		}
		return x.progress(ctx, e.Status)
	case *a2a.TaskArtifactUpdateEvent:
		if err := x.adopt(ctx, e.TaskID, e.ContextID); err != nil {
			return err
		}
		return x.artifact(ctx, e.Artifact, e.Append)
	case *a2a.TaskStatusUpdateEvent:
		if err := x.adopt(ctx, e.TaskID, e.ContextID); err != nil {
			return err
		}
		return x.progress(ctx, e.Status)
	case *a2a.Message:
		return &overError{runtime.Completed(text(e))}
	default:
		return nil
	}
}

// progress notes a status, and shows what it says.
func (x *exchange) progress(ctx context.Context, s a2a.TaskStatus) error {
	x.status = s
	if said := text(s.Message); s.State == a2a.TaskStateWorking && said != "" {
		return x.Progress(ctx, said[:runtime.PieceEnd(said, 255)])
	}
	return nil
}

// settled reports whether the remote task has ended, or waits for people.
func (x *exchange) settled() bool {
	return x.status.State.Terminal() || x.status.State == a2a.TaskStateInputRequired || x.status.State == a2a.TaskStateAuthRequired
}

// settle ends the attempt as the remote task's status says, or returns what is to be
// answered.
func (x *exchange) settle(ctx context.Context) (runtime.Outcome, *a2a.Message, error) {
	said := text(x.status.Message)
	switch x.status.State { //nolint:exhaustive // the others are not settled
	case a2a.TaskStateCompleted:
		return runtime.Completed(cmp.Or(x.answer.text(), said)), nil, nil
	case a2a.TaskStateInputRequired:
		return x.ask(ctx, task.KindQuestion, cmp.Or(said, "The remote agent asks for more."))
	case a2a.TaskStateAuthRequired:
		return x.ask(ctx, task.KindApproval, cmp.Or(said, "The remote agent asks whether it may go on."))
	case a2a.TaskStateCanceled:
		return runtime.Failed(cmp.Or(said, "The remote agent has cancelled it.")), nil, nil
	default:
		return runtime.Failed(cmp.Or(said, x.answer.text(), "The remote agent has failed, and does not say why.")), nil, nil
	}
}

// ask has people answer what the remote agent asks, and returns the answer once it is
// there. A question is known by its message, so that one that was answered before a crash is
// answered the same.
func (x *exchange) ask(ctx context.Context, what task.ApprovalKind, said string) (runtime.Outcome, *a2a.Message, error) {
	key := question(x.status)
	q := task.Asked{Key: "a2a-" + key, Kind: what, Message: said}
	if what == task.KindQuestion {
		q.Schema = json.RawMessage(`{"type":"string"}`)
	}
	asked, err := x.Ask(ctx, q)
	if err == nil && asked.State == task.ApprovalOpen {
		if err = x.Await(ctx, runtime.Wait{Approvals: []string{asked.ID}}); err == nil { // it was answered meanwhile
			asked, err = x.Ask(ctx, q)
		}
	}
	if err != nil {
		return runtime.Outcome{}, nil, err
	}
	if x.resent[key]++; x.resent[key] > maxResend {
		return runtime.Failed("The remote agent asks the same again and again: " + said), nil, nil
	}
	return runtime.Outcome{}, &a2a.Message{
		ID: x.messageID(key), ContextID: x.task.Context, TaskID: x.task.Task, Role: a2a.MessageRoleUser,
		Parts: a2a.ContentParts{a2a.NewTextPart(reply(asked))},
	}, nil
}

// question names what a remote agent asks with a status.
func question(s a2a.TaskStatus) string {
	name := text(s.Message)
	switch {
	case s.Message != nil && s.Message.ID != "":
		name = s.Message.ID
	case s.Timestamp != nil:
		name = s.Timestamp.UTC().Format(time.RFC3339Nano)
	}
	sum := sha256.Sum256([]byte(string(s.State) + " " + name))
	return hex.EncodeToString(sum[:8])
}

// reply is what a person has answered, in words.
func reply(asked task.Approval) string {
	a := asked.Answered
	if a == nil {
		return "Nobody has answered."
	}
	var said string
	switch {
	case a.Answer == task.Decline:
		said = "No."
	case len(a.Value) == 0 || string(a.Value) == "null":
		said = "Yes."
	case json.Unmarshal(a.Value, &said) != nil:
		said = string(a.Value)
	}
	if a.Note != "" {
		said += " " + a.Note
	}
	return said
}

// stopRemote cancels the remote task. One that has ended meanwhile, or is out of reach,
// cannot be.
func (x *exchange) stopRemote(ctx context.Context) {
	if x.task.Task == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, parting)
	defer cancel()
	_ = x.remote.cancel(ctx, x.task.Task)
}
