package a2a

import (
	"encoding/json"
	"slices"

	"github.com/errand-dev/errand/server/internal/task"
)

// version is the protocol's, as it stands on the wire.
const version = "1.0"

// sequence names the extension by which a stream's updates are numbered, and may be
// read on from any of them.
const sequence = "urn:errand:a2a:sequence:1"

// State is the protocol's status of a task.
type State string

// The states.
const (
	Submitted     State = "TASK_STATE_SUBMITTED"
	Working       State = "TASK_STATE_WORKING"
	InputRequired State = "TASK_STATE_INPUT_REQUIRED"
	AuthRequired  State = "TASK_STATE_AUTH_REQUIRED"
	Completed     State = "TASK_STATE_COMPLETED"
	Failed        State = "TASK_STATE_FAILED"
	Canceled      State = "TASK_STATE_CANCELED"
	Rejected      State = "TASK_STATE_REJECTED"
)

// states lists every state.
func states() []State {
	return []State{Submitted, Working, InputRequired, AuthRequired, Completed, Failed, Canceled, Rejected}
}

// valid reports whether it is one of the closed list.
func (s State) valid() bool { return slices.Contains(states(), s) }

// Ended reports whether the state is for good.
func (s State) Ended() bool {
	return slices.Contains([]State{Completed, Failed, Canceled, Rejected}, s)
}

// Rests reports whether nothing follows by itself: the task has ended, or waits for its
// client.
func (s State) Rests() bool { return s.Ended() || s == InputRequired || s == AuthRequired }

// Role is whose a message is.
type Role string

// The roles.
const (
	User  Role = "ROLE_USER"
	Agent Role = "ROLE_AGENT"
)

// Task is one turn of a task of ours.
type Task struct {
	ID        string         `json:"id"`
	ContextID string         `json:"contextId"`
	Status    Status         `json:"status"`
	Artifacts []Artifact     `json:"artifacts,omitempty"`
	History   []Message      `json:"history,omitempty"`
	Metadata  map[string]any `json:"metadata,omitempty"`
}

// Status is how a task stands.
type Status struct {
	State     State      `json:"state"`
	Timestamp task.Stamp `json:"timestamp"`
	Message   *Message   `json:"message,omitempty"`
}

// Message is what one side says.
type Message struct {
	ID         string          `json:"messageId"`
	ContextID  string          `json:"contextId,omitempty"`
	TaskID     string          `json:"taskId,omitempty"`
	Role       Role            `json:"role"`
	Parts      []Part          `json:"parts"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
	Extensions []string        `json:"extensions,omitempty"`
}

// Part is a piece of a message or an artifact: just one of its first four members.
type Part struct {
	Text *string         `json:"text,omitempty"`
	Raw  *string         `json:"raw,omitempty"` // base64
	URL  *string         `json:"url,omitempty"`
	Data json.RawMessage `json:"data,omitempty"`

	MediaType string          `json:"mediaType,omitempty"`
	Filename  string          `json:"filename,omitempty"`
	Metadata  json.RawMessage `json:"metadata,omitempty"`
}

// size is about how many bytes a message has.
func (m Message) size() int {
	n := 0
	for _, p := range m.Parts {
		n += len(p.Data)
		for _, s := range []*string{p.Text, p.Raw, p.URL} {
			if s != nil {
				n += len(*s)
			}
		}
	}
	return n
}

func text(s string) Part { return Part{Text: &s} }

// Artifact is something that a task has made.
type Artifact struct {
	ID    string `json:"artifactId"`
	Name  string `json:"name,omitempty"`
	Parts []Part `json:"parts"`
}

// Update is what a stream sends at a time: just one of its first three members.
type Update struct {
	Task     *Task           `json:"task,omitempty"`
	Status   *StatusUpdate   `json:"statusUpdate,omitempty"`
	Artifact *ArtifactUpdate `json:"artifactUpdate,omitempty"`

	at place
}

// StatusUpdate says that a task stands otherwise.
type StatusUpdate struct {
	TaskID    string         `json:"taskId"`
	ContextID string         `json:"contextId"`
	Status    Status         `json:"status"`
	Metadata  map[string]any `json:"metadata,omitempty"`
}

// ArtifactUpdate brings an artifact, or more of one.
type ArtifactUpdate struct {
	TaskID    string         `json:"taskId"`
	ContextID string         `json:"contextId"`
	Artifact  Artifact       `json:"artifact"`
	Append    bool           `json:"append,omitempty"`
	LastChunk bool           `json:"lastChunk,omitempty"`
	Metadata  map[string]any `json:"metadata,omitempty"`
}

// Card is what an agent says of itself.
type Card struct {
	Name         string         `json:"name"`
	Description  string         `json:"description"`
	Version      string         `json:"version"`
	Interfaces   []Interface    `json:"supportedInterfaces"`
	Capabilities Capabilities   `json:"capabilities"`
	InputModes   []string       `json:"defaultInputModes"`
	OutputModes  []string       `json:"defaultOutputModes"`
	Skills       []Skill        `json:"skills"`
	Schemes      map[string]any `json:"securitySchemes"`
	Requirements []any          `json:"securityRequirements"`
}

// Interface is an address at which an agent is spoken to.
type Interface struct {
	URL     string `json:"url"`
	Binding string `json:"protocolBinding"`
	Version string `json:"protocolVersion"`
}

// Capabilities are what of the protocol an agent knows beside the core.
type Capabilities struct {
	Streaming         bool        `json:"streaming"`
	PushNotifications bool        `json:"pushNotifications"`
	ExtendedAgentCard bool        `json:"extendedAgentCard"`
	Extensions        []Extension `json:"extensions"`
}

// Extension is one that an agent knows.
type Extension struct {
	URI         string `json:"uri"`
	Description string `json:"description"`
	Required    bool   `json:"required"`
}

// Skill is something that an agent does.
type Skill struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Tags        []string `json:"tags"`
}
