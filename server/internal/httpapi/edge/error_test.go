package edge

import (
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
)

// H7: a caller who is to come again is told when, in whole seconds.
func TestH7RetryAfter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		want   string
	}{
		{fault.New(fault.Unavailable, "not now"), 503, "1"},
		{fault.New(fault.RateLimited, "not so fast"), 429, "1"},
		{&fault.Error{Code: fault.RateLimited, RetryAfter: 1500 * time.Millisecond}, 429, "2"},
		{fault.New(fault.Conflict, "no"), 409, ""},
		{errors.New("oops"), 500, ""},
	} {
		w := httptest.NewRecorder()
		WriteError(t.Context(), w, slog.New(slog.DiscardHandler), c.err)
		if got := w.Header().Get("Retry-After"); w.Code != c.status || got != c.want {
			t.Errorf("%v: %d, Retry-After %q, want %q", c.err, w.Code, got, c.want)
		}
	}
}
