package errand

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Agents reads and changes agents, and invokes them.
type Agents struct{ c *Client }

// Agent is an agent's record. Applying it needs an admin key.
type Agent struct {
	// ID, OrganizationID, Version and the times are the server's.
	ID             string    `json:"id,omitempty"`
	OrganizationID string    `json:"organization_id,omitempty"`
	Version        int       `json:"version,omitempty"`
	CreatedAt      time.Time `json:"created_at,omitzero"`
	UpdatedAt      time.Time `json:"updated_at,omitzero"`

	Name string `json:"name"`
	// Runtime says who executes its tasks: worker (the default), profile,
	// command, model or a2a.
	Runtime string `json:"runtime,omitempty"`
	// Remote is the remote agent, for runtime a2a.
	Remote *RemoteAgent `json:"remote,omitempty"`
	// Command names a program of the server's configuration, for runtime
	// command.
	Command      string        `json:"command,omitempty"`
	Description  string        `json:"description,omitempty"`
	Instructions *Instructions `json:"instructions,omitempty"`
	// Framework is for its workers. ModelProvider, ModelName and LLMAPIBase are for
	// them, too, and say which model the server asks for runtime model.
	Framework     string `json:"framework,omitempty"`
	ModelProvider string `json:"model_provider,omitempty"`
	ModelName     string `json:"model_name,omitempty"`
	LLMAPIBase    string `json:"llm_api_base,omitempty"`
	// LLMCredentials are kept encrypted and never answered here.
	LLMCredentials *Credentials `json:"llm_credentials,omitempty"`
	// Temperature, ReasoningEffort and MaxTokens are for runtime model; what is left
	// open is the provider's to decide.
	Temperature     *float64 `json:"temperature,omitempty"`
	ReasoningEffort string   `json:"reasoning_effort,omitempty"`
	MaxTokens       int      `json:"max_tokens,omitempty"`
	// Tools are the built-in tools that the model of runtime model may use: fetch,
	// files, sql, ask_person and delegate, which has SubAgents do things. NeedsApproval
	// are the tools, as the model calls them, of which a person has to approve each call;
	// * is all of them. MaxSteps is how often in a turn the model is asked at most; 0 is 50.
	Tools         []string `json:"tools,omitempty"`
	SubAgents     []string `json:"sub_agents,omitempty"`
	NeedsApproval []string `json:"needs_approval,omitempty"`
	MaxSteps      int      `json:"max_steps,omitempty"`
	// MCPServers are for runtime model: their tools are the model's, too.
	MCPServers []ToolServer `json:"mcp_servers,omitempty"`
	// ContextWindow is, for runtime model, how many tokens the model takes at once; 0
	// leaves it open. Near its end the model sums the conversation up, and goes on with the
	// summary.
	ContextWindow int64 `json:"context_window,omitempty"`
	// Vision says, for runtime model, whether the model is shown the images among its
	// task's files; nil is whether all newer models of its provider see.
	Vision *bool `json:"vision,omitempty"`
	// OutputFormat and OutputSchema are for tasks that leave them open.
	OutputFormat string          `json:"output_format,omitempty"`
	OutputSchema json.RawMessage `json:"output_schema,omitempty"`
	// RepairRounds is how often in a turn a result that does not follow OutputSchema
	// is sent back to be repaired; nil is 2.
	RepairRounds        *int `json:"repair_rounds,omitempty"`
	DeepPlanning        bool `json:"deep_planning,omitempty"`
	EnforceDeepPlanning bool `json:"enforce_deep_planning,omitempty"`
	// LeaseSeconds is the length of its tasks' leases; 0 is 30.
	LeaseSeconds int `json:"lease_seconds,omitempty"`
	// MaxAttempts bounds how many attempts of a turn may start; 0 is 3.
	MaxAttempts int `json:"max_attempts,omitempty"`
	// RetryStarted lets a Python worker's started attempt be followed by another.
	RetryStarted bool `json:"retry_started,omitempty"`
	// Budget is for tasks that leave it open and are below no other.
	Budget *Budget `json:"budget,omitempty"`
	// Caps are what all of its tasks may spend together, nil for no limit.
	Caps *Caps `json:"caps,omitempty"`
	// RetryErrors lets another attempt follow one that ended with an error of its
	// worker, as Retry does. A Python worker's needs RetryStarted, too.
	RetryErrors bool `json:"retry_errors,omitempty"`
}

// RemoteAgent is an agent elsewhere that speaks A2A 1.0.
type RemoteAgent struct {
	// URL is its base, below which its card is at .well-known/agent-card.json.
	URL string `json:"url"`
	// Headers are sent with each request to its server. They are kept encrypted and never
	// answered; nil keeps those that were given for the same URL.
	Headers map[string]string `json:"headers,omitzero"`
}

