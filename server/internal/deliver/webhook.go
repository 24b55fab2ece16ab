package deliver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/task"
)

// Webhook is an address that is told of all tasks in a scope. Its messages have the form of
// the Standard Webhooks specification.
type Webhook struct {
	auth.Scope
	ID        string
	CreatedAt task.Stamp
	// CreatedBy is who has made it, as logs of tasks name them.
	CreatedBy string
	URL       string
	// Target is the URL's host and port.
	Target string
	// Types are the types of its messages, and Agents those of whose tasks it is told; none
	// is all.
	Types  []MessageType
	Agents []string
	// Secret signs its messages. It is sealed.
	Secret  []byte
	Enabled bool
	// Place is behind which of the feed it is yet to be told.
	Place feed.Position
	Health
}

// Health is how a webhook has taken its messages.
type Health struct {
	// TakenAt is when a message was taken last, to a minute.
	TakenAt task.Stamp
	// Failures counts those since then. FailedAt is when the last one was, and Failure says why.
	Failures int
	FailedAt task.Stamp
	Failure  string
}

// MessageType says what a message tells.
type MessageType string

// The types beside those of statuses.
const (
	ApprovalRequested MessageType = "approval.requested"
	// Test is that of a message for which somebody has asked.
	Test MessageType = "webhook.test"
)

// becomes is the type of a message that a task has a status.
func becomes(s task.Status) MessageType { return MessageType("task." + string(s)) }

// MessageTypes lists those of what happens to tasks.
func MessageTypes() []MessageType {
	var all []MessageType
	for _, s := range task.Statuses() {
		all = append(all, becomes(s))
	}
	return append(all, ApprovalRequested)
}

// MaxWebhooks is how many webhooks an organization may have.
const MaxWebhooks = 50

// wants reports whether messages of a type are for the webhook.
func (w *Webhook) wants(t MessageType) bool { return len(w.Types) == 0 || slices.Contains(w.Types, t) }

// Events lists the types of events that messages for the webhook may be made of. All but
// requests for approval tell a status, or there is no message.
func (w *Webhook) Events() []task.Type {
	some := func(is func(task.Status) bool) bool {
		return slices.ContainsFunc(task.Statuses(), func(s task.Status) bool { return w.wants(becomes(s)) && is(s) })
	}
	var types []task.Type
	if some(func(task.Status) bool { return true }) {
		types = append(types, task.TaskFinished, task.Override)
	}
	if some(func(s task.Status) bool { return !s.Ends() }) {
		types = append(types, task.TaskCreated, task.TaskUpdated)
	}
	if w.wants(ApprovalRequested) {
		types = append(types, task.ApprovalRequested)
	}
	return types
}

// Message is what a webhook is told. It names things, and holds nothing of what a task was
// asked or has said.
type Message struct {
	Type      MessageType `json:"type"`
	Timestamp task.Stamp  `json:"timestamp"`
	Data      any         `json:"data"`
}

// happened is the data of a message about a task.
type happened struct {
	Task  string `json:"task_id"`
	Agent string `json:"agent_id"`
	Turn  int    `json:"turn"`
	// Seq is the number of the event in the task's log that says so.
	Seq      int64          `json:"seq"`
	Status   task.Status    `json:"status,omitempty"`
	Reason   task.EndReason `json:"end_reason,omitempty"`
	Approval string         `json:"approval_id,omitempty"`
}

// message makes the message of an event, or reports that there is none for the webhook.
func (w *Webhook) message(of Due, e task.Event) (m Message, told bool, err error) {
	var own struct {
		ID     string         `json:"id"`
		Status task.Status    `json:"status"`
		Reason task.EndReason `json:"end_reason"`
	}
	if err := json.Unmarshal(e.Own, &own); err != nil {
		return m, false, fmt.Errorf("event %d: %w", e.Seq, err)
	}
	data := happened{Task: of.Task, Agent: of.Agent, Turn: e.Turn, Seq: e.Seq, Status: own.Status, Reason: own.Reason}
	kind := becomes(own.Status)
	if e.Type == task.ApprovalRequested {
		kind, data = ApprovalRequested, happened{Task: of.Task, Agent: of.Agent, Turn: e.Turn, Seq: e.Seq, Approval: own.ID}
	} else if own.Status == "" {
		return m, false, nil
	}
	return Message{Type: kind, Timestamp: e.Time, Data: data}, w.wants(kind), nil
}

// secretPrefix begins secrets, whose rest is their bytes in base64, of which there are so many.
const (
	secretPrefix           = "whsec_"
	leastSecret, newSecret = 24, 32
	mostSecret             = 64
)

// secretOf is a secret as it is shown.
func secretOf(key []byte) string { return secretPrefix + base64.StdEncoding.EncodeToString(key) }

// keyOf is what a secret signs with.
func keyOf(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < leastSecret || len(key) > mostSecret {
		return nil, fault.Field("secret", "must be %s and %d to %d bytes in base64", secretPrefix, leastSecret, mostSecret)
	}
	return key, nil
}

// sealedFor is the name under which the secret of a webhook is sealed.
func sealedFor(org, id string) string { return strings.Join([]string{"webhook", org, id}, "\x00") }

// signed are the headers of a message that is posted at a moment.
func signed(key []byte, id string, body []byte, at time.Time) http.Header {
	seconds := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, seconds, body)
	return http.Header{
		"Webhook-Id": {id}, "Webhook-Timestamp": {seconds},
		"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))},
	}
}

// messageID names the message of an event to a webhook: the same when it is posted again.
func messageID(w *Webhook, of Due, e task.Event) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d %d", of.Organization, w.ID, of.Task, e.Seq, e.Time))
	return "msg_" + hex.EncodeToString(sum[:16])
}
