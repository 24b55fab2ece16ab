package mcp

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/schema"
	"github.com/errand-dev/errand/server/internal/task"
)

// call is a call of a tool.
type call struct {
	arguments json.RawMessage
	// session takes the progress of the call.
	session *sdk.ServerSession
}

// tool is one that every key has.
type tool struct {
	sdk.Tool
	do func(*face, context.Context, call) (sdk.Result, error)
}

// ask are the arguments with which an agent is asked.
type ask struct {
	Agent  string   `json:"agent"`
	Prompt string   `json:"prompt"`
	Files  []string `json:"files"`
	TaskID string   `json:"task_id"`
	Wait   *float64 `json:"wait_seconds"`
	Key    string   `json:"idempotency_key"`
}

const (
	// asking are the properties of ask beside the agent, waiting is that of tools that wait.
	asking = `"prompt":{"type":"string","minLength":1,"description":"What the agent is to do. It sees nothing of this conversation, so say all that it needs."},
"files":{"type":"array","items":{"type":"string"},"maxItems":100,"description":"http(s) URLs of files that it is to read."},
"task_id":{"type":"string","description":"A task of the same agent that has ended: the prompt goes on with that conversation. An id that is not known yet becomes that of the new task."},
"idempotency_key":{"type":"string","minLength":1,"maxLength":255,"description":"Any text that names this request: a repeat within 24 hours gets the same task, and runs nothing twice."},` + waiting
	waiting = `"wait_seconds":{"type":"number","minimum":0,"maximum":50,"description":"How long to wait for the end; 4 when left out. The task goes on whatever becomes of the call."}`
	byTask  = `"task_id":{"type":"string","minLength":1,"description":"The task."}`

	runs = " It runs as a durable task: if it has not ended when the wait is over, the answer says so and names the task; it goes on, also when this call is cancelled or the connection is lost. Then call get_task, and do not run it again."
)

func object(properties string, required ...string) json.RawMessage {
	must, _ := json.Marshal(append([]string{}, required...)) // texts
	return json.RawMessage(fmt.Sprintf(`{"type":"object","properties":{%s},"required":%s,"additionalProperties":false}`, properties, must))
}

// readOnly annotates a tool that changes nothing. Of others clients think the worst, as they should.
func readOnly() *sdk.ToolAnnotations { return &sdk.ToolAnnotations{ReadOnlyHint: true} }

// fixed are the tools that every key has, by their names.
func fixed() []tool {
	return []tool{
		{sdk.Tool{
			Name: "answer_task", Title: "Answer what a task asks",
			Description: "Answer a question or an approval that a task waits for, in the user's words and with their consent. The task then goes on.",
			InputSchema: object(byTask+`,
"question_id":{"type":"string","description":"Which question, as get_task names it; may be left out if there is one only."},
"answer":{"enum":["approve","decline"],"description":"approve, or of a question that it is answered, which it is when left out; decline for no."},
"value":{"description":"What was asked for: any JSON that follows the question's schema; a text if it has none."},
"note":{"type":"string","maxLength":4096,"description":"A word for whoever asked."}`, "task_id"),
		}, (*face).answerTask},
		{sdk.Tool{
			Name: "get_task", Title: "Read a task", Annotations: readOnly(),
			Description: "Read a task: its status, its result if it has ended, what it asks if it waits for an answer. Waits some seconds for the end.",
			InputSchema: object(byTask+","+waiting, "task_id"),
		}, (*face).getTask},
		{sdk.Tool{
			Name: "list_agents", Title: "List agents", Annotations: readOnly(),
			Description: "List the agents that run_agent can ask, with what they are for.",
			InputSchema: object(`"cursor":{"type":"string","description":"The next_cursor of the last part."}`),
		}, (*face).listAgents},
		{sdk.Tool{
			Name: "list_tasks", Title: "List tasks", Annotations: readOnly(),
			Description: "List tasks, the newest first.",
			InputSchema: object(`"agent":{"type":"string","description":"Only those of this agent."},
"status":{"enum":["pending","executing","paused","completed","failed","error","stopped"],"description":"Only those with this status."},
"limit":{"type":"integer","minimum":1,"maximum":100,"description":"How many; 20 when left out."},
"cursor":{"type":"string","description":"The next_cursor of the last part."}`),
		}, (*face).listTasks},
		{sdk.Tool{
			Name: runAgent, Title: "Run an agent",
			Description: "Ask an agent for something and wait for its answer." + runs,
			InputSchema: object(`"agent":{"type":"string","minLength":1,"description":"The id of the agent; list_agents has them."},`+asking, "agent", "prompt"),
		}, (*face).runAgent},
		{sdk.Tool{
			Name: "stop_task", Title: "Stop a task",
			Description: "Stop a task and all that it has begun. One that has ended stays as it is.",
			InputSchema: object(byTask, "task_id"),
		}, (*face).stopTask},
	}
}

