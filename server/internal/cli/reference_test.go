package cli

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var update = flag.Bool("update", false, "write the reference into docs/CLI.md") //nolint:gochecknoglobals // how a test gets a flag

const referenceHeading = "## Reference\n"

// TestReference keeps docs/CLI.md equal to the command line.
// "go test ./internal/cli -run TestReference -update" writes it.
func TestReference(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&root{}, kong.Name("errand"), kong.Vars{"version": "x"})
	if err != nil {
		t.Fatal(err)
	}
	var reference strings.Builder
	reference.WriteString(referenceHeading)
	reference.WriteString("\nCommands with **(server)** also take the flags that say which server they talk to:\n\n| | |\n| --- | --- |\n")
	for _, f := range find(t, parser.Model.Node, "task", "get").Flags {
		if f.Group != nil {
			row(&reference, f)
		}
	}
	for _, command := range parser.Model.Children {
		describe(&reference, command)
	}
	const name = "../../../docs/CLI.md"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	prose, written, _ := strings.Cut(string(text), referenceHeading)
	if written = referenceHeading + written; written == reference.String() {
		return
	}
	if !*update {
		t.Fatalf("%s does not say what the command line is: run this test with -update", name)
	}
	if err := os.WriteFile(name, []byte(prose+reference.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// describe writes a command and those below it.
func describe(w *strings.Builder, n *kong.Node) {
	if n.Hidden {
		return
	}
	if len(n.Children) > 0 {
		for _, child := range n.Children {
			describe(w, child)
		}
		return
	}
	fmt.Fprintf(w, "\n### errand %s\n\n%s", strings.TrimPrefix(n.Summary(), "errand "), n.Help)
	if slices.ContainsFunc(n.Flags, grouped) {
		w.WriteString(" **(server)**")
	}
	w.WriteString("\n")
	if n.Detail != "" {
		fmt.Fprintf(w, "%s\n", n.Detail)
	}
	fmt.Fprintf(w, "\n```sh\n%s\n```\n", examples[words(n)])
	if n.Name == "serve" {
		w.WriteString("\nIts flags are in [CONFIGURATION.md](CONFIGURATION.md).\n")
		return
	}
	flags := slices.DeleteFunc(slices.Clone(n.Flags), func(f *kong.Flag) bool { return f.Hidden || f.Name == "help" || grouped(f) })
	if len(n.Positional)+len(flags) > 0 {
		w.WriteString("\n| | |\n| --- | --- |\n")
	}
	for _, p := range n.Positional {
		fmt.Fprintf(w, "| `%s` | %s |\n", p.Summary(), p.Help)
	}
	for _, f := range flags {
		row(w, f)
	}
}

func grouped(f *kong.Flag) bool { return f.Group != nil }

func row(w *strings.Builder, f *kong.Flag) {
	fmt.Fprintf(w, "| `%s` | %s", strings.ReplaceAll(f.String(), "|", "\\|"), f.Help)
	for _, name := range f.Envs {
		fmt.Fprintf(w, " `%s`", name)
	}
	w.WriteString(" |\n")
}

// find finds a command by its words.
func find(t *testing.T, n *kong.Node, words ...string) *kong.Node {
	t.Helper()
	for _, word := range words {
		i := slices.IndexFunc(n.Children, func(child *kong.Node) bool { return child.Name == word })
		if i < 0 {
			t.Fatalf("no command %q", words)
		}
		n = n.Children[i]
	}
	return n
}
