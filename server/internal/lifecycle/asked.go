package lifecycle

import (
	"encoding/json"
	"slices"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// Asked is what one task asks of its agent's model, tools and harness in the place
// of the agent's own. Workers read it; the server keeps it. What is nil stays as it
// is, "" and 0 give it back to the agent.
type Asked struct {
	ModelProvider   *string `json:"llm_model_provider,omitempty" maxLength:"255" doc:"The provider of the model for this task; the agent's own when left open or empty." example:"anthropic"`
	ModelName       *string `json:"llm_model_name,omitempty" maxLength:"255" doc:"The model for this task; the agent's own when left open or empty."`
	ReasoningEffort *string `json:"llm_reasoning_effort,omitempty" enum:"low,medium,high,xhigh," doc:"How much the model is to reason; the agent's own when left open or empty."`
	ToolCallLimit   *int    `json:"tool_call_limit,omitempty" minimum:"0" maximum:"1000000" doc:"How many tools the agent may call for this task; 0 is the agent's own."`
	HarnessCLI      *string `json:"harness_cli,omitempty" maxLength:"255" doc:"For agents that are a coding CLI: which one. A next turn that leaves it open keeps it." example:"claude-code"`
	PermissionMode  *string `json:"permission_mode,omitempty" enum:"full,gated," doc:"For agents that are a coding CLI: full runs every action, gated holds shell and edit calls for a person. A next turn that leaves it open keeps it."`
}

// into lays what is asked over a state.
func (a Asked) into(s *task.State) error {
	patch, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := s.Fold(patch); err != nil {
		return err
	}
	return checkAsked(*s)
}

// checkAsked checks what a state asks of a model.
func checkAsked(s task.State) error {
	for _, x := range []struct {
		field string
		value *string
		oneOf []string // nil for any name
	}{
		{"llm_model_provider", s.LLMModelProvider, nil},
		{"llm_model_name", s.LLMModelName, nil},
		{"llm_reasoning_effort", s.LLMReasoningEffort, []string{"low", "medium", "high", "xhigh"}},
		{"harness_cli", s.HarnessCLI, nil},
		{"permission_mode", s.PermissionMode, []string{"full", "gated"}},
	} {
		switch {
		case x.value == nil:
		case x.oneOf != nil && !slices.Contains(x.oneOf, *x.value):
			return fault.Field(x.field, "must be one of %v", x.oneOf)
		case utf8.RuneCountInString(*x.value) > task.MaxAskedName:
			return fault.Field(x.field, "must not be longer than %d characters", task.MaxAskedName)
		}
	}
	if n := s.ToolCallLimit; n != nil && (*n < 0 || *n > task.MaxToolCalls) {
		return fault.Field("tool_call_limit", "must be from 0 to %d", task.MaxToolCalls)
	}
	return nil
}
