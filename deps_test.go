package errand_test

import (
	"os"
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
	if got := strings.TrimSpace(string(out)); got != "github.com/errand-dev/errand" {
		t.Errorf("beside the standard library it needs\n%s", got)
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mod), "require") {
		t.Errorf("its module needs others:\n%s", mod)
	}
}
