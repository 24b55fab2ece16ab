package storytest

import (
	"encoding/json"
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// Any draws the log of a turn that has completed, and its result.
func Any(t *rapid.T) (log []string, result string) {
	log = []string{`task_created {"client_tools":[{"name":"paint"}]}`, `attempt_started {"attempt":1}`}
	var said strings.Builder
	for n := range rapid.IntRange(0, 12).Draw(t, "events") {
		word := rapid.SampledFrom([]string{"a", "b ", "ü\n"}).Draw(t, "word")
		call := fmt.Sprintf(`"request_id":"c%d","tool_name":%q`, rapid.IntRange(0, n).Draw(t, "call"), rapid.SampledFrom([]string{"sql", "paint"}).Draw(t, "tool"))
		log = append(log, rapid.SampledFrom([]string{
			"chunk " + quoted(word), "chunk " + quoted(word), `think {"thought":` + quoted(word) + `}`,
			`tool_call_request {` + call + `}`, `tool_call_result {` + call + `,"result":` + quoted(word) + `}`,
			`task_compactization {"type":"retry"}`, `attempt_lost {"attempt":1}`, `attempt_started {"attempt":2}`, `plan_updated {"tasks":[]}`,
			`sub_agent_trigger {"agent_id":"x","task_id":"s1"}`, `subtask_finished {"agent_id":"x","task_id":"s1","status":"completed"}`,
		}).Draw(t, "event"))
		if log[len(log)-1] == "chunk "+quoted(word) {
			said.WriteString(word)
		}
	}
	result = rapid.SampledFrom([]string{said.String(), said.String() + "more", "another"}).Draw(t, "result")
	if result == "" {
		result = "another"
	}
	return append(log, `task_finished {"status":"completed","end_reason":"completed","result":`+quoted(result)+`}`), result
}

func quoted(text string) string {
	raw, err := json.Marshal(text)
	if err != nil {
		return `""`
	}
	return string(raw)
}
