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

// deepest is how deep members of the protocol stand: in an item of message.parts.
const deepest = 4

// camel writes the members of JSON like taskId, but for what is the sender's own: what
// stands in metadata and in data, and what is deeper than the protocol.
func camel(raw json.RawMessage) (json.RawMessage, error) {
	c := camelizer{Cursor: edge.NewCursor(raw)}
	if !c.value(deepest) || !c.End() {
		return nil, unreadable.errorf("the body is not valid JSON")
	}
	if !c.renamed {
		return raw, nil
	}
	return c.out.Bytes(), edge.CheckNames(c.out.Bytes()) // one may have been given in both ways
}

// camelizer writes JSON anew while it goes over it.
type camelizer struct {
	*edge.Cursor
	out     bytes.Buffer
	renamed bool
}

// value writes a value, with its members renamed so many levels down.
func (c *camelizer) value(levels int) bool {
	switch next := c.Next(); {
	case levels > 0 && next == '{':
		return c.nest("{", "}", func(begin func()) bool {
			return c.Object(func(name []byte, plain bool) bool {
				begin()
				return c.member(string(name), plain, levels-1)
			})
		})
	case levels > 0 && next == '[':
		return c.nest("[", "]", func(begin func()) bool {
			return c.List(func() bool {
				begin()
				return c.value(levels - 1)
			})
		})
	default:
		raw, ok := c.Value()
		c.out.Write(raw)
		return ok
	}
}

// nest writes what is written by each, which says where an item begins.
func (c *camelizer) nest(open, end string, each func(begin func()) bool) bool {
	between := open
	ok := each(func() {
		c.out.WriteString(between)
		between = ","
	})
	if between == open {
		c.out.WriteString(open)
	}
	c.out.WriteString(end)
	return ok
}

// member writes a member of an object. No name of the protocol has escapes in it.
func (c *camelizer) member(name string, plain bool, levels int) bool {
	to := name
	if plain {
		to = camelName(name)
	}
	c.renamed = c.renamed || to != name
	c.out.WriteString(`"` + to + `":`)
	if !plain || to == "metadata" || to == "data" {
		levels = 0
	}
	return c.value(levels)
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
		if i > 0 && word != "" && 'a' <= word[0] && word[0] <= 'z' {
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
		ReturnImmediately bool        `json:"returnImmediately"`
		HistoryLength     *int        `json:"historyLength"`
		OutputModes       []string    `json:"acceptedOutputModes"`
		Push              *pushParams `json:"taskPushNotificationConfig"`
	} `json:"configuration"`
}

// pushParams name a push of a task, and say what one is to be.
type pushParams struct {
	TaskID string `json:"taskId"`
	ID     string `json:"id"`
	URL    string `json:"url"`
	Token  string `json:"token"`
	Auth   struct {
		Scheme      string `json:"scheme"`
		Credentials string `json:"credentials"`
	} `json:"authentication"`
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
