// Package story tells what happens in a turn as protocols of chats want to hear it: text
// that goes on, thoughts, calls of tools, questions, an end. It is a pure fold of the
// turn's log from its first event, so that each viewer is told the same at any time.
package story

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/task"
)

// Teller is told of a turn in the words of the fold, and says it on in those of its
// protocol. A part that has begun is over before anything else is told.
type Teller interface {
	// Begins tells that a text or thought begins, and Goes how it goes on.
	Begins(p Part)
	Goes(p Part, text string)
	Over(p Part)
	// TakesBack makes void what was told of texts: it is said anew, in other words.
	TakesBack()
	Calls(c Call)
	Came(r Result)
	Plans(plan json.RawMessage)
	// Child tells of a sub-task: that there is one, or with a Status how it has ended.
	Child(c Child)
	// Answers tells what has become of a question.
	Answers(q Question)
	// Waits tells that the turn waits for people, and that nothing more is told.
	Waits(asked []Question)
	// Ends tells of the end.
	Ends(e End)
}

// Kind says what a Part is.
type Kind int

// The kinds of parts.
const (
	Text Kind = iota + 1
	Thought
)

// Part is a text or a thought that goes on over several events. Seq is the number of
// the first.
type Part struct {
	Kind Kind
	Seq  int64
	At   task.Stamp
}

// Call is a call of a tool.
type Call struct {
	Seq       int64
	ID, Name  string
	Arguments json.RawMessage
	// Theirs says that the caller is to carry it out: the turn ends with it.
	Theirs bool
}

// Result is what came of a call.
type Result struct {
	Seq     int64
	ID      string
	Content json.RawMessage
	IsError bool
}

// Words are the content as text: a text as it is, anything else as JSON.
func (r Result) Words() string {
	var text string
	if json.Unmarshal(r.Content, &text) == nil {
		return text
	}
	return string(r.Content)
}

// Child is a sub-task.
type Child struct {
	ID      string         `json:"task_id"`
	Agent   string         `json:"agent_id"`
	Query   string         `json:"query"`
	Status  task.Status    `json:"status"`
	Reason  task.EndReason `json:"end_reason"`
	Deleted bool           `json:"deleted"`
}

// Question is something that people are asked.
type Question struct {
	task.Approval
	// Call is the id of the call that it is about, "" for none.
	Call string
}

// Used is what a model has used.
type Used struct {
	Provider, Model string
	task.Tokens
}

// End is how a turn has ended.
type End struct {
	Status task.Status
	Reason task.EndReason
	Result string
	// Open are the calls that the caller is to carry out.
	Open []task.OpenCall
	// Outputs are the files that were written, each name once.
	Outputs []task.Output
	// Used is what the server has counted by model, or else what the turn tells of itself.
	Used []Used
}

// Words are what a person is told of an end that is no success.
func (e End) Words() string {
	return cmp.Or(e.Result, "The task has ended without a result: "+string(e.Reason)+".")
}

// Fold folds a log.
type Fold struct {
	// To is told of it.
	To Teller
	// Since, if there are any, are questions: what stands before the first wait for one
	// of them is not told.
	Since []string
	// Open reports whether a wait for a question, the event of the given number, is the
	// end of what is told; left out, each is, but for those of Since.
	Open func(id string, seq int64) bool
	// Last is the turn whose end is the end, 0 for the first. Those before it have left
	// calls open, of which the next brings what came.
	Last int

	part        Part
	whole, last text
	calls       map[string]bool // those that were told
	theirs      map[string]bool // the names of the caller's tools
	undecided   []Call          // calls of them of which it is not known yet who carries them out
	asked       map[string]task.Approval
	used        []Used
	outputs     []task.Output
	tokens      task.Tokens
	told        bool
}

// Types lists the types of events of which a Fold tells something, or which it needs for
// that.
func Types() []task.Type {
	return []task.Type{
		task.TaskCreated, task.TaskUpdated, task.TaskFinished, task.Chunk, task.Think, task.Analyze, task.AttemptStarted, task.AttemptLost,
		task.TaskCompactization, task.ToolCallRequest, task.ToolCallResult, task.PlanUpdated, task.SubAgentTrigger, task.SubTaskFinished,
		task.ModelUsed, task.OutputWritten, task.ApprovalRequested, task.ApprovalAnswered, task.TurnPaused,
	}
}