const runAgent = "run_agent"

// agentTool is run_agent for one agent.
func agentTool(a agent.Agent) *sdk.Tool {
	about := "Ask the agent " + a.Record.Name + "."
	if d := a.Record.Description; d != nil && *d != "" {
		about = *d
	}
	return &sdk.Tool{Name: a.ID, Title: a.Record.Name, Description: about + runs, InputSchema: object(asking, "prompt")}
}

// isTool reports whether an agent can be a tool by its id.
func isTool(id string) bool {
	return !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || 'z' < r) && (r < 'A' || 'Z' < r) && (r < '0' || '9' < r) && !strings.ContainsRune("_.-", r)
	}) && !slices.ContainsFunc(fixed(), func(t tool) bool { return t.Name == id })
}

// agentsRead is how many agents stand in a part of a list.
const agentsRead = 100

// tools lists the tools: those of every key, and then the agents.
func (f *face) tools(ctx context.Context, p *sdk.ListToolsParams) (sdk.Result, error) {
	list := &sdk.ListToolsResult{Tools: []*sdk.Tool{}, Cacheable: sdk.Cacheable{CacheScope: private}}
	after := ""
	if p != nil && p.Cursor != "" {
		var err error
		if after, err = agentCursor(p.Cursor); err != nil {
			return nil, err
		}
	} else {
		for _, t := range fixed() {
			list.Tools = append(list.Tools, &t.Tool)
		}
	}
	if !f.AgentTools {
		return list, nil
	}
	agents, next, err := f.agents(ctx, after)
	for _, a := range agents {
		if isTool(a.ID) {
			list.Tools = append(list.Tools, agentTool(a))
		}
	}
	list.NextCursor = next
	return list, err
}

// agents reads a part of the agents, and the cursor of the next, "" at the end.
func (f *face) agents(ctx context.Context, after string) (part []agent.Agent, next string, err error) {
	part, err = f.Service.AgentsAfter(ctx, edge.Principal(ctx).Organization, after, agentsRead)
	if n := len(part); n > 0 { // the store ends a part early if it is long
		next = base64.RawURLEncoding.EncodeToString([]byte(part[n-1].ID))
	}
	return part, next, err
}

func agentCursor(text string) (after string, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || lifecycle.CheckID("", string(raw)) != nil {
		return "", fault.Field("cursor", "is none of this list")
	}
	return string(raw), nil
}

