package responses

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/invoke"
	"github.com/errand-dev/errand/server/internal/lifecycle"
)

// create begins a response: it answers it at once, streams it, or waits for its end. A
// client that goes away stops nothing (X2).
func (f *face) create(w http.ResponseWriter, r *http.Request) error {
	raw, err := edge.ReadBody(w, r)
	if err != nil {
		return err
	}
	b, items, err := decode(raw)
	if err != nil {
		return err
	}
	if _, err := f.OnDisconnect(r, invoke.Turn{}); err != nil {
		return err
	}
	x, receipt, err := f.begin(r, b, items, raw)
	told := func(arrived bool) { f.told(r, receipt, arrived) }
	if err != nil {
		told(false)
		return err
	}
	switch {
	case b.Stream:
		return f.follow(w, r, x, -1, told)
	case b.Background:
		err := f.answer(r.Context(), w, x)
		told(err == nil && arrived(w, r))
		return err
	default:
		edge.Last(w, r, func(r *http.Request) {
			if err := f.wait(w, r, x, told); err != nil {
				fail(w, r, f.Log, err)
			}
		})
		return nil
	}
}

// told notes whether an answer has reached its client, the first time that it is called.
// If not, and the client asks again, it is given that turn, not one more (H3).
func (f *face) told(r *http.Request, receipt lifecycle.Receipt, arrived bool) {
	if err := f.Service.Delivered(context.WithoutCancel(r.Context()), receipt, arrived); err != nil {
		f.Log.WarnContext(r.Context(), "it is not noted whether an answer has arrived", "error", err)
	}
}

// arrived reports whether an answer that was written has left the server, to a client that
// is still there.
func arrived(w http.ResponseWriter, r *http.Request) bool {
	return http.NewResponseController(w).Flush() == nil && r.Context().Err() == nil
}

// repeats reports whether a client says that it asks again. It sends no idempotency key
// with that.
func repeats(r *http.Request) bool {
	count, err := strconv.Atoi(r.Header.Get("X-Stainless-Retry-Count"))
	return err == nil && count > 0
}

// begin begins the turn that a create asks for, or finds the one that an earlier create, or
// a question that is answered, has left.
func (f *face) begin(r *http.Request, b body, items []given, raw []byte) (x found, receipt lifecycle.Receipt, err error) {
	// Whoever goes away meanwhile has begun it all the same, and may ask again.
	ctx, key := context.WithoutCancel(r.Context()), r.Header.Get("Idempotency-Key")
	if err := f.resolve(r.Context(), items); err != nil {
		return x, receipt, err
	}
	a, err := sortOut(items)
	if err != nil {
		return x, receipt, err
	}
	if len(a.answers) > 0 {
		x, err = f.reply(ctx, a.answers)
		return x, receipt, err
	}
	if key == "" && repeats(r) {
		turn, receipt, err := f.Turns.TakeUp(r.Context(), edge.Caller(ctx), raw)
		if err != nil || turn.Task != "" {
			return found{reference{task: turn.Task, turn: turn.Number}, turn}, receipt, err
		}
	}
	sub, err := f.submission(ctx, b, items, a)
	if err != nil {
		return x, receipt, err
	}
	if key != "" {
		sub.Route, sub.Spec.IdempotencyKey, sub.Body = "POST "+base+"/responses", &key, raw
	} else {
		sub.Unkeyed = raw
	}
	made, err := f.Turns.Ask(ctx, edge.Caller(ctx), sub)
	return found{reference{task: made.Task, turn: made.Number}, made.Turn}, made.Receipt, err
}

// maxReferences bounds the items of an input that refer to others.
const maxReferences = 1000

// resolve puts the messages of agents in the place of references to them: some clients send
// their history so. Those to anything else mean nothing.
func (f *face) resolve(ctx context.Context, items []given) error {
	said, size := map[string]*message{}, 0
	for i := range items {
		if x := &items[i]; x.Type == isPointer && strings.HasPrefix(x.ID, "msg_") {
			said[x.ID] = nil
		}
	}
	if len(said) > maxReferences {
		return &fault.Error{Code: fault.TooLarge, Field: "input", Message: fmt.Sprintf("must not refer to more than %d items: send what is new, with previous_response_id", maxReferences)}
	}
	for i := range items {
		x := &items[i]
		if _, is := said[x.ID]; !is || x.Type != isPointer {
			continue
		}
		if said[x.ID] == nil {
			if err := f.findMessages(ctx, x, said); err != nil {
				return err
			}
		}
		words := said[x.ID].Content[0].Text
		if size += len(words); size > maxKept {
			return tooLarge()
		}
		x.Type, x.Role, x.parts = isMessage, said[x.ID].Role, []part{{Type: "output_text", Text: words}}
		x.raw["type"], x.raw["role"] = json.RawMessage(`"message"`), json.RawMessage(`"assistant"`)
	}
	return nil
}

