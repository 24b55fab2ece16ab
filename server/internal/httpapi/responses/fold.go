package responses

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/task"
)

// fold makes a response, and the events of its stream, of the log of a turn: always from
// the turn's first event, so that each replay is the same. It looks at nothing else.
type fold struct {
	of reference
	// send is given the frames of the response, in order.
	send func(frame) error

	part    int // counts how often the turn has waited for people
	r       response
	begun   bool
	spec    task.Spec
	request request
	state   task.State
	next    int // the number of the next frame

	items []item
	left  map[item]bool // what is no part of the answer
	said  *saying       // the message under way
	mused *musing       // the reasoning under way
	calls map[string]placed[*toolCall]
	asked map[string]approvalRequest // all that people were, by its id
	err   error
}

// placed is an item with its place in the output.
type placed[T item] struct {
	item T
	at   int
}

// saying is a message that grows.
type saying struct {
	placed[*message]
	text strings.Builder
}

// musing is a reasoning whose last part grows.
type musing struct {
	placed[*reasoning]
	title string
	text  strings.Builder
}

// allParts is the part of no response. A fold of it sends nothing, and has the output of
// all of the turn.
const allParts = math.MaxInt

func newFold(of reference, send func(frame) error) *fold {
	return &fold{of: of, send: send, left: map[item]bool{}, calls: map[string]placed[*toolCall]{}, asked: map[string]approvalRequest{}}
}

// add takes the next event of the turn. It reports whether the response has ended.
func (f *fold) add(e task.Event) (done bool, err error) {
	if e.Type.ChangesState() {
		if err := f.state.Fold(e.Data()); err != nil {
			return false, fmt.Errorf("fold %s %d: %w", e.Type, e.Seq, err)
		}
	}
	if f.over() {
		return true, nil
	}
	if e.Type == task.TaskCreated {
		if err := json.Unmarshal(e.Kept, &f.spec); err != nil {
			return false, fmt.Errorf("decode spec: %w", err)
		}
		f.request = requestOf(f.spec)
	}
	if f.part == f.of.part && f.r.ID == "" {
		f.create(e)
	}
	f.show(e)
	return f.over(), f.err
}

// over reports whether the response has ended.
func (f *fold) over() bool {
	switch f.r.Status {
	case "", queued, inProgress:
		return f.part > f.of.part
	default:
		return true
	}
}

// emit sends a frame, if it is of the response that is wanted.
func (f *fold) emit(x frame) {
	if f.part != f.of.part || f.err != nil {
		return
	}
	x.Number = f.next
	f.next++
	if f.send != nil {
		f.err = f.send(x)
	}
}

// create begins the response.
func (f *fold) create(e task.Event) {
	f.r = response{
		ID: f.of.String(), Object: "response", CreatedAt: e.Time.Time().Unix(), Status: queued, Background: f.request.Background,
		Instructions: f.spec.InstructionsOverride, Metadata: f.request.Metadata, Model: f.spec.AgentID, ParallelToolCalls: true,
		ToolChoice: "auto", Tools: []any{}, Output: []any{}, Conversation: f.request.conversation(f.of.task), PreviousResponseID: f.of.before(),
	}
	if f.r.Metadata == nil {
		f.r.Metadata = map[string]string{}
	}
	f.frame("response.created")
	if f.request.Background {
		f.frame("response.queued")
	}
}

// frame sends the response as it is.
func (f *fold) frame(kind string) {
	now := f.response()
	f.emit(frame{Type: kind, Response: &now})
}

// response is the response as it is.
func (f *fold) response() response {
	now := f.r
	now.Output = make([]any, 0, len(f.items))
	for _, x := range f.output() {
		now.Output = append(now.Output, x)
	}
	if t := f.state.Tokens; t != nil {
		now.Usage = &usage{Input: t.Prompt, Output: t.Completion, Total: t.Prompt + t.Completion}
		now.Usage.Cached.Read, now.Usage.Cached.Written = t.CacheRead, t.CacheWrite
	}
	return now
}

// output is what there is of the answer.
func (f *fold) output() []item {
	return slices.DeleteFunc(slices.Clone(f.items), func(x item) bool { return f.left[x] })
}

// begin says that the turn is executing.
func (f *fold) begin() {
	if !f.begun && f.part == f.of.part {
		f.begun, f.r.Status = true, inProgress
		f.frame("response.in_progress")
	}
}

