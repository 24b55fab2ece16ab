package task

import "encoding/json"

// voids is the type of a task_compactization by which an attempt takes back what it has
// said: what viewers have seen of the turn is no part of its answer.
const voids = "retry"

// VoidData is the data of a task_compactization that takes back what was said, as the Python
// client knows it.
func VoidData() json.RawMessage {
	return json.RawMessage(`{"type": "` + voids + `", "data": {"is_retry": true}}`)
}

// Voids reports whether an event takes back what was said.
func (e Event) Voids() bool {
	var x struct {
		Type string `json:"type"`
	}
	return e.Type == TaskCompactization && json.Unmarshal(e.Own, &x) == nil && x.Type == voids
}
