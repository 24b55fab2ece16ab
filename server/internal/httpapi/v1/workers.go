package v1

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// ClaimBody asks for work.
type ClaimBody struct {
	Agents   []string `json:"agent_ids" minItems:"1" maxItems:"100" nullable:"false" doc:"Whose tasks it takes: by priority, then the oldest, over all of them alike."`
	WorkerID string   `json:"worker_id" minLength:"1" maxLength:"128" doc:"Names the worker; it gets tasks that are pinned to it."`
	Slots    int      `json:"slots,omitempty" minimum:"1" maximum:"100" default:"1" doc:"How many tasks it can take now."`
	Wait     float64  `json:"wait,omitempty" minimum:"0" maximum:"60" doc:"Seconds to wait for the first task; none with finished."`

	Finished []each[FinishedAttempt] `json:"finished,omitempty" maxItems:"100" doc:"Attempts that have ended: each is what finish takes, with its task_id. Each is taken or refused for itself and answered at once, in one commit with the claim."`
}

// FinishedAttempt is an attempt that has ended.
type FinishedAttempt struct {
	TaskID string `json:"task_id" minLength:"1" doc:"Of the claim."`
	FinishBody
}

// Lease is a worker's right to a task.
type Lease struct {
	Token     string     `json:"token" doc:"Proves the lease: send it as lease_token. It is told once."`
	Seconds   float64    `json:"seconds" doc:"Its length; any write with the token renews it."`
	ExpiresAt task.Stamp `json:"expires_at" doc:"When it runs out unless it is renewed."`
	Attempt   int        `json:"attempt" doc:"Which attempt of the turn this is, from 1."`
}

// Claim is a task that was handed out and has started.
type Claim struct {
	Task  raw[Task] `json:"task" doc:"The task, executing."`
	Lease Lease     `json:"lease" doc:"The worker's right to it."`
	// TraceParent is left out when there is no trace.
	TraceParent string `json:"traceparent,omitempty" doc:"The W3C trace context to which the attempt belongs: make it the parent of the worker's own spans. Left out when there is no trace."`
	// Models is left out when the server has no accounts.
	Models *ModelAccess `json:"models,omitempty" doc:"How the attempt asks models with the server's accounts, which count on the task what was used: below /proxy/openai and /proxy/anthropic of this server. Left out when it has none."`
}

// ModelAccess is how an attempt asks models through the server.
type ModelAccess struct {
	Token     string   `json:"token" doc:"Takes the place of a provider's key, for as long as the lease is held."`
	Providers []string `json:"providers" nullable:"false" doc:"Those at which the server has accounts: openai, anthropic."`
}

// Spending is what an attempt says to have used until now. It stands beside that of the
// turn's other attempts (rule B1), and nothing of it is refused.
type Spending struct {
	Tokens    json.RawMessage `json:"tokens,omitempty" doc:"Model tokens that the attempt has used, in all: an object with prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens. The task shows the sum of its attempts."`
	UsedTools json.RawMessage `json:"used_tools,omitempty" doc:"A list of the names of the tools that the attempt has used."`
	Duration  json.RawMessage `json:"duration,omitempty" doc:"Seconds that the attempt has worked, in all. The task shows the sum of its attempts."`
}

// side is what is said so as fields of a task.
func (x Spending) side() (json.RawMessage, error) {
	return fields(map[string]json.RawMessage{"tokens": x.Tokens, "used_tools": x.UsedTools, "duration": x.Duration})
}

// HeartbeatBody says that an attempt is under way.
type HeartbeatBody struct {
	LeaseToken string          `json:"lease_token" doc:"Of the claim."`
	Note       json.RawMessage `json:"internal_status,omitempty" doc:"Sets the task's internal status: text, cut at 255 characters. The lease is renewed whatever it is."`
	Spending
}

// Heartbeat answers a heartbeat.
type Heartbeat struct {
	Action    task.Directive `json:"action" enum:"continue,stop,pause" doc:"stop: end the work and confirm with finish and the status stopped. pause: end it and claim again later."`
	ExpiresAt task.Stamp     `json:"lease_expires_at" doc:"When the lease runs out unless it is renewed."`
	Seconds   float64        `json:"lease_seconds" doc:"The length of the lease."`
}