// show shows what an event tells.
func (f *fold) show(e task.Event) {
	switch e.Type { //nolint:exhaustive // the others are not for clients of this protocol
	case task.AttemptStarted:
		f.takeBack()
		f.begin()
	case task.Chunk:
		f.chunk(e)
	case task.Think, task.Analyze:
		f.think(e)
	case task.ToolCallRequest, task.ToolCallResult:
		f.call(e)
	case task.TaskCompactization:
		if e.Voids() {
			f.takeBack()
		}
	case task.ApprovalRequested:
		f.ask(e)
	case task.TurnPaused:
		if asks := asksOf(e); len(asks) > 0 {
			f.wait(asks)
		}
	case task.TaskFinished:
		f.finish(e)
	}
}

// asksOf are the ids of what a turn waits for people to answer when it pauses.
func asksOf(e task.Event) []string {
	var w task.Wait
	if e.Type != task.TurnPaused || json.Unmarshal(e.Own, &w) != nil {
		return nil
	}
	return w.Asks
}

// open adds an item to the output, as it is at first.
func (f *fold) open(x item) (at int) {
	f.begin()
	at = len(f.items)
	f.items = append(f.items, x)
	f.emit(frame{Type: "response.output_item.added", OutputIndex: &at, Item: x})
	return at
}

// close says that an item is as it will be.
func (f *fold) close(x item, at int) {
	f.emit(frame{Type: "response.output_item.done", OutputIndex: &at, Item: x})
}

func (f *fold) chunk(e task.Event) {
	var words string
	if json.Unmarshal(e.Own, &words) != nil || words == "" {
		return
	}
	f.endMusing()
	f.say(e, words)
}

// say adds words to the message under way, or begins one.
func (f *fold) say(e task.Event, words string) {
	zero := 0
	if f.said == nil {
		m := &message{head{f.of.itemID("msg", e.Seq), "message", inProgress}, "assistant", []text{}}
		f.said = &saying{placed: placed[*message]{m, f.open(m)}}
		f.emit(frame{
			Type: "response.content_part.added", ItemID: m.ID, OutputIndex: &f.said.at, ContentIndex: &zero, Part: outputText(""),
		})
		m.Content = []text{outputText("")}
	}
	f.said.text.WriteString(words)
	f.said.item.Content[0].Text = f.said.text.String()
	f.emit(frame{
		Type: "response.output_text.delta", ItemID: f.said.item.ID, OutputIndex: &f.said.at, ContentIndex: &zero, Delta: &words, Logprobs: &[]any{},
	})
}

// endSaying ends the message under way.
func (f *fold) endSaying(status string) {
	s := f.said
	if s == nil {
		return
	}
	zero, whole := 0, s.item.Content[0].Text
	s.item.Status, f.said = status, nil
	f.emit(frame{
		Type: "response.output_text.done", ItemID: s.item.ID, OutputIndex: &s.at, ContentIndex: &zero, Text: &whole, Logprobs: &[]any{},
	})
	f.emit(frame{
		Type: "response.content_part.done", ItemID: s.item.ID, OutputIndex: &s.at, ContentIndex: &zero, Part: outputText(whole),
	})
	f.close(s.item, s.at)
}

// takeBack leaves out of the answer what was said so far: an attempt was lost, or the
// model says it in other words.
func (f *fold) takeBack() {
	f.endMusing()
	if f.said != nil {
		f.left[f.said.item] = true
		f.endSaying(unfinished)
	}
}

// thinking is the title of what models think, piece by piece.
const thinking = "Thinking"

