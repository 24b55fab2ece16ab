package v1

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/deliver"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/task"
)

const about = `Durable tasks for AI agents. A task is created for an agent, waits for a worker, is executed, and ends; everything that happens
is an event of its log, which can be read and followed from any point.

Send your key in the header ` + "`x-api-key`" + `. Bodies are JSON; an optional member that is null counts as left out. Errors have one form: ` + "`detail`" + ` for people, ` + "`code`" + ` from a closed list for
programs, ` + "`field`" + ` where one was wrong, and ` + "`request_id`" + `, which names the request in the server's log.

A key sees the tasks and files of its own, of its group, or all of its organization; what it does not see is not there. A key that is trusted may name the user for
whom it acts in the header ` + "`X-Errand-User`" + `: at most 128 bytes. What it makes is then that user's.`

func tags() []*huma.Tag {
	return []*huma.Tag{
		{Name: "invoke", Description: "Ask an agent, and wait, follow, or come back later."},
		{Name: "tasks", Description: "Create, read, change and end tasks."},
		{Name: "threads", Description: "Tasks as conversations."},
		{Name: "events", Description: "The log of a task, by pages or live."},
		{Name: "steps", Description: "What the attempts of a turn have committed, for those after them."},
		{Name: "outputs", Description: "The files that the attempts of a task have written."},
		{Name: "approvals", Description: "What attempts ask of people, and the answers."},
		{Name: "server", Description: "What the server says of itself."},
		{Name: "workers", Description: "The worker protocol: claim, heartbeat, events, finish. docs/WORKER_PROTOCOL.md has a complete worker in a dozen lines."},
		{Name: "agents", Description: "Who executes tasks, and how."},
		{Name: "files", Description: "Files for tasks to read."},
		{Name: "keys", Description: "Who may do what."},
		{Name: "usage", Description: "What was spent, and what may be."},
		{Name: "stats", Description: "What happened to tasks over time."},
		{Name: "webhooks", Description: "Addresses that are told of tasks, by messages in the form of Standard Webhooks."},
		{Name: "session", Description: "Browsers that are signed in, with a key or as a person."},
	}
}

// operation is a route with the roles that may use it.
type operation struct {
	huma.Operation
	roles []auth.Role
	// shared operations may be done with a token that reads their task.
	shared bool
	// open operations need no key.
	open bool
	// also are statuses that answer the same body as the usual one.
	also []int
	// errors are the codes that only this operation answers, beside those
	// that any one may.
	errors []fault.Code
}

func users() []auth.Role     { return []auth.Role{auth.User} }
func workers() []auth.Role   { return []auth.Role{auth.Worker} }
func everybody() []auth.Role { return []auth.Role{auth.User, auth.Worker} }
func admins() []auth.Role    { return nil }

// describe says in the document who may use an operation and which errors it
// answers.
func (r *routes) describe(op *operation, hasBody bool) {
	roles := []string{string(auth.Admin)}
	for _, role := range op.roles {
		roles = append(roles, string(role))
	}
	allowed := "Roles: " + strings.Join(roles, ", ") + "."
	if op.open {
		allowed, op.Security = "No key is needed.", []map[string][]string{}
	}
	if op.shared {
		allowed += " Or a token for the task."
		op.Security = []map[string][]string{{"key": {}}, {"session": {}}, {"token": {}}}
		op.Parameters = append(slices.Clip(op.Parameters), &huma.Param{
			Name: edge.TokenParameter, In: "query", Schema: &huma.Schema{Type: huma.TypeString},
			Description: "A token for the task, in the place of a key: for pages, which can send an EventSource's request no header.",
		})
	}
	op.Description = strings.TrimSpace(op.Description + "\n\n" + allowed)
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	codes := append([]fault.Code{fault.Unauthenticated, fault.Forbidden, fault.Invalid, fault.Internal, fault.Unavailable}, op.errors...)
	if hasBody {
		codes = append(codes, fault.Malformed, fault.TooLarge)
	}
	if strings.Contains(op.Path, "{task_id}") {
		codes = append(codes, fault.NotFound)
	}
	for _, code := range codes {
		op.Responses[strconv.Itoa(code.Status())] = r.errorResponse(code)
	}
}

