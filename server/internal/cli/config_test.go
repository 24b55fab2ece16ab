package cli

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestConfigurationDocument keeps docs/CONFIGURATION.md equal to the flags.
func TestConfigurationDocument(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&root{}, kong.Name("errand"), kong.Vars{"version": "x"})
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| option | environment | default | |\n| --- | --- | --- | --- |\n")
	for _, command := range parser.Model.Children {
		if command.Name != "serve" {
			continue
		}
		for _, f := range command.Flags {
			if len(f.Envs) == 0 { // --help
				continue
			}
			standard := ""
			if f.Default != "" {
				standard = "`" + f.Default + "`"
			}
			fmt.Fprintf(&table, "| `%s` | `%s` | %s | %s |\n", f.Name, strings.Join(f.Envs, "`, `"), standard, f.Help)
		}
	}
	text, err := os.ReadFile("../../../docs/CONFIGURATION.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), table.String()) {
		t.Errorf("docs/CONFIGURATION.md must have this table:\n%s", table.String())
	}
}