// call calls a tool. What the caller can mend is the tool's result, for the model to
// read; what is a fault of ours is an error of the protocol.
func (f *face) call(ctx context.Context, session *sdk.ServerSession, p *sdk.CallToolParamsRaw) (sdk.Result, error) {
	c := call{p.Arguments, session}
	if len(c.arguments) == 0 || string(c.arguments) == "null" {
		c.arguments = json.RawMessage("{}")
	}
	t, err := f.named(ctx, p.Name)
	if err != nil {
		return nil, err
	}
	var res sdk.Result
	input, _ := t.InputSchema.(json.RawMessage)
	if wrong := schema.CheckInput(input, string(c.arguments)); len(wrong) > 0 {
		err = fault.New(fault.Invalid, "%s", strings.Join(wrong, "; "))
	} else {
		res, err = t.do(f, ctx, c)
	}
	if err != nil {
		_, told := edge.Describe(ctx, f.Log, err)
		if ours(told.Code) {
			return nil, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: told.Detail}
		}
		told.Field = argument(told.Field)
		wrong := newResult(nil, sentence(told))
		wrong.IsError = true
		res = wrong
	}
	if r, is := res.(*result); is && !asked(ctx).modern() {
		r.Type = "" // old revisions know of none
	}
	return res, nil
}

// named finds a tool. That of an agent is run_agent with the agent given.
func (f *face) named(ctx context.Context, name string) (tool, error) {
	all := fixed()
	if i := slices.IndexFunc(all, func(t tool) bool { return t.Name == name }); i >= 0 {
		return all[i], nil
	}
	unknown := &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: fmt.Sprintf("there is no tool %q", name)}
	if !f.AgentTools || !isTool(name) {
		return tool{}, unknown
	}
	a, err := f.Service.Agent(ctx, edge.Principal(ctx).Organization, name, 0)
	if fault.CodeOf(err) == fault.NotFound {
		return tool{}, unknown
	}
	return tool{*agentTool(a), func(f *face, ctx context.Context, c call) (sdk.Result, error) {
		return f.run(ctx, c, a.ID)
	}}, err
}

// argument is the argument of a tool that a field of a submission comes from.
func argument(field string) string {
	for theirs, ours := range map[string]string{
		"agent_id": "agent", "input.text": "prompt", "input.files": "files", "id": "task_id", "Idempotency-Key": "idempotency_key",
	} {
		if rest, is := strings.CutPrefix(field, theirs); is && (rest == "" || rest[0] == '[') {
			return ours + rest
		}
	}
	return field
}

func (f *face) runAgent(ctx context.Context, c call) (sdk.Result, error) { return f.run(ctx, c, "") }

// run asks an agent, the named one if the arguments name none. Whoever takes a task for
// an answer gets that at once: it is stored.
func (f *face) run(ctx context.Context, c call, agentID string) (sdk.Result, error) {
	var a ask
	if err := json.Unmarshal(c.arguments, &a); err != nil {
		return nil, fault.New(fault.Invalid, "%v", err)
	}
	a.Agent = cmp.Or(agentID, a.Agent)
	made, err := f.Turns.Ask(ctx, edge.Caller(ctx), a.submission())
	if err != nil {
		return nil, err
	}
	if asked(ctx).tasks() {
		s, err := f.look(ctx, made.Turn)
		if err != nil {
			return nil, err
		}
		x, err := f.shown(ctx, s)
		return &createdTask{Type: "task", shown: x}, err
	}
	return f.awaited(ctx, c, made.Turn, a.Wait)
}

// submission is what is asked, as the service takes it.
func (a ask) submission() lifecycle.Submission {
	sub := lifecycle.Submission{
		Spec:  task.Spec{ID: a.TaskID, AgentID: a.Agent, Input: task.Input{Text: &a.Prompt, Files: a.Files}, EventsStreaming: true},
		State: task.State{Source: "mcp"},
		Route: "MCP " + runAgent,
	}
	if a.Key != "" {
		sub.Spec.IdempotencyKey = &a.Key
		a.Wait = nil // how long somebody waits changes nothing of what is asked
		sub.Body, _ = json.Marshal(a)
	}
	return sub
}

// seconds is how long a call is to wait.
func seconds(given *float64) time.Duration {
	if given == nil {
		return usualWait
	}
	return min(time.Duration(*given*float64(time.Second)), longestWait)
}
