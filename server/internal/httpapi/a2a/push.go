package a2a

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/errand-dev/errand/server/internal/deliver"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/invoke"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// Folding says how the updates that are posted of a turn are made: they are those of its
// stream.
func Folding(shelf *files.Shelf) deliver.Folding {
	return deliver.Folding{Types: folded(true), New: func(p deliver.Push) deliver.Fold {
		return &posted{newFold(func(ref string) string { return shelf.URL(p.Organization, ref) }), p.Since}
	}}
}

// posted is a fold for a push.
type posted struct {
	*fold
	since int64
}

// Add implements deliver.Fold.
func (p *posted) Add(e task.Event) (all []deliver.Update, over bool, err error) {
	updates, err := p.view(e, p.since)
	if err != nil {
		return nil, false, err
	}
	for _, u := range updates {
		body, err := json.Marshal(u)
		if err != nil {
			return nil, false, err
		}
		all = append(all, deliver.Update{Place: u.at.number(), Body: body})
	}
	return all, e.Seq >= p.since && p.Status.State.Ended(), nil
}

// PushConfig is a push as it is shown: its credentials are not.
type PushConfig struct {
	ID       string   `json:"id"`
	TaskID   string   `json:"taskId"`
	URL      string   `json:"url"`
	Delivery Delivery `json:"delivery"`
}

// Delivery is how a push stands. The protocol has no place for it, and wants members that
// it does not know to be passed over.
type Delivery struct {
	State    deliver.State `json:"state"`
	Failures int           `json:"failures,omitempty"`
	Failure  string        `json:"failure,omitempty"`
}

func showPush(p deliver.Push) PushConfig {
	return PushConfig{
		ID: p.ID, TaskID: invoke.Turn{Task: p.Task, Number: p.Turn}.String(), URL: p.URL,
		Delivery: Delivery{p.State(), p.Failures, p.Failure},
	}
}

// maxCredential is how many bytes what a push shows to its receiver may have.
const maxCredential = 4096

// check refuses what is no push.
func (p *pushParams) check() error {
	if p.ID != "" {
		if err := lifecycle.CheckID("id", p.ID); err != nil {
			return err
		}
	}
	for _, x := range []struct{ name, text string }{
		{"token", p.Token}, {"authentication.scheme", p.Auth.Scheme}, {"authentication.credentials", p.Auth.Credentials},
	} {
		if len(x.text) > maxCredential || strings.ContainsFunc(x.text, func(r rune) bool { return r < ' ' || r > '~' }) {
			return invalid.errorf("%s: must be at most %d bytes of printable ASCII", x.name, maxCredential)
		}
	}
	if p.Auth.Credentials != "" && (p.Auth.Scheme == "" || strings.Contains(p.Auth.Scheme, " ")) {
		return invalid.errorf("authentication.scheme: must be given with credentials, as one word")
	}
	return nil
}

// checkPush refuses a push that could not be kept.
func (c *call) checkPush(p *pushParams) error {
	if err := p.check(); err != nil {
		return err
	}
	return c.Pushes.Check(c.r.Context(), p.URL)
}

// headers are those of a request to the push. The protocol does not name that of the
// token, and its libraries do so in two ways.
func (p *pushParams) headers() map[string]string {
	h := map[string]string{}
	if p.Token != "" {
		h["X-A2A-Notification-Token"], h["A2A-Notification-Token"] = p.Token, p.Token
	}
	if p.Auth.Credentials != "" {
		h["Authorization"] = p.Auth.Scheme + " " + p.Auth.Credentials
	}
	return h
}

// keyOf names a push of a turn.
func keyOf(t invoke.Turn, id string) deliver.Key {
	return deliver.Key{Organization: t.Organization, Task: t.Task, Turn: t.Number, ID: id}
}

// put keeps a push that is told of a turn as of an event, 0 for all of it.
func (c *call) put(t invoke.Turn, p pushParams, since int64) error {
	return c.Pushes.Put(c.r.Context(), deliver.Push{Key: keyOf(t, p.ID), URL: p.URL, First: t.First, Since: since}, p.headers())
}

// pushFrom keeps the push that has come with a message. A message that is sent again
// leaves it as it is.
func (c *call) pushFrom(s sent, m Message, p pushParams) error {
	if p.ID == "" {
		sum := sha256.Sum256([]byte(m.ID))
		p.ID = hex.EncodeToString(sum[:8])
	}
	if s.again {
		if _, err := c.Pushes.Get(c.r.Context(), keyOf(s.Turn, p.ID)); fault.CodeOf(err) != fault.NotFound {
			return err
		}
	}
	if s.fresh {
		return c.put(s.Turn, p, 0)
	}
	return c.putNow(s.Turn, p)
}

// putNow keeps a push that is told of a turn as it now is, and of what follows.
func (c *call) putNow(t invoke.Turn, p pushParams) error {
	known, err := c.outline(c.r.Context(), t)
	if err != nil {
		return err
	}
	return c.put(t, p, known.last)
}

// pushOf reads which push is meant, and of which turn.
func (c *call) pushOf(params json.RawMessage) (p pushParams, t invoke.Turn, err error) {
	if err := decode(params, &p); err != nil {
		return p, t, err
	}
	t, err = c.find(p.TaskID)
	return p, t, err
}

// createPush keeps a push, and sends it.
func (c *call) createPush(params json.RawMessage) error {
	p, t, err := c.pushOf(params)
	if err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	if p.ID == "" {
		p.ID = strings.ToLower(rand.Text())
	}
	if err := c.putNow(t, p); err != nil {
		return err
	}
	return c.showPush(keyOf(t, p.ID))
}

// getPush sends a push.
func (c *call) getPush(params json.RawMessage) error {
	p, t, err := c.pushOf(params)
	if err != nil {
		return err
	}
	return c.showPush(keyOf(t, p.ID))
}

func (c *call) showPush(k deliver.Key) error {
	p, err := c.Pushes.Get(c.r.Context(), k)
	if err != nil {
		return err
	}
	return c.answer(showPush(p))
}

// pushList is all pushes of a task.
type pushList struct {
	Configs []PushConfig `json:"configs"`
	Next    string       `json:"nextPageToken"`
}

// listPushes sends the pushes of a task. There are few, so they make one page.
func (c *call) listPushes(params json.RawMessage) error {
	_, t, err := c.pushOf(params)
	if err != nil {
		return err
	}
	found, err := c.Pushes.List(c.r.Context(), t.Organization, t.Task, t.Number)
	if err != nil {
		return err
	}
	all := pushList{Configs: []PushConfig{}}
	for _, p := range found {
		all.Configs = append(all.Configs, showPush(p))
	}
	return c.answer(all)
}

// deletePush drops a push, also one that is not there any more.
func (c *call) deletePush(params json.RawMessage) error {
	p, t, err := c.pushOf(params)
	if err != nil {
		return err
	}
	if err := c.Pushes.Drop(c.r.Context(), keyOf(t, p.ID)); err != nil {
		return err
	}
	return c.answer(struct{}{})
}