func (r *routes) errorResponse(code fault.Code) *huma.Response {
	res := &huma.Response{
		Description: "`" + string(code) + "`: " + meaning(code),
		Content: map[string]*huma.MediaType{"application/json": {
			Schema: schemaOf[Error](r),
			Example: map[string]any{
				"detail": meaning(code), "code": code, "request_id": "5b0d6f2e-8c1f-4f0e-9a57-2f7d3c1e9b64",
			},
		}},
	}
	if code == fault.RateLimited || code == fault.Unavailable {
		least := 1.0
		res.Headers = map[string]*huma.Param{"Retry-After": {
			Description: "Seconds after which to try again.",
			Schema:      &huma.Schema{Type: huma.TypeInteger, Minimum: &least},
		}}
	}
	return res
}

// meaning says what an error's code means.
func meaning(code fault.Code) string {
	switch code {
	case fault.Malformed:
		return "The request cannot be read: its JSON is broken, or a cursor is none."
	case fault.Unauthenticated:
		return "There is no key, or one that is not valid here."
	case fault.Forbidden:
		return "The key's role does not allow this, or it is for other agents."
	case fault.NotFound:
		return "There is no such thing in the key's organization."
	case fault.MethodNotAllowed:
		return "The path is there, but not with this method; the header Allow lists those that are."
	case fault.Conflict:
		return "The present state does not allow it."
	case fault.Gone:
		return "It was there once and cannot come back."
	case fault.TooLarge:
		return "The body or a value in it exceeds a limit."
	case fault.Invalid:
		return "A field's value is not acceptable; field names it."
	case fault.RateLimited:
		return "The queue is full, or the key creates tasks too fast."
	case fault.Internal:
		return "Something went wrong in the server; its log has the cause."
	case fault.Unimplemented:
		return "The server does not offer this."
	case fault.Unavailable:
		return "The server cannot answer now."
	}
	return ""
}

// repeat documents the statuses that answer the same body as the usual one.
func (r *routes) repeat(op operation) {
	item := r.api.OpenAPI().Paths[op.Path]
	for _, registered := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
		if registered == nil || registered.OperationID != op.OperationID {
			continue
		}
		usual := registered.Responses[strconv.Itoa(registered.DefaultStatus)]
		for _, status := range op.also {
			same := *usual
			same.Description = http.StatusText(status)
			registered.Responses[strconv.Itoa(status)] = &same
		}
	}
}

// schemaOf is the schema of a type by reference.
func schemaOf[T any](r *routes) *huma.Schema {
	return r.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

// Error documents edge.Body.
type Error edge.Body

// explain says of every property what it is, where its type did not.
func (r *routes) explain() {
	doc := r.api.OpenAPI()
	doc.Tags = tags()
	known := glossary()
	for _, schema := range doc.Components.Schemas.Map() {
		for name, property := range schema.Properties {
			if property.Description == "" {
				property.Description = known[name]
			}
		}
	}
}

// oneOf is a schema for a text from a closed list.
func oneOf[T ~string](description string, values []T) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, Description: description}
	for _, v := range values {
		s.Enum = append(s.Enum, string(v))
	}
	return s
}

