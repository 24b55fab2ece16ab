package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// H1: the words of each face are reserved, and no two faces have the same.
func TestH1Faces(t *testing.T) {
	t.Parallel()
	s := newServer(Options{Metrics: http.NotFoundHandler(), Cookie: edge.SessionCookie{Name: "errand_test"}})
	of := map[string]int{}
	for i, f := range s.faces {
		if len(f.Words) == 0 || f.Register == nil || f.Fail == nil {
			t.Errorf("face %d lacks something: %+v", i, f)
		}
		for _, word := range f.Words {
			if other, twice := of[word]; twice {
				t.Errorf("%s is of the faces %d and %d", word, other, i)
			}
			of[word] = i
			if !auth.Reserved(word) {
				t.Errorf("an organization may be called %s", word)
			}
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "/"+word+"/x", http.NoBody)
			if got := s.face(r); got == nil || strings.Join(got.Words, " ") != strings.Join(f.Words, " ") {
				t.Errorf("/%s/x is led to %v", word, got)
			}
		}
	}
}
