package lifecycle

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// KeepReplays is how long an idempotency key is remembered (rule H3).
const KeepReplays = 24 * time.Hour

// fitID is made once: each create asks.
var fitID = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

// CheckID checks an id that a caller chose (rule T1).
func CheckID(field, id string) error {
	if !fitID.MatchString(id) || id == "." || id == ".." { // clients take those two out of a URL's path
		return fault.Field(field, `must be 1 to %d of A-Z a-z 0-9 . _ : -, and neither "." nor ".."`, task.MaxID)
	}
	return nil
}

// CheckStatus checks the name of a status.
func CheckStatus(field, status string) error {
	if !task.Status(status).Valid() {
		return fault.Field(field, "unknown status %q: must be one of %v", status, task.Statuses())
	}
	return nil
}

// CheckInternalStatus checks the length of an internal status (rule S5).
func CheckInternalStatus(field string, text *string) error {
	if text != nil && utf8.RuneCountInString(*text) > task.MaxInternalStatus {
		return fault.Field(field, "must not be longer than %d characters", task.MaxInternalStatus)
	}
	return nil
}

// CheckResult checks the size of a result.
func CheckResult(field string, text *string) error {
	if text != nil && len(*text) > task.MaxResult {
		return &fault.Error{Code: fault.TooLarge, Field: field, Message: fmt.Sprintf("must not exceed %d bytes", task.MaxResult)}
	}
	return nil
}

// check refuses a submission that cannot be kept as it is, normalizes the
// rest, and moves its secrets out of the spec.
func check(sub *Submission) error {
	spec, state := &sub.Spec, &sub.State
	if err := checkIDs(sub); err != nil {
		return err
	}
	if spec.Input.Text != nil && len(*spec.Input.Text) > task.MaxPrompt {
		return &fault.Error{Code: fault.TooLarge, Field: "input.text", Message: fmt.Sprintf("must not exceed %d bytes", task.MaxPrompt)}
	}
	if len(spec.Input.Files) > task.MaxFiles {
		return fault.Field("input.files", "must not hold more than %d URLs", task.MaxFiles)
	}
	if spec.Input.Files != nil { // it is rewritten below; the caller's stays its own
		spec.Input.Files = slices.Clone(spec.Input.Files)
	}
	if err := checkObjects(spec, state); err != nil {
		return err
	}
	if err := checkSchema("output_schema", spec.OutputSchema); err != nil {
		return err
	}
	if err := checkTheirs(spec); err != nil {
		return err
	}
	if err := state.Budget.Check("budget"); err != nil {
		return err
	}
	if f := spec.OutputFormat; f != nil && !slices.Contains([]string{"text", "markdown", "json", "voice"}, *f) {
		return fault.Field("output_format", "must be text, markdown, json or voice")
	}
	if spec.ThinkMode == "" {
		spec.ThinkMode = "default"
	}
	if spec.ThinkMode != "default" && spec.ThinkMode != "harder" {
		return fault.Field("think_mode", "must be default or harder")
	}
	if state.Source == "" {
		state.Source = "sdk"
	}
	if err := sub.Asked.into(state); err != nil {
		return err
	}
	if err := checkSchedule(sub); err != nil {
		return err
	}
	return hideSecrets(sub)
}

func checkIDs(sub *Submission) error {
	spec := &sub.Spec
	if spec.ID != "" {
		if err := CheckID("id", spec.ID); err != nil {
			return err
		}
	}
	if spec.AgentID == "" {
		return fault.Field("agent_id", "must name an agent")
	}
	if k := spec.IdempotencyKey; k != nil && (*k == "" || len(*k) > 255 || !utf8.ValidString(*k)) {
		return fault.Field("Idempotency-Key", "must be 1 to 255 bytes of UTF-8")
	}
	if p := spec.ParentExecution; p != nil && *p == "" {
		spec.ParentExecution = nil
	}
	if e := spec.OnParentEnd; e != nil && *e != task.StopOnParentEnd && *e != task.KeepOnParentEnd {
		return fault.Field("on_parent_end", "must be stop or keep")
	}
	if w := spec.PinnedWorkerID; w != nil && *w == "" {
		spec.PinnedWorkerID = nil
	}
	return nil
}

