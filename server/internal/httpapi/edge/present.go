package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// FileURLs renders the references that tasks keep of files.
type FileURLs interface {
	URL(org, ref string) string
}

// Presenter renders tasks: what is stored as it is stored, file references as
// signed URLs, secrets only where they are asked for. It is safe for
// concurrent use.
type Presenter struct {
	files FileURLs
	below SubTasks
}

// SubTasks finds the sub-tasks of a task that were created until a moment, 0 for
// now.
type SubTasks interface {
	SubTasks(ctx context.Context, org, id string, until task.Stamp) ([]string, error)
}

// NewPresenter makes a presenter.
func NewPresenter(files FileURLs, below SubTasks) *Presenter {
	return &Presenter{files: files, below: below}
}

// extras are the members that only a task read at one moment has.
type extras struct {
	UpdatedAt    task.Stamp         `json:"updated_at"`
	Stop         *task.Stop         `json:"stop"`
	Waiting      *lifecycle.Waiting `json:"waiting"`
	LastEventSeq int64              `json:"last_event_seq"`
	Spent        *task.Shown        `json:"spent"`
	Below
	Owner string `json:"owner"`
	Group string `json:"group"`
}

// Below are the sub-tasks that a task shows: rows of their own, which no event of
// its log names.
type Below struct {
	SubTasks []string `json:"sub_executions"`
}

// Task renders a task with all of its public fields.
func (p *Presenter) Task(ctx context.Context, s lifecycle.Snapshot, waiting *lifecycle.Waiting) (json.RawMessage, error) {
	spec, err := p.Spec(s.Task.OrganizationID, s.Spec, nil)
	if err != nil {
		return nil, err
	}
	return p.join(ctx, spec, s, waiting)
}

// TaskWithSecrets renders a task with its secrets in their places (rule A5).
func (p *Presenter) TaskWithSecrets(ctx context.Context, s lifecycle.Snapshot, x lifecycle.Secrets) (json.RawMessage, error) {
	spec, err := p.Spec(s.Task.OrganizationID, s.Spec, &x)
	if err != nil {
		return nil, err
	}
	return p.join(ctx, spec, s, nil)
}

func (p *Presenter) join(ctx context.Context, spec json.RawMessage, s lifecycle.Snapshot, waiting *lifecycle.Waiting) (json.RawMessage, error) {
	state, err := json.Marshal(s.Task.State())
	if err != nil {
		return nil, fmt.Errorf("encode task: %w", err)
	}
	x := extras{
		UpdatedAt: s.Task.UpdatedAt, Waiting: waiting, LastEventSeq: s.Task.LastSeq, Spent: s.Task.ShowSpent(), Below: Below{[]string{}},
		Owner: s.Task.Owner, Group: s.Task.Group,
	}
	if s.Task.Subtasks > 0 {
		if x.Below, err = p.Below(ctx, s.Task.OrganizationID, s.Task.ID, 0); err != nil {
			return nil, err
		}
	}
	if s.Task.Stop.RequestedAt != 0 {
		x.Stop = &s.Task.Stop
	}
	more, err := json.Marshal(x)
	if err != nil {
		return nil, fmt.Errorf("encode task: %w", err)
	}
	return task.Splice(spec, state, more), nil
}

// Below finds the sub-tasks that a task showed at a moment, 0 for now.
func (p *Presenter) Below(ctx context.Context, org, id string, at task.Stamp) (Below, error) {
	ids, err := p.below.SubTasks(ctx, org, id, at)
	return Below{append([]string{}, ids...)}, err
}

// Spec renders the fixed part of a task. Only one that holds references or is
// to show secrets is taken apart; any other is answered as it is stored.
func (p *Presenter) Spec(org string, stored json.RawMessage, secrets *lifecycle.Secrets) (json.RawMessage, error) {
	hidden := secrets != nil && (secrets.UserOIDCToken != nil || len(secrets.UserTokens) > 0 || len(secrets.MCPServers) > 0)
	if !hidden && !bytes.Contains(stored, []byte(`"file:`)) {
		return stored, nil
	}
	var spec task.Spec
	if err := json.Unmarshal(stored, &spec); err != nil {
		return nil, fmt.Errorf("decode spec: %w", err)
	}
	for i, ref := range spec.Input.Files {
		spec.Input.Files[i] = p.files.URL(org, ref)
	}
	var err error
	spec.Input.Attachments, err = lifecycle.EachAttachment(spec.Input.Attachments, func(_ int, ref string) (string, error) {
		return p.files.URL(org, ref), nil
	})
	if err != nil {
		return nil, err
	}
	if hidden {
		spec.UserOIDCToken, spec.UserTokens = secrets.UserOIDCToken, secrets.UserTokens
		if len(secrets.MCPServers) > 0 {
			spec.MCPServers = secrets.MCPServers
		}
	}
	rendered, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode spec: %w", err)
	}
	return rendered, nil
}

// Data renders what an event says.
func (p *Presenter) Data(org string, e task.Event) (json.RawMessage, error) {
	if e.Type != task.TaskCreated {
		return e.Data(), nil
	}
	spec, err := p.Spec(org, e.Kept, nil)
	if err != nil {
		return nil, err
	}
	return task.Splice(spec, e.Own), nil
}
