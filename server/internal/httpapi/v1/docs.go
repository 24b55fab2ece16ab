package v1

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

//go:embed docs.html
var docsPage string

//go:embed docs.js
var docsScript string

// registerDocs serves the document as a page to read, which asks nobody for anything.
// Like a static file it holds nothing of anybody's. Its only script is the search.
func (r *routes) registerDocs(mux *http.ServeMux) {
	page, err := renderDocs(r.api.OpenAPI())
	script := sha256.Sum256([]byte(docsScript))
	policy := "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(script[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	mux.HandleFunc("GET /v1/docs", func(w http.ResponseWriter, req *http.Request) {
		if err != nil {
			edge.WriteError(req.Context(), w, r.Log, err)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(page) // a reader who has gone misses nothing
	})
}

// docsOperation is an operation as the page shows it.
type docsOperation struct {
	*huma.Operation
	Body    *huma.Schema
	Answers []docsAnswer
	Curl    string
}

// docsAnswer is what an operation may answer.
type docsAnswer struct {
	Status string
	*huma.Response
	Schema *huma.Schema
	Sample string // of one that says that all is well
}

// docsGroup is the operations of one tag.
type docsGroup struct {
	*huma.Tag
	Operations []docsOperation
}

// renderDocs makes the page.
func renderDocs(doc *huma.OpenAPI) ([]byte, error) {
	page, err := template.New("docs").Funcs(template.FuncMap{
		"type": typeOf, "name": schemaName, "properties": properties, "paragraphs": paragraphs, "inline": inline,
	}).Parse(docsPage)
	if err != nil {
		return nil, fmt.Errorf("read the page: %w", err)
	}
	var out bytes.Buffer
	err = page.Execute(&out, map[string]any{
		"Script": template.JS(docsScript), //nolint:gosec // it is ours
		"Info":   doc.Info, "Groups": docsGroups(doc), "Schemas": doc.Components.Schemas.Map(),
	})
	if err != nil {
		return nil, fmt.Errorf("make the page: %w", err)
	}
	return out.Bytes(), nil
}

func docsGroups(doc *huma.OpenAPI) []docsGroup {
	samples := sampler{doc.Components.Schemas.Map()}
	var groups []docsGroup
	for _, tag := range doc.Tags {
		g := docsGroup{Tag: tag}
		for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
			item := doc.Paths[path]
			for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
				if op != nil && slices.Contains(op.Tags, tag.Name) {
					g.Operations = append(g.Operations, docsOperationOf(op, samples))
				}
			}
		}
		groups = append(groups, g)
	}
	return groups
}

func docsOperationOf(op *huma.Operation, samples sampler) docsOperation {
	x := docsOperation{Operation: op, Curl: samples.curl(op)}
	if op.RequestBody != nil {
		x.Body = schemaIn(op.RequestBody.Content)
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		res := op.Responses[status]
		answer := docsAnswer{Status: status, Response: res, Schema: schemaIn(res.Content)}
		if answer.Schema != nil && status < "300" {
			answer.Sample = samples.answer(answer.Schema)
		}
		x.Answers = append(x.Answers, answer)
	}
	return x
}

// schemaIn is the schema of a content, that of JSON if there is one.
func schemaIn(content map[string]*huma.MediaType) *huma.Schema {
	if m := content["application/json"]; m != nil {
		return m.Schema
	}
	return nil
}

// schemaName is the name of the schema that is referred to, "" if none is.
func schemaName(s *huma.Schema) string {
	switch {
	case s == nil:
		return ""
	case s.Ref != "":
		return s.Ref[strings.LastIndex(s.Ref, "/")+1:]
	case s.Items != nil:
		return schemaName(s.Items)
	}
	for _, one := range s.AnyOf {
		if name := schemaName(one); name != "" {
			return name
		}
	}
	if additional, ok := s.AdditionalProperties.(*huma.Schema); ok {
		return schemaName(additional)
	}
	return ""
}

// typeOf says in a few words what a value is.
func typeOf(s *huma.Schema) string {
	text := s.Type
	switch {
	case s.Ref != "":
		return schemaName(s)
	case s.Items != nil:
		text = "list of " + typeOf(s.Items)
	case len(s.AnyOf) > 0:
		var all []string
		for _, one := range s.AnyOf {
			all = append(all, typeOf(one))
		}
		text = strings.Join(all, " or ")
	case text == "":
		text = "any JSON"
	}
	if additional, ok := s.AdditionalProperties.(*huma.Schema); ok {
		text = "object of " + typeOf(additional)
	}
	if s.Format != "" && text == huma.TypeString {
		text = s.Format
	}
	if s.Nullable {
		text += " or null"
	}
	return text
}

// property is a member of an object.
type property struct {
	Name     string
	Required bool
	*huma.Schema
}

// properties lists the members of an object: those that must be there first.
func properties(s *huma.Schema) []property {
	var all []property
	for name, p := range s.Properties {
		all = append(all, property{Name: name, Required: slices.Contains(s.Required, name), Schema: p})
	}
	slices.SortFunc(all, func(a, b property) int {
		if a.Required != b.Required {
			if a.Required {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all
}

// paragraphs are the paragraphs of a description.
func paragraphs(text string) []template.HTML {
	var all []template.HTML
	for p := range strings.SplitSeq(text, "\n\n") {
		all = append(all, inline(p))
	}
	return all
}

// inline renders a text in which `code` stands between backticks.
func inline(text string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(text, "`") {
		part = template.HTMLEscapeString(part)
		if i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		b.WriteString(part)
	}
	return template.HTML(b.String()) //nolint:gosec // every part is escaped
}
