// Package agent is the model of an agent: a versioned record that says who it
// is, how it is to behave, and who executes its tasks.
package agent

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// Runtime says who executes an agent's tasks.
type Runtime string

// The runtimes that are built.
const (
	// Worker: remote workers, by the Python protocol or by claims.
	Worker Runtime = "worker"
	// Profile: inside the server, without a model.
	Profile Runtime = "profile"
	// Command: a program that the server's configuration defines.
	Command Runtime = "command"
	// Model: a language model, which the server itself asks.
	Model Runtime = "model"
	// A2A: a remote agent, which the server asks by the protocol of that name.
	A2A Runtime = "a2a"
)

var (
	serverName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")
)

// runtimes lists them for people.
const runtimes = "worker, profile, command, model or a2a"

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
// secret values (LLMCredentials, the Headers of MCPServers and of Remote) are kept elsewhere, sealed.
type Record struct {
	Name            string          `json:"name" minLength:"1" maxLength:"255" doc:"A name for people."`
	Runtime         Runtime         `json:"runtime,omitempty" enum:"worker,profile,command,model,a2a" default:"worker" doc:"Who executes its tasks: remote workers, the built-in data profiler, a program of the server's, a language model that the server asks, or a remote agent that speaks A2A."`
	Command         string          `json:"command,omitempty" maxLength:"64" doc:"The name of a program that the server's configuration file defines; for runtime command only."`
	Remote          *Remote         `json:"remote,omitempty" doc:"The remote agent; for runtime a2a only."`
	Description     *string         `json:"description,omitempty" doc:"What it is for."`
	Instructions    *Instructions   `json:"instructions,omitempty" doc:"What the agent is told about itself."`
	Framework       string          `json:"framework,omitempty" doc:"Agent framework of its workers; agno when left open."`
	ModelProvider   string          `json:"model_provider,omitempty" doc:"openai when left open."`
	ModelName       string          `json:"model_name,omitempty" doc:"gpt-4o-mini when left open; runtime model has to name one."`
	LLMAPIBase      *string         `json:"llm_api_base,omitempty" doc:"Base URL of an OpenAI-compatible endpoint. For runtime model the server's own when left open; one of the agent's gets its llm_credentials, never the server's key."`
	LLMCredential   *Credentials    `json:"llm_credentials,omitempty" nullable:"true" doc:"Kept encrypted, for all versions; answered only to workers and admins on the Python client's routes. Left out, they stay as they are; null removes them."`
	Temperature     *float64        `json:"temperature,omitempty" minimum:"0" maximum:"2" doc:"For runtime model: how freely the model varies. Sent only if it is here, as many models refuse it."`
	ReasoningEffort string          `json:"reasoning_effort,omitempty" maxLength:"32" doc:"For runtime model: how hard the model is to think, in its provider's words, unless a task asks for another."`
	MaxTokens       int             `json:"max_tokens,omitempty" minimum:"1" maximum:"1000000" doc:"For runtime model: the most tokens of an answer. One that is cut by it is asked for once more with four times as many."`
	ContextWindow   int64           `json:"context_window,omitempty" minimum:"1" maximum:"100000000" doc:"For runtime model: how many tokens the model takes at once. Near its end the model sums the conversation up and goes on with the summary. When left open, it is what the server's configuration says of the model (windows); if that says nothing, the model does so when its provider says that the conversation is too long."`
	Vision          *bool           `json:"vision,omitempty" doc:"For runtime model: whether the model is shown the images among its task's files. When left open it is at OpenAI, Anthropic and Google, and nowhere else."`
	OutputFormat    *string         `json:"output_format,omitempty" enum:"text,markdown,json,voice" doc:"The form of results, unless a task asks for another."`
	OutputSchema    json.RawMessage `json:"output_schema,omitempty" doc:"For json: the JSON Schema that results are to follow."`
	Repairs         *int            `json:"repair_rounds,omitempty" minimum:"0" maximum:"20" doc:"How often in a turn a result that does not follow output_schema is sent back to be repaired, to those who ask for that; 2 when left open."`
	Tools           []Tool          `json:"tools,omitempty" doc:"For runtime model: the built-in tools that the model may use."`
	SubAgents       []string        `json:"sub_agents,omitempty" maxItems:"100" doc:"The agents that the model may have do things, with the tool delegate."`
	NeedsApproval   []string        `json:"needs_approval,omitempty" maxItems:"100" doc:"For runtime model: the tools, as the model calls them, of which a person has to approve each call; * for all but ask_person."`
	MCPServers      []MCPServer     `json:"mcp_servers,omitempty" doc:"For runtime model: MCP servers whose tools the model may use, beside those that its task names."`
	MaxSteps        int             `json:"max_steps,omitempty" minimum:"1" maximum:"1000" doc:"For runtime model: how often in a turn the model is asked at most; 50 when left open."`
	DeepPlanning    bool            `json:"deep_planning,omitempty" doc:"Whether the agent plans its work in steps."`
	EnforcePlan     bool            `json:"enforce_deep_planning,omitempty" doc:"Whether it must finish its plan."`
	Lease           int             `json:"lease_seconds,omitempty" minimum:"1" maximum:"3600" doc:"Length of a lease; 30 when left open."`
	MaxAttempts     int             `json:"max_attempts,omitempty" minimum:"1" maximum:"100" doc:"How many attempts of a turn may start. When left open 3; for runtime command 1, unless retry_started or retry_errors."`
	RetryStarted    bool            `json:"retry_started,omitempty" doc:"Lets the started attempt of a Python worker or a command be followed by another when it is lost."`
	Caps            *task.Caps      `json:"caps,omitempty" doc:"What all of its tasks together may spend in a day and in a month."`
	Budget          *task.Budget    `json:"budget,omitempty" doc:"What its tasks may use, unless a task says otherwise: for tasks that are no sub-tasks below another budget."`
	RetryErrors     bool            `json:"retry_errors,omitempty" doc:"Lets another attempt follow one that ended with the status error, as far as max_attempts goes. Of a Python worker's only with retry_started, too."`

	// NoCredential says that the JSON held a null in place of credentials:
	// those that are kept are to be removed.
	NoCredential bool `json:"-"`
}

