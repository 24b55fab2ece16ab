package model

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"maps"
	"net/http"
)

// anthropic speaks Anthropic's messages.
type anthropic struct{ wire }

const (
	anthropicVersion = "2026-10-21"
	// answerTokens is the bound of an answer that nobody has bounded: the wire wants one.
	answerTokens = 16_384
)

type messagesRequest struct {
	Model        string         `json:"model"`
	MaxTokens    int            `json:"max_tokens"`
	System       string         `json:"system,omitempty"`
	Messages     []any          `json:"messages"`
	Stream       bool           `json:"stream"`
	Temperature  *float64       `json:"temperature,omitempty"`
	CacheControl kind           `json:"cache_control"`
	Thinking     *kind          `json:"thinking,omitempty"`
	OutputConfig *outputConfig  `json:"output_config,omitempty"`
	Tools        []messagesTool `json:"tools,omitempty"`
}

type messagesTool struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	InputSchema json.RawMessage `json:"input_schema"`
}

// blocksMessage is a message of blocks.
type blocksMessage struct {
	Role    Role  `json:"role"`
	Content []any `json:"content"`
}

type textBlock struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type resultBlock struct {
	Type      string `json:"type"`
	ToolUseID string `json:"tool_use_id"`
	Content   string `json:"content"`
	IsError   bool   `json:"is_error,omitempty"`
}

type kind struct {
	Type string `json:"type"`
}

type outputConfig struct {
	Effort string `json:"effort"`
}

func (a *anthropic) request(r Request) messagesRequest {
	m := messagesRequest{
		Model: r.Model, MaxTokens: cmp.Or(r.MaxTokens, answerTokens), System: r.System, Stream: true,
		Temperature: r.Temperature, CacheControl: kind{"ephemeral"},
	}
	if r.Effort != "" {
		m.Thinking, m.OutputConfig = &kind{"adaptive"}, &outputConfig{r.Effort}
	}
	for _, said := range r.Messages {
		switch {
		case said.Raw != nil:
			m.Messages = append(m.Messages, said.Raw)
		case len(said.Calls) > 0:
			m.Messages = append(m.Messages, blocksMessage{Assistant, callBlocks(said)})
		case len(said.Results) > 0 || len(said.Pictures) > 0:
			m.Messages = append(m.Messages, blocksMessage{User, resultBlocks(said)})
		default:
			m.Messages = append(m.Messages, chatMessage{Role: string(said.Role), Content: said.Text})
		}
	}
	for _, t := range r.Tools {
		m.Tools = append(m.Tools, messagesTool{t.Name, t.Description, t.Input})
	}
	return m
}

// callBlocks are what another provider's message said, and called.
func callBlocks(said Message) []any {
	type call struct {
		Type  string          `json:"type"`
		ID    string          `json:"id"`
		Name  string          `json:"name"`
		Input json.RawMessage `json:"input"`
	}
	var blocks []any
	if said.Text != "" {
		blocks = append(blocks, textBlock{"text", said.Text})
	}
	for _, c := range said.Calls {
		blocks = append(blocks, call{"tool_use", c.ID, c.Name, objectOf(c.Arguments)})
	}
	return blocks
}

// resultBlocks are results, and what is shown and said behind them.
func resultBlocks(said Message) []any {
	type source struct {
		Type      string `json:"type"`
		MediaType string `json:"media_type"`
		Data      []byte `json:"data"` // which JSON has in base64
	}
	type image struct {
		Type   string `json:"type"`
		Source source `json:"source"`
	}
	var blocks []any
	for _, r := range said.Results {
		blocks = append(blocks, resultBlock{"tool_result", r.CallID, r.Text, r.IsError})
	}
	for _, p := range said.Pictures {
		blocks = append(blocks, image{"image", source{"base64", p.Type, p.Content}})
	}
	if said.Text != "" {
		blocks = append(blocks, textBlock{"text", said.Text})
	}
	return blocks
}

