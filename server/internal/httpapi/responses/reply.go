package responses

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/invoke"
	"github.com/errand-dev/errand/server/internal/task"
)

// reply answers what a turn has asked people, and returns the response that follows. All
// that it waits for has to be answered at once: until then nothing follows. The same
// answers again are a repeat.
func (f *face) reply(ctx context.Context, answers []given) (found, error) {
	var last task.Approval
	replies := map[string]task.Reply{}
	for _, x := range answers {
		id, _ := strings.CutPrefix(x.Approval, approvalPrefix)
		a, err := f.Service.Approval(ctx, edge.Scope(ctx), id)
		if err != nil {
			if fault.CodeOf(err) == fault.NotFound {
				err = &fault.Error{Code: fault.NotFound, Field: x.field + ".approval_request_id", Message: "nobody has asked " + x.Approval}
			}
			return found{}, err
		}
		if last.ID != "" && (a.TaskID != last.TaskID || a.Turn != last.Turn) {
			return found{}, fault.Field(x.field+".approval_request_id", "is of another response")
		}
		last = a
		replies[id] = replyOf(a, x)
	}
	t, err := f.Service.Task(ctx, edge.Scope(ctx), last.TaskID)
	if err != nil {
		return found{}, err
	}
	for _, id := range t.Wait.Asks {
		if _, is := replies[id]; !is && t.Terms.Turn == last.Turn {
			return found{}, fault.Field("input", "answer %s%s as well: the agent waits for all that it has asked", approvalPrefix, id)
		}
	}
	for id, reply := range replies {
		if _, err := f.Service.AnswerApproval(ctx, edge.Caller(ctx), id, reply); err != nil && !f.repeats(ctx, id, reply) {
			return found{}, err
		}
	}
	turn, err := f.Turns.Find(ctx, edge.Scope(ctx), last.TaskID, last.Turn)
	if err != nil {
		return found{}, err
	}
	part, err := f.partAfter(ctx, turn, slices.Collect(maps.Keys(replies)))
	return found{reference{task: turn.Task, turn: turn.Number, part: part}, turn}, err
}

// partAfter counts how often a turn has waited for people until all of some requests were
// answered.
func (f *face) partAfter(ctx context.Context, t invoke.Turn, ids []string) (part int, err error) {
	for e, err := range f.Turns.Events(ctx, t) {
		if err != nil {
			return 0, err
		}
		if len(asksOf(e)) > 0 {
			part++
		}
		var x struct {
			ID string `json:"id"`
		}
		if e.Type == task.ApprovalAnswered && json.Unmarshal(e.Own, &x) == nil {
			ids = slices.DeleteFunc(ids, func(id string) bool { return id == x.ID })
		}
		if len(ids) == 0 {
			break
		}
	}
	return part, nil
}

// replyOf is an answer as a person gives it. That to a question is what the reason says.
func replyOf(a task.Approval, x given) task.Reply {
	reply := task.Reply{Answer: task.Decline, Note: x.Reason}
	if *x.Approve {
		reply.Answer = task.Approve
	}
	if a.Kind == task.KindQuestion && *x.Approve {
		reply.Note = ""
		if reply.Value = json.RawMessage(x.Reason); !json.Valid(reply.Value) || len(a.Schema) == 0 {
			reply.Value, _ = json.Marshal(x.Reason) // a text can be encoded
		}
	}
	return reply
}

// repeats reports whether an approval was answered so before.
func (f *face) repeats(ctx context.Context, id string, reply task.Reply) bool {
	a, err := f.Service.Approval(ctx, edge.Scope(ctx), id)
	return err == nil && a.Answered != nil && !a.Answered.ByDefault && a.Answered.Answer == reply.Answer &&
		a.Answered.Note == reply.Note && slices.Equal(a.Answered.Value, reply.Value)
}
