package responses

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// body is what a client sends to create a response. Members that it does not have, such as
// a temperature, are the agent's to decide, and passed over.
type body struct {
	Model              string            `json:"model"`
	Input              json.RawMessage   `json:"input"`
	Instructions       *string           `json:"instructions"`
	PreviousResponseID string            `json:"previous_response_id"`
	Conversation       json.RawMessage   `json:"conversation"`
	Stream             bool              `json:"stream"`
	Background         bool              `json:"background"`
	Metadata           map[string]string `json:"metadata"`
	Text               struct {
		Format struct {
			Type   string          `json:"type"`
			Schema json.RawMessage `json:"schema"`
		} `json:"format"`
	} `json:"text"`
	Tools      []tool          `json:"tools"`
	ToolChoice json.RawMessage `json:"tool_choice"`
	Reasoning  struct {
		Effort *string `json:"effort"`
	} `json:"reasoning"`
	MaxToolCalls *int `json:"max_tool_calls"`
}

// tool is one of the caller's.
type tool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
}

// request is what a turn keeps of how it was asked for, beside what a task has of it.
type request struct {
	Background bool `json:"background,omitempty"`
	// Waited says that the create waited for the end: its client takes what is cancelled
	// for an answer.
	Waited   bool              `json:"waited,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	// Conversation says that the task was named as one.
	Conversation bool              `json:"conversation,omitempty"`
	Input        []json.RawMessage `json:"input"`
}

// requestOf is how a turn was asked for: in words of this protocol, or in others.
func requestOf(spec task.Spec) request {
	var kept struct {
		Responses *request `json:"responses"`
	}
	if json.Unmarshal(spec.Request, &kept) == nil && kept.Responses != nil {
		return *kept.Responses
	}
	return request{Input: inputOf(spec)}
}

// inputOf is what a turn was asked in other words.
func inputOf(spec task.Spec) []json.RawMessage {
	parts := []map[string]string{}
	if t := spec.Input.Text; t != nil && *t != "" {
		parts = append(parts, map[string]string{"type": "input_text", "text": *t})
	}
	for _, url := range spec.Input.Files {
		parts = append(parts, map[string]string{"type": "input_file", "file_url": url})
	}
	raw, err := json.Marshal(map[string]any{"type": "message", "role": "user", "content": parts})
	if err != nil {
		return nil // texts can be encoded
	}
	return []json.RawMessage{raw}
}

// spec is the request as a spec keeps it.
func (x request) spec() (json.RawMessage, error) {
	raw, err := json.Marshal(map[string]request{"responses": x})
	if err == nil && len(raw) > maxKept {
		err = tooLarge()
	}
	return raw, err
}

func tooLarge() error {
	return &fault.Error{Code: fault.TooLarge, Field: "input", Message: fmt.Sprintf("must not exceed %d bytes beside its files: send what is new, with previous_response_id", maxKept)}
}

// maxKept bounds a request without its files, in bytes.
const maxKept = 2 << 20

func (x request) conversation(id string) *named {
	if !x.Conversation {
		return nil
	}
	return &named{conversationPrefix + id}
}

// given is one item of an input.
type given struct {
	Type string `json:"type"`
	// ID is that of an item of an output, to which an item_reference refers.
	ID   string `json:"id"`
	Role string `json:"role"`
	// Content is that of a message, Output that of a call: a text, or parts.
	Content json.RawMessage `json:"content"`
	CallID  string          `json:"call_id"`
	Output  json.RawMessage `json:"output"`
	// Name and Arguments are a call's.
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
	// Approval, Approve and Reason are an answer to a request for approval.
	Approval string `json:"approval_request_id"`
	Approve  *bool  `json:"approve"`
	Reason   string `json:"reason"`

	field string
	parts []part
	raw   map[string]json.RawMessage
}

// part is one of a message.
type part struct {
	Type     string `json:"type"`
	Text     string `json:"text,omitempty"`
	Refusal  string `json:"refusal,omitempty"`
	FileURL  string `json:"file_url,omitempty"`
	FileData string `json:"file_data,omitempty"`
	FileID   string `json:"file_id,omitempty"`
	Filename string `json:"filename,omitempty"`
	ImageURL string `json:"image_url,omitempty"`
}

// The types of input items that mean something here. All others that a client sends back
// are what an agent has told of its work.
const (
	isMessage  = "message"
	isResult   = "function_call_output"
	isCall     = "function_call"
	isApproval = "mcp_approval_response"
	isPointer  = "item_reference"
)

// decode reads the body of a create.
func decode(raw []byte) (body, []given, error) {
	var b body
	if err := edge.CheckNames(raw); err != nil {
		return b, nil, err
	}
	if err := edge.Decode(raw, &b); err != nil {
		return b, nil, err
	}
	switch {
	case b.Model == "":
		return b, nil, fault.Field("model", "must name an agent: GET /openai/v1/models lists them")
	case b.PreviousResponseID != "" && !isNull(b.Conversation):
		return b, nil, fault.Field("conversation", "stands in the place of previous_response_id: leave out one of both")
	}
	if err := checkMetadata(b.Metadata); err != nil {
		return b, nil, err
	}
	items, err := inputItems(b.Input)
	return b, items, err
}

// checkMetadata refuses more than metadata may hold.
func checkMetadata(m map[string]string) error {
	const most, longestKey, longest = 16, 64, 512 // OpenAI's own limits, of characters
	if len(m) > most {
		return fault.Field("metadata", "must not hold more than %d members", most)
	}
	for key, value := range m {
		if utf8.RuneCountInString(key) > longestKey || utf8.RuneCountInString(value) > longest {
			return fault.Field("metadata", "must have keys of at most %d characters, and values of at most %d", longestKey, longest)
		}
	}
	return nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// inputItems reads an input: a text, or a list of items.
func inputItems(raw json.RawMessage) ([]given, error) {
	var words string
	if json.Unmarshal(raw, &words) == nil && !isNull(raw) {
		content, err := json.Marshal(words)
		if err != nil {
			return nil, err
		}
		raw = bytes.Join([][]byte{[]byte(`[{"type":"message","role":"user","content":`), content, []byte(`}]`)}, nil)
	}
	var list []map[string]json.RawMessage
	if isNull(raw) || json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return nil, fault.Field("input", "must be a text or a list of items")
	}
	items := make([]given, len(list))
	for i, members := range list {
		whole, err := json.Marshal(members)
		if err != nil {
			return nil, err
		}
		x := &items[i]
		x.raw, x.field = members, fmt.Sprintf("input[%d]", i)
		if members == nil || json.Unmarshal(whole, x) != nil {
			return nil, fault.Field(x.field, "is no item of an input")
		}
		if x.Type == "" && x.Role != "" {
			x.Type = isMessage
			x.raw["type"] = json.RawMessage(`"message"`)
		}
		if err := x.check(); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func (x *given) check() error {
	switch x.Type {
	case "":
		return fault.Field(x.field+".type", "is missing")
	case isMessage:
		if !slices.Contains([]string{"user", "assistant", "system", "developer"}, x.Role) {
			return fault.Field(x.field+".role", "must be user, assistant, system or developer")
		}
		return x.readParts(x.Content, ".content")
	case isResult:
		return x.readParts(x.Output, ".output")
	case isApproval:
		if x.Approve == nil {
			return fault.Field(x.field+".approve", "must be true or false")
		}
	}
	return nil
}

// readParts reads a text, or parts.
func (x *given) readParts(raw json.RawMessage, member string) error {
	var words string
	if json.Unmarshal(raw, &words) == nil && !isNull(raw) {
		x.parts = []part{{Type: "input_text", Text: words}}
		if x.Role == "assistant" {
			x.parts[0].Type = "output_text"
		}
		return nil
	}
	if isNull(raw) || json.Unmarshal(raw, &x.parts) != nil {
		return fault.Field(x.field+member, "must be a text or a list of parts")
	}
	for i, p := range x.parts {
		switch p.Type {
		case "input_text", "output_text", "text", "summary_text", "refusal", "input_file", "input_image":
		default:
			return fault.Field(fmt.Sprintf("%s%s[%d].type", x.field, member, i), "must be input_text, input_file or input_image, not %q", p.Type)
		}
	}
	return nil
}

// text is what a message, or the result of a call, says.
func (x *given) text() string {
	var words []string
	for _, p := range x.parts {
		if said := p.Text + p.Refusal; said != "" {
			words = append(words, said)
		}
	}
	return strings.Join(words, "\n")
}

// kept is the item as it came, with the content of a message in parts, whose files are
// not in it.
func (x *given) kept() (json.RawMessage, error) {
	if x.Type == isMessage {
		content, err := json.Marshal(x.parts)
		if err != nil {
			return nil, err
		}
		x.raw["content"] = content
	}
	return json.Marshal(x.raw)
}

// fromUser reports whether the item is what the user says.
func (x *given) fromUser() bool { return x.Type == isMessage && x.Role == "user" }

// asked is an input by what is done with it.
type asked struct {
	// prompt is the last that the user says, history what was said before.
	prompt  string
	history string
	// results are those of calls of response of, the zero reference for none.
	results []task.ToolResult
	of      reference
	// answers are the last items, if they answer requests for approval.
	answers []given
	files   []*part // with the fields of each
	fields  []string
}

// sort finds out what an input asks.
func sortOut(items []given) (a asked, err error) {
	if last := items[len(items)-1]; last.Type == isApproval {
		for i := len(items) - 1; i >= 0 && items[i].Type == isApproval; i-- {
			a.answers = append(a.answers, items[i])
		}
		slices.Reverse(a.answers)
		return a, nil
	}
	items, err = a.takeResults(items)
	if err != nil {
		return a, err
	}
	prompt := -1
	for i := range items {
		if items[i].fromUser() {
			prompt = i
		}
	}
	if prompt < 0 && len(a.results) == 0 {
		return a, fault.Field("input", "must hold a message of the user's, results of calls, or answers to requests for approval")
	}
	var before []string
	for i := range items {
		x := &items[i]
		for n := range x.parts {
			if p := &x.parts[n]; p.Type == "input_file" || p.Type == "input_image" {
				a.files, a.fields = append(a.files, p), append(a.fields, fmt.Sprintf("%s.content[%d]", x.field, n))
			}
		}
		if i == prompt {
			a.prompt = x.text()
		} else if line := x.line(); line != "" {
			before = append(before, line)
		}
	}
	if len(before) > 0 {
		a.history = "What was said before in this conversation:\n\n" + strings.Join(before, "\n\n")
	}
	return a, nil
}

// takeResults takes the results of the calls with which a response has ended, and returns
// what was said after them. Results behind which the agent has spoken are history: some
// clients send all of it each time.
func (a *asked) takeResults(items []given) ([]given, error) {
	first := len(items)
	for i := len(items) - 1; i >= 0; i-- {
		x := &items[i]
		if x.Type == isMessage && x.Role == "assistant" {
			break
		}
		if x.Type == isResult {
			first = i
		}
	}
	if first == len(items) {
		return items, nil
	}
	rest := make([]given, 0, len(items)-first)
	for _, x := range slices.Backward(items[first:]) {
		if x.Type != isResult {
			rest = append(rest, x)
			continue
		}
		of, call, err := parseCallID(x.CallID)
		if err != nil {
			return nil, fault.Field(x.field+".call_id", "no call %q was left open by a response", x.CallID)
		}
		if a.of == (reference{}) {
			a.of = of
		}
		if of == a.of {
			a.results = append(a.results, task.ToolResult{CallID: call, Content: x.text()})
		}
	}
	slices.Reverse(rest)
	slices.Reverse(a.results)
	return slices.DeleteFunc(rest, func(x given) bool { return x.Type != isMessage }), nil
}

// line is what an item says as part of a history.
func (x *given) line() string {
	switch x.Type {
	case isMessage:
		return x.Role + ": " + x.text()
	case isCall:
		return "assistant called " + x.Name + " with " + x.Arguments
	case isResult:
		return "it answered: " + x.text()
	default:
		return ""
	}
}

// clientTools are the caller's tools.
func (b body) clientTools() ([]task.ClientTool, error) {
	switch choice := string(b.ToolChoice); choice {
	case "", "null", `"auto"`:
	case `"none"`:
		return nil, nil
	default:
		return nil, fault.Field("tool_choice", "must be auto or none: an agent decides for itself what it calls")
	}
	var tools []task.ClientTool
	for i, t := range b.Tools {
		if t.Type != "function" {
			return nil, fault.Field(fmt.Sprintf("tools[%d].type", i), "must be function: other tools are the agent's own, and stand in its record")
		}
		tools = append(tools, task.ClientTool{Name: t.Name, Description: t.Description, InputSchema: t.Parameters})
	}
	return tools, nil
}

// submission is the request as the service takes it, without its files.
func (b body) submission(items []given, a asked) (lifecycle.Submission, error) {
	tools, err := b.clientTools()
	if err != nil {
		return lifecycle.Submission{}, err
	}
	x := request{Background: b.Background, Waited: !b.Background && !b.Stream, Metadata: b.Metadata, Conversation: !isNull(b.Conversation)}
	for _, item := range items {
		raw, err := item.kept()
		if err != nil {
			return lifecycle.Submission{}, err
		}
		x.Input = append(x.Input, raw)
	}
	sub := lifecycle.Submission{
		Spec: task.Spec{
			AgentID: b.Model, Input: task.Input{Text: &a.prompt}, EventsStreaming: true, InstructionsOverride: b.Instructions,
			ClientTools: tools, ToolResults: a.results,
		},
		State: task.State{Source: Word},
		Asked: lifecycle.Asked{ToolCallLimit: b.MaxToolCalls},
	}
	if e := b.Reasoning.Effort; e != nil && slices.Contains([]string{"low", "medium", "high", "xhigh"}, *e) {
		sub.Asked.ReasoningEffort = e
	}
	if b.Instructions != nil && *b.Instructions == "" {
		sub.Spec.InstructionsOverride = nil
	}
	if a.history != "" {
		sub.State.AdditionalContext = &a.history
	}
	switch format := b.Text.Format; format.Type {
	case "", "text":
	case "json_object", "json_schema":
		form := "json"
		sub.Spec.OutputFormat, sub.Spec.OutputSchema = &form, format.Schema
	default:
		return sub, fault.Field("text.format.type", "must be text, json_object or json_schema")
	}
	sub.Spec.Request, err = x.spec()
	return sub, err
}
