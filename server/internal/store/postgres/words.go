package postgres

import (
	"fmt"
	"strings"

	"github.com/errand-dev/errand/server/internal/search"
	"github.com/errand-dev/errand/server/internal/store/table"
)

// maxPosition is the last place that a word of a tsvector may have: those behind it
// have it, too.
const maxPosition = 16383

// words is how a tsvector has words. Those of package search hold nothing but letters,
// marks and digits, so that none has to be escaped.
func words() table.Words {
	return table.Words{
		Said: func(words []string) string {
			var said strings.Builder
			for i, w := range words {
				fmt.Fprintf(&said, "'%s':%d ", w, min(i+1, maxPosition))
			}
			return said.String()
		},
		Match: func(words []string, q search.Query) string {
			var all []string
			for _, w := range words {
				all = append(all, "'"+w+"'")
			}
			for _, term := range q.Terms {
				all = append(all, "('"+strings.Join(term, "' <-> '")+"')")
			}
			return strings.Join(all, " & ")
		},
	}
}
