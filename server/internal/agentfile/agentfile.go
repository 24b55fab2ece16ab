// Package agentfile reads the records of agents from files: YAML documents (JSON is
// YAML), each with one record or a list of them. Whatever is wrong with a file is an
// error of one line that names the file, the line and the field.
package agentfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/errand-dev/errand/server/internal/agent"
)

// Agent is the record of an agent in a file.
type Agent struct {
	ID string
	// JSON is the record as PUT /v1/agents/{id} takes it. It may hold secrets.
	JSON json.RawMessage

	file string
	node *yaml.Node
}

// Read reads a file, or the files of a folder whose names end in .yaml, .yml or .json,
// in the order of their names. Ids must differ over all of them.
func Read(path string) ([]Agent, error) {
	names := []string{path}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		names, err = within(path)
	}
	if err != nil {
		return nil, about(path, err)
	}
	r := reader{places: map[string]place{}}
	for _, name := range names {
		content, err := os.ReadFile(name) //nolint:gosec // the operator names it
		if err != nil {
			return nil, about(name, err)
		}
		if err := r.file(name, content); err != nil {
			return nil, err
		}
	}
	return r.found(path)
}

// Parse reads the content of a file; name is what errors call it.
func Parse(name string, content []byte) ([]Agent, error) {
	r := reader{places: map[string]place{}}
	if err := r.file(name, content); err != nil {
		return nil, err
	}
	return r.found(name)
}

// IsName tells whether a text names a file of agents, or an agent in one (FILE#ID),
// rather than an agent: it ends as such a file does, or holds a path.
func IsName(text string) bool {
	text, _, _ = strings.Cut(text, "#")
	return strings.ContainsRune(text, filepath.Separator) || strings.ContainsRune(text, '/') || slices.Contains(endings(), filepath.Ext(text))
}

func endings() []string { return []string{".yaml", ".yml", ".json"} }

// within lists the files of a folder. Hidden ones are its keeper's business.
func within(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && slices.Contains(endings(), filepath.Ext(e.Name())) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("has no file whose name ends in %s", strings.Join(endings(), ", "))
	}
	return names, nil
}

// about says which file an error is about, once.
func about(name string, err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// Wrong is an error about a field of the record, such as instructions.role[0], or about
// all of it for "".
func (a Agent) Wrong(field, message string) error {
	return wrong(a.file, fieldNode(a.node, field), field, "%s", message)
}

func wrong(file string, n *yaml.Node, field, format string, args ...any) error {
	text := fmt.Errorf(format, args...).Error()
	if field != "" {
		text = field + ": " + text
	}
	return fmt.Errorf("%s:%d: %s", file, n.Line, text)
}

// reader is what has been read of files.
type reader struct {
	name   string // of the file that is being read
	agents []Agent
	places map[string]place // by agents' ids
}

type place struct {
	file string
	line int
}

func (r *reader) found(name string) ([]Agent, error) {
	if len(r.agents) == 0 {
		return nil, fmt.Errorf("%s: has no agents", name)
	}
	return r.agents, nil
}

func (r *reader) wrong(n *yaml.Node, field, format string, args ...any) error {
	return wrong(r.name, n, field, format, args...)
}

func (r *reader) file(name string, content []byte) error {
	r.name = name
	loader, err := yaml.NewLoader(bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for {
		var doc yaml.Node
		if err := loader.Load(&doc); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := r.document(doc.Content[0]); err != nil {
			return err
		}
	}
}

func (r *reader) document(n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		return r.record(n)
	}
	for _, item := range n.Content {
		if err := r.record(item); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) record(n *yaml.Node) error {
	if n = resolved(n); n.Kind != yaml.MappingNode {
		return r.wrong(n, "", "must be the record of an agent: id, name, runtime and so on")
	}
	if err := r.known(n, "", recordFields()); err != nil {
		return err
	}
	var value map[string]any
	if err := n.Decode(&value); err != nil {
		return r.wrong(n, "", "%w", err)
	}
	id, _ := value["id"].(string)
	if id == "" {
		return r.wrong(fieldNode(n, "id"), "id", "an agent needs one of your choice")
	}
	if first, twice := r.places[id]; twice {
		return r.wrong(fieldNode(n, "id"), "id", "%s stands in %s already", id, first.seenFrom(r.name))
	}
	if value["name"] == nil {
		value["name"] = id
	}
	for _, name := range serverFields() {
		delete(value, name)
	}
	if err := r.reveal(n, value); err != nil {
		return err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return r.wrong(n, "", "%w", err)
	}
	if err := r.typed(n, text); err != nil {
		return err
	}
	r.places[id] = place{r.name, n.Line}
	r.agents = append(r.agents, Agent{ID: id, JSON: text, file: r.name, node: n})
	return nil
}

func (p place) seenFrom(file string) string {
	if p.file == file {
		return fmt.Sprintf("line %d", p.line)
	}
	return fmt.Sprintf("%s:%d", p.file, p.line)
}

// typed says which value is none of its field's.
func (r *reader) typed(n *yaml.Node, text []byte) error {
	var record agent.Record
	err := json.Unmarshal(text, &record)
	if mistyped, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return r.wrong(fieldNode(n, mistyped.Field), mistyped.Field, "a %s does not belong here", mistyped.Value)
	} else if err != nil {
		return r.wrong(n, "", "%w", err)
	}
	return nil
}
