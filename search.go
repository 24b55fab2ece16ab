package errand

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"time"
)

// FoundIn says where in a task something was found.
type FoundIn string

// Where something is found.
const (
	FoundInTitle  FoundIn = "title"
	FoundInPrompt FoundIn = "prompt"
	FoundInResult FoundIn = "result"
	FoundInEvent  FoundIn = "event"
)

// Hit is a place in a task that has the words of a search.
type Hit struct {
	TaskID    string    `json:"task_id"`
	AgentID   string    `json:"agent_id"`
	Status    Status    `json:"status"`
	Title     string    `json:"title"`
	Prompt    string    `json:"prompt"`
	CreatedAt time.Time `json:"created_at"`
	Part      FoundIn   `json:"part"`
	// EventID is the event of the task's log that says them.
	EventID int64 `json:"event_id"`
	// Snippet is what stands around them.
	Snippet []Piece `json:"snippet"`

	raw json.RawMessage
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *Hit) UnmarshalJSON(text []byte) error {
	type plain Hit
	h.raw = bytes.Clone(text)
	return json.Unmarshal(text, (*plain)(h))
}

// JSON returns it as the server sent it.
func (h *Hit) JSON() json.RawMessage { return h.raw }

// Piece is a part of a snippet; Hit says that it is one of the words.
type Piece struct {
	Text string `json:"text"`
	Hit  bool   `json:"hit"`
}

// SearchOptions narrow a search; the zero value narrows nothing.
type SearchOptions struct {
	AgentID string
	Status  Status
}

// Search yields the places in tasks that have words, newest first: all of them in one
// place, in any order; words in quotation marks stand side by side. What was written is
// found about a second later. A task may have several places. An error is yielded last.
func (t *Tasks) Search(ctx context.Context, words string, o SearchOptions) iter.Seq2[Hit, error] {
	return parts[Hit](ctx, t.c, "/v1/search", map[string]string{"q": words, "agent_id": o.AgentID, "status": string(o.Status)})
}