func (f *fold) think(e task.Event) {
	var x struct {
		Title    string `json:"title"`
		Thought  string `json:"thought"`
		Analysis string `json:"analysis"`
		Result   string `json:"result"`
		Action   string `json:"action"`
	}
	if json.Unmarshal(e.Own, &x) != nil && json.Unmarshal(e.Own, &x.Thought) != nil {
		return // it was pushed in a form that says nothing
	}
	words := cmp.Or(x.Thought, x.Analysis, x.Result, x.Action)
	if x.Title != thinking && x.Title != "" {
		words = strings.TrimSuffix("**"+x.Title+"**\n\n"+words, "\n\n")
	}
	if words == "" {
		return
	}
	if f.mused == nil {
		r := &reasoning{head{f.of.itemID("rs", e.Seq), "reasoning", inProgress}, []summary{}}
		f.mused = &musing{placed: placed[*reasoning]{r, f.open(r)}}
	}
	m := f.mused
	last := len(m.item.Summary) - 1
	if last < 0 || m.title != thinking || x.Title != thinking {
		f.endThought()
		last, m.title = last+1, x.Title
		f.emit(frame{
			Type: "response.reasoning_summary_part.added", ItemID: m.item.ID, OutputIndex: &m.at, SummaryIndex: &last, Part: summaryText(""),
		})
		m.item.Summary = append(m.item.Summary, summaryText(""))
	}
	m.text.WriteString(words)
	m.item.Summary[last].Text = m.text.String()
	f.emit(frame{
		Type: "response.reasoning_summary_text.delta", ItemID: m.item.ID, OutputIndex: &m.at, SummaryIndex: &last, Delta: &words,
	})
}

// endThought ends the last part of the reasoning under way.
func (f *fold) endThought() {
	m := f.mused
	last := len(m.item.Summary) - 1
	if last < 0 {
		return
	}
	whole := m.item.Summary[last].Text
	m.text.Reset()
	f.emit(frame{
		Type: "response.reasoning_summary_text.done", ItemID: m.item.ID, OutputIndex: &m.at, SummaryIndex: &last, Text: &whole,
	})
	f.emit(frame{
		Type: "response.reasoning_summary_part.done", ItemID: m.item.ID, OutputIndex: &m.at, SummaryIndex: &last, Part: summaryText(whole),
	})
}

// endMusing ends the reasoning under way.
func (f *fold) endMusing() {
	if f.mused == nil {
		return
	}
	f.endThought()
	f.mused.item.Status = completed
	f.close(f.mused.item, f.mused.at)
	f.mused = nil
}

// call shows a call of one of the agent's tools. Those of the caller's tools are told in
// the end: until then the agent may take them back.
func (f *fold) call(e task.Event) {
	var x task.ToolCall
	if json.Unmarshal(e.Own, &x) != nil || f.isCallers(x.ToolName) {
		return
	}
	f.endMusing()
	c, is := f.calls[x.RequestID]
	if !is || x.RequestID == "" {
		c = f.beginCall(e, x)
	}
	if e.Type == task.ToolCallResult && c.item.Status == inProgress {
		f.endCall(c, x)
	}
}

func (f *fold) isCallers(tool string) bool {
	for _, t := range f.spec.ClientTools {
		if t.Name == tool {
			return true
		}
	}
	return false
}

func (f *fold) beginCall(e task.Event, x task.ToolCall) placed[*toolCall] {
	arguments := plain(x.Payload)
	c := &toolCall{
		head: head{f.of.itemID("mcp", e.Seq), "mcp_call", inProgress}, Server: label, Name: cmp.Or(x.ToolName, x.OperationID, "tool"),
	}
	at := f.open(c)
	f.emit(frame{Type: "response.mcp_call.in_progress", ItemID: c.ID, OutputIndex: &at})
	f.emit(frame{Type: "response.mcp_call_arguments.delta", ItemID: c.ID, OutputIndex: &at, Delta: &arguments})
	f.emit(frame{Type: "response.mcp_call_arguments.done", ItemID: c.ID, OutputIndex: &at, Arguments: &arguments})
	c.Arguments = arguments
	placed := placed[*toolCall]{c, at}
	f.calls[x.RequestID] = placed
	return placed
}

func (f *fold) endCall(c placed[*toolCall], x task.ToolCall) {
	output := plain(x.Result)
	if x.IsError != nil && *x.IsError {
		c.item.Status, c.item.Error = failed, &toolError{"mcp_tool_execution_error", []any{map[string]string{"type": "text", "text": output}}}
	} else {
		c.item.Status, c.item.Output = completed, &output
	}
	f.emit(frame{Type: "response.mcp_call." + c.item.Status, ItemID: c.item.ID, OutputIndex: &c.at})
	f.close(c.item, c.at)
}

// plain is a text as it is, and any other JSON as its text.
func plain(raw json.RawMessage) string {
	var words string
	if json.Unmarshal(raw, &words) == nil {
		return words
	}
	return string(raw)
}

