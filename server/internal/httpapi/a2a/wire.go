package a2a

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// decode reads params of the protocol, whose members may be written like taskId or like
// task_id: both are its JSON. Unknown members are passed over.
func decode(raw json.RawMessage, into any) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		raw = json.RawMessage("{}")
	}
	plain, err := camel(raw)
	if err != nil {
		return err
	}
	if err := edge.Decode(plain, into); err != nil {
		return invalid.errorf("%v", err)
	}
	return nil
}

// camel writes the members of JSON like taskId, but for what is the sender's own: what
// stands in metadata and in data.
func camel(raw json.RawMessage) (json.RawMessage, error) {
	switch raw = bytes.TrimSpace(raw); {
	case len(raw) == 0:
		return raw, nil
	case raw[0] == '[':
		var items []json.RawMessage
		if err := json.Unmarshal(raw, &items); err != nil {
			return nil, unreadable.errorf("the body is not valid JSON")
		}
		for i, item := range items {
			var err error
			if items[i], err = camel(item); err != nil {
				return nil, err
			}
		}
		return encode(items)
	case raw[0] == '{':
		var members map[string]json.RawMessage
		if err := json.Unmarshal(raw, &members); err != nil {
			return nil, unreadable.errorf("the body is not valid JSON")
		}
		renamed := make(map[string]json.RawMessage, len(members))
		for name, value := range members {
			if name != "metadata" && name != "data" {
				var err error
				if value, err = camel(value); err != nil {
					return nil, err
				}
			}
			to := camelName(name)
			if _, twice := members[to]; twice && to != name {
				return nil, invalid.errorf("%s: is given twice, as %s too", to, name)
			}
			renamed[to] = value
		}
		return encode(renamed)
	default:
		return raw, nil
	}
}

// encode is json.Marshal that leaves what stands in JSON before as it is.
func encode(v any) (json.RawMessage, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(out.Bytes()), err
}

// camelName writes a name like taskId.
func camelName(name string) string {
	words := strings.Split(name, "_")
	for i, word := range words {
		if i > 0 && word != "" {
			words[i] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, "")
}

// checkBody refuses what no text of ours may hold, and a member that stands twice.
func checkBody(body []byte) error {
	if !json.Valid(body) {
		return unreadable.errorf("the body is not valid JSON")
	}
	if err := edge.CheckText(body); err != nil {
		return err
	}
	return edge.CheckNames(body)
}

// sendParams ask an agent for something.
type sendParams struct {
	Message *Message `json:"message"`
	Config  struct {
		ReturnImmediately bool            `json:"returnImmediately"`
		HistoryLength     *int            `json:"historyLength"`
		OutputModes       []string        `json:"acceptedOutputModes"`
		Push              json.RawMessage `json:"taskPushNotificationConfig"`
	} `json:"configuration"`
}

// taskParams name a task.
type taskParams struct {
	ID            string `json:"id"`
	HistoryLength *int   `json:"historyLength"`
}

// listParams say which tasks are wanted.
type listParams struct {
	ContextID        string `json:"contextId"`
	Status           State  `json:"status"`
	PageSize         *int   `json:"pageSize"`
	PageToken        string `json:"pageToken"`
	HistoryLength    *int   `json:"historyLength"`
	After            string `json:"statusTimestampAfter"`
	IncludeArtifacts bool   `json:"includeArtifacts"`
}

// checkHistory refuses a length that none can have.
func checkHistory(length *int) error {
	if length != nil && *length < 0 {
		return fault.Field("historyLength", "must not be negative")
	}
	return nil
}

// cut leaves so many of a task's last messages, all without a number.
func (t *Task) cut(length *int) {
	if length != nil && *length < len(t.History) {
		t.History = t.History[len(t.History)-*length:]
	}
}