func (a *anthropic) header() http.Header {
	h := http.Header{}
	h.Set("anthropic-version", anthropicVersion)
	if a.Key != "" {
		h.Set("X-Api-Key", a.Key)
	}
	return h
}

// Stream implements Model.
func (a *anthropic) Stream(ctx context.Context, r Request) iter.Seq2[Delta, error] {
	return a.answers(func(yield func(Delta) bool) error {
		s := &speech{yield: yield, names: newNames(r)}
		err := a.exchange(ctx, "/v1/messages", a.header(), a.request(r), func(_ string, data []byte) (bool, error) {
			return s.take(&a.wire, data)
		})
		switch {
		case err != nil || s.left:
			return err
		case !s.over:
			return a.cutOff(nil)
		default:
			return s.end(&a.wire)
		}
	})
}

// speech is an answer that is coming in, block by block.
type speech struct {
	yield  func(Delta) bool
	names  names
	blocks []*block
	calls  int
	usage  messagesUsage
	reason string
	over   bool // by its own word
	left   bool // nobody takes any more
}

// block is one part of an answer.
type block struct {
	message
	index int
	kind  string
	slot  int // of a call
	open  bool
	cut   bool // it was never whole
}

type messagesUsage struct {
	Input      *int64 `json:"input_tokens"`
	Output     *int64 `json:"output_tokens"`
	CacheRead  *int64 `json:"cache_read_input_tokens"`
	CacheWrite *int64 `json:"cache_creation_input_tokens"`
}

// add takes what a later event knows: its counts are totals, not additions.
func (u *messagesUsage) add(later messagesUsage) {
	u.Input, u.Output = cmp.Or(later.Input, u.Input), cmp.Or(later.Output, u.Output)
	u.CacheRead, u.CacheWrite = cmp.Or(later.CacheRead, u.CacheRead), cmp.Or(later.CacheWrite, u.CacheWrite)
}

func (u *messagesUsage) total() Usage {
	of := func(n *int64) int64 {
		if n == nil {
			return 0
		}
		return *n
	}
	read, written := of(u.CacheRead), of(u.CacheWrite)
	return Usage{Prompt: of(u.Input) + read + written, Completion: of(u.Output), CacheRead: read, CacheWrite: written}
}

type messagesEvent struct {
	Type    string `json:"type"`
	Index   int    `json:"index"`
	Message struct {
		Usage messagesUsage `json:"usage"`
	} `json:"message"`
	ContentBlock assembled       `json:"content_block"`
	Delta        assembled       `json:"delta"`
	Usage        *messagesUsage  `json:"usage"`
	Error        json.RawMessage `json:"error"`
}

func (s *speech) say(d Delta) {
	if !s.left {
		s.left = !s.yield(d)
	}
}

// take reads one event. What is unknown is passed over: types are added without a
// new version.
func (s *speech) take(w *wire, data []byte) (more bool, err error) {
	var e messagesEvent
	if err := json.Unmarshal(data, &e); err != nil {
		return false, w.cutOff(err)
	}
	switch e.Type {
	case "message_start":
		s.spent(e.Message.Usage)
	case "content_block_start":
		s.begin(e.Index, e.ContentBlock)
	case "content_block_delta":
		s.delta(s.block(e.Index), e.Delta)
	case "content_block_stop":
		if b := s.block(e.Index); b != nil {
			b.close()
		}
	case "message_delta":
		s.reason = cmp.Or(e.Delta.text("stop_reason"), s.reason)
		if e.Usage != nil {
			s.spent(*e.Usage)
		}
	case "message_stop":
		s.over = true
	case "error":
		return false, w.told(e.Error)
	}
	if s.left {
		return false, errLeft
	}
	return !s.over, nil
}

func (s *speech) spent(u messagesUsage) {
	s.usage.add(u)
	total := s.usage.total()
	s.say(Delta{Usage: &total})
}

// block finds an open block; nil for one that has never begun.
func (s *speech) block(index int) *block {
	for _, b := range s.blocks {
		if b.index == index && b.open {
			return b
		}
	}
	return nil
}