// FinishBody ends an attempt.
type FinishBody struct {
	LeaseToken string          `json:"lease_token" doc:"Of the claim."`
	Status     string          `json:"status" enum:"completed,failed,error,stopped" doc:"stopped confirms a stop."`
	EndReason  string          `json:"end_reason,omitempty" enum:"completed,failed,schema_mismatch,budget,worker_error,stopped" doc:"More exactly why; must lead to the status."`
	Result     json.RawMessage `json:"result,omitempty" doc:"Text. It is never refused for its content: what cannot be stored is cut or replaced, and the task says so in adjusted."`
	Spending
	Note   json.RawMessage `json:"internal_status,omitempty" doc:"A status of the worker's own, cut at 255 characters."`
	Retry  json.RawMessage `json:"retry,omitempty" doc:"true, with the status failed or error: another attempt follows, if fewer than max_attempts have started; otherwise the turn ends as the status says."`
	Repair json.RawMessage `json:"repair,omitempty" doc:"true, with the status completed: if the result does not follow the task's output_schema, the answer is 422 with what is wrong, the lease is renewed and the attempt goes on, as often as the agent's repair_rounds says. Otherwise such a result ends the task failed, with the end_reason schema_mismatch."`
	Delay  json.RawMessage `json:"delay,omitempty" doc:"With retry: seconds in which no other attempt begins, 0 to 86400. Left out: 1, doubled with each attempt, at most 300."`
}

func (b FinishBody) outcome() (lifecycle.Outcome, error) {
	o := lifecycle.Outcome{Reason: task.PlainEnd(task.Status(b.Status))}
	var adjusted bool
	if o.Result, adjusted = lifecycle.StorableResult(b.Result); adjusted {
		o.Adjusted = []string{"result"}
	}
	if len(b.Retry) > 0 && json.Unmarshal(b.Retry, &o.Retry) != nil {
		o.Adjusted = append(o.Adjusted, "retry")
	}
	if len(b.Repair) > 0 && json.Unmarshal(b.Repair, &o.Repair) != nil {
		o.Adjusted = append(o.Adjusted, "repair")
	}
	if o.Delay, adjusted = lifecycle.FitDelay(b.Delay); adjusted {
		o.Adjusted = append(o.Adjusted, "delay")
	}
	if b.EndReason != "" {
		o.Reason = task.EndReason(b.EndReason)
	}
	if o.Reason.Status() != task.Status(b.Status) {
		return o, fault.Field("end_reason", "%s does not lead to the status %s", b.EndReason, b.Status)
	}
	var err error
	o.Side, err = fields(map[string]json.RawMessage{
		"tokens": b.Tokens, "used_tools": b.UsedTools, "duration": b.Duration, "internal_status": b.Note,
	})
	return o, err
}

// fields makes an object of those fields that a body gives; null gives none.
func fields(given map[string]json.RawMessage) (json.RawMessage, error) {
	maps.DeleteFunc(given, func(_ string, value json.RawMessage) bool { return len(value) == 0 || string(value) == "null" })
	if len(given) == 0 {
		return nil, nil
	}
	return json.Marshal(given)
}

