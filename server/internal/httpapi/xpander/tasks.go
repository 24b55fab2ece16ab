package xpander

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// createBody is R1's body; unknown keys are ignored.
type createBody struct {
	ID    *string `json:"id"`
	Input struct {
		Text        *string         `json:"text"`
		Files       []string        `json:"files"`
		User        json.RawMessage `json:"user"`
		Attachments json.RawMessage `json:"attachments"`
		Principal   json.RawMessage `json:"principal"`
	} `json:"input"`
	PayloadExtension           json.RawMessage `json:"payload_extension"`
	ParentExecution            *string         `json:"parent_execution"`
	Source                     *string         `json:"source"`
	WorkerID                   *string         `json:"worker_id"`
	OutputFormat               *string         `json:"output_format"`
	OutputSchema               json.RawMessage `json:"output_schema"`
	RunLocally                 bool            `json:"run_locally"`
	EventsStreaming            bool            `json:"events_streaming"`
	AdditionalContext          *string         `json:"additional_context"`
	InstructionsOverride       *string         `json:"instructions_override"`
	TestRunNodeID              *string         `json:"test_run_node_id"`
	UserOIDCToken              *string         `json:"user_oidc_token"`
	ExpectedOutput             *string         `json:"expected_output"`
	MCPServers                 json.RawMessage `json:"mcp_servers"`
	TriggeringAgentID          *string         `json:"triggering_agent_id"`
	Title                      *string         `json:"title"`
	ThinkMode                  *string         `json:"think_mode"`
	DisableAttachmentInjection bool            `json:"disable_attachment_injection"`
	UserTokens                 json.RawMessage `json:"user_tokens"`
	ReturnMetrics              bool            `json:"return_metrics"`
	lifecycle.Asked
}

