package model

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strings"
)

// openai speaks chat completions: OpenAI's, and those of everything compatible.
type openai struct{ wire }

type chatRequest struct {
	Model               string        `json:"model"`
	Messages            []any         `json:"messages"`
	Stream              bool          `json:"stream"`
	StreamOptions       streamOptions `json:"stream_options"`
	Temperature         *float64      `json:"temperature,omitempty"`
	ReasoningEffort     string        `json:"reasoning_effort,omitempty"`
	MaxTokens           int           `json:"max_tokens,omitempty"`
	MaxCompletionTokens int           `json:"max_completion_tokens,omitempty"`
	PromptCacheKey      string        `json:"prompt_cache_key,omitempty"`
	Tools               []chatTool    `json:"tools,omitempty"`
	ResponseFormat      *chatFormat   `json:"response_format,omitempty"`
}

// chatFormat holds an answer to a JSON Schema. It does not say strict, which takes few
// schemas: ours are the user's.
type chatFormat struct {
	Type       string     `json:"type"`
	JSONSchema chatSchema `json:"json_schema"`
}

type chatSchema struct {
	Name   string          `json:"name"`
	Schema json.RawMessage `json:"schema"`
}

type chatTool struct {
	Type     string       `json:"type"`
	Function chatFunction `json:"function"`
}

type chatFunction struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type chatMessage struct {
	Role       string `json:"role"`
	ToolCallID string `json:"tool_call_id,omitempty"`
	Content    string `json:"content"`
}

// request is what is sent. Only OpenAI itself is known to take what is not among the
// oldest members, and needs the newer name of the limit.
func (o *openai) request(r Request) chatRequest {
	c := chatRequest{
		Model: r.Model, Stream: true, StreamOptions: streamOptions{IncludeUsage: true},
		Temperature: r.Temperature, ReasoningEffort: r.Effort,
	}
	if o.genuine() {
		c.MaxCompletionTokens, c.PromptCacheKey = r.MaxTokens, r.CacheKey
	} else {
		c.MaxTokens = r.MaxTokens
	}
	if r.System != "" {
		c.Messages = append(c.Messages, chatMessage{Role: "system", Content: r.System})
	}
	for _, m := range r.Messages {
		for _, result := range m.Results {
			c.Messages = append(c.Messages, chatMessage{"tool", result.CallID, toldResult(result)})
		}
		switch {
		case m.Raw != nil:
			c.Messages = append(c.Messages, m.Raw)
		case len(m.Calls) > 0:
			c.Messages = append(c.Messages, chatCalls(m))
		case len(m.Pictures) > 0:
			c.Messages = append(c.Messages, chatPictures(m))
		case m.Text != "" || len(m.Results) == 0:
			c.Messages = append(c.Messages, chatMessage{Role: string(m.Role), Content: m.Text})
		}
	}
	for _, t := range r.Tools {
		c.Tools = append(c.Tools, chatTool{"function", chatFunction{t.Name, t.Description, t.Input}})
	}
	if r.Schema != nil && len(r.Tools) == 0 { // local servers let a model that is held to a form call nothing
		c.ResponseFormat = &chatFormat{"json_schema", chatSchema{"answer", r.Schema}}
	}
	return c
}

// refused reports whether a provider has found fault with what it was asked.
func refused(err error) bool {
	e, is := errors.AsType[*Error](err)
	return is && (e.Status == http.StatusBadRequest || e.Status == http.StatusUnprocessableEntity)
}

// chatPictures is a message with pictures.
func chatPictures(m Message) any {
	type imageURL struct {
		URL string `json:"url"`
	}
	type imagePart struct {
		Type     string   `json:"type"`
		ImageURL imageURL `json:"image_url"`
	}
	var parts []any
	for _, p := range m.Pictures {
		parts = append(parts, imagePart{"image_url", imageURL{"data:" + p.Type + ";base64," + base64.StdEncoding.EncodeToString(p.Content)}})
	}
	if m.Text != "" {
		parts = append(parts, textBlock{"text", m.Text})
	}
	return blocksMessage{m.Role, parts}
}