// documented replaces types of other packages, which know nothing of this
// document, by ones that describe them.
func documented(registry huma.Registry) {
	registry.RegisterTypeAlias(reflect.TypeFor[task.Stamp](), reflect.TypeFor[moment]())
	registry.RegisterTypeAlias(reflect.TypeFor[task.EndReason](), reflect.TypeFor[endReason]())
	registry.RegisterTypeAlias(reflect.TypeFor[task.Status](), reflect.TypeFor[status]())
	registry.RegisterTypeAlias(reflect.TypeFor[task.Type](), reflect.TypeFor[eventType]())
	registry.RegisterTypeAlias(reflect.TypeFor[fault.Code](), reflect.TypeFor[code]())
	registry.RegisterTypeAlias(reflect.TypeFor[agent.Credentials](), reflect.TypeFor[credentials]())
	registry.RegisterTypeAlias(reflect.TypeFor[task.ResultCheck](), reflect.TypeFor[resultCheck]())
	registry.RegisterTypeAlias(reflect.TypeFor[task.Budget](), reflect.TypeFor[budget]())
	registry.RegisterTypeAlias(reflect.TypeFor[task.Caps](), reflect.TypeFor[caps]())
	registry.RegisterTypeAlias(reflect.TypeFor[task.CheckState](), reflect.TypeFor[checkState]())
	registry.RegisterTypeAlias(reflect.TypeFor[task.ApprovalKind](), reflect.TypeFor[approvalKind]())
	registry.RegisterTypeAlias(reflect.TypeFor[task.ApprovalState](), reflect.TypeFor[approvalState]())
	registry.RegisterTypeAlias(reflect.TypeFor[deliver.MessageType](), reflect.TypeFor[messageType]())
	registry.RegisterTypeAlias(reflect.TypeFor[task.Answer](), reflect.TypeFor[answer]())
	registry.RegisterTypeAlias(reflect.TypeFor[agent.Tool](), reflect.TypeFor[builtin]())
}

// resultCheck documents task.ResultCheck in its place, where it may be null, like
// credentials.
type resultCheck struct{}

// Schema implements huma.SchemaProvider.
func (resultCheck) Schema(r huma.Registry) *huma.Schema {
	type plain task.ResultCheck
	s := huma.SchemaFromType(r, reflect.TypeFor[plain]())
	s.Nullable = true
	return s
}

// budget documents task.Budget in its place, where it may be null, like credentials.
type budget struct{}

// Schema implements huma.SchemaProvider.
func (budget) Schema(r huma.Registry) *huma.Schema {
	type plain task.Budget
	s := huma.SchemaFromType(r, reflect.TypeFor[plain]())
	s.Nullable = true
	return s
}

// caps documents task.Caps in its place, where it may be null, like credentials.
type caps struct{}

// Schema implements huma.SchemaProvider.
func (caps) Schema(r huma.Registry) *huma.Schema {
	type plain task.Caps
	s := huma.SchemaFromType(r, reflect.TypeFor[plain]())
	s.Nullable = true
	return s
}

// checkState documents task.CheckState.
type checkState struct{}

// Schema implements huma.SchemaProvider.
func (checkState) Schema(huma.Registry) *huma.Schema {
	return oneOf("repaired is valid, after the result had been sent back.", task.CheckStates())
}

// builtin documents agent.Tool.
type builtin struct{}

// Schema implements huma.SchemaProvider.
func (builtin) Schema(huma.Registry) *huma.Schema {
	return oneOf("A built-in tool, which may be several for the model.", agent.Tools())
}

// approvalKind documents task.ApprovalKind.
type approvalKind struct{}

// Schema implements huma.SchemaProvider.
func (approvalKind) Schema(huma.Registry) *huma.Schema {
	return oneOf("Whether a yes is asked for, or an answer.", task.ApprovalKinds())
}

// approvalState documents task.ApprovalState.
type approvalState struct{}

// Schema implements huma.SchemaProvider.
func (approvalState) Schema(huma.Registry) *huma.Schema {
	return oneOf("open until it is answered; expired when nobody has in time and there was no default; closed when its turn has ended before.", task.ApprovalStates())
}

// messageType documents deliver.MessageType.
type messageType struct{}

// Schema implements huma.SchemaProvider.
func (messageType) Schema(huma.Registry) *huma.Schema {
	return oneOf("What a message tells: that a turn has come to a status, or that people are asked something.", deliver.MessageTypes())
}

