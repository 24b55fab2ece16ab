// Package agent is the model of an agent: a versioned record that says who it
// is, how it is to behave, and who executes its tasks.
package agent

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/errand-dev/errand/internal/fault"
	"github.com/errand-dev/errand/internal/task"
)

// Runtime says who executes an agent's tasks.
type Runtime string

// The runtimes that are built.
const (
	// Worker: remote workers, by the Python protocol or by claims.
	Worker Runtime = "worker"
	// Profile: inside the server, without a model.
	Profile Runtime = "profile"
)

// Agent is one version of an agent's record.
type Agent struct {
	OrganizationID string
	ID             string
	Version        int
	CreatedAt      task.Stamp
	UpdatedAt      task.Stamp
	Record         Record
}

// Record is what a person decides of an agent. Its JSON is stored as it is;
// secret values (LLMCredentials) are kept elsewhere, sealed.
type Record struct {
	Name          string          `json:"name" minLength:"1" maxLength:"255" doc:"A name for people."`
	Runtime       Runtime         `json:"runtime,omitempty" enum:"worker,profile" default:"worker" doc:"Who executes its tasks: remote workers, or the built-in data profiler."`
	Description   *string         `json:"description,omitempty" doc:"What it is for."`
	Instructions  *Instructions   `json:"instructions,omitempty" doc:"What the agent is told about itself."`
	Framework     string          `json:"framework,omitempty" doc:"Agent framework of its workers; agno when left open."`
	ModelProvider string          `json:"model_provider,omitempty" doc:"openai when left open."`
	ModelName     string          `json:"model_name,omitempty" doc:"gpt-4o-mini when left open."`
	LLMAPIBase    *string         `json:"llm_api_base,omitempty" doc:"Base URL of an OpenAI-compatible endpoint."`
	LLMCredential *Credentials    `json:"llm_credentials,omitempty" doc:"Kept encrypted; answered only to workers and admins on the Python client's routes."`
	OutputFormat  *string         `json:"output_format,omitempty" enum:"text,markdown,json,voice" doc:"The form of results, unless a task asks for another."`
	OutputSchema  json.RawMessage `json:"output_schema,omitempty" doc:"For json: the JSON Schema that results are to follow."`
	DeepPlanning  bool            `json:"deep_planning,omitempty" doc:"Whether the agent plans its work in steps."`
	EnforcePlan   bool            `json:"enforce_deep_planning,omitempty" doc:"Whether it must finish its plan."`
	Lease         int             `json:"lease_seconds,omitempty" minimum:"1" maximum:"3600" doc:"Length of a lease; 30 when left open."`
	MaxAttempts   int             `json:"max_attempts,omitempty" minimum:"1" maximum:"100" doc:"How many attempts of a turn may start; 3 when left open."`
	RetryStarted  bool            `json:"retry_started,omitempty" doc:"Lets a Python worker's started attempt be followed by another."`
}

// Instructions are what an agent is told about itself.
type Instructions struct {
	Role    []string `json:"role,omitempty" doc:"Who it is."`
	Goal    []string `json:"goal,omitempty" doc:"What it is after."`
	General string   `json:"general,omitempty" doc:"Everything else."`
}

// Credentials are a key for a model's endpoint.
type Credentials struct {
	Name        string  `json:"name" doc:"What the key is called."`
	Value       string  `json:"value" doc:"The key itself."`
	Description *string `json:"description,omitempty" doc:"What it is for."`
}

// Lease is the length of the leases of its tasks.
func (a Agent) Lease() time.Duration {
	if a.Record.Lease > 0 {
		return time.Duration(a.Record.Lease) * time.Second
	}
	return task.DefaultLease
}

// UnfencedLease is the length for workers that cannot renew a lease of their
// own: at least 30 s, since they are heard only every few seconds (rule L5).
func (a Agent) UnfencedLease() time.Duration { return max(a.Lease(), task.DefaultLease) }

// Normalize fills what was left open and checks the rest.
func (r *Record) Normalize() error {
	if r.Runtime == "" {
		r.Runtime = Worker
	}
	switch {
	case r.Name == "":
		return fault.Field("name", "must not be empty")
	case r.Runtime != Worker && r.Runtime != Profile:
		return fault.Field("runtime", "must be worker or profile")
	case len(r.OutputSchema) > 0 && !bytes.HasPrefix(bytes.TrimSpace(r.OutputSchema), []byte("{")) &&
		string(r.OutputSchema) != "null":
		return fault.Field("output_schema", "must be an object")
	}
	return nil
}

// Equal reports whether two records say the same (rule A2).
func (r Record) Equal(other Record) bool {
	a, errA := json.Marshal(r)
	b, errB := json.Marshal(other)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}
