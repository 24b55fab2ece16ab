package v1

import (
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/fault"
)

// checkQuery refuses parameters that cannot be read or that an operation has
// not, and an empty one that is no text: a script whose variable is not set
// would be answered as if it had asked for everything.
func checkQuery(hc huma.Context) error {
	u := hc.URL()
	if u.RawQuery == "" {
		return nil
	}
	parameters := hc.Operation().Parameters
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fault.Field("query", "cannot be read: a %% stands before two hexadecimal digits, and & between parameters")
	}
	for name, given := range query {
		at := slices.IndexFunc(parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name })
		switch {
		case at < 0:
			return fault.Field(name, "%s", unknownParameter(parameters))
		case len(given) > 1 && parameters[at].Schema.Type != huma.TypeArray:
			return fault.Field(name, "stands more than once")
		case !isText(parameters[at].Schema) && slices.Contains(given, ""):
			return fault.Field(name, "is empty: give it a value, or leave it out")
		}
	}
	return nil
}

func unknownParameter(parameters []*huma.Param) string {
	var known []string
	for _, p := range parameters {
		if p.In == "query" {
			known = append(known, p.Name)
		}
	}
	if len(known) == 0 {
		return "is unknown: there are no query parameters here"
	}
	return "is unknown: the query parameters here are " + strings.Join(known, ", ")
}

// isText reports whether a parameter takes any text.
func isText(s *huma.Schema) bool {
	return s.Type == huma.TypeString && s.Format == "" && len(s.Enum) == 0
}
