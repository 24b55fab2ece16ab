package mcp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/errand-dev/errand/server/internal/tool"
)

const (
	// maxDescription bounds what a model is told of a tool, in bytes.
	maxDescription = 8 << 10
	// callKey is where a server finds the name of a call in the params' _meta: the same
	// if the call comes again.
	callKey = "errand.dev/call"
)

// tool is a tool of the server for a model.
func (p *peer) tool(server string, t *sdk.Tool) tool.Tool {
	twice := false
	if hints := t.Annotations; hints != nil {
		twice = hints.ReadOnlyHint || hints.IdempotentHint
	}
	described := t.Description
	if described == "" {
		described = t.Title
	}
	if len(described) > maxDescription {
		described = strings.ToValidUTF8(described[:maxDescription], "")
	}
	return tool.Tool{
		Name: nameOf(server, t.Name), Description: described, Input: inputOf(t.InputSchema), Idempotent: twice,
		Run: func(ctx context.Context, c tool.Call) (tool.Result, error) {
			params := &sdk.CallToolParams{Meta: sdk.Meta{callKey: c.TaskID + "/" + c.ID}, Name: t.Name, Arguments: c.Arguments}
			return p.run(ctx, params, twice)
		},
	}
}

// run calls a tool: whatever becomes of it is told to the model.
func (p *peer) run(ctx context.Context, params *sdk.CallToolParams, twice bool) (tool.Result, error) {
	ctx, f := p.withFate(ctx)
	r, unknown, err := p.call(ctx, params, twice)
	switch why := ""; {
	case err == nil && r.NeedsInput():
		return tool.Error("The tool asks for something that nobody can give it here."), nil
	case err == nil:
		return tool.Result{Text: p.clean(textOf(r)), IsError: r.IsError}, nil
	case unknown:
		why, _ = p.explain(err, f)
		return tool.Error(fmt.Sprintf("It is not known whether this call was carried out: the MCP server %s failed in the middle of it (%s). "+
			"Find out before you call it again, if calling it twice could do harm.", p.name, why)), nil
	default:
		why, _ = p.explain(err, f)
		if answered(err) == nil {
			why = fmt.Sprintf("Not carried out: the MCP server %s cannot be reached: %s", p.name, why)
		}
		return tool.Error(why), nil
	}
}

// nameOf is what a model calls a tool of a server: all providers take such names.
func nameOf(server, name string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		default:
			return '_'
		}
	}, server+"_"+name)
	if len(clean) <= tool.MaxName {
		return clean
	}
	return shortened(clean, server+"\x00"+name)
}

// shortened is a name with a mark of what it stands for.
func shortened(name, of string) string {
	sum := sha256.Sum256([]byte(of))
	mark := "_" + hex.EncodeToString(sum[:4])
	return name[:min(len(name), tool.MaxName-len(mark))] + mark
}

// distinguish gives tools that would be called the same names of their own.
func distinguish(tools []tool.Tool) {
	taken := map[string]bool{}
	for i := range tools {
		for n := 0; taken[tools[i].Name]; n++ {
			tools[i].Name = shortened(tools[i].Name, fmt.Sprint(tools[i].Name, n))
		}
		taken[tools[i].Name] = true
	}
}

// inputOf is the schema of a tool's arguments: without $schema, which some providers
// refuse, and always an object's.
func inputOf(schema any) json.RawMessage {
	members, _ := schema.(map[string]any)
	if members == nil {
		members = map[string]any{}
	}
	delete(members, "$schema")
	members["type"] = "object"
	raw, err := json.Marshal(members)
	if err != nil {
		return json.RawMessage(`{"type":"object"}`)
	}
	return raw
}

// textOf is what a tool answered, as text.
func textOf(r *sdk.CallToolResult) string {
	var parts []string
	for _, c := range r.Content {
		parts = append(parts, contentOf(c))
	}
	if len(parts) == 0 && r.StructuredContent != nil {
		if raw, err := json.Marshal(r.StructuredContent); err == nil {
			return string(raw)
		}
	}
	return strings.Join(parts, "\n")
}

func contentOf(c sdk.Content) string {
	switch c := c.(type) {
	case *sdk.TextContent:
		return c.Text
	case *sdk.ImageContent:
		return fmt.Sprintf("(An image, %s, of %d bytes: it cannot be shown here.)", c.MIMEType, len(c.Data))
	case *sdk.AudioContent:
		return fmt.Sprintf("(A sound, %s, of %d bytes: it cannot be heard here.)", c.MIMEType, len(c.Data))
	case *sdk.ResourceLink:
		return strings.TrimSpace(c.Name + " " + c.URI + " " + c.Description)
	case *sdk.EmbeddedResource:
		if c.Resource == nil {
			return ""
		}
		if c.Resource.Text == "" && len(c.Resource.Blob) > 0 {
			return fmt.Sprintf("(%s, %s, of %d bytes: it is no text.)", c.Resource.URI, c.Resource.MIMEType, len(c.Resource.Blob))
		}
		return c.Resource.URI + "\n" + c.Resource.Text
	default:
		return "(Something that cannot be shown here.)"
	}
}

// IsLasting reports whether an error says that a server cannot be used, now or later.
func IsLasting(err error) bool {
	u, is := errors.AsType[*UnreachableError](err)
	return is && u.Lasting
}