// findMessages finds the agent's message to which an item refers, and all others of its
// turn that are wanted.
func (f *face) findMessages(ctx context.Context, x *given, wanted map[string]*message) error {
	missing := &fault.Error{Code: fault.NotFound, Field: x.field + ".id", Message: "no item " + x.ID}
	name, seq, is := parseItemID(x.ID)
	if !is {
		return missing
	}
	t, err := f.Service.Task(ctx, edge.Scope(ctx), name)
	if fault.CodeOf(err) == fault.NotFound {
		return missing
	}
	if err != nil {
		return err
	}
	events, err := f.Service.Events(ctx, t.OrganizationID, name, seq-1, 1)
	if err != nil || len(events) == 0 || events[0].Seq != seq {
		return cmp.Or[error](err, missing)
	}
	turn, err := f.Turns.Find(ctx, edge.Scope(ctx), name, events[0].Turn)
	if err != nil {
		return err
	}
	fold, err := f.readAll(ctx, turn)
	if err != nil {
		return err
	}
	for _, x := range fold.output() {
		m, is := x.(*message)
		if _, asked := wanted[x.common().ID]; is && asked && len(m.Content) > 0 {
			wanted[m.ID] = m
		}
	}
	if wanted[x.ID] == nil {
		return missing
	}
	return nil
}

// submission is what a create asks of the service.
func (f *face) submission(ctx context.Context, b body, items []given, a asked) (lifecycle.Submission, error) {
	id, follows, err := f.thread(ctx, b, a)
	if err != nil {
		return lifecycle.Submission{}, err
	}
	urls, err := f.keepFiles(ctx, a)
	if err != nil {
		return lifecycle.Submission{}, err
	}
	sub, err := b.submission(items, a)
	sub.Spec.ID, sub.Follows, sub.Spec.Input.Files = id, follows, urls
	return sub, err
}

// thread is the task whose next turn a create asks for, and the turn that it follows; ""
// and 0 for a new task.
func (f *face) thread(ctx context.Context, b body, a asked) (id string, follows int, err error) {
	of, field := a.of, "input"
	switch {
	case !isNull(b.Conversation):
		id, err := conversationOf(b.Conversation)
		return id, 0, err
	case b.PreviousResponseID != "":
		field = "previous_response_id"
		if of, err = parseReference(b.PreviousResponseID); err != nil {
			return "", 0, err
		}
	}
	if of.task == "" {
		return "", 0, nil
	}
	if _, err := f.Turns.Find(ctx, edge.Scope(ctx), of.task, of.turn); err != nil {
		if fault.CodeOf(err) == fault.NotFound {
			err = &fault.Error{Code: fault.NotFound, Field: field, Message: noResponse(of.String()).Error()}
		}
		return "", 0, err
	}
	return of.task, of.turn, nil
}

// keepFiles stores what an input brings, and returns the URLs of all of its files. The
// input then names those by their ids.
func (f *face) keepFiles(ctx context.Context, a asked) ([]string, error) {
	urls := make([]string, 0, len(a.files))
	for i, p := range a.files {
		url, err := f.keepFile(ctx, p, a.fields[i])
		if err != nil {
			return nil, err
		}
		urls = append(urls, url)
	}
	return urls, nil
}

func (f *face) keepFile(ctx context.Context, p *part, field string) (string, error) {
	member, data := "file_data", p.FileData
	if strings.HasPrefix(p.ImageURL, "data:") {
		member, data, p.ImageURL = "image_url", p.ImageURL, ""
	}
	switch {
	case data != "":
		ref, err := edge.KeepURL(ctx, f.shelf, data, p.Filename, field+"."+member)
		if err != nil {
			return "", err
		}
		if ref == data {
			return "", fault.Field(field+"."+member, "must be a data URL: data:<type>;base64,<content>")
		}
		id, name, _ := files.SplitRef(ref)
		p.FileData, p.FileID, p.Filename = "", filePrefix+id, name
		return ref, nil
	case p.FileURL != "":
		return p.FileURL, nil
	case p.ImageURL != "":
		return p.ImageURL, nil
	case p.FileID != "":
		x, err := f.fileOf(ctx, p.FileID)
		if err != nil {
			return "", &fault.Error{Code: fault.CodeOf(err), Field: field + ".file_id", Message: "no file " + p.FileID + ": upload it with POST " + base + "/files"}
		}
		return f.shelf.URL(edge.Principal(ctx).Organization, files.Ref(x.ID, x.Name)), nil
	default:
		return "", fault.Field(field, "names no file: give a file_url, file_data, file_id or image_url")
	}
}

// wait writes a response when it has ended. A client that waits long is sent line ends,
// which stand in front of the answer, so that its connection lives.
func (f *face) wait(w http.ResponseWriter, r *http.Request, x found, told func(arrived bool)) error {
	unfollowed, err := f.OnDisconnect(r, x.turn)
	if err != nil {
		return err
	}
	begun := false
	begin := func() {
		if !begun {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusOK)
			begun = true
		}
	}
	err = f.await(r.Context(), x, func() error {
		begin()
		if _, err := w.Write([]byte("\n")); err != nil {
			return err
		}
		return http.NewResponseController(w).Flush()
	})
	var raw json.RawMessage
	if err == nil {
		raw, err = f.show(r.Context(), x)
	}
	if err != nil {
		told(false)
		if r.Context().Err() != nil && unfollowed != nil && f.Closing.Err() == nil {
			go unfollowed(f.Closing) //nolint:contextcheck // it outlives the request
		}
		if begun { // it is too late to say so
			edge.Cut()
		}
		return err
	}
	if !begun {
		w.Header().Set("Content-Length", strconv.Itoa(len(raw))) // so that it has arrived when it is noted to have
	}
	begin()
	_, err = w.Write(raw) //nolint:gosec // it is JSON, and said to be
	told(err == nil && arrived(w, r))
	return nil // a client that has gone away learns nothing more
}
