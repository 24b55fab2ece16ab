package crash

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// metric reads one number of /metrics.
func metric(t *testing.T, c *client, name string) int {
	t.Helper()
	for line := range strings.Lines(string(c.must(t, http.StatusOK, http.MethodGet, "/metrics", nil).body)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}