// ask notes what people are asked: the response tells it when the turn waits for them.
func (f *fold) ask(e task.Event) {
	a, err := task.ApprovalOf(e, nil)
	if err != nil {
		f.err = err
		return
	}
	arguments := plain(a.Payload)
	if len(a.Payload) == 0 || a.Kind == task.KindQuestion {
		asked, err := json.Marshal(struct {
			Title   string          `json:"title,omitempty"`
			Message string          `json:"message,omitempty"`
			Payload json.RawMessage `json:"payload,omitempty"`
			Schema  json.RawMessage `json:"schema,omitempty"`
		}{a.Title, a.Message, a.Payload, a.Schema})
		if err != nil {
			f.err = err
			return
		}
		arguments = string(asked)
	}
	f.asked[a.ID] = approvalRequest{
		head: head{ID: approvalPrefix + a.ID, Type: "mcp_approval_request"}, Server: label, Name: cmp.Or(a.ToolName, string(a.Kind)), Arguments: arguments,
	}
}

// approvalPrefix begins the ids of requests for approval.
const approvalPrefix = "mcpr_"

// wait ends a response with what people are asked, some of it perhaps as before. What they
// answer begins the next.
func (f *fold) wait(asks []string) {
	f.endAll()
	f.endSaying(completed)
	for _, id := range asks {
		if x, is := f.asked[id]; is {
			f.close(&x, f.open(&x))
		}
	}
	if f.part == f.of.part {
		f.r.Status = completed
		f.frame("response.completed")
		return
	}
	f.part++
	f.calls = map[string]placed[*toolCall]{}
	if f.of.part != allParts {
		f.items = nil
		return
	}
	for _, id := range asks { // each item is one of the turn
		delete(f.asked, id)
	}
}

// endAll ends what is under way beside the message.
func (f *fold) endAll() {
	f.endMusing()
	for at, x := range f.items {
		c, is := x.(*toolCall)
		if is && c.Status == inProgress { // of which nothing is known
			c.Status = unfinished
			f.emit(frame{Type: "response.mcp_call.failed", ItemID: c.ID, OutputIndex: &at})
			f.close(c, at)
		}
	}
}

// finish ends the last response of a turn.
func (f *fold) finish(e task.Event) {
	f.begin()
	f.endAll()
	result := ""
	if f.state.Result != nil {
		result = *f.state.Result
	}
	kind := "response.failed"
	switch reason := f.state.EndReason; reason { //nolint:exhaustive // all others are failures
	case task.EndCompleted:
		f.answer(e, result, completed)
		f.leaveOpen(e)
		f.r.Status, kind = completed, "response.completed"
	case task.EndBudget:
		f.answer(e, result, unfinished)
		f.r.Status, f.r.IncompleteDetails, kind = unfinished, &incomplete{"max_output_tokens"}, "response.incomplete"
	case task.EndStopped:
		f.takeBack()
		f.r.Status, f.r.Error = cancelled, failedBy("The task was stopped.")
	default:
		f.takeBack()
		f.r.Status, f.r.Error = failed, failedBy(cmp.Or(result, fmt.Sprintf("The task has ended: %s.", reason)))
	}
	f.frame(kind)
}

// answer makes the result, if there is one, the message's text. What was said so far is
// its beginning, or was no part of it.
func (f *fold) answer(e task.Event, result, status string) {
	said := ""
	if f.said != nil {
		said = f.said.item.Content[0].Text
	}
	rest, begins := strings.CutPrefix(cmp.Or(result, said), said)
	if !begins {
		f.takeBack()
		rest = result
	}
	if rest != "" {
		f.say(e, rest)
	}
	f.endSaying(status)
}

// leaveOpen tells the calls of the caller's tools with which the turn has ended.
func (f *fold) leaveOpen(e task.Event) {
	for i, open := range f.state.OpenCalls {
		arguments := string(open.Arguments)
		c := &functionCall{
			head: head{f.of.itemID(fmt.Sprintf("fc%d", i), e.Seq), "function_call", inProgress}, CallID: f.of.callID(open.ID), Name: open.Name,
		}
		at := f.open(c)
		f.emit(frame{Type: "response.function_call_arguments.delta", ItemID: c.ID, OutputIndex: &at, Delta: &arguments})
		f.emit(frame{Type: "response.function_call_arguments.done", ItemID: c.ID, OutputIndex: &at, Name: c.Name, Arguments: &arguments})
		c.Arguments, c.Status = arguments, completed
		f.close(c, at)
	}
}