// answer documents task.Answer.
type answer struct{}

// Schema implements huma.SchemaProvider.
func (answer) Schema(huma.Registry) *huma.Schema {
	return oneOf("approve or decline.", task.Answers())
}

// credentials documents agent.Credentials in its place, where it may be null: a
// schema by reference may not.
type credentials struct{}

// Schema implements huma.SchemaProvider.
func (credentials) Schema(r huma.Registry) *huma.Schema {
	type plain agent.Credentials
	return huma.SchemaFromType(r, reflect.TypeFor[plain]())
}

// moment documents task.Stamp.
type moment struct{}

// Schema implements huma.SchemaProvider.
func (moment) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Nullable: true}
}

// endReason documents task.EndReason.
type endReason struct{}

// Schema implements huma.SchemaProvider.
func (endReason) Schema(huma.Registry) *huma.Schema {
	s := oneOf("Why the turn ended; null while it has not.", task.EndReasons())
	s.Nullable = true
	s.Enum = append(s.Enum, nil)
	return s
}

// status documents task.Status.
type status struct{}

// Schema implements huma.SchemaProvider.
func (status) Schema(huma.Registry) *huma.Schema {
	return oneOf("Where the task stands; the last four have ended.", task.Statuses())
}

// eventType documents task.Type.
type eventType struct{}

// Schema implements huma.SchemaProvider.
func (eventType) Schema(huma.Registry) *huma.Schema {
	return oneOf("What kind of event it is.", task.Types())
}

// code documents fault.Code.
type code struct{}

// Schema implements huma.SchemaProvider.
func (code) Schema(huma.Registry) *huma.Schema {
	return oneOf("The kind of error, from a closed list.", fault.Codes())
}

// either is an answer of one of two forms.
type either[A, B any] struct{ form any }

// MarshalJSON writes the form.
func (x either[A, B]) MarshalJSON() ([]byte, error) { return json.Marshal(x.form) }

// Schema implements huma.SchemaProvider.
func (either[A, B]) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{AnyOf: []*huma.Schema{r.Schema(reflect.TypeFor[A](), true, ""), r.Schema(reflect.TypeFor[B](), true, "")}}
}

// Schema implements huma.SchemaProvider.
func (Counted) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{}, AdditionalProperties: false}
	for _, status := range task.Statuses() {
		s.Properties[string(status)] = &huma.Schema{Type: huma.TypeInteger, Description: "How many are " + string(status) + "."}
	}
	return s
}

// Schema implements huma.SchemaProvider.
func (StatsEnds) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{}, AdditionalProperties: false}
	for _, reason := range task.EndReasons() {
		s.Properties[string(reason)] = &huma.Schema{Type: huma.TypeInteger, Description: "How many ended so."}
	}
	return s
}

// orNull documents an object that may be null.
type orNull[T any] struct{}

// Schema implements huma.SchemaProvider.
func (orNull[T]) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{AnyOf: []*huma.Schema{r.Schema(reflect.TypeFor[T](), true, ""), {Type: "null"}}}
}

// orNone is an object, or null for nil.
type orNone[T any] struct{ Value *T }

// MarshalJSON implements json.Marshaler.
func (x orNone[T]) MarshalJSON() ([]byte, error) { return json.Marshal(x.Value) }

// Schema implements huma.SchemaProvider.
func (orNone[T]) Schema(r huma.Registry) *huma.Schema { return orNull[T]{}.Schema(r) }

// eventKind is the type of an event that may be appended (rule T6).
type eventKind string

// Schema implements huma.SchemaProvider.
func (eventKind) Schema(huma.Registry) *huma.Schema {
	s := oneOf("What kind of event it is.", slices.DeleteFunc(task.Types(), func(t task.Type) bool { return !t.Writable() }))
	s.PrecomputeMessages()
	return s
}
