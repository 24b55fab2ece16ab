package v1

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// sampler makes values that follow the schemas of the document, for the page.
type sampler struct{ schemas map[string]*huma.Schema }

// sampleDepth is how many objects stand in each other.
const sampleDepth = 4

// sampled are values by the names of members and parameters.
var sampled = map[string]any{ //nolint:gochecknoglobals // a constant table
	"task_id": "task-456", "agent_id": "agent-123", "worker_id": "worker-1", "key_id": "key-1", "token_id": "token-1", "approval_id": "approval-1", "webhook_id": "wh_1",
	"file_id": "file-1", "organization_id": "default", "lease_token": "lease-1", "name": "report", "file": "sales.csv", "q": "invoices",
	"text": "Analyze the sales data", "title": "Sales", "result": "Sales are up.", "runtime": "worker",
}

// request is a body with the members that it must have or, where it need have none, one that
// it may have.
func (s sampler) request(schema *huma.Schema) string { return indented(s.value("", schema, true, 0)) }

// answer is a body with all members.
func (s sampler) answer(schema *huma.Schema) string { return indented(s.value("", schema, false, 0)) }

func indented(raw json.RawMessage) string {
	var out bytes.Buffer
	if json.Indent(&out, raw, "", "  ") != nil {
		return string(raw)
	}
	return out.String()
}

func (s sampler) value(name string, schema *huma.Schema, least bool, depth int) json.RawMessage {
	if schema.Ref != "" {
		schema = s.schemas[schemaName(schema)]
	}
	known, is := sampled[name]
	switch {
	case len(schema.Examples) > 0:
		return encoded(schema.Examples[0])
	case len(schema.Enum) > 0:
		return encoded(schema.Enum[0])
	case len(schema.AnyOf) > 0:
		return s.value(name, schema.AnyOf[0], least, depth)
	case len(schema.OneOf) > 0:
		return s.value(name, schema.OneOf[0], least, depth)
	case is && schema.Type == huma.TypeString:
		return encoded(known)
	}
	switch schema.Type {
	case huma.TypeString:
		return encoded(sampleText(schema))
	case huma.TypeInteger, huma.TypeNumber:
		if schema.Minimum != nil {
			return encoded(*schema.Minimum)
		}
		return encoded(1)
	case huma.TypeBoolean:
		return encoded(true)
	case huma.TypeArray:
		if depth == sampleDepth && (schema.MinItems == nil || *schema.MinItems == 0) {
			return encoded([]any{})
		}
		return slices.Concat([]byte("["), s.value(name, schema.Items, least, depth), []byte("]"))
	default:
		return s.object(schema, least, depth)
	}
}

func (s sampler) object(schema *huma.Schema, least bool, depth int) json.RawMessage {
	members := properties(schema)
	if least {
		required := slices.DeleteFunc(slices.Clone(members), func(p property) bool { return !p.Required })
		if members = alone(members); len(required) > 0 {
			members = required
		}
	}
	var out bytes.Buffer
	for _, p := range members {
		if !p.Required && depth >= sampleDepth {
			continue
		}
		if out.Len() > 0 {
			out.WriteByte(',')
		}
		out.Write(encoded(p.Name))
		out.WriteByte(':')
		out.Write(s.value(p.Name, p.Schema, least, depth+1))
	}
	return slices.Concat([]byte("{"), out.Bytes(), []byte("}"))
}

// alone is the member that a body has where it need have none: one that makes sense by
// itself, if there is one.
func alone(members []property) []property {
	for _, name := range []string{"text", "filter", "agent_id", "title"} {
		if i := slices.IndexFunc(members, func(p property) bool { return p.Name == name }); i >= 0 {
			return members[i : i+1]
		}
	}
	return members[:min(len(members), 1)]
}

func sampleText(schema *huma.Schema) string {
	switch schema.Format {
	case "date-time":
		return "2026-11-30T09:00:00Z"
	case "date":
		return "2026-11-30"
	case "uri":
		return "https://example.com/sales.csv"
	default:
		return "…"
	}
}

func encoded(v any) json.RawMessage {
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	lines.SetEscapeHTML(false)
	if lines.Encode(v) != nil { // what a document holds can be encoded
		return json.RawMessage("null")
	}
	return bytes.TrimSpace(out.Bytes())
}

// curl is a command that asks an operation.
func (s sampler) curl(op *huma.Operation) string {
	path, query := op.Path, ""
	for _, p := range op.Parameters {
		value, is := sampled[p.Name].(string)
		switch {
		case p.In == "path" && is:
			path = strings.ReplaceAll(path, "{"+p.Name+"}", value)
		case p.In == "query" && p.Required && is:
			query = "?" + p.Name + "=" + value
		}
	}
	command := []string{"curl"}
	if streams(op) {
		command = append(command, "-N", "-H 'Accept: text/event-stream'")
	}
	if op.Method != http.MethodGet {
		command = append(command, "-X "+op.Method)
	}
	command = append(command, `-H "x-api-key: $ERRAND_API_KEY"`, `"$ERRAND_URL`+path+query+`"`)
	switch body := op.RequestBody; {
	case body == nil:
	case schemaIn(body.Content) != nil:
		inQuotes := strings.ReplaceAll(s.request(schemaIn(body.Content)), "'", `'\''`)
		command = append(command, "-H 'Content-Type: application/json'", "-d '"+inQuotes+"'")
	default:
		command = append(command, "-H 'Content-Type: application/octet-stream'", "--data-binary @sales.csv")
	}
	return strings.Join(command, " ")
}

// streams reports whether an operation's answer is a stream and nothing else.
func streams(op *huma.Operation) bool {
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		if content := op.Responses[status].Content; status < "300" && content["text/event-stream"] != nil {
			return content["application/json"] == nil
		}
	}
	return false
}
