package model

import "encoding/json"

// Meter reads from an answer what it has used, event by event, or as a whole if it is
// no stream. It knows chat completions and Anthropic's messages.
type Meter struct {
	anthropic bool
	messages  messagesUsage
	used      *Usage
	told      bool // all of it
	events    int64
}

// NewMeter makes a meter for the wire of a provider.
func NewMeter(provider string) *Meter { return &Meter{anthropic: provider == Anthropic} }

// done is what stands at the end of a stream of chat completions.
const done = "[DONE]"

// Take reads one event. last says that a caller may take the answer for whole with it;
// usage, that it says nothing else than what was used.
func (m *Meter) Take(data []byte) (last, usage bool) {
	m.events++
	if m.anthropic {
		var e messagesEvent
		if json.Unmarshal(data, &e) != nil {
			return false, false
		}
		switch e.Type {
		case "message_start":
			m.spent(e.Message.Usage)
		case "message_delta":
			if e.Usage != nil {
				m.spent(*e.Usage)
				m.told = true
			}
		}
		return e.Type == "message_delta" || e.Type == "message_stop" || e.Type == "error", false
	}
	if string(data) == done {
		return true, false
	}
	var c chatChunk
	if json.Unmarshal(data, &c) != nil {
		return false, false
	}
	if u := c.Usage; u != nil {
		m.used = &Usage{Prompt: u.Prompt, Completion: u.Completion, CacheRead: u.Details.Cached, CacheWrite: u.Details.Written}
		m.told = true
	}
	return c.Usage != nil || len(c.Error) > 0, c.Usage != nil && len(c.Choices) == 0
}

func (m *Meter) spent(u messagesUsage) {
	m.messages.add(u)
	total := m.messages.total()
	m.used = &total
}

// Whole reads an answer that is no stream.
func (m *Meter) Whole(body []byte) {
	if !m.anthropic {
		m.Take(body)
		return
	}
	var answer struct {
		Usage *messagesUsage `json:"usage"`
	}
	if json.Unmarshal(body, &answer) == nil && answer.Usage != nil {
		m.spent(*answer.Usage)
		m.told = true
	}
}

// Used is what was used of a request of so many bytes. Where the provider has not told,
// it is estimated.
func (m *Meter) Used(request int) (u Usage, estimated bool) {
	switch {
	case m.told:
		return *m.used, false
	case m.used != nil: // but for what was said since
		u = *m.used
		u.Completion = max(u.Completion, m.events)
		return u, true
	default:
		return Usage{Prompt: int64(Tokens(request)), Completion: m.events}, true
	}
}

// Tokens estimates how many tokens a text of so many bytes has.
func Tokens(bytes int) int {
	const bytesPerToken = 4
	return bytes / bytesPerToken
}