func checkObjects(spec *task.Spec, state *task.State) error {
	for _, o := range []struct {
		field string
		value *json.RawMessage
	}{
		{"input.user", &spec.Input.User},
		{"output_schema", &spec.OutputSchema},
		{"user_tokens", &spec.UserTokens},
		{"payload_extension", &state.PayloadExtension},
	} {
		if isNull(*o.value) {
			*o.value = nil
			continue
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(*o.value, &object) != nil {
			return fault.Field(o.field, "must be an object")
		}
		if o.field == "input.user" {
			var email string
			if json.Unmarshal(object["email"], &email) != nil {
				return fault.Field("input.user.email", "must be given with a user")
			}
		}
	}
	return nil
}

func checkSchedule(sub *Submission) error {
	spec := &sub.Spec
	if sub.Priority < -task.MaxPriority || sub.Priority > task.MaxPriority {
		return fault.Field("priority", "must be from %d to %d", -task.MaxPriority, task.MaxPriority)
	}
	if err := checkRunAt(sub.RunAt); err != nil {
		return err
	}
	if spec.MaxAttempts < 0 || spec.MaxAttempts > 100 {
		return fault.Field("max_attempts", "must be from 1 to 100")
	}
	for _, s := range []struct {
		field string
		value float64
	}{{"timeout", spec.Timeout}, {"expires_in", spec.ExpiresIn}} {
		if math.IsNaN(s.value) || s.value < 0 || s.value > 10*365*86400 {
			return fault.Field(s.field, "must be seconds, 0 for none, at most ten years")
		}
	}
	if len(spec.Tags) > task.MaxTags {
		return fault.Field("tags", "must not be more than %d", task.MaxTags)
	}
	for i, tag := range spec.Tags {
		if tag == "" || len(tag) > task.MaxTag {
			return fault.Field(fmt.Sprintf("tags[%d]", i), "must be 1 to %d bytes", task.MaxTag)
		}
	}
	if spec.Tags == nil {
		spec.Tags = []string{}
	}
	return nil
}

// checkRunAt refuses a moment that no answer could tell.
func checkRunAt(at task.Stamp) error {
	if !at.Writable() {
		return fault.Field("run_at", "must be in the years 0 to 9999, in UTC")
	}
	return nil
}

// hideSecrets moves secret values from the spec to where they are sealed.
func hideSecrets(sub *Submission) error {
	spec := &sub.Spec
	sub.Secrets.UserTokens, spec.UserTokens = spec.UserTokens, nil
	sub.Secrets.UserOIDCToken, spec.UserOIDCToken = spec.UserOIDCToken, nil
	if isNull(spec.MCPServers) {
		spec.MCPServers = json.RawMessage("[]")
		return nil
	}
	var servers []map[string]json.RawMessage
	if json.Unmarshal(spec.MCPServers, &servers) != nil {
		return fault.Field("mcp_servers", "must be a list of objects")
	}
	secret := false
	for i, server := range servers {
		if server == nil {
			return fault.Field(fmt.Sprintf("mcp_servers[%d]", i), "must be an object")
		}
		for _, name := range []string{"api_key", "client_secret"} {
			if !isNull(server[name]) {
				secret, server[name] = true, json.RawMessage("null")
			}
		}
		for _, name := range []string{"headers", "env_vars"} {
			if v := server[name]; !isNull(v) && string(v) != "{}" {
				secret, server[name] = true, json.RawMessage("{}")
			}
		}
	}
	if !secret {
		return nil
	}
	bare, err := json.Marshal(servers)
	if err != nil {
		return fmt.Errorf("encode mcp_servers: %w", err)
	}
	sub.Secrets.MCPServers, spec.MCPServers = spec.MCPServers, bare
	return nil
}

// hasLocalServer reports whether a program is to be started by the executor.
func hasLocalServer(servers json.RawMessage) bool {
	var list []struct {
		Type string `json:"type"`
	}
	return json.Unmarshal(servers, &list) == nil &&
		slices.ContainsFunc(list, func(s struct {
			Type string `json:"type"`
		},
		) bool {
			return s.Type == "local"
		})
}
