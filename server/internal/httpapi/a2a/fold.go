package a2a

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/invoke"
	"github.com/errand-dev/errand/server/internal/task"
)

// resultID is the id of the artifact that is a turn's result.
const resultID = "result"

// folded lists the types of events that the fold looks at. Without its text a turn that
// has ended, or is listed, is told from few of them.
func folded(text bool) []task.Type {
	types := []task.Type{
		task.TaskCreated, task.TaskUpdated, task.TaskFinished, task.Override, task.AttemptLost, task.TurnPaused, task.TurnResumed,
		task.ApprovalRequested, task.ApprovalAnswered, task.AuthEvent, task.OutputWritten, task.AgentMessage,
	}
	if text {
		types = append(types, task.Chunk)
	}
	return types
}

// fold makes a task of the protocol out of a turn's log, and the updates of its stream:
// each event makes at most one, and the end of a turn that has a result two. The same
// log makes the same, whoever reads it, in however many parts.
type fold struct {
	Task
	// url is the URL of a file by the reference that the log has.
	url func(ref string) string

	state  task.State
	schema bool
	// asked are those that nobody has answered, wait what the turn waits for, or did last.
	asked    []task.Approval
	wait     task.Wait
	by       string   // who has paused it
	pausedBy string   // who has paused it while it waited
	auth     *Message // what its agent asks the user to sign in with, until it goes on
	// stood is the number of the event by which it stands as it does, last that of the
	// newest one.
	stood, last int64
	// fresh says that the next piece of text begins the result anew.
	fresh bool
	text  strings.Builder
	said  int // bytes of the history
}

func newFold(url func(ref string) string) *fold { return &fold{url: url, fresh: true} }

// forget lets go of what has been told, for those who want what follows.
func (f *fold) forget() {
	f.text.Reset()
	f.Artifacts, f.History, f.said = nil, nil, 0
}

// view adds the turn's next event for one who sees the task as it is at an event, 0 for
// none, and what follows. It lets go of what has been told.
func (f *fold) view(e task.Event, snapshot int64) ([]Update, error) {
	updates, err := f.add(e)
	switch {
	case err != nil:
		return nil, err
	case e.Seq < snapshot:
		return nil, nil
	case e.Seq == snapshot:
		updates = []Update{{Task: f.shown(), at: place{seq: e.Seq}}}
	}
	f.forget()
	return updates, nil
}

// maxHistory is how many bytes of messages a task shows, about: the oldest go.
const maxHistory = 4 << 20

// remember adds a message to the history.
func (f *fold) remember(m Message) {
	f.History = append(f.History, m)
	for f.said += m.size(); f.said > maxHistory && len(f.History) > 1; f.History = slices.Delete(f.History, 0, 1) {
		f.said -= f.History[0].size()
	}
}

// add adds the turn's next event and returns the updates that it makes.
func (f *fold) add(e task.Event) ([]Update, error) {
	f.last = e.Seq
	switch e.Type { //nolint:exhaustive // the others change nothing that the protocol shows
	case task.TaskCreated:
		return f.begin(e)
	case task.TaskUpdated:
		return f.update(e)
	case task.TaskFinished:
		return f.finish(e)
	case task.Override:
		return nil, f.override(e)
	case task.Chunk:
		return f.write(e), nil
	case task.OutputWritten:
		return f.output(e)
	case task.AttemptLost:
		return f.lost(e)
	case task.TurnPaused:
		return nil, f.paused(e)
	case task.TurnResumed: // it goes on, or waits on
		f.pausedBy = ""
		return nil, nil
	case task.ApprovalRequested:
		a, err := task.ApprovalOf(e, nil)
		f.asked = append(f.asked, a)
		return nil, err
	case task.ApprovalAnswered:
		return f.answered(e)
	case task.AgentMessage:
		f.hear(e)
		return nil, nil
	case task.AuthEvent:
		f.auth = f.says(e, Part{Data: e.Own, MediaType: "application/json"})
		return f.stands(e, Working, f.auth), nil
	}
	return nil, nil
}

func (f *fold) begin(e task.Event) ([]Update, error) {
	var spec task.Spec
	if err := json.Unmarshal(e.Kept, &spec); err != nil {
		return nil, fmt.Errorf("decode spec: %w", err)
	}
	if err := f.state.Fold(e.Own); err != nil {
		return nil, fmt.Errorf("decode task: %w", err)
	}
	f.schema = task.HasSchema(spec.OutputSchema)
	f.ID, f.ContextID = invoke.Turn{Task: spec.ID, Number: spec.Turn}.String(), contextOf(spec.ID, spec.Tags)
	asked := f.message(e, User)
	if spec.IdempotencyKey != nil {
		asked.ID = *spec.IdempotencyKey
	}
	if spec.Input.Text != nil && *spec.Input.Text != "" {
		asked.Parts = append(asked.Parts, text(*spec.Input.Text))
	}
	for _, ref := range spec.Input.Files {
		asked.Parts = append(asked.Parts, f.file(ref, ""))
	}
	f.remember(*asked)
	f.stood, f.Status, f.Metadata = e.Seq, Status{State: Submitted, Timestamp: e.Time}, number(place{seq: e.Seq})
	return []Update{{Task: f.shown(), at: place{seq: e.Seq}}}, nil
}

