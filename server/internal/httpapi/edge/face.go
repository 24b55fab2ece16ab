package edge

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
)

// Face is a protocol in which the server is spoken to. All that is special about it
// is in its own folder; the server has a list of them.
type Face struct {
	// Words are the first words of its paths. No organization may have such a name
	// (auth.Reserved).
	Words []string
	// Register adds its routes to the server's.
	Register func(*http.ServeMux)
	// Open reports whether a request needs no key of ours; left out, each needs one.
	Open func(*http.Request) bool
	// Lists are the parameters that may stand more than once; its routes refuse them where
	// they are no lists.
	Lists []string
	// Fail answers an error that is met before a route is: no key, no such path.
	Fail func(http.ResponseWriter, *http.Request, *slog.Logger, error)
}

// Has reports whether a request is for the face.
func (f *Face) Has(r *http.Request) bool {
	word, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return slices.Contains(f.Words, word)
}
