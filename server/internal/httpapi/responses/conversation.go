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
		return fault.Field("metadata", "must be left out: a conversation begins with its first response; give it some then, with POST %s/conversations/{id}", base)
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
	metadata, err := f.metadataOf(r.Context(), s.Task)
	if err != nil {
		return err
	}
	edge.WriteJSON(w, http.StatusOK, conversation{r.PathValue("id"), "conversation", s.Task.CreatedAt.Time().Unix(), metadata})
	return nil
}

// extension is what a payload_extension has of a conversation. Metadata is a list of one:
// objects would be merged, and a list is put in the place of the one before.
type extension struct {
	OpenAI struct {
		Metadata []map[string]string `json:"metadata"`
	} `json:"openai"`
}

// describe puts metadata in the place of what a conversation has.
func (f *face) describe(w http.ResponseWriter, r *http.Request) error {
	s, err := f.existing(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	raw, err := edge.ReadBody(w, r)
	if err != nil {
		return err
	}
	var b struct {
		Metadata map[string]string `json:"metadata"`
	}
	if err := edge.Decode(raw, &b); err != nil {
		return err
	}
	var members map[string]json.RawMessage
	if err := edge.Decode(raw, &members); err != nil {
		return err
	}
	if _, given := members["metadata"]; !given {
		return fault.Field("metadata", "must be there; null clears it")
	}
	if err := checkMetadata(b.Metadata); err != nil {
		return err
	}
	if b.Metadata == nil {
		b.Metadata = map[string]string{}
	}
	var x extension
	x.OpenAI.Metadata = []map[string]string{b.Metadata}
	more, err := json.Marshal(x)
	if err != nil {
		return err
	}
	if s, err = f.Service.Update(r.Context(), edge.Caller(r.Context()), s.Task.ID, lifecycle.Edit{Extension: more}); err != nil {
		return err
	}
	edge.WriteJSON(w, http.StatusOK, conversation{r.PathValue("id"), "conversation", s.Task.CreatedAt.Time().Unix(), b.Metadata})
	return nil
}

// metadataOf is what the log of a task says last of its metadata, in whichever turn.
func (f *face) metadataOf(ctx context.Context, t task.Task) (map[string]string, error) {
	for before := t.LastSeq + 1; before > 1; {
		found, from, err := f.Service.EventsBefore(ctx, t, 1, before, metadataRead, task.TaskUpdated, task.Override)
		if err != nil {
			return nil, err
		}
		for _, e := range slices.Backward(found) {
			var said struct {
				Extension extension `json:"payload_extension"`
			}
			_ = json.Unmarshal(e.Data(), &said) // others may have put anything there
			if m := said.Extension.OpenAI.Metadata; len(m) == 1 && m[0] != nil {
				return m[0], nil
			}
		}
		before = from
	}
	return map[string]string{}, nil
}

// metadataRead is how many events one read asks for.
const metadataRead = 100

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

// conversationItem shows one of the items.
func (f *face) conversationItem(w http.ResponseWriter, r *http.Request) error {
	ctx, item := r.Context(), r.PathValue("item")
	s, err := f.existing(ctx, r.PathValue("id"))
	if err != nil {
		return err
	}
	n, err := f.turnOf(ctx, s.Task, item)
	if err != nil {
		return err
	}
	var all []listed
	if 0 < n && n <= s.Task.Terms.Turn {
		if all, err = f.itemsOf(ctx, s.Task.ID, n); err != nil {
			return err
		}
	}
	at := slices.IndexFunc(all, func(x listed) bool { return x.id == item })
	if at < 0 {
		return fault.New(fault.NotFound, "no item %q in this conversation", item)
	}
	edge.WriteJSON(w, http.StatusOK, all[at].shown)
	return nil
}

// addItems refuses: what is said begins a turn, for which an agent has to be named.
func (*face) addItems(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Allow", http.MethodGet)
	return fault.New(fault.MethodNotAllowed, "a conversation grows by responses alone: give the items as the input of the next, with POST %s/responses", base)
}

// removeItem refuses: an item is what the log says.
func (*face) removeItem(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Allow", http.MethodGet)
	return fault.New(fault.MethodNotAllowed, "an item is not taken out of what was said: a conversation is deleted as a whole, with DELETE %s/conversations/{id}", base)
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
