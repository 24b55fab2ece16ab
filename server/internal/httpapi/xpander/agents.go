package xpander

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/task"
)

// agentAnswer is R6's answer. Every member is there on purpose: the client
// has defaults of its own for what is absent, and some of them call services
// that this server does not offer.
type agentAnswer struct {
	ID                 string             `json:"id"`
	OrganizationID     string             `json:"organization_id"`
	Name               string             `json:"name"`
	UniqueName         string             `json:"unique_name"`
	Description        *string            `json:"description"`
	Framework          string             `json:"framework"`
	ModelProvider      string             `json:"model_provider"`
	ModelName          string             `json:"model_name"`
	LLMAPIBase         *string            `json:"llm_api_base"`
	LLMCredentials     *agent.Credentials `json:"llm_credentials"`
	LLMReasoningEffort *string            `json:"llm_reasoning_effort"`
	Instructions       instructions       `json:"instructions"`
	AgnoSettings       map[string]bool    `json:"agno_settings"`
	UsingNemo          bool               `json:"using_nemo"`
	DeepPlanning       bool               `json:"deep_planning"`
	EnforceDeepPlan    bool               `json:"enforce_deep_planning"`
	WorkspaceTools     bool               `json:"workspace_tools_enabled"`
	AutoContext        bool               `json:"with_auto_context_management"`
	SelfSchedule       bool               `json:"can_self_schedule"`
	Graph              []any              `json:"graph"`
	Tools              []tool             `json:"tools"`
	KnowledgeBases     []any              `json:"knowledge_bases"`
	SourceNodes        []any              `json:"source_nodes"`
	OutputFormat       string             `json:"output_format"`
	OutputSchema       json.RawMessage    `json:"output_schema"`
	Status             string             `json:"status"`
	DeploymentType     string             `json:"deployment_type"`
	AccessScope        string             `json:"access_scope"`
	Version            int                `json:"version"`
	CreatedAt          task.Stamp         `json:"created_at"`
}

type instructions struct {
	Role    []string `json:"role"`
	Goal    []string `json:"goal"`
	General string   `json:"general"`
}

// agent is R6.
func (r *routes) agent(w http.ResponseWriter, req *http.Request) error {
	ctx, id := req.Context(), req.PathValue("agent")
	p := edge.Principal(ctx)
	if err := edge.RequireAgent(p, id); err != nil {
		return err
	}
	version := 0
	if given := req.Header.Get("x-agent-version"); given != "" {
		var err error
		if version, err = strconv.Atoi(given); err != nil || version < 1 {
			return fault.New(fault.NotFound, "no version %q of agent %q", given, id)
		}
	}
	a, err := r.Service.Agent(ctx, p.Organization, id, version)
	if err != nil {
		return err
	}
	answer := r.describe(a)
	if p.SeesSecrets() {
		if answer.LLMCredentials, err = r.Service.AgentCredentials(ctx, p.Organization, id); err != nil {
			return err
		}
	}
	edge.WriteJSON(w, http.StatusOK, answer)
	return nil
}

func (r *routes) describe(a agent.Agent) agentAnswer {
	rec := a.Record
	base := rec.LLMAPIBase
	if base == nil && r.defaults.LLMAPIBase != "" {
		base = &r.defaults.LLMAPIBase
	}
	answer := agentAnswer{
		ID: a.ID, OrganizationID: a.OrganizationID, Name: rec.Name, UniqueName: a.ID, Description: rec.Description,
		Framework: or(rec.Framework, "agno"), ModelProvider: or(rec.ModelProvider, "openai"),
		ModelName: or(rec.ModelName, or(r.defaults.Model, "gpt-4o-mini")), LLMAPIBase: base,
		Instructions: instructions{Role: []string{}, Goal: []string{}},
		AgnoSettings: map[string]bool{
			"session_storage": r.defaults.databaseOf(a.OrganizationID) != "", "user_memories": false, "agent_memories": false, "reasoning_tools_enabled": false,
		},
		DeepPlanning: rec.DeepPlanning, EnforceDeepPlan: rec.EnforcePlan,
		Graph: []any{}, Tools: []tool{}, KnowledgeBases: []any{}, SourceNodes: []any{},
		OutputFormat: or(text(rec.OutputFormat), "markdown"), OutputSchema: rec.OutputSchema,
		Status: "ACTIVE", DeploymentType: "container", AccessScope: "organizational",
		Version: a.Version, CreatedAt: a.CreatedAt,
	}
	if rec.DeepPlanning {
		answer.Tools = planTools()
	}
	if i := rec.Instructions; i != nil {
		answer.Instructions.General = i.General
		answer.Instructions.Role = append(answer.Instructions.Role, i.Role...)
		answer.Instructions.Goal = append(answer.Instructions.Goal, i.Goal...)
	}
	return answer
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// extraHeaders is R7.
func (r *routes) extraHeaders(w http.ResponseWriter, _ *http.Request) error {
	edge.WriteJSON(w, http.StatusOK, map[string]string{})
	return nil
}
