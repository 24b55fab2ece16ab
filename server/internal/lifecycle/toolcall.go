package lifecycle

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/errand-dev/errand/server/internal/task"
)

// ToolCall is a call of a tool that runs with the worker, told afterwards.
type ToolCall struct {
	// RequestID is the worker's own name of the call, "" if it gave none.
	RequestID string
	Tool      string
	// Payload and Result may be anything; what is not JSON is left out.
	Payload json.RawMessage
	Result  json.RawMessage
}

// ReportToolCall logs a call as a request and its result. If the worker pushes
// the same call itself, before or after, it is told once: see nameCalls. After
// the turn's end it is a late event (T6).
func (s *Service) ReportToolCall(ctx context.Context, who Caller, id string, c ToolCall) error {
	if CheckID("request_id", c.RequestID) != nil {
		c.RequestID = s.newID()
	}
	events, err := c.events()
	if err != nil {
		return err
	}
	_, err = s.change(ctx, who, id, func(tx writing, t task.Task) (task.Command, error) {
		for _, name := range []string{pushedCall(c.RequestID), reportedCall(c.RequestID)} {
			if known, err := seqOf(tx, t, name); err != nil || known != 0 {
				return task.Append{}, err
			}
		}
		return task.Append{By: who.unfenced(t), Events: events}, nil
	})
	return err
}

// events makes the two events of a call.
func (c ToolCall) events() ([]task.Event, error) {
	tool := task.CleanText(c.Tool)
	request := task.ToolCall{RequestID: c.RequestID, OperationID: tool, ToolName: tool, Payload: storable(c.Payload)}
	result, failed := request, false
	result.Result, result.IsError = storable(c.Result), &failed
	events := []task.Event{
		{Type: task.ToolCallRequest, ClientID: reportedCall(c.RequestID)},
		{Type: task.ToolCallResult},
	}
	for i, x := range []task.ToolCall{request, result} {
		var err error
		if events[i].Own, err = x.Data(); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// A tool call's request stands in its turn under a client_id that says how it
// was told.
func pushedCall(requestID string) string   { return "tool_call " + requestID }
func reportedCall(requestID string) string { return "preflight " + requestID }

// nameCalls gives pushed events of tool calls client_ids, by which a call that
// is pushed and reported is told once: the report adds nothing to a push, and a
// push to a report only that the call has failed, which no report can say.
func nameCalls(tx Tx, t task.Task, events []NewEvent) ([]NewEvent, error) {
	named, given := slices.Clone(events), map[string]bool{}
	for i, e := range events {
		request, result := e.Type == string(task.ToolCallRequest), e.Type == string(task.ToolCallResult)
		var x task.ToolCall
		if e.ClientID != "" || !request && !result ||
			json.Unmarshal(e.Data, &x) != nil || CheckID("request_id", x.RequestID) != nil {
			continue
		}
		seen := func(name string) (bool, error) {
			seq, err := seqOf(tx, t, name)
			return seq != 0 || given[name], err
		}
		reported, err := seen(reportedCall(x.RequestID))
		if err != nil {
			return nil, err
		}
		pushed, err := seen(pushedCall(x.RequestID))
		if err != nil {
			return nil, err
		}
		switch {
		case reported && (request || x.IsError == nil || !*x.IsError):
			named[i].ClientID = reportedCall(x.RequestID)
		case request && !pushed: // an old id may be used anew: that is not for us to forbid
			named[i].ClientID = pushedCall(x.RequestID)
			given[named[i].ClientID] = true
		}
	}
	return named, nil
}

// storable returns a value of which all texts can be stored, nil for no value.
func storable(raw json.RawMessage) json.RawMessage {
	if !json.Valid(raw) {
		return nil
	}
	return Mend(raw)
}