// UnmarshalJSON tells credentials that are null from those that are left out.
func (r *Record) UnmarshalJSON(raw []byte) error {
	type plain Record
	if err := json.Unmarshal(raw, (*plain)(r)); err != nil {
		return err
	}
	if r.LLMCredential != nil || !bytes.Contains(raw, []byte("null")) { // a stored record is not read twice
		return nil
	}
	var given struct {
		Credential json.RawMessage `json:"llm_credentials"`
	}
	if err := json.Unmarshal(raw, &given); err != nil {
		return err
	}
	r.NoCredential = string(given.Credential) == "null"
	return nil
}

// Instructions are what an agent is told about itself.
type Instructions struct {
	Role    []string `json:"role,omitempty" doc:"Who it is."`
	Goal    []string `json:"goal,omitempty" doc:"What it is after."`
	General string   `json:"general,omitempty" doc:"Everything else."`
}

// Remote is an agent that is reached by A2A 1.0.
type Remote struct {
	URL     string            `json:"url" doc:"Its base: the card is at .well-known/agent-card.json below it."`
	Headers map[string]string `json:"headers,omitempty" doc:"What its server is sent with each request, a key for example. Kept encrypted, for all versions, and never answered. Left out, those that were given for the same URL stay; {} removes them."`
}

// Credentials are a key for a model's endpoint.
type Credentials struct {
	Name        string  `json:"name" minLength:"1" doc:"What the key is called."`
	Value       string  `json:"value" minLength:"1" doc:"The key itself."`
	Description *string `json:"description,omitempty" doc:"What it is for."`
}

// Tool names something that the server itself does for a model.
type Tool string

// The built-in tools.
const (
	// Fetch reads a URL.
	Fetch Tool = "fetch"
	// Files lists and reads the task's files.
	Files Tool = "files"
	// SQL queries the tables in them.
	SQL Tool = "sql"
	// Ask asks a person.
	Ask Tool = "ask_person"
	// Delegate has other agents do things.
	Delegate Tool = "delegate"
)

// Tools lists the built-in tools.
func Tools() []Tool { return []Tool{Fetch, Files, SQL, Ask, Delegate} }