// update follows the status. What makes one that is paused go on, or wait, stands in
// events before.
func (f *fold) update(e task.Event) ([]Update, error) {
	was := f.state.Status
	if err := f.state.Fold(e.Data()); err != nil {
		return nil, fmt.Errorf("decode task: %w", err)
	}
	switch now := f.state.Status; {
	case now == was:
		return nil, nil
	case now == task.Paused:
		state, message := f.resting(e)
		return f.stands(e, state, message), nil
	case was == task.Paused, now == task.Executing && f.Status.State == Submitted:
		f.wait, f.by, f.pausedBy, f.auth = task.Wait{}, "", "", nil
		return f.stands(e, Working, nil), nil
	default: // another attempt is to follow: it is at work all the same
		return nil, nil
	}
}

// paused notes why the turn is about to pause. Somebody may pause one that waits.
func (f *fold) paused(e task.Event) error {
	var why struct {
		task.Wait
		By string `json:"by"`
	}
	if err := json.Unmarshal(e.Own, &why); err != nil {
		return fmt.Errorf("decode pause: %w", err)
	}
	if f.state.Status == task.Paused {
		f.pausedBy = why.By
		return nil
	}
	f.wait, f.by = why.Wait, why.By
	return nil
}

// resting is how a paused turn stands.
func (f *fold) resting(e task.Event) (State, *Message) {
	for _, a := range f.asked {
		if !slices.Contains(f.wait.Asks, a.ID) {
			continue
		}
		if a.Kind == task.KindApproval {
			return AuthRequired, f.question(e, a)
		}
		return InputRequired, f.question(e, a)
	}
	switch {
	case f.wait.Cause != "":
		return Working, f.says(e, text("waits: "+waits(f.wait)))
	case f.auth != nil:
		return AuthRequired, f.auth
	default:
		return Working, f.says(e, text("paused by "+f.by))
	}
}

func waits(w task.Wait) string {
	switch w.Cause { //nolint:exhaustive // the others stand with what is asked
	case task.ForChild:
		return fmt.Sprintf("for %d tasks that it has begun", len(w.SubTasks))
	case task.ForTimer:
		return "until " + w.Until.String()
	case task.ForBudget:
		return "for a larger budget"
	default:
		return "for a person"
	}
}

// question is an approval as a message: words for a person, and all that is asked.
func (f *fold) question(e task.Event, a task.Approval) *Message {
	data, err := json.Marshal(struct {
		ID string `json:"approval_id"`
		task.Asked
	}{a.ID, a.Asked})
	m := f.says(e, text(cmp.Or(a.Message, a.Title, "Approve "+a.ToolName)))
	if err == nil { // it was read from JSON
		m.Parts = append(m.Parts, Part{Data: data, MediaType: "application/json"})
	}
	return m
}