// chatCalls is a message with calls that another provider gave.
func chatCalls(m Message) any {
	type function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	}
	type call struct {
		ID       string   `json:"id"`
		Type     string   `json:"type"`
		Function function `json:"function"`
	}
	calls := make([]call, len(m.Calls))
	for i, x := range m.Calls {
		calls[i] = call{x.ID, "function", function{x.Name, string(objectOf(x.Arguments))}}
	}
	return struct {
		Role    string `json:"role"`
		Content string `json:"content"`
		Calls   []call `json:"tool_calls"`
	}{string(Assistant), m.Text, calls}
}

// toldResult is a result where only its text can say that it is an error.
func toldResult(r Result) string {
	if r.IsError {
		return "Error: " + r.Text
	}
	return r.Text
}

// genuine reports whether the endpoint is OpenAI's own.
func (o *openai) genuine() bool {
	u, err := url.Parse(o.BaseURL)
	return err == nil && (u.Hostname() == "api.openai.com" || strings.HasSuffix(u.Hostname(), ".api.openai.com"))
}

func (o *openai) header() http.Header {
	h := http.Header{}
	if o.Key != "" {
		h.Set("Authorization", "Bearer "+o.Key)
	}
	return h
}

// Stream implements Model.
func (o *openai) Stream(ctx context.Context, r Request) iter.Seq2[Delta, error] {
	return o.answers(func(yield func(Delta) bool) error {
		c := &completion{yield: yield, message: newMessage(), names: newNames(r)}
		asked, heard := o.request(r), false
		exchange := func() error {
			return o.exchange(ctx, "/chat/completions", o.header(), asked, func(_ string, data []byte) (bool, error) {
				heard = true
				if string(data) == "[DONE]" {
					c.done = true
					return false, nil
				}
				return c.take(&o.wire, data)
			})
		}
		err := exchange()
		if asked.ResponseFormat != nil && !heard && refused(err) { // some providers know no schemas, or not this one
			asked.ResponseFormat = nil
			err = exchange()
		}
		if err != nil && c.finish == "" { // what comes after the end is not missed
			return err
		}
		return c.end(&o.wire)
	})
}

// completion is an answer that is coming in.
type completion struct {
	yield   func(Delta) bool
	message message
	names   names
	calls   []*chatCall
	finish  string
	done    bool // by its own word
	refused bool
	left    bool // nobody takes any more
}

// chatCall is a call of a tool that is coming in.
type chatCall struct {
	index     int
	id, name  string
	arguments strings.Builder
	rest      assembled // of its members
	function  assembled // of its function's
}