func (r *routes) registerWorkers() {
	tags := []string{"workers"}
	add(r, operation{roles: workers(), errors: []fault.Code{fault.NotFound}, Operation: huma.Operation{
		OperationID: "claim", Method: http.MethodPost, Path: "/v1/claim", Tags: tags,
		Summary: "Claim tasks with a lease, waiting for the first one, and end others",
		Description: "A worker that has attempts to end says so in finished, in place of a finish for each: then the claim does not wait, and the answer " +
			"tells of each end what became of it. An answer that is an error, or none, says nothing of them: send them again, by finish or with a claim. The same end again is answered the same.",
	}}, r.claim)
	add(r, operation{roles: workers(), errors: []fault.Code{fault.Conflict}, Operation: huma.Operation{
		OperationID: "heartbeat", Method: http.MethodPost, Path: "/v1/tasks/{task_id}/heartbeat", Tags: tags,
		Summary: "Renew a lease and learn whether to go on",
	}}, func(ctx context.Context, in *struct {
		TaskPath
		Body HeartbeatBody
	},
	) (*struct{ Body Heartbeat }, error) {
		org := edge.Principal(ctx).Organization
		b := in.Body
		side, err := fields(map[string]json.RawMessage{"internal_status": b.Note, "tokens": b.Tokens, "used_tools": b.UsedTools, "duration": b.Duration})
		if err != nil {
			return nil, err
		}
		beat, err := r.Service.HeartbeatWith(ctx, org, in.ID, in.Body.LeaseToken, side)
		if err != nil {
			return nil, err
		}
		return &struct{ Body Heartbeat }{Heartbeat{Action: beat.Do, ExpiresAt: beat.Until, Seconds: beat.Lease.Seconds()}}, nil
	})
	add(r, operation{roles: workers(), errors: []fault.Code{fault.Conflict}, Operation: huma.Operation{
		OperationID: "finish", Method: http.MethodPost, Path: "/v1/tasks/{task_id}/finish", Tags: tags,
		Summary: "End an attempt, or confirm a stop",
	}}, func(ctx context.Context, in *struct {
		TaskPath
		Body FinishBody
	},
	) (*taskAnswer, error) {
		o, err := in.Body.outcome()
		if err != nil {
			return nil, err
		}
		s, err := r.Service.Finish(ctx, edge.Principal(ctx).Organization, in.ID, in.Body.LeaseToken, o)
		return r.answer(ctx, s, err)
	})
	add(r, operation{roles: workers(), errors: []fault.Code{fault.Conflict}, Operation: huma.Operation{
		OperationID: "release", Method: http.MethodPost, Path: "/v1/tasks/{task_id}/release", Tags: tags,
		Summary:     "Give an attempt back unfinished",
		Description: "For a worker that has to shut down, or that cannot do it now. The task waits for its next attempt, at once or after the delay, and this one is not counted among max_attempts. Given back 20 times in a row, without another outcome or a step event between, the turn ends worker_lost. A repeat is answered like the first time.",
	}}, func(ctx context.Context, in *struct {
		TaskPath
		Body ReleaseBody
	},
	) (*taskAnswer, error) {
		back, err := in.Body.back()
		if err != nil {
			return nil, err
		}
		s, err := r.Service.GiveBack(ctx, edge.Principal(ctx).Organization, in.ID, in.Body.LeaseToken, back)
		return r.answer(ctx, s, err)
	})
}

// ReleaseBody gives an attempt back.
type ReleaseBody struct {
	LeaseToken string          `json:"lease_token" doc:"Of the claim."`
	Delay      json.RawMessage `json:"delay,omitempty" doc:"Seconds in which no other attempt begins, 0 to 86400; none when left out."`
	Reason     json.RawMessage `json:"reason,omitempty" doc:"Why, as text for people; cut at 4 KiB."`
	Spending
}

// back is what the body says; what cannot be read of it counts as left out (rule S5).
func (b ReleaseBody) back() (g lifecycle.GivenBack, err error) {
	if delay, _ := lifecycle.FitDelay(b.Delay); delay != nil {
		g.Delay = *delay
	}
	if reason, _ := lifecycle.StorableResult(b.Reason); reason != nil {
		g.Reason = *reason
	}
	g.Side, err = b.side()
	return g, err
}

// Claims answers a claim.
type Claims struct {
	Claims   []Claim  `json:"claims" doc:"Empty when there was nothing to do."`
	Finished []Ending `json:"finished,omitempty" doc:"What became of the attempts that have ended, in the same order; left out when there were none."`
}

// Ending is what became of an attempt's end.
type Ending struct {
	TaskID string       `json:"task_id" doc:"The task, as it was named; empty if it was not."`
	Status task.Status  `json:"status,omitempty" doc:"The task's status behind it, as finish answers it; left out with an error."`
	Error  *BatchReason `json:"error,omitempty" doc:"Why it was refused, as finish would have: conflict when the attempt is no longer the worker's."`
}

