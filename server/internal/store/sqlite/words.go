package sqlite

import (
	"strings"

	"github.com/errand-dev/errand/server/internal/search"
	"github.com/errand-dev/errand/server/internal/store/table"
)

// words is how FTS5 has words. Those of package search hold nothing but letters, marks
// and digits, so that none has to be escaped.
func words() table.Words {
	return table.Words{
		Said: func(words []string) string { return strings.Join(words, " ") },
		Match: func(words []string, q search.Query) string {
			var all []string
			for _, w := range words {
				all = append(all, `"`+w+`"`)
			}
			for _, term := range q.Terms {
				all = append(all, `"`+strings.Join(term, " ")+`"`)
			}
			return strings.Join(all, " AND ")
		},
	}
}
