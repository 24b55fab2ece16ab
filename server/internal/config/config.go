// Package config reads the configuration file of a server: YAML, with the
// names of the flags of errand serve as its keys, and the programs behind
// agents of runtime command. Whatever is wrong with it is an error of one line
// that names the key and its line.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/people"
	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/task"
)

// File is what a configuration file says.
type File struct {
	// Options are the values of flags, as text, by the flags' names.
	Options []Option
	// Commands are the programs that agents may name.
	Commands map[string]program.Program
	// Caps are what owners and groups may spend.
	Caps []task.CapRule
	// Prices are what models cost, by their names.
	Prices model.Prices
	// Windows are how many tokens they take at once, likewise.
	Windows model.Windows
	// Servers are the MCP servers on standard input and output that agents may name.
	Servers map[string]program.Program
	// OIDC is the provider with which people sign in; nil for none.
	OIDC *people.Config

	name string
}

// Option is the value of a flag.
type Option struct {
	Name string
	// Values has one value, or those of a list.
	Values []string
	List   bool
	line   int
}

// The keys that are no flags.
const (
	commandsKey = "commands"
	pricesKey   = "prices"
	windowsKey  = "windows"
	capsKey     = "caps"
	serversKey  = "mcp_servers"
	oidcKey     = "oidc"
)

// Parse reads the content of the file with that name.
func Parse(name string, content []byte) (*File, error) {
	f := &File{name: name, Commands: map[string]program.Program{}, Servers: map[string]program.Program{}}
	loader, err := yaml.NewLoader(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var doc, more yaml.Node
	if err := loader.Load(&doc); errors.Is(err, io.EOF) {
		return f, nil // nothing, or only comments
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := loader.Load(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: has more than one document", name)
	}
	err = f.each("", doc.Content[0], func(key string, value *yaml.Node) error {
		switch key {
		case commandsKey:
			return f.each(key, value, func(name string, node *yaml.Node) error {
				return f.program(key, name, node, fields(), f.Commands)
			})
		case serversKey:
			return f.each(key, value, func(name string, node *yaml.Node) error {
				return f.program(key, name, node, serverFields(), f.Servers)
			})
		case capsKey:
			return f.each(key, value, f.capsOf)
		case pricesKey:
			return f.each(key, value, f.price)
		case windowsKey:
			return f.each(key, value, f.window)
		case oidcKey:
			return f.oidc(value)
		default:
			return f.option(key, value)
		}
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Wrong is an error about an option.
func (f *File) Wrong(o Option, format string, args ...any) error {
	return f.wrong(o.line, o.Name, format, args...)
}

func (f *File) wrong(line int, key, format string, args ...any) error {
	where := fmt.Sprintf("%s:%d: ", f.name, line)
	if key != "" {
		where += key + ": "
	}
	return fmt.Errorf(where+format, args...)
}

// each walks over a mapping in its order.
func (f *File) each(name string, node *yaml.Node, do func(key string, value *yaml.Node) error) error {
	if node = resolved(node); node.Kind != yaml.MappingNode {
		return f.wrong(node.Line, name, "must be a mapping of names to values")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], resolved(node.Content[i+1])
		if seen[key.Value] {
			return f.wrong(key.Line, within(name, key.Value), "is given twice")
		}
		seen[key.Value] = true
		if value.Line < key.Line { // an alias: what it stands for is elsewhere
			moved := *value
			moved.Line = key.Line
			value = &moved
		}
		if err := do(key.Value, value); err != nil {
			return err
		}
	}
	return nil
}

func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func within(name, key string) string {
	if name == "" {
		return key
	}
	return name + "." + key
}

func (f *File) option(key string, value *yaml.Node) (err error) {
	o := Option{Name: key, line: value.Line}
	if o.List = value.Kind == yaml.SequenceNode; o.List {
		o.Values, err = f.texts(key, value)
	} else {
		o.Values = make([]string, 1)
		o.Values[0], err = f.text(key, value)
	}
	f.Options = append(f.Options, o)
	if err != nil {
		return &OptionError{Option: o, file: f, error: err}
	}
	return nil
}

// OptionError says that the value of an option cannot be one.
type OptionError struct {
	Option Option
	file   *File
	error
}

// Unknown is the error of a File's Unknown instead, for who knows that there is no such option.
func (e *OptionError) Unknown(known []string) error { return e.file.Unknown(e.Option, known) }

func (f *File) text(key string, n *yaml.Node) (string, error) {
	switch n = resolved(n); {
	case n.Kind != yaml.ScalarNode:
		return "", f.wrong(n.Line, key, "must be a single value")
	case n.Tag == "!!null":
		return "", f.wrong(n.Line, key, "has no value")
	default:
		return n.Value, nil
	}
}

func (f *File) texts(key string, n *yaml.Node) ([]string, error) {
	if n.Kind != yaml.SequenceNode {
		return nil, f.wrong(n.Line, key, "must be a list")
	}
	list := make([]string, 0, len(n.Content))
	for _, item := range n.Content {
		text, err := f.text(key, item)
		if err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, nil
}

// program reads one program of a section, which may have some fields.
func (f *File) program(section, name string, node *yaml.Node, may map[string]setter, into map[string]program.Program) error {
	key := within(section, name)
	if name == "" || len(name) > 64 || strings.TrimSpace(name) != name {
		return f.wrong(node.Line, key, "a program's name has 1 to 64 bytes")
	}
	var p program.Program
	err := f.each(key, node, func(field string, value *yaml.Node) error {
		at := within(key, field)
		set, known := may[field]
		if !known {
			return f.wrong(value.Line, at, "is unknown; there may be %s", strings.Join(slices.Sorted(maps.Keys(may)), ", "))
		}
		return set(f, at, value, &p)
	})
	if err != nil {
		return err
	}
	if err := p.Check(); err != nil {
		return f.wrong(node.Line, key, "%w", err)
	}
	into[name] = p
	return nil
}

// Unknown is an error about an option that is none of the known ones.
func (f *File) Unknown(o Option, known []string) error {
	known = append(slices.Clone(known), commandsKey, capsKey, pricesKey, windowsKey, serversKey, oidcKey)
	slices.Sort(known)
	return f.Wrong(o, "is unknown; there are %s", strings.Join(known, ", "))
}