// MCPServer is an MCP server whose tools an agent's model may use: one with a URL, or a
// program that the server's configuration defines.
type MCPServer struct {
	Name         string            `json:"name" minLength:"1" maxLength:"32" pattern:"^[A-Za-z0-9_-]+$" doc:"What it is called: the names of its tools begin with it."`
	URL          string            `json:"url,omitempty" doc:"Where it is reached over streamable HTTP."`
	Program      string            `json:"program,omitempty" maxLength:"64" doc:"The name of a program that the server's configuration file defines under mcp_servers, which speaks on standard input and output."`
	Headers      map[string]string `json:"headers,omitempty" doc:"What it is sent with each request, a key for example. Kept encrypted, for all versions, and never answered. Left out, those that were given for the same URL stay; {} removes them."`
	AllowedTools []string          `json:"allowed_tools,omitempty" doc:"The tools that may be used, by the server's own names; all when left out."`
}

func (r Runtime) known() bool {
	switch r {
	case Worker, Profile, Command, Model, A2A:
		return true
	default:
		return false
	}
}

// Provider is the provider of its model.
func (r Record) Provider() string { return cmp.Or(r.ModelProvider, "openai") }

// CheckBaseURL says what is wrong with a base URL.
func CheckBaseURL(given string) error {
	u, err := webURL(given)
	if err == nil && (u.RawQuery != "" || u.Fragment != "") {
		err = errors.New("must end with its path")
	}
	return err
}

// Lease is the length of the leases of its tasks.
func (a Agent) Lease() time.Duration {
	if a.Record.Lease > 0 {
		return time.Duration(a.Record.Lease) * time.Second
	}
	return task.DefaultLease
}

// MaxAttempts is how many attempts of a turn of its tasks may start (rule L4):
// a program may have done half of its work before it was lost, so nobody
// repeats that unasked.
func (a Agent) MaxAttempts() int {
	switch {
	case a.Record.MaxAttempts > 0:
		return a.Record.MaxAttempts
	case a.Record.Runtime == Command && !a.Record.RetryStarted && !a.Record.RetryErrors:
		return 1
	default:
		return task.DefaultMaxAttempts
	}
}

// defaultRepairs is how often a result is sent back where the record leaves it open.
const (
	defaultRepairs = 2
	maxName        = 128 // bytes
	maxRepairs     = 20
)

// MaxWindow is the most tokens that a model is said to take at once.
const MaxWindow = 100_000_000

const (
	defaultSteps = 50
	maxSteps     = 1000
)

// Steps is how often in a turn its model is asked at most.
func (a Agent) Steps() int { return cmp.Or(a.Record.MaxSteps, defaultSteps) }

// RepairRounds is how often in a turn a result is sent back to be repaired (S8).
func (a Agent) RepairRounds() int {
	if a.Record.Repairs == nil {
		return defaultRepairs
	}
	return *a.Record.Repairs
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
	case !r.Runtime.known():
		return fault.Field("runtime", "must be %s", runtimes)
	case r.Runtime == Model && r.ModelName == "":
		return fault.Field("model_name", "must name a model of %s", r.Provider())
	case r.Runtime == Command && r.Command == "":
		return fault.Field("command", "must name a program that the server's configuration file defines")
	case r.Runtime != Command && r.Command != "":
		return fault.Field("command", "is for runtime command only, not for %s", r.Runtime)
	case r.Runtime == Model && r.LLMAPIBase != nil && *r.LLMAPIBase != "" && CheckBaseURL(*r.LLMAPIBase) != nil:
		return fault.Field("llm_api_base", "%v", CheckBaseURL(*r.LLMAPIBase))
	case r.LLMCredential != nil && r.LLMCredential.Name == "":
		return fault.Field("llm_credentials.name", "must not be empty")
	case r.LLMCredential != nil && r.LLMCredential.Value == "":
		return fault.Field("llm_credentials.value", "must not be empty")
	case r.Repairs != nil && (*r.Repairs < 0 || *r.Repairs > maxRepairs):
		return fault.Field("repair_rounds", "must be from 0 to %d", maxRepairs)
	case len(r.Tools) > 0 && r.Runtime != Model:
		return fault.Field("tools", "are for runtime model only, not for %s", r.Runtime)
	case r.ContextWindow < 0 || r.ContextWindow > MaxWindow:
		return fault.Field("context_window", "must be from 1 to %d", MaxWindow)
	case r.MaxSteps < 0 || r.MaxSteps > maxSteps:
		return fault.Field("max_steps", "must be from 1 to %d", maxSteps)
	case r.Caps.Check("caps") != nil:
		return r.Caps.Check("caps")
	case r.Budget.Check("budget") != nil:
		return r.Budget.Check("budget")
	case len(r.OutputSchema) > 0 && !bytes.HasPrefix(bytes.TrimSpace(r.OutputSchema), []byte("{")) &&
		string(r.OutputSchema) != "null":
		return fault.Field("output_schema", "must be an object")
	}
	if err := r.checkTools(); err != nil {
		return err
	}
	if err := r.checkRemote(); err != nil {
		return err
	}
	return r.checkServers()
}

