package cli

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"
)

// What deploy/ sets are variables that the server reads, its YAML is YAML, and what that has
// as arguments is a command line.
func TestDeployment(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&root{}, kong.Name("errand"), kong.Vars{"version": "x"})
	if err != nil {
		t.Fatal(err)
	}
	known := []string{"ERRAND_ADMIN_KEY", "ERRAND_SECRET_KEY", "ERRAND_DATABASE_PASSWORD"} // the last is compose's own
	for _, f := range find(t, parser.Model.Node, "serve").Flags {
		known = append(known, f.Envs...)
	}
	variable := regexp.MustCompile(`\bERRAND_[A-Z_]+`)
	n, lines := 0, 0
	err = filepath.WalkDir("../../../deploy", func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(name) == ".json" {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		n++
		for _, set := range variable.FindAllString(string(text), -1) {
			if !slices.Contains(known, set) {
				t.Errorf("%s: %s is no variable of 'errand serve'", name, set)
			}
		}
		if filepath.Ext(name) != ".yaml" {
			return nil
		}
		documents := yaml.NewDecoder(strings.NewReader(string(text)))
		for {
			var one map[string]any
			if err := documents.Decode(&one); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil || len(one) == 0 {
				t.Errorf("%s: %v, %v", name, one, err)
				return nil
			}
			for _, args := range argsIn(one) {
				lines++
				if _, err := parser.Parse(args); err != nil {
					t.Errorf("%s: errand %s: %v", name, strings.Join(args, " "), err)
				}
			}
		}
	})
	if err != nil || n < 4 || lines < 1 {
		t.Errorf("%d files and %d command lines were looked at: %v", n, lines, err)
	}
}

// Whatever stops a server leaves it its drain, and 20 s more.
func TestDeploymentLeavesTheDrain(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&root{}, kong.Name("errand"), kong.Vars{"version": "x"})
	if err != nil {
		t.Fatal(err)
	}
	flags := find(t, parser.Model.Node, "serve").Flags
	drain, err := time.ParseDuration(flags[slices.IndexFunc(flags, func(f *kong.Flag) bool { return f.Name == "drain" })].Default)
	if err != nil {
		t.Fatal(err)
	}
	for name, pattern := range map[string]string{
		"systemd/errand.service": `(?m)^TimeoutStopSec=(\d+)$`, "docker/compose.yaml": `stop_grace_period: (\d+)s`,
		"kubernetes/errand.yaml": `terminationGracePeriodSeconds: (\d+)`,
	} {
		text, err := os.ReadFile(filepath.Join("../../../deploy", name))
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(pattern).FindSubmatch(text)
		if found == nil {
			t.Errorf("%s leaves no time", name)
			continue
		}
		if left, err := time.ParseDuration(string(found[1]) + "s"); err != nil || left < drain+20*time.Second {
			t.Errorf("%s leaves %v to a drain of %v: %v", name, left, drain, err)
		}
	}
}

// argsIn finds the arguments of containers.
func argsIn(of any) (found [][]string) {
	switch of := of.(type) {
	case []any:
		for _, one := range of {
			found = append(found, argsIn(one)...)
		}
	case map[string]any:
		for name, value := range of {
			list, is := value.([]any)
			if name != "args" || !is {
				found = append(found, argsIn(value)...)
				continue
			}
			args := make([]string, len(list))
			for i, arg := range list {
				args[i], _ = arg.(string)
			}
			found = append(found, args)
		}
	}
	return found
}

// A release says its version: the linker sets the variable of that name.
func TestReleaseSaysItsVersion(t *testing.T) { //nolint:paralleltest // it sets a variable
	text, err := os.ReadFile("../../../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set := regexp.MustCompile(`-X (\S+)\.released=v\{\{ \.Version \}\}`).FindSubmatch(text)
	if set == nil || string(set[1]) != reflect.TypeFor[root]().PkgPath() {
		t.Errorf("the linker is told %q", set)
	}
	released = "v1.2.3"
	defer func() { released = "" }()
	if got := version(); got != "v1.2.3" {
		t.Errorf("it says %q", got)
	}
}
