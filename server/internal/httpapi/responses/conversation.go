package responses

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// conversation is a task as a thread.
type conversation struct {
	ID       string            `json:"id"`
	Object   string            `json:"object"`
	Created  int64             `json:"created_at"`
	Metadata map[string]string `json:"metadata"`
}

// conversationOf is the task that a create names as its conversation, by its id or by an
// object that has it.
func conversationOf(raw json.RawMessage) (string, error) {
	var id string
	if json.Unmarshal(raw, &id) != nil {
		var x named
		if json.Unmarshal(raw, &x) != nil {
			return "", fault.Field("conversation", "must be an id, or an object with one")
		}
		id = x.ID
	}
	return taskOf(id)
}

// taskOf is the task that is a conversation.
func taskOf(id string) (string, error) {
	name, is := strings.CutPrefix(id, conversationPrefix)
	if !is || lifecycle.CheckID("conversation", name) != nil {
		return "", fault.Field("conversation", "must be the id of one: %s and the id of a task", conversationPrefix)
	}
	return name, nil
}

// converse gives out the id of a conversation, which begins with its first response.
func (f *face) converse(w http.ResponseWriter, r *http.Request) error {
	raw, err := edge.ReadBody(w, r)
	if err != nil {
		return err
	}
	var b struct {
		Items    []json.RawMessage          `json:"items"`
		Metadata map[string]json.RawMessage `json:"metadata"`
	}
	if len(raw) > 0 {
		if err := edge.Decode(raw, &b); err != nil {
			return err
		}
	}
	switch {
	case len(b.Items) > 0:
		return fault.Field("items", "must be left out: a conversation begins with its first response, whose input they may be")
	case len(b.Metadata) > 0:
		return fault.Field("metadata", "must be left out: the responses of a conversation have some")
	}
	edge.WriteJSON(w, http.StatusOK, conversation{
		conversationPrefix + uuid.NewString(), "conversation", f.Service.Now().Time().Unix(), map[string]string{},
	})
	return nil
}

// existing is the task of a conversation that has begun.
func (f *face) existing(ctx context.Context, id string) (lifecycle.Snapshot, error) {
	name, err := taskOf(id)
	if err == nil {
		var s lifecycle.Snapshot
		if s, err = f.Service.Get(ctx, edge.Scope(ctx), name); err == nil {
			return s, nil
		}
	}
	if code := fault.CodeOf(err); code == fault.NotFound || code == fault.Invalid {
		err = fault.New(fault.NotFound, "no conversation %q: it begins with its first response", id)
	}
	return lifecycle.Snapshot{}, err
}

func (f *face) conversation(w http.ResponseWriter, r *http.Request) error {
	s, err := f.existing(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	edge.WriteJSON(w, http.StatusOK, conversation{r.PathValue("id"), "conversation", s.Task.CreatedAt.Time().Unix(), map[string]string{}})
	return nil
}

func (f *face) removeConversation(w http.ResponseWriter, r *http.Request) error {
	s, err := f.existing(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := f.Service.Delete(r.Context(), edge.Caller(r.Context()), s.Task.ID); err != nil {
		return err
	}
	edge.WriteJSON(w, http.StatusOK, deleted{r.PathValue("id"), "conversation.deleted", true})
	return nil
}

// conversationItems lists what was asked and answered in all turns. It reads those that a
// page is of.
func (f *face) conversationItems(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	p, err := pagingOf(r)
	if err != nil {
		return err
	}
	s, err := f.existing(ctx, r.PathValue("id"))
	if err != nil {
		return err
	}
	last := s.Task.Terms.Turn
	from, step := last, -1
	if p.asc {
		from, step = 1, 1
	}
	if p.after != "" {
		if from, err = f.turnOf(ctx, s.Task, p.after); err != nil {
			return err
		}
	}
	return p.answer(w, func(yield func(listed, error) bool) {
		for n := from; 0 < n && n <= last; n += step {
			all, err := f.itemsOf(ctx, s.Task.ID, n)
			if err == nil && n == from && p.after != "" && !slices.ContainsFunc(all, func(x listed) bool { return x.id == p.after }) {
				err = p.notThere()
			}
			if err != nil {
				yield(listed{}, err)
				return
			}
			for _, x := range p.turned(all) {
				if !yield(x, nil) {
					return
				}
			}
		}
	})
}

// itemsOf are what was asked and answered in a turn.
func (f *face) itemsOf(ctx context.Context, id string, n int) ([]listed, error) {
	turn, err := f.Turns.Find(ctx, edge.Scope(ctx), id, n)
	if err != nil {
		return nil, err
	}
	fold, err := f.readAll(ctx, turn)
	if err != nil {
		return nil, err
	}
	all, err := fold.inputs()
	for _, x := range fold.output() {
		all = append(all, listed{x.common().ID, x})
	}
	return all, err
}

// turnOf is the turn of a task to which an item belongs, or would if it were there; 0 for
// none.
func (f *face) turnOf(ctx context.Context, t task.Task, item string) (int, error) {
	if rest, is := strings.CutPrefix(item, inputPrefix); is {
		n, _, _ := strings.Cut(rest, "_")
		turn, _ := strconv.Atoi(n) // 0 is none
		return turn, nil
	}
	if id, is := strings.CutPrefix(item, approvalPrefix); is {
		a, err := f.Service.Approval(ctx, edge.Scope(ctx), id)
		if fault.CodeOf(err) == fault.NotFound || err == nil && a.TaskID != t.ID {
			return 0, nil
		}
		return a.Turn, err
	}
	_, seq, is := parseItemID(item)
	if !is {
		return 0, nil
	}
	found, err := f.Service.Events(ctx, t.OrganizationID, t.ID, seq-1, 1)
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return found[0].Turn, nil
}
