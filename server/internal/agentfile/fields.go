package agentfile

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/errand-dev/errand/server/internal/agent"
)

// serverFields may stand in a file, as 'agent get --json' shows them, and count for
// nothing. The id, too, is no part of the record.
func serverFields() []string {
	return []string{"id", "organization_id", "version", "created_at", "updated_at"}
}

// recordFields are the fields that a record may have, by their names.
func recordFields() map[string]reflect.Type {
	fields := fieldsOf(reflect.TypeFor[agent.Record]())
	for _, name := range serverFields() {
		fields[name] = reflect.TypeFor[any]()
	}
	return fields
}

func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for field := range t.Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "-" && name != "" {
			fields[name] = field.Type
		}
	}
	return fields
}

// known checks the keys of a mapping, and of those in it, against fields.
func (r *reader) known(n *yaml.Node, path string, fields map[string]reflect.Type) error {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := joined(path, key.Value)
		t, is := fields[key.Value]
		switch {
		case !is:
			var names []string
			for name := range fields {
				names = append(names, name)
			}
			slices.Sort(names)
			return r.wrong(key, at, "there is no such key, only %s", strings.Join(names, ", "))
		case seen[key.Value]:
			return r.wrong(key, at, "is given twice")
		}
		seen[key.Value] = true
		if err := r.shaped(value, at, t); err != nil {
			return err
		}
	}
	return nil
}

// shaped checks the keys within a value of a type. What has the wrong shape is left to
// the decoder.
func (r *reader) shaped(n *yaml.Node, path string, t reflect.Type) error {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	n = resolved(n)
	switch {
	case t.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		return r.known(n, path, fieldsOf(t))
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		for i, item := range n.Content {
			if err := r.shaped(item, path+"["+strconv.Itoa(i)+"]", t.Elem()); err != nil {
				return err
			}
		}
	case t.Kind() == reflect.Map && n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if err := r.shaped(n.Content[i+1], joined(path, n.Content[i].Value), t.Elem()); err != nil {
				return err
			}
		}
	}
	return nil
}

func joined(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// resolved is what an alias stands for. No alias stands for another.
func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// fieldNode is where a field stands, or as much of its path as there is.
func fieldNode(n *yaml.Node, path string) *yaml.Node {
	at := n
	for _, name := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		key, value := member(resolved(n), name)
		if value == nil {
			break
		}
		at, n = key, value
	}
	return at
}

// member is the key and the value of a mapping's member, or an item of a list.
func member(n *yaml.Node, name string) (key, value *yaml.Node) {
	switch n.Kind { //nolint:exhaustive // the others have no members
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return n.Content[i], n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i], n.Content[i]
		}
	}
	return nil, nil
}