// checkRemote checks which remote agent the record names.
func (r *Record) checkRemote() error {
	switch {
	case r.Runtime != A2A && r.Remote != nil:
		return fault.Field("remote", "is for runtime a2a only, not for %s", r.Runtime)
	case r.Runtime != A2A:
		return nil
	case r.Remote == nil || r.Remote.URL == "":
		return fault.Field("remote.url", "must be the URL of a remote agent")
	}
	if err := CheckBaseURL(r.Remote.URL); err != nil {
		return fault.Field("remote.url", "%v", err)
	}
	return checkHeaders("remote.headers", r.Remote.Headers)
}

func checkHeaders(field string, headers map[string]string) error {
	for name, value := range headers {
		if !validHeader(name, value) {
			return fault.Field(field, "%q is no header that can be sent", name)
		}
	}
	return nil
}

// checkServers checks which MCP servers the record names.
func (r *Record) checkServers() error {
	if len(r.MCPServers) > 0 && r.Runtime != Model {
		return fault.Field("mcp_servers", "are for runtime model only, not for %s", r.Runtime)
	}
	named := map[string]bool{}
	for i, s := range r.MCPServers {
		wrong := func(field, format string, args ...any) error {
			return fault.Field(fmt.Sprintf("mcp_servers[%d].%s", i, field), format, args...)
		}
		switch {
		case !serverName.MatchString(s.Name):
			return wrong("name", "must be 1 to 32 of A-Z a-z 0-9 _ -")
		case named[s.Name]:
			return wrong("name", "is another's, too")
		case (s.URL == "") == (s.Program == ""):
			return wrong("url", "give a url or a program")
		case s.Program != "" && len(s.Headers) > 0:
			return wrong("headers", "are for servers with a url")
		}
		if err := CheckServerURL(s.URL); s.URL != "" && err != nil {
			return wrong("url", "%v", err)
		}
		if err := checkHeaders(fmt.Sprintf("mcp_servers[%d].headers", i), s.Headers); err != nil {
			return err
		}
		named[s.Name] = true
	}
	return nil
}

// CheckServerURL says what is wrong with the URL of an MCP server.
func CheckServerURL(given string) error {
	_, err := webURL(given)
	return err
}

func webURL(given string) (*url.URL, error) {
	u, err := url.Parse(given)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("must be an http or https URL")
	case u.User != nil:
		return nil, errors.New("must not hold a name or password")
	default:
		return u, nil
	}
}

// validHeader reports whether a header can be sent.
func validHeader(name, value string) bool {
	return headerName.MatchString(name) && !strings.ContainsFunc(value, unicode.IsControl)
}

// checkTools sorts the names of tools and refuses those that nobody knows.
func (r *Record) checkTools() error {
	for i, name := range r.Tools {
		if !slices.Contains(Tools(), name) {
			return fault.Field(fmt.Sprintf("tools[%d]", i), "must be one of %v", Tools())
		}
	}
	slices.Sort(r.Tools)
	r.Tools = slices.Compact(r.Tools)
	delegates := slices.Contains(r.Tools, Delegate)
	switch {
	case delegates != (len(r.SubAgents) > 0):
		return fault.Field("sub_agents", "and the tool %s are for each other", Delegate)
	case len(r.NeedsApproval) > 0 && r.Runtime != Model:
		return fault.Field("needs_approval", "is for runtime model only, not for %s", r.Runtime)
	}
	for i, name := range r.SubAgents {
		if name == "" || len(name) > maxName {
			return fault.Field(fmt.Sprintf("sub_agents[%d]", i), "must be the id of an agent")
		}
	}
	return nil
}

// Equal reports whether two records say the same (rule A2).
func (r Record) Equal(other Record) bool {
	a, errA := json.Marshal(r)
	b, errB := json.Marshal(other)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}