// answered follows an answer. If the turn waits for more, it stands for the next
// question, and if somebody holds it, it stays paused; that it goes on is told by its
// status.
func (f *fold) answered(e task.Event) ([]Update, error) {
	var own struct {
		ID string `json:"id"`
		task.Reply
	}
	if err := json.Unmarshal(e.Own, &own); err != nil {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	f.asked = slices.DeleteFunc(f.asked, func(a task.Approval) bool { return a.ID == own.ID })
	waited := slices.Contains(f.wait.Asks, own.ID)
	f.wait.Asks = slices.DeleteFunc(f.wait.Asks, func(id string) bool { return id == own.ID })
	if own.Answer != "" {
		if m := f.Status.Message; m != nil && waited {
			f.remember(*m)
		}
		reply := f.message(e, User)
		reply.ID = cmp.Or(strings.TrimPrefix(e.ClientID, sentBy), reply.ID)
		reply.Parts = replied(own.Reply)
		f.remember(*reply)
	}
	over := f.wait.Any || len(f.wait.Asks)+len(f.wait.SubTasks) == 0
	if !waited || f.state.Status != task.Paused || over && f.pausedBy == "" {
		return nil, nil
	}
	if over {
		f.wait, f.by = task.Wait{}, f.pausedBy
	}
	state, message := f.resting(e)
	return f.stands(e, state, message), nil
}

// sentBy stands before the id of a message in the ClientID of the event that keeps it.
const sentBy = "a2a:"

// heard is a message to a turn that executes, as its event keeps it.
type heard struct {
	Parts []Part `json:"parts"`
}

// hear adds a user's message to the history. Others may write events of its type, of any
// form.
func (f *fold) hear(e task.Event) {
	id, ours := strings.CutPrefix(e.ClientID, sentBy)
	var said heard
	if !ours || e.Author.Attempt != 0 || json.Unmarshal(e.Own, &said) != nil {
		return
	}
	m := f.message(e, User)
	m.ID, m.Parts = id, append(m.Parts, said.Parts...)
	f.remember(*m)
}

// replied is an answer as parts.
func replied(r task.Reply) []Part {
	var words string
	switch {
	case r.Note != "" && len(r.Value) == 0:
		return []Part{text(r.Note)}
	case len(r.Value) == 0:
		return []Part{text(string(r.Answer))}
	case json.Unmarshal(r.Value, &words) == nil:
		return []Part{text(words)}
	default:
		return []Part{{Data: r.Value}}
	}
}

// lost tells that an attempt is over; the text that it has told counts no more.
func (f *fold) lost(e task.Event) ([]Update, error) {
	var why struct {
		Attempt int    `json:"attempt"`
		Reason  string `json:"reason"`
	}
	if err := json.Unmarshal(e.Own, &why); err != nil {
		return nil, fmt.Errorf("decode attempt: %w", err)
	}
	f.fresh = true
	if f.Status.State != Working {
		return nil, nil
	}
	return f.stands(e, Working, f.says(e, text(fmt.Sprintf("attempt %d was lost: %s", why.Attempt, why.Reason)))), nil
}

// write adds a piece of text to the result.
func (f *fold) write(e task.Event) []Update {
	var words string
	if json.Unmarshal(e.Own, &words) != nil {
		words = string(e.Own)
	}
	follows := !f.fresh
	if f.fresh {
		f.text.Reset()
		f.fresh = false
	}
	if f.text.Len() < task.MaxResult { // no result is longer
		f.text.WriteString(words)
	}
	f.keep(Artifact{ID: resultID, Name: resultID, Parts: []Part{text(f.text.String())}})
	return f.brings(place{seq: e.Seq}, Artifact{ID: resultID, Name: resultID, Parts: []Part{text(words)}}, follows, false)
}

// keep puts an artifact in the place of the one of its id.
func (f *fold) keep(a Artifact) {
	if i := slices.IndexFunc(f.Artifacts, func(x Artifact) bool { return x.ID == a.ID }); i >= 0 {
		f.Artifacts[i] = a
		return
	}
	f.Artifacts = append(f.Artifacts, a)
}

func (f *fold) output(e task.Event) ([]Update, error) {
	o, err := task.OutputOf(e)
	if err != nil {
		return nil, err
	}
	a := Artifact{ID: "output:" + o.Name, Name: o.Name, Parts: []Part{f.file(files.Ref(o.File, o.Name), o.ContentType)}}
	f.keep(a)
	return f.brings(place{seq: e.Seq}, a, false, true), nil
}

// file is a part that is a file of ours, or somebody else's by its URL.
func (f *fold) file(ref, contentType string) Part {
	url := f.url(ref)
	return Part{URL: &url, MediaType: contentType, Filename: files.NameOf(ref)}
}

func (f *fold) finish(e task.Event) ([]Update, error) {
	if err := f.state.Fold(e.Data()); err != nil {
		return nil, fmt.Errorf("decode task: %w", err)
	}
	var updates []Update
	if a := f.conclude(); a != nil {
		updates = f.brings(place{e.Seq, true}, *a, false, true)
	}
	return append(updates, f.ends(e)...), nil
}

// override changes how the turn is shown, for those who read it anew.
func (f *fold) override(e task.Event) error {
	if err := f.state.Fold(e.Data()); err != nil {
		return fmt.Errorf("decode override: %w", err)
	}
	f.conclude()
	if f.state.Status.Ends() {
		f.retract()
		f.ends(e)
	}
	return nil
}

// retract takes back what was said of the end, which is the last of the history.
func (f *fold) retract() {
	last := len(f.History) - 1
	if m := f.Status.Message; m != nil && last >= 0 && f.History[last].ID == m.ID {
		f.said -= m.size()
		f.History = f.History[:last]
	}
}

// ends notes how the turn has ended. What is said of that is history, too: of a task
// without artifacts clients take the last of the history for the answer.
func (f *fold) ends(e task.Event) []Update {
	state, message := f.end(e)
	if message != nil {
		f.remember(*message)
	}
	return f.stands(e, state, message)
}

// conclude puts the result of an ended turn in the place of what was told of it, and
// returns it, nil for none.
func (f *fold) conclude() *Artifact {
	f.Artifacts = slices.DeleteFunc(f.Artifacts, func(a Artifact) bool { return a.ID == resultID })
	s := f.state
	if s.Result == nil || *s.Result == "" || s.EndReason == task.EndFailed || s.EndReason == task.EndWorkerError {
		return nil
	}
	part := text(*s.Result)
	if f.schema && json.Valid([]byte(*s.Result)) {
		part = Part{Data: json.RawMessage(*s.Result), MediaType: "application/json"}
	}
	a := Artifact{ID: resultID, Name: resultID, Parts: []Part{part}}
	f.Artifacts = append(f.Artifacts, a)
	return &a
}

// end is how an ended turn stands.
func (f *fold) end(e task.Event) (State, *Message) {
	switch f.state.Status { //nolint:exhaustive // the others have not ended
	case task.Completed:
		return Completed, nil
	case task.Stopped:
		return Canceled, f.says(e, text("stopped"))
	default:
		return Failed, f.says(e, text(string(f.state.EndReason)+": "+f.why()))
	}
}

// maxWhy is how many bytes of a worker's own words about a failure are shown.
const maxWhy = 4 << 10

// why says for people why a turn has failed.
func (f *fold) why() string {
	switch s := f.state; s.EndReason { //nolint:exhaustive // the others are no failures
	case task.EndSchemaMismatch:
		if s.ResultCheck != nil && len(s.ResultCheck.Errors) > 0 {
			return "the result does not follow the schema: " + strings.Join(s.ResultCheck.Errors, "; ")
		}
		return "the result does not follow the schema"
	case task.EndBudget:
		return "the budget was used up"
	case task.EndWorkerLost:
		return "the worker was lost, and no attempt may follow"
	case task.EndTimeout:
		return "the time was up"
	case task.EndExpired:
		return "no worker began it in time"
	default:
		if s.Result == nil || *s.Result == "" {
			return "the agent said no more of it"
		}
		words := *s.Result
		if len(words) > maxWhy {
			words = strings.ToValidUTF8(words[:maxWhy], "") + "…"
		}
		return words
	}
}

// stands notes how the task stands from now on, and tells it.
func (f *fold) stands(e task.Event, state State, message *Message) []Update {
	at := place{seq: e.Seq}
	f.stood, f.Status = e.Seq, Status{State: state, Timestamp: e.Time, Message: message}
	f.Metadata = number(at)
	told := number(at)
	if reason := f.state.EndReason; reason != "" {
		f.Metadata["end_reason"], told["end_reason"] = reason, reason
	}
	return []Update{{Status: &StatusUpdate{TaskID: f.ID, ContextID: f.ContextID, Status: f.Status, Metadata: told}, at: at}}
}

func (f *fold) brings(at place, a Artifact, follows, last bool) []Update {
	f.Metadata = number(at)
	return []Update{{Artifact: &ArtifactUpdate{
		TaskID: f.ID, ContextID: f.ContextID, Artifact: a, Append: follows, LastChunk: last, Metadata: number(at),
	}, at: at}}
}

// number is the metadata that tells the place of an update, as text: numbers there are
// of no type that every client could hold one in.
func number(at place) map[string]any {
	return map[string]any{sequence: map[string]string{"seq": at.String()}}
}

// says is a message of the agent.
func (f *fold) says(e task.Event, parts ...Part) *Message {
	m := f.message(e, Agent)
	m.Parts = parts
	return m
}

// message is one that an event makes.
func (f *fold) message(e task.Event, role Role) *Message {
	return &Message{ID: f.ID + "~" + strconv.FormatInt(e.Seq, 10), TaskID: f.ID, ContextID: f.ContextID, Role: role, Parts: []Part{}}
}

// shown is the task as it now is; what follows does not change it.
func (f *fold) shown() *Task {
	t := f.Task
	t.Artifacts, t.History, t.Metadata = slices.Clone(t.Artifacts), slices.Clone(t.History), maps.Clone(t.Metadata)
	maps.Copy(t.Metadata, number(place{seq: f.last})) // some events are no updates
	return &t
}

// beside is the tag of a task that stands in a context beside the one of its id, which
// was at work: the context's id is its own up to the last colon.
const beside = "a2a-beside"

func contextOf(id string, tags []string) string {
	if i := strings.LastIndexByte(id, ':'); i > 0 && slices.Contains(tags, beside) {
		return id[:i]
	}
	return id
}