// Add takes the next event. It reports whether more is to come.
func (f *Fold) Add(e task.Event) (more bool, err error) {
	if f.calls == nil {
		f.calls, f.asked, f.told = map[string]bool{}, map[string]task.Approval{}, len(f.Since) == 0
	}
	switch e.Type { //nolint:exhaustive // nothing is told of the others
	case task.TaskCreated:
		return true, f.begin(e)
	case task.Chunk:
		var words string
		if err := decode(e, &words); err != nil {
			return false, err
		}
		f.say(e, Text, words)
	case task.Think, task.Analyze:
		f.say(e, Thought, thought(e.Own))
	case task.AttemptStarted, task.AttemptLost:
		f.takeBack()
	case task.TaskCompactization:
		if e.Voids() {
			f.takeBack()
		}
	case task.ToolCallRequest, task.ToolCallResult:
		f.call(e)
	case task.PlanUpdated:
		f.over()
		f.to().Plans(e.Own)
	case task.SubAgentTrigger, task.SubTaskFinished:
		var c Child
		if json.Unmarshal(e.Own, &c) == nil && c.ID != "" {
			f.over()
			f.to().Child(c)
		}
	case task.ModelUsed:
		return true, f.use(e)
	case task.OutputWritten:
		o, err := task.OutputOf(e)
		f.outputs = append(slices.DeleteFunc(f.outputs, func(x task.Output) bool { return x.Name == o.Name }), o)
		return true, err
	case task.ApprovalRequested:
		a, err := task.ApprovalOf(e, nil)
		f.asked[a.ID] = a
		return true, err
	case task.ApprovalAnswered:
		return true, f.answer(e)
	case task.TurnPaused:
		return f.wait(e)
	case task.TaskUpdated:
		var s struct {
			Tokens *task.Tokens `json:"tokens"`
		}
		if json.Unmarshal(e.Own, &s) == nil && s.Tokens != nil {
			f.tokens = *s.Tokens
		}
	case task.TaskFinished:
		return e.Turn < f.Last, f.end(e)
	}
	return true, nil
}

// begin begins with a turn.
func (f *Fold) begin(e task.Event) error {
	var spec struct {
		ClientTools []task.ClientTool `json:"client_tools"`
	}
	f.whole, f.last, f.used, f.tokens, f.undecided, f.theirs = text{}, text{}, nil, task.Tokens{}, nil, map[string]bool{}
	if err := json.Unmarshal(e.Kept, &spec); err != nil {
		return fmt.Errorf("decode spec: %w", err)
	}
	for _, t := range spec.ClientTools {
		f.theirs[t.Name] = true
	}
	return nil
}

func decode(e task.Event, into any) error {
	if err := json.Unmarshal(e.Data(), into); err != nil {
		return fmt.Errorf("decode %s: %w", e.Type, err)
	}
	return nil
}

// Told reports whether what comes is told: it stands behind what was to be passed over.
func (f *Fold) Told() bool { return f.told }

// to is who is told now.
func (f *Fold) to() Teller {
	if f.told {
		return f.To
	}
	return nobody{}
}

// say goes on with a part, or begins one.
func (f *Fold) say(e task.Event, kind Kind, words string) {
	if words == "" {
		return
	}
	if f.part.Kind != kind {
		f.over()
		f.part = Part{kind, e.Seq, e.Time}
		f.to().Begins(f.part)
	}
	f.to().Goes(f.part, words)
	if kind == Text {
		f.whole.add(words)
		f.last.add(words)
	}
}

func (f *Fold) over() {
	if f.part.Kind != 0 {
		f.to().Over(f.part)
	}
	f.part = Part{}
}

// takeBack makes void what was said: whoever executes the turn says it anew.
func (f *Fold) takeBack() {
	f.over()
	if f.whole.size > 0 {
		f.to().TakesBack()
	}
	f.whole, f.last = text{}, text{}
}

// call tells of a call and of its result. A call of a tool of the caller's is held until
// it is known who carries it out. A result of a call that was not told is that of one that
// the turn before has left open, which its caller knows; or nobody has told of the call:
// then it is told with it.
func (f *Fold) call(e task.Event) {
	var c task.ToolCall
	if json.Unmarshal(e.Own, &c) != nil {
		return // it was pushed in another form, of which nothing could be told
	}
	call := Call{
		Seq: e.Seq, ID: cmp.Or(c.RequestID, fmt.Sprintf("call_%d", e.Seq)), Name: cmp.Or(c.ToolName, c.OperationID, "tool"), Arguments: orElse(c.Payload, `{}`),
	}
	f.over()
	f.last = text{}
	if e.Type == task.ToolCallRequest && f.theirs[call.Name] {
		f.undecided = append(f.undecided, call)
		return
	}
	if e.Type == task.ToolCallRequest || !strings.HasPrefix(e.ClientID, "given-") {
		f.tell(call)
	}
	if e.Type == task.ToolCallResult && f.calls[call.ID] {
		f.to().Came(Result{Seq: e.Seq, ID: call.ID, Content: orElse(c.Result, `null`), IsError: c.IsError != nil && *c.IsError})
	}
}

// tell tells of a call, once.
func (f *Fold) tell(c Call) {
	if !f.calls[c.ID] {
		f.calls[c.ID] = true
		f.to().Calls(c)
	}
}

func orElse(raw json.RawMessage, none string) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage(none)
	}
	return raw
}

// thought is the text of a thought, whoever has pushed it.
func thought(data json.RawMessage) string {
	var t struct {
		Thought  string `json:"thought"`
		Analysis string `json:"analysis"`
		Result   string `json:"result"`
		Action   string `json:"action"`
	}
	var words string
	if json.Unmarshal(data, &words) == nil || json.Unmarshal(data, &t) != nil {
		return words
	}
	return cmp.Or(t.Thought, t.Analysis, t.Result, t.Action)
}