func (r *routes) claim(ctx context.Context, in *struct{ Body ClaimBody }) (*struct{ Body raw[Claims] }, error) {
	p := edge.Principal(ctx)
	for _, agent := range in.Body.Agents {
		if !p.MayServe(agent) {
			return nil, fault.New(fault.Forbidden, "this key may not work for agent %q", agent)
		}
	}
	request := lifecycle.ClaimRequest{Agents: in.Body.Agents, Worker: in.Body.WorkerID, Slots: max(in.Body.Slots, 1)}
	var claimed []lifecycle.Claimed
	var endings []Ending
	var err error
	if len(in.Body.Finished) == 0 {
		claimed, err = r.Workers.Claim(ctx, edge.Caller(ctx), request, time.Duration(in.Body.Wait*float64(time.Second)))
	} else {
		claimed, endings, err = r.finishAndClaim(ctx, in.Body.Finished, request)
	}
	if err != nil {
		return nil, err
	}
	out, err := r.claims(ctx, claimed, endings)
	return &struct{ Body raw[Claims] }{raw[Claims]{out}}, err
}

// finishAndClaim returns of each end what finish would.
func (r *routes) finishAndClaim(
	ctx context.Context, bodies []each[FinishedAttempt], request lifecycle.ClaimRequest,
) ([]lifecycle.Claimed, []Ending, error) {
	endings := make([]Ending, len(bodies))
	refuse := func(i int, err error) {
		_, body := edge.Describe(ctx, r.Log, err)
		endings[i].Error = &BatchReason{body.Detail, body.Code, body.Field}
	}
	var ends []lifecycle.End
	var of []int // which of the bodies each is
	for i, b := range bodies {
		f, err := b.read(r)
		endings[i].TaskID = f.TaskID
		var o lifecycle.Outcome
		if err == nil {
			err = r.admitTo(ctx, f.TaskID)
		}
		if err == nil {
			o, err = f.outcome()
		}
		switch {
		case err == nil:
			ends, of = append(ends, lifecycle.End{Task: f.TaskID, Token: f.LeaseToken, Outcome: o}), append(of, i)
		case lifecycle.Refusal(err):
			refuse(i, err)
		default:
			return nil, nil, err
		}
	}
	ended, claimed, err := r.Workers.FinishAndClaim(ctx, edge.Caller(ctx), ends, request)
	if err != nil {
		return nil, nil, err
	}
	for k, e := range ended {
		if e.Refused != nil {
			refuse(of[k], e.Refused)
			continue
		}
		endings[of[k]].Status = e.Task.Status()
	}
	return claimed, endings, nil
}

// claims renders Claims with the tasks' own bytes.
func (r *routes) claims(ctx context.Context, claimed []lifecycle.Claimed, endings []Ending) (json.RawMessage, error) {
	var out bytes.Buffer
	out.WriteString(`{"claims":[`)
	for i, c := range claimed {
		shown, err := r.Presenter.Task(ctx, c.Snapshot, nil)
		if err != nil {
			return nil, err
		}
		run := c.Task.Run
		lease, err := json.Marshal(Lease{
			Token: c.Token, Seconds: run.Lease.Seconds(), ExpiresAt: run.LeaseUntil, Attempt: run.InTurn,
		})
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(`{"task":`)
		out.Write(shown)
		out.WriteString(`,"lease":`)
		out.Write(lease)
		if c.TraceParent != "" { // 55 characters that need no quoting
			out.WriteString(`,"traceparent":"` + c.TraceParent + `"`)
		}
		if c.Models != nil {
			access, err := json.Marshal(ModelAccess(*c.Models))
			if err != nil {
				return nil, err
			}
			out.WriteString(`,"models":`)
			out.Write(access)
		}
		out.WriteByte('}')
	}
	out.WriteByte(']')
	if len(endings) > 0 {
		list, err := json.Marshal(endings)
		if err != nil {
			return nil, err
		}
		out.WriteString(`,"finished":`)
		out.Write(list)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}
