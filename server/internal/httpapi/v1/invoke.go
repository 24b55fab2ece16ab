package v1

import (
	"context"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/invoke"
	"github.com/errand-dev/errand/server/internal/lifecycle"
)

// Invocation asks an agent for something (rule H4).
type Invocation struct {
	AgentPath
	Idempotent
	Version int `query:"version" minimum:"1" doc:"Pins a version of the agent; the newest when left open."`
	Body    TaskRequest
}

// invocationErrors are what asking an agent may be answered with.
func invocationErrors() []fault.Code {
	return []fault.Code{fault.NotFound, fault.Conflict, fault.RateLimited}
}

func (r *routes) registerInvoke() {
	tags := []string{"invoke"}
	const path = "/v1/agents/{agent_id}/invoke"
	add(r, operation{roles: users(), also: []int{http.StatusAccepted}, errors: invocationErrors(), Operation: huma.Operation{
		OperationID: "invoke", Method: http.MethodPost, Path: path, Tags: tags,
		Summary: "Ask an agent and wait for the answer",
		Description: "200 answers the task as the turn that this began has left it, whichever way it ended, also if another has followed. " +
			"202 answers the task as it is when the wait was over first: go on with its events. A caller that goes away stops nothing.",
	}}, func(ctx context.Context, in *struct {
		Invocation
		Wait Wait `query:"wait" doc:"Seconds to wait for the end; 240 when left open."`
	},
	) (*taskAnswer, error) {
		made, err := r.invoke(ctx, "POST "+path, in.Invocation)
		if err != nil {
			return nil, err
		}
		s, ended, err := r.UntilEnd(ctx, made.Turn, in.Wait.duration())
		return invoked(ctx, r, s, ended, made.Replayed, err)
	})
	add(r, operation{roles: users(), errors: invocationErrors(), Operation: huma.Operation{
		OperationID: "invoke-async", Method: http.MethodPost, Path: path + "/async", DefaultStatus: http.StatusAccepted, Tags: tags,
		Summary: "Ask an agent and do not wait",
	}}, func(ctx context.Context, in *Invocation) (*taskAnswer, error) {
		made, err := r.invoke(ctx, "POST "+path+"/async", *in)
		return invoked(ctx, r, made.Snapshot, false, made.Replayed, err)
	})
	add(r, operation{roles: users(), errors: invocationErrors(), Operation: huma.Operation{
		OperationID: "invoke-stream", Method: http.MethodPost, Path: path + "/stream", Tags: tags,
		Summary:     "Ask an agent and follow what it does",
		Description: "The stream is that of the turn's events, from task_created to its end. If it breaks off, go on with GET /v1/tasks/{task_id}/events and Last-Event-ID.",
		Responses: map[string]*huma.Response{"200": {
			Description: "Server-sent events whose data is an Event and whose id is its id.",
			Content:     map[string]*huma.MediaType{eventStream: {}},
		}},
	}}, func(ctx context.Context, in *struct {
		Invocation
		ChosenTypes
		OnDisconnect string `query:"on_disconnect" enum:"stop" doc:"stop: the turn is stopped when this stream breaks off and for 3 seconds nobody else follows the task, or waits for it, at the same server. Left open, a viewer who goes stops nothing."`
	},
	) (*huma.StreamResponse, error) {
		made, err := r.invoke(ctx, "POST "+path+"/stream", in.Invocation)
		if err != nil {
			return nil, err
		}
		return r.follow(made.Organization, made.Task, edge.View{After: made.First - 1, Only: in.only()}, made.Turn), nil
	})
}

func (r *routes) invoke(ctx context.Context, route string, in Invocation) (invoke.Asked, error) {
	if in.Version > 0 {
		in.Body.AgentVersion = strconv.Itoa(in.Version)
	}
	sub, err := in.Body.submission(in.AgentID, route, in.Key)
	if err != nil {
		return invoke.Asked{}, err
	}
	return r.Turns.Ask(ctx, edge.Caller(ctx), sub)
}

// Wait is a number of seconds of which 0 differs from none given.
type Wait struct {
	seconds float64
	given   bool
}

// The limits of a wait, in seconds.
const (
	usualWait   = 240.0
	longestWait = 1200.0
)

func (w Wait) duration() time.Duration {
	if !w.given {
		w.seconds = usualWait
	}
	return time.Duration(w.seconds * float64(time.Second))
}

// Schema implements huma.SchemaProvider.
func (Wait) Schema(huma.Registry) *huma.Schema {
	least, most := 0.0, longestWait
	s := &huma.Schema{Type: huma.TypeNumber, Minimum: &least, Maximum: &most, Default: usualWait}
	s.PrecomputeMessages()
	return s
}

// Receiver implements huma.ParamWrapper.
func (w *Wait) Receiver() reflect.Value { return reflect.ValueOf(&w.seconds).Elem() }

// OnParamSet implements huma.ParamReactor.
func (w *Wait) OnParamSet(isSet bool, _ any) { w.given = isSet }

func invoked(ctx context.Context, r *routes, s lifecycle.Snapshot, ended, replayed bool, err error) (*taskAnswer, error) {
	out, err := r.answer(ctx, s, err)
	if err != nil {
		return nil, err
	}
	if !ended {
		out.Status = http.StatusAccepted
	}
	if replayed {
		out.Replay = "true"
	}
	return out, nil
}

// AgentPath is the part of a path that names an agent.
type AgentPath struct {
	AgentID string `path:"agent_id" doc:"The agent's id." example:"agent-123"`
}
