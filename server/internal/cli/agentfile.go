package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/errand-dev/errand"
)

// readAgents reads the records of agents from a file, or from standard input
// for "-": YAML documents (JSON is YAML), each with one record or a list of
// them. An error has one line and names the place.
func readAgents(e *env, name string) ([]errand.Agent, error) {
	shown := name
	if name == "-" {
		shown = "standard input"
	}
	content, err := await(e, func() ([]byte, error) {
		if name == "-" {
			return io.ReadAll(e.In)
		}
		return os.ReadFile(name)
	})
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = fmt.Errorf("-f %s: %w", name, path.Err)
	}
	if err != nil {
		return nil, err
	}
	f := agentFile{name: shown, places: map[string]int{}}
	loader, err := yaml.NewLoader(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shown, err)
	}
	for {
		var doc yaml.Node
		if err := loader.Load(&doc); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", shown, err)
		}
		if err := f.document(doc.Content[0]); err != nil {
			return nil, err
		}
	}
	if len(f.agents) == 0 {
		return nil, fmt.Errorf("%s: has no agents", shown)
	}
	return f.agents, nil
}

// agentFile is what has been read of a file.
type agentFile struct {
	name   string
	agents []errand.Agent
	places map[string]int // lines, by agents' ids
}

func (f *agentFile) wrong(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", f.name, n.Line, fmt.Errorf(format, args...))
}

func (f *agentFile) document(n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		return f.record(n)
	}
	for _, item := range n.Content {
		if err := f.record(item); err != nil {
			return err
		}
	}
	return nil
}

func (f *agentFile) record(n *yaml.Node) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return f.wrong(n, "must be the record of an agent: id, name, runtime and so on")
	}
	if err := f.known(n, "", reflect.TypeFor[errand.Agent]()); err != nil {
		return err
	}
	var value any
	if err := n.Decode(&value); err != nil {
		return f.wrong(n, "%w", err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return f.wrong(n, "%w", err)
	}
	var a errand.Agent
	if err := json.Unmarshal(text, &a); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return f.wrong(n, "%s: a %s does not belong here", wrong.Field, wrong.Value)
		}
		return f.wrong(n, "%w", err)
	}
	if a.ID == "" {
		return f.wrong(n, "id: an agent needs one of your choice")
	}
	if line, twice := f.places[a.ID]; twice {
		return f.wrong(n, "id: %s stands in line %d already", a.ID, line)
	}
	if a.Name == "" {
		a.Name = a.ID
	}
	f.places[a.ID] = n.Line
	f.agents = append(f.agents, a)
	return nil
}

// known checks the keys of a mapping, and of those in it, against the fields of
// a type.
func (f *agentFile) known(n *yaml.Node, within string, t reflect.Type) error {
	fields := map[string]reflect.Type{}
	var names []string
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields[name] = field.Type
		names = append(names, name)
	}
	slices.Sort(names)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at, is := fields[key.Value]
		if !is {
			return f.wrong(key, "%s%s: there is no such key, only %s", within, key.Value, strings.Join(names, ", "))
		}
		if value.Kind == yaml.MappingNode && at.Kind() == reflect.Pointer && at.Elem().Kind() == reflect.Struct {
			if err := f.known(value, key.Value+".", at.Elem()); err != nil {
				return err
			}
		}
	}
	return nil
}