func (b createBody) submission(agent, version string) lifecycle.Submission {
	return lifecycle.Submission{
		AgentVersion: version, Asked: b.Asked,
		Spec: task.Spec{
			ID: text(b.ID), AgentID: agent,
			Input: task.Input{
				Text: b.Input.Text, Files: b.Input.Files, User: b.Input.User,
				Attachments: b.Input.Attachments, Principal: b.Input.Principal,
			},
			ParentExecution: b.ParentExecution, OutputFormat: b.OutputFormat, OutputSchema: b.OutputSchema,
			EventsStreaming: b.EventsStreaming, InstructionsOverride: b.InstructionsOverride,
			UserOIDCToken: b.UserOIDCToken, ExpectedOutput: b.ExpectedOutput, MCPServers: b.MCPServers,
			ThinkMode: text(b.ThinkMode), UserTokens: b.UserTokens,
			RunLocally: b.RunLocally, PinnedWorkerID: b.WorkerID,
		},
		State: task.State{
			PayloadExtension: b.PayloadExtension, Source: text(b.Source), TestRunNodeID: b.TestRunNodeID,
			TriggeringAgentID: b.TriggeringAgentID, Title: b.Title, AdditionalContext: b.AdditionalContext,
			DisableAttachmentInjection: b.DisableAttachmentInjection, ReturnMetrics: b.ReturnMetrics,
		},
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// create is R1.
func (r *routes) create(w http.ResponseWriter, req *http.Request) error {
	agent := req.PathValue("agent")
	if err := edge.RequireAgent(edge.Principal(req.Context()), agent); err != nil {
		return err
	}
	raw, err := edge.ReadBody(w, req)
	if err != nil {
		return err
	}
	var body createBody
	if err := edge.Decode(raw, &body); err != nil {
		return err
	}
	made, _, err := r.Service.Submit(req.Context(), edge.Caller(req.Context()), body.submission(agent, req.Header.Get("x-agent-version")))
	if err != nil {
		return err
	}
	return r.answer(req.Context(), w, made)
}

// get is R2.
func (r *routes) get(w http.ResponseWriter, req *http.Request) error {
	s, err := r.task(req.Context(), req.PathValue("task"))
	if err != nil {
		return err
	}
	return r.answer(req.Context(), w, s)
}

// update is R3: rules S4 and S5.
func (r *routes) update(w http.ResponseWriter, req *http.Request) error {
	ctx, id := req.Context(), req.PathValue("task")
	// For a task that is not there, or no more, the body still counts (rule L6).
	if _, err := r.task(ctx, id); err != nil && fault.CodeOf(err) != fault.NotFound {
		return err
	}
	raw, err := edge.ReadBody(w, req)
	if fault.CodeOf(err) == fault.TooLarge {
		if refused := r.Service.RefuseTooLarge(ctx, edge.Caller(ctx), id); fault.CodeOf(refused) == fault.Internal {
			return refused
		}
	}
	if err != nil {
		return err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		return fault.New(fault.Malformed, "the body must be a JSON object")
	}
	s, err := r.Workers.Patch(ctx, edge.Caller(ctx), id, fields)
	if err != nil {
		return err
	}
	return r.answer(ctx, w, s)
}

// stop is R4: the client's DELETE means stop, and its answer is the task.
func (r *routes) stop(w http.ResponseWriter, req *http.Request) error {
	ctx, id := req.Context(), req.PathValue("task")
	if _, err := r.task(ctx, id); err != nil {
		return err
	}
	s, err := r.Service.Stop(ctx, edge.Caller(ctx), id)
	if err != nil {
		return err
	}
	raw, err := r.Presenter.Task(ctx, s, nil)
	if err != nil {
		return err
	}
	edge.WriteJSON(w, http.StatusOK, raw)
	return nil
}

// newest is how many tasks a list without paging shows (rule H5).
const newest = 1000

// list is R9 and R10: a bare array of an agent's or a user's tasks.
func (r *routes) list(w http.ResponseWriter, req *http.Request) error {
	q := req.URL.Query()
	f := lifecycle.Filter{
		Agent: req.PathValue("agent"), User: q.Get("user_id"), Parent: q.Get("parent_task_id"),
		Trigger: q.Get("triggering_agent_id"), InternalStatus: q.Get("internal_status"),
	}
	if user := req.PathValue("user"); user != "" {
		f.User = user
	}
	if err := edge.RequireAgent(edge.Principal(req.Context()), f.Agent); err != nil {
		return err
	}
	if status := enum(q.Get("status")); status != "" {
		if err := lifecycle.CheckStatus("status", status); err != nil {
			return err
		}
		f.Status = lifecycle.Among(task.Status(status))
	}
	page := lifecycle.Page{Number: 1, Size: newest}
	var err error
	if page.Number, err = number(q, "page", page.Number, math.MaxInt32); err != nil {
		return err
	}
	if page.Size, err = number(q, "per_page", page.Size, newest); err != nil {
		return err
	}
	return r.writeTasks(w, req, f, page)
}

// listRead is how many tasks one read of a list asks for: with results of 64 KiB they
// are what may be held.
const listRead = 50

// writeTasks writes a page of tasks without holding it.
func (r *routes) writeTasks(w http.ResponseWriter, req *http.Request, f lifecycle.Filter, page lifecycle.Page) error {
	ctx, left := req.Context(), page.Size
	read := func() (lifecycle.List, error) {
		page.Size = min(left, listRead)
		found, err := r.Service.List(ctx, edge.Scope(ctx), f, page)
		left -= len(found.Items)
		page.Cursor = found.Next
		return found, err
	}
	page.Number, page.Skip = 1, (page.Number-1)*page.Size
	found, err := read()
	if err != nil {
		return err
	}
	edge.WriteList(ctx, w, r.Log, "[", "]", func(yield func(any, error) bool) {
		for {
			for _, x := range found.Items {
				if !yield(edge.ListItemOf(x), nil) {
					return
				}
			}
			if left == 0 || found.Next == (lifecycle.Cursor{}) {
				return
			}
			if found, err = read(); err != nil {
				yield(nil, err)
				return
			}
		}
	})
	return nil
}

// enum reads a value that may be spelled like a Python enum, as in
// AgentExecutionStatus.Completed.
func enum(value string) string {
	if _, name, ok := strings.Cut(value, "."); ok {
		value = name
	}
	return strings.ToLower(value)
}

func number(q url.Values, name string, otherwise, most int) (int, error) {
	given := q.Get(name)
	if given == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(given)
	if err != nil || n < 1 || n > most {
		return 0, fault.Field(name, "must be a whole number from 1 to %d", most)
	}
	return n, nil
}
