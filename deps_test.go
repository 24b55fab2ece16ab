package errand_test

import (
	"os/exec"
	"strings"
	"testing"
)

// Whoever imports the client gets nothing but the standard library with it.
func TestStandardLibraryOnly(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	packages := strings.Fields(string(out))
	const module = "github.com/errand-dev/errand"
	for _, p := range packages {
		if p != module && !strings.HasPrefix(p, module+"/internal/") {
			t.Errorf("the client needs %s", p)
		}
	}
	if len(packages) == 0 || packages[len(packages)-1] != module {
		t.Errorf("listed: %q", packages)
	}
}
