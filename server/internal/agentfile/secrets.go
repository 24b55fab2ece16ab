package agentfile

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// secretFields are those whose values are kept sealed and never shown. Only they may
// refer to the environment and to files: everything else of a record is for everybody
// who may read agents.
func secretFields() []string {
	return []string{"llm_credentials.value", "mcp_servers.headers", "remote.headers"}
}

// reference is what a secret may hold in the place of itself: ${env:NAME} or ${file:PATH}.
var reference = regexp.MustCompile(`\$\{(env|file):([^}]*)\}`)

// reveal puts what references stand for into a record's secrets.
func (r *reader) reveal(n *yaml.Node, value any) error {
	_, err := r.revealed(n, "", value)
	return err
}

// revealed is a value at a path with its references resolved. Mappings and lists are
// changed as they are.
func (r *reader) revealed(n *yaml.Node, path string, value any) (any, error) {
	var err error
	switch value := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			if value[name], err = r.revealed(n, joined(path, name), value[name]); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, item := range value {
			if value[i], err = r.revealed(n, fmt.Sprintf("%s[%d]", path, i), item); err != nil {
				return nil, err
			}
		}
	case string:
		return r.text(n, path, value)
	}
	return value, nil
}

func (r *reader) text(n *yaml.Node, path, text string) (string, error) {
	secret := isSecret(path)
	if !secret && reference.FindString(text) == text && text != "" {
		return "", r.wrong(fieldNode(n, path), path, "only secrets (%s) may refer to the environment or a file: this one is shown to everybody who reads the agent",
			strings.Join(secretFields(), ", "))
	}
	if !secret {
		return text, nil
	}
	var err error
	text = reference.ReplaceAllStringFunc(text, func(given string) string {
		parts := reference.FindStringSubmatch(given)
		value, failed := lookUp(parts[1], parts[2])
		if failed != nil && err == nil {
			err = r.wrong(fieldNode(n, path), path, "%w", failed)
		}
		return value
	})
	return text, err
}

func isSecret(path string) bool {
	path = indices.ReplaceAllString(path, "")
	return slices.ContainsFunc(secretFields(), func(field string) bool { return path == field || strings.HasPrefix(path, field+".") })
}

// indices are the places of items in a path.
var indices = regexp.MustCompile(`\[[0-9]+\]`)

// lookUp returns what a reference stands for. Its errors hold nothing of it.
func lookUp(kind, name string) (string, error) {
	if kind == "env" {
		value := os.Getenv(name)
		if value == "" {
			return "", fmt.Errorf("the variable %s is not set, or empty", name)
		}
		return value, nil
	}
	content, err := os.ReadFile(name) //nolint:gosec // the operator names it
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	if err != nil {
		return "", fmt.Errorf("the file %s: %w", name, err)
	}
	value := strings.TrimSpace(string(content))
	if value == "" {
		return "", fmt.Errorf("the file %s is empty", name)
	}
	return value, nil
}
