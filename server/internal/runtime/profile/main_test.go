package profile

import (
	"os"
	"testing"

	"github.com/errand-dev/errand/server/internal/tabular"
)

func TestMain(m *testing.M) {
	if code, mine := tabular.Serve(os.Args[1:]); mine {
		os.Exit(code)
	}
	os.Exit(m.Run())
}
