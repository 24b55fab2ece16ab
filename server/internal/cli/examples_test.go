package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestExamples: every command has examples, and each is a command line of that command.
func TestExamples(t *testing.T) { //nolint:paralleltest // it sets the environment
	for _, variable := range os.Environ() { // a test must not take flags from there
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "ERRAND_") {
			t.Setenv(name, "")
		}
	}
	parser, err := kong.New(&root{}, kong.Name("errand"), kong.Vars{"version": "x"})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range parser.Model.Leaves(true) {
		lines := examples[words(n)]
		if lines == "" {
			t.Errorf("errand %s has no example", words(n))
		}
		for line := range strings.Lines(lines) {
			typed := typed(line)
			if len(typed) == 0 || typed[0] != "errand" {
				t.Errorf("%q is no command line of errand", line)
				continue
			}
			fresh, err := kong.New(&root{}, kong.Name("errand"), kong.Vars{"version": "x"})
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := fresh.Parse(typed[1:])
			if err != nil {
				t.Errorf("%s: %v", line, err)
			} else if got := words(parsed.Selected()); got != words(n) {
				t.Errorf("%s: is an example of %q, and not of %q", line, got, words(n))
			}
		}
	}
	if len(parser.Model.Leaves(true)) != len(examples) {
		t.Errorf("%d commands, but examples of %d", len(parser.Model.Leaves(true)), len(examples))
	}
}

// word is one of a shell's: bare, or in quotation marks.
var word = regexp.MustCompile(`"[^"]*"|'[^']*'|[^ \n]+`)

// typed are the words of errand itself in a line for a shell.
func typed(line string) (typed []string) {
	for _, w := range word.FindAllString(line, -1) {
		switch w {
		case "|":
			if len(typed) > 0 && typed[0] == "errand" {
				return typed
			}
			typed = nil
			continue
		case ">", "<":
			return typed
		}
		typed = append(typed, strings.Trim(w, `"'`))
	}
	return typed
}