func (f *Fold) use(e task.Event) error {
	var u task.Use
	if err := decode(e, &u); err != nil {
		return err
	}
	at := slices.IndexFunc(f.used, func(x Used) bool { return x.Provider == u.Provider && x.Model == u.Model })
	if at < 0 {
		at = len(f.used)
		f.used = append(f.used, Used{Provider: u.Provider, Model: u.Model})
	}
	f.used[at].Add(u.Tokens)
	return nil
}

// question is what was asked under an id.
func (f *Fold) question(id string) Question {
	q := Question{Approval: f.asked[id]}
	if call := strings.TrimPrefix(q.Key, "approve-"); f.calls[call] {
		q.Call = call
	}
	return q
}

func (f *Fold) answer(e task.Event) error {
	var head struct {
		ID string `json:"id"`
	}
	if err := decode(e, &head); err != nil {
		return err
	}
	asked, known := f.asked[head.ID]
	if !known {
		return nil
	}
	own, err := json.Marshal(struct {
		ID string `json:"id"`
		task.Asked
	}{asked.ID, asked.Asked})
	if err != nil {
		return err
	}
	a, err := task.ApprovalOf(task.Event{Own: own, Turn: asked.Turn, Seq: asked.Seq, Time: asked.At}, &e)
	if err != nil {
		return err
	}
	f.asked[head.ID] = a
	f.told = f.told || slices.Contains(f.Since, head.ID)
	f.over()
	f.to().Answers(f.question(head.ID))
	return nil
}

// wait ends what is told if the turn waits for people who have not answered.
func (f *Fold) wait(e task.Event) (more bool, err error) {
	var w task.Wait
	if err := decode(e, &w); err != nil {
		return false, err
	}
	f.over()
	var open []Question
	for _, id := range w.Asks {
		switch {
		case slices.Contains(f.Since, id):
			f.told = true
		case f.Open == nil || f.Open(id, e.Seq):
			open = append(open, f.question(id))
		}
	}
	if len(open) == 0 || !f.told {
		return true, nil
	}
	f.To.Waits(open)
	return false, nil
}

// end tells of the end. The text of a turn that has completed is its result: what was
// said otherwise is taken back.
func (f *Fold) end(e task.Event) error {
	var s struct {
		Status    task.Status     `json:"status"`
		EndReason task.EndReason  `json:"end_reason"`
		Result    *string         `json:"result"`
		Tokens    *task.Tokens    `json:"tokens"`
		OpenCalls []task.OpenCall `json:"open_calls"`
	}
	if err := decode(e, &s); err != nil {
		return err
	}
	end := End{Status: s.Status, Reason: s.EndReason, Open: s.OpenCalls, Outputs: f.outputs, Used: f.used}
	if s.Result != nil {
		end.Result = *s.Result
	}
	if s.Tokens != nil {
		f.tokens = *s.Tokens
	}
	if len(end.Used) == 0 && f.tokens != (task.Tokens{}) {
		end.Used = []Used{{Tokens: f.tokens}}
	}
	f.told = true
	if r := end.Result; end.Status == task.Completed && r != "" && !f.whole.is(r) && !f.last.is(r) {
		if !f.whole.begins(r) {
			f.takeBack()
		}
		f.say(e, Text, r[f.whole.size:])
	}
	f.over()
	for _, open := range end.Open {
		at := slices.IndexFunc(f.undecided, func(c Call) bool { return c.ID == open.ID })
		if at >= 0 {
			f.tell(Call{f.undecided[at].Seq, open.ID, open.Name, open.Arguments, true})
		}
	}
	if e.Turn >= f.Last {
		f.To.Ends(end)
	}
	return nil
}

// text is what was said, as far as it can be compared: a long one is not kept for each
// viewer.
type text struct {
	size int
	sum  *maphash.Hash
}

var seed = maphash.MakeSeed() //nolint:gochecknoglobals // sums are compared within this process only

func (t *text) add(words string) {
	if t.sum == nil {
		t.sum = &maphash.Hash{}
		t.sum.SetSeed(seed)
	}
	t.size += len(words)
	_, _ = t.sum.WriteString(words) // it never fails
}

// begins reports whether a text begins with what was said.
func (t *text) begins(words string) bool {
	return t.size == 0 || t.size <= len(words) && t.sum.Sum64() == maphash.String(seed, words[:t.size])
}

func (t *text) is(words string) bool { return t.size == len(words) && t.begins(words) }

// nobody is told nothing.
type nobody struct{}

func (nobody) Begins(Part)           {}
func (nobody) Goes(Part, string)     {}
func (nobody) Over(Part)             {}
func (nobody) TakesBack()            {}
func (nobody) Calls(Call)            {}
func (nobody) Came(Result)           {}
func (nobody) Plans(json.RawMessage) {}
func (nobody) Child(Child)           {}
func (nobody) Answers(Question)      {}
func (nobody) Waits([]Question)      {}
func (nobody) Ends(End)              {}
