// Package model asks language models. One port, [Model], stands before two wires:
// chat completions as OpenAI and everything compatible speaks them, and Anthropic's
// messages. Each is read as it comes, with what providers make of it in fact.
//
// Nothing here repeats a request: that costs money, and what viewers have seen of
// the first one has to be taken back. [Error] says what may be repeated.
package model

import (
	"context"
	"encoding/json"
	"iter"
)

// Model is an endpoint that answers conversations. It is safe for concurrent use.
type Model interface {
	// Stream asks for one answer and yields it piece by piece. The last pair is an
	// answer's Finish with what it was as a whole, or an error, which is an *Error or
	// the cause of the context's end. Whoever stops ranging closes the connection.
	Stream(ctx context.Context, r Request) iter.Seq2[Delta, error]
}

// Request is a conversation that is to be answered.
type Request struct {
	// Model is the model's name at its provider.
	Model string
	// System is what the model is told about itself, "" for nothing.
	System   string
	Messages []Message
	// Temperature is sent only if there is one: many models refuse it.
	Temperature *float64
	// Effort is how hard the model is to think, in the provider's words; "" leaves it open.
	Effort string
	// MaxTokens bounds the answer; 0 is the provider's bound, where it has one.
	MaxTokens int
	// CacheKey is the same for requests that begin alike, "" for none.
	CacheKey string
	// Tools are what the model may call: the same as long as the conversation has calls,
	// and in the same order.
	Tools []Tool
	// Schema is the JSON Schema that the answer is to follow, nil for none. Providers that
	// can hold the model to it are told, as far as they take it: what is answered may not
	// follow it all the same.
	Schema json.RawMessage
	// CallPrefix and a number name a call of the answer to which the provider gives no
	// id, or one that the conversation has already.
	CallPrefix string
}

// Tool is a tool as a model is told of it.
type Tool struct {
	// Name has up to 64 of A-Z a-z 0-9 _ -.
	Name, Description string
	// Input is the JSON Schema of its arguments, an object's.
	Input json.RawMessage
}

// Role says who wrote a message.
type Role string

// The roles. What is told to the model stands in Request.System.
const (
	User      Role = "user"
	Assistant Role = "assistant"
)

// Message is one message of a conversation.
type Message struct {
	Role Role
	Text string
	// Raw is an assistant's message as this provider gave it, which then counts in the
	// place of Text and Calls: providers want back all of what they have said, signatures
	// too. Calls are those of an assistant's message that another one gave.
	Raw   json.RawMessage
	Calls []Call
	// Results, of a user's message, answer all calls of the message before it, in their
	// order. Text comes behind them.
	Results []Result
	// Pictures, of a user's message, stand before Text.
	Pictures []Picture
}

// Picture is an image for a model that sees.
type Picture struct {
	Type    string // image/png, image/jpeg, image/gif or image/webp
	Content []byte
}

// Call is a call of a tool in an answer.
type Call struct {
	// ID is the provider's, or one that was made of Request.CallPrefix.
	ID   string `json:"id"`
	Name string `json:"name"`
	// Arguments are what the model wrote, "{}" for nothing: it may be no JSON.
	Arguments string `json:"arguments"`
}

// Result is what came of a call.
type Result struct {
	CallID  string
	Text    string
	IsError bool
}

// Delta is a piece of an answer: one of its fields is set.
type Delta struct {
	Text      string
	Reasoning string
	Call      *CallDelta
	Usage     *Usage // as far as it is known: the last one counts
	End       *End
}

// CallDelta is a piece of a call of a tool, to be shown: End has the whole ones. The
// first of a slot has its id, if the provider gave one, and its name; Arguments are to
// be joined.
type CallDelta struct {
	Slot      int // from 0, in the order in which the calls began
	ID        string
	Name      string
	Arguments string
}

// Usage is what an answer has cost, in tokens. Prompt includes what was read from
// and written to the provider's cache, whatever the provider's own words are.
type Usage struct {
	Prompt     int64 `json:"prompt"`
	Completion int64 `json:"completion"`
	CacheRead  int64 `json:"cache_read"`
	CacheWrite int64 `json:"cache_write"`
}

// End is how an answer ended.
type End struct {
	Finish Finish
	// Calls are what the model wants answered, in the order in which they began: there
	// are some if, and only if, Finish says so. A call that may be cut is none.
	Calls []Call
	// Raw is the whole answer as the provider gave it, put together: what Message.Raw
	// takes.
	Raw json.RawMessage
}

// Finish says why a model has stopped.
type Finish string

// Why a model stops.
const (
	// Stop: it has said all.
	Stop Finish = "stop"
	// Calls: it wants its calls answered.
	Calls Finish = "calls"
	// Length: it ran into a limit; what it said last, and any call, may be cut.
	Length Finish = "length"
	// Refused: it, or its provider, does not want to.
	Refused Finish = "refused"
	// Interrupted: it goes on if it is asked again with the answer appended.
	Interrupted Finish = "interrupted"
)