type chatChunk struct {
	Choices []struct {
		Delta        assembled `json:"delta"`
		FinishReason string    `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		Prompt     int64 `json:"prompt_tokens"`
		Completion int64 `json:"completion_tokens"`
		Details    struct {
			Cached  int64 `json:"cached_tokens"`
			Written int64 `json:"cache_write_tokens"`
		} `json:"prompt_tokens_details"`
	} `json:"usage"`
	Error json.RawMessage `json:"error"`
}

func (c *completion) say(d Delta) {
	if !c.left {
		c.left = !c.yield(d)
	}
}

// take reads one chunk of the stream.
func (c *completion) take(w *wire, data []byte) (more bool, err error) {
	var chunk chatChunk
	if err := json.Unmarshal(data, &chunk); err != nil {
		return false, w.cutOff(err)
	}
	if isSet(chunk.Error) {
		return false, w.told(chunk.Error)
	}
	for _, choice := range chunk.Choices {
		c.delta(choice.Delta)
		if choice.FinishReason != "" {
			c.finish = choice.FinishReason
		}
	}
	if u := chunk.Usage; u != nil {
		c.say(Delta{Usage: &Usage{Prompt: u.Prompt, Completion: u.Completion, CacheRead: u.Details.Cached, CacheWrite: u.Details.Written}})
	}
	if c.left {
		return false, errLeft
	}
	return true, nil
}

// delta takes a piece of the message.
func (c *completion) delta(d assembled) {
	if reasoning := firstText(d, "reasoning_content", "reasoning"); reasoning != "" {
		c.say(Delta{Reasoning: reasoning})
	}
	if text := d.text("content"); text != "" {
		c.say(Delta{Text: text})
	}
	if text := d.text("refusal"); text != "" {
		c.refused = true
		c.say(Delta{Text: text})
	}
	var calls []assembled
	if raw := d["tool_calls"]; isSet(raw) && json.Unmarshal(raw, &calls) == nil {
		for _, call := range calls {
			c.call(call)
		}
	}
	for name, value := range d {
		if name != "role" && name != "tool_calls" {
			c.message.join(name, value)
		}
	}
}

// call takes a piece of a call.
func (c *completion) call(piece assembled) {
	var function assembled
	if json.Unmarshal(piece["function"], &function) != nil {
		function = assembled{}
	}
	id, name := piece.text("id"), function.text("name")
	slot := c.slot(piece.number("index"), id, name)
	call := c.calls[slot]
	started := call.name != ""
	if call.id == "" {
		call.id = id
	}
	if call.name == "" {
		call.name = name
	}
	arguments := argumentsOf(function["arguments"])
	call.arguments.WriteString(arguments)
	for name, value := range piece {
		if name != "index" && name != "function" {
			call.rest.set(name, value)
		}
	}
	for name, value := range function {
		if name != "arguments" {
			call.function.set(name, value)
		}
	}
	d := CallDelta{Slot: slot, Arguments: arguments}
	if !started {
		d.ID, d.Name = call.id, call.name
	}
	c.say(Delta{Call: &d})
}

// slot finds the call that a piece belongs to, or begins one. Its index alone is not
// enough: some servers give 0 to all calls, or none.
func (c *completion) slot(index int, id, name string) int {
	last := -1
	for i, call := range c.calls {
		if index >= 0 && call.index != index {
			continue
		}
		if id != "" && call.id == id {
			return i
		}
		last = i
	}
	if last >= 0 {
		call := c.calls[last]
		another := id != "" && call.id != ""
		again := name != "" && call.name != "" && json.Valid([]byte(call.arguments.String()))
		if !another && !again {
			return last
		}
	}
	c.calls = append(c.calls, &chatCall{index: max(index, 0), rest: assembled{}, function: assembled{}})
	return len(c.calls) - 1
}

// argumentsOf reads a piece of arguments: a text, or an object as a whole.
func argumentsOf(raw json.RawMessage) string {
	if !isSet(raw) {
		return ""
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// end yields how the answer ended.
func (c *completion) end(w *wire) error {
	if c.left {
		return nil
	}
	finish, whole := c.finished()
	if !whole {
		return w.cutOff(nil)
	}
	end := End{Finish: finish}
	if finish == Calls {
		for i, call := range c.calls {
			call.id = c.names.name(call.id, i)
			end.Calls = append(end.Calls, Call{call.id, call.name, call.written()})
		}
	}
	var err error
	if end.Raw, err = c.raw(end.Calls); err == nil {
		c.say(Delta{End: &end})
	}
	return err
}

// finished says why the model has stopped, and whether it has at all: a connection
// that closes cleanly is no end, and neither is one without a reason and without calls.
func (c *completion) finished() (f Finish, whole bool) {
	switch {
	case c.finish == "length":
		return Length, true
	case c.finish == "content_filter" || c.refused && c.finish != "":
		return Refused, true
	case len(c.calls) > 0 && (c.finish != "" || c.done):
		return Calls, true
	default:
		return Stop, c.finish != ""
	}
}

// raw puts the message together. Calls that nobody answers are left out: providers
// refuse to be sent them.
func (c *completion) raw(answered []Call) (json.RawMessage, error) {
	all, err := c.message.whole()
	if err != nil {
		return nil, err
	}
	all["role"] = json.RawMessage(`"assistant"`)
	if _, is := all["content"]; !is {
		all["content"] = json.RawMessage("null")
	}
	if len(answered) == 0 {
		return json.Marshal(all)
	}
	calls := make([]assembled, len(c.calls))
	for i, call := range c.calls {
		if calls[i], err = call.whole(); err != nil {
			return nil, err
		}
	}
	if all["tool_calls"], err = json.Marshal(calls); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

// written is what the model gave for arguments.
func (c *chatCall) written() string { return cmp.Or(strings.TrimSpace(c.arguments.String()), "{}") }

// whole is the call as it is sent back. Arguments that are no object are not: some
// servers fail on them, and the call's result says what was wrong.
func (c *chatCall) whole() (assembled, error) {
	arguments := c.written()
	if !isObject([]byte(arguments)) {
		arguments = "{}"
	}
	c.function["arguments"], c.rest["id"] = quoted(arguments), quoted(c.id)
	c.rest.set("type", json.RawMessage(`"function"`))
	var err error
	c.rest["function"], err = json.Marshal(c.function)
	return c.rest, err
}