// ToolServer is an MCP server whose tools an agent's model may use.
type ToolServer struct {
	// Name begins the names of its tools.
	Name string `json:"name"`
	// URL is where it is reached over streamable HTTP; Program is, in its place, one that
	// the server's configuration defines.
	URL     string `json:"url,omitempty"`
	Program string `json:"program,omitempty"`
	// Headers are sent with each request. They are kept encrypted and never answered; nil
	// keeps those that were given for the same URL.
	Headers map[string]string `json:"headers,omitzero"`
	// AllowedTools are the tools that may be used, nil for all.
	AllowedTools []string `json:"allowed_tools,omitempty"`
}

// Instructions are what an agent is told about itself.
type Instructions struct {
	Role    []string `json:"role,omitempty"`
	Goal    []string `json:"goal,omitempty"`
	General string   `json:"general,omitempty"`
}

// Credentials are a key for a model's endpoint.
type Credentials struct {
	Name        string `json:"name"`
	Value       string `json:"value"`
	Description string `json:"description,omitempty"`
}

// record is the agent without what is the server's to say.
func (a Agent) record() Agent {
	a.ID, a.OrganizationID, a.Version, a.CreatedAt, a.UpdatedAt = "", "", 0, time.Time{}, time.Time{}
	return a
}

func agentPath(id string) string { return "/v1/agents/" + url.PathEscape(id) }

func (a *Agents) one(ctx context.Context, r request) (*Agent, error) {
	var agent Agent
	if err := a.c.call(ctx, r, &agent); err != nil {
		return nil, err
	}
	return &agent, nil
}

// Get reads an agent's newest version.
func (a *Agents) Get(ctx context.Context, id string) (*Agent, error) {
	return a.one(ctx, request{method: http.MethodGet, path: agentPath(id), repeat: true})
}

// GetVersion reads a version of an agent.
func (a *Agents) GetVersion(ctx context.Context, id string, version int) (*Agent, error) {
	return a.one(ctx, request{
		method: http.MethodGet, path: agentPath(id), repeat: true,
		query: url.Values{"version": {strconv.Itoa(version)}},
	})
}

// List lists the agents that the key may see.
func (a *Agents) List(ctx context.Context) ([]Agent, error) {
	return whole(parts[Agent](ctx, a.c, "/v1/agents", nil))
}

// Versions lists an agent's versions, newest first.
func (a *Agents) Versions(ctx context.Context, id string) ([]Agent, error) {
	return whole(parts[Agent](ctx, a.c, agentPath(id)+"/versions", nil))
}

// Apply creates an agent under an id of yours, or a new version of it if
// anything differs.
func (a *Agents) Apply(ctx context.Context, id string, agent Agent) (*Agent, error) {
	return a.one(ctx, request{method: http.MethodPut, path: agentPath(id), body: agent.record(), repeat: true})
}

// Create creates an agent under an id of the server's. It is never repeated by
// itself: use Apply where a second agent would do harm.
func (a *Agents) Create(ctx context.Context, agent Agent) (*Agent, error) {
	return a.one(ctx, request{method: http.MethodPost, path: "/v1/agents", body: agent.record()})
}

// Delete deletes an agent that has no task which has not ended. Its ended
// tasks stay readable.
func (a *Agents) Delete(ctx context.Context, id string) error {
	return a.c.call(ctx, request{method: http.MethodDelete, path: agentPath(id)}, nil)
}

// invokeFor is how long the server may keep a call of Invoke waiting: less than
// proxies usually allow an answer that has not begun.
const invokeFor = 45 * time.Second

// Invoke creates a task for an agent and waits until it has ended, for as long
// as ctx lives; the end of ctx stops nothing. It is one request that the server
// returns at the task's end; if that takes longer, the rest is waited for by the
// task's events. A broken connection is survived as Create survives it, with an
// idempotency key of the call's own, or the request's, which is another one than the
// same key given to Create.
func (a *Agents) Invoke(ctx context.Context, agentID string, r TaskRequest) (*Task, error) {
	r.AgentID, r.IdempotencyKey = "", firstOf(r.IdempotencyKey, newKey())
	call := r.create(agentPath(agentID) + "/invoke")
	call.query = query(map[string]string{"wait": strconv.Itoa(int(invokeFor.Seconds()))})
	call.limit = invokeFor + claimSlack
	task, err := a.c.Tasks.one(ctx, call)
	if err != nil || task.Status.Ends() {
		return task, err
	}
	for e, err := range a.c.Tasks.Events(ctx, task.ID, After(task.LastEventSeq), OnlyTypes(TaskFinished)) {
		if err != nil {
			return nil, err
		}
		if e.Turn == task.Turn {
			break
		}
	}
	return a.c.Tasks.Get(ctx, task.ID)
}

// InvokeAsync creates a task for an agent and returns it at once.
func (a *Agents) InvokeAsync(ctx context.Context, agentID string, r TaskRequest) (*Task, error) {
	r.AgentID = agentID
	return a.c.Tasks.Create(ctx, r)
}

// InvokeStream creates a task for an agent and yields its events; see
// Tasks.Events. The task is created when the loop begins, once for each loop.
func (a *Agents) InvokeStream(ctx context.Context, agentID string, r TaskRequest) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		task, err := a.InvokeAsync(ctx, agentID, r)
		if err != nil {
			yield(Event{}, err)
			return
		}
		task.Events(ctx)(yield)
	}
}