func (s *speech) begin(index int, content assembled) {
	b := &block{message: newMessage(), index: index, kind: content.text("type"), open: true}
	s.blocks = append(s.blocks, b)
	maps.Copy(b.members, content)
	switch b.kind {
	case "text":
		delete(b.members, "text")
		s.text(b, content.text("text"))
	case "thinking":
		delete(b.members, "thinking")
		s.thinking(b, content.text("thinking"))
	case "tool_use":
		b.slot = s.calls
		s.calls++
		s.say(Delta{Call: &CallDelta{Slot: b.slot, ID: content.text("id"), Name: content.text("name")}})
	}
}

func (s *speech) text(b *block, text string) {
	b.write("text", text)
	if text != "" {
		s.say(Delta{Text: text})
	}
}

func (s *speech) thinking(b *block, text string) {
	b.write("thinking", text)
	if text != "" {
		s.say(Delta{Reasoning: text})
	}
}

func (s *speech) delta(b *block, d assembled) {
	if b == nil {
		return
	}
	switch d.text("type") {
	case "text_delta":
		s.text(b, d.text("text"))
	case "thinking_delta":
		s.thinking(b, d.text("thinking"))
	case "signature_delta":
		b.members["signature"] = d["signature"]
	case "input_json_delta":
		b.write("input", d.text("partial_json"))
		if b.kind == "tool_use" && d.text("partial_json") != "" {
			s.say(Delta{Call: &CallDelta{Slot: b.slot, Arguments: d.text("partial_json")}})
		}
	case "citations_delta":
		b.join("citations", json.RawMessage("["+string(d["citation"])+"]"))
	}
}

// close ends a block. Arguments that are no object then were cut.
func (b *block) close() {
	b.open = false
	written := b.texts["input"]
	if written == nil {
		return
	}
	delete(b.texts, "input")
	switch text := []byte(written.String()); {
	case len(text) == 0:
	case isObject(text):
		b.members["input"] = text
	default:
		b.cut = true
	}
}

// end yields how the answer ended.
func (s *speech) end(w *wire) error {
	end := End{Finish: finishOf(s.reason)}
	if end.Finish == Calls && s.calls == 0 {
		end.Finish = Stop
	}
	content := make([]assembled, 0, len(s.blocks))
	for _, b := range s.blocks {
		if b.cut = b.cut || b.open; b.cut && end.Finish != Length {
			return w.cutOff(nil)
		}
		called := b.kind == "tool_use"
		if b.empty() || called && end.Finish != Calls { // providers refuse to be sent them
			continue
		}
		if called {
			end.Calls = append(end.Calls, s.call(b))
		}
		whole, err := b.whole()
		if err != nil {
			return err
		}
		content = append(content, whole)
	}
	var err error
	if end.Raw, err = json.Marshal(struct {
		Role    Role        `json:"role"`
		Content []assembled `json:"content"`
	}{Assistant, content}); err == nil {
		s.say(Delta{End: &end})
	}
	return err
}

// call is a block that is a call, which gets an id if it needs one.
func (s *speech) call(b *block) Call {
	id := s.names.name(b.members.text("id"), b.slot)
	b.members["id"] = quoted(id)
	if !isSet(b.members["input"]) {
		b.members["input"] = json.RawMessage("{}")
	}
	return Call{id, b.members.text("name"), string(b.members["input"])}
}

// finishOf says why Anthropic's models have stopped. Reasons that are not known are
// taken for the usual one.
func finishOf(reason string) Finish {
	switch reason {
	case "tool_use":
		return Calls
	case "max_tokens", "model_context_window_exceeded":
		return Length
	case "refusal":
		return Refused
	case "pause_turn":
		return Interrupted
	default:
		return Stop
	}
}

// empty reports whether it is a text block without a text: they come, and are
// refused when they are sent back.
func (b *block) empty() bool {
	return b.kind == "text" && b.texts["text"].Len() == 0
}
