package agentfile

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/agent"
)

// ids are those of agents, in their order.
func ids(agents []Agent) string {
	var all []string
	for _, a := range agents {
		all = append(all, a.ID)
	}
	return strings.Join(all, " ")
}

func TestParse(t *testing.T) {
	t.Parallel()
	agents, err := Parse("f", []byte(`
- id: writer
  version: 7
  created_at: 2026-01-02T03:04:05Z
- &two {id: reviewer, name: Reviewer, max_attempts: 2}
---
{"id": "editor", "instructions": {"role": ["Edit"]}}
`))
	if err != nil || ids(agents) != "writer reviewer editor" {
		t.Fatalf("%s, %v", ids(agents), err)
	}
	for i, want := range []string{`{"name":"writer"}`, `{"max_attempts":2,"name":"Reviewer"}`, `{"instructions":{"role":["Edit"]},"name":"editor"}`} {
		if got := string(agents[i].JSON); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestParseNamesLineAndField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, err string }{
		{"# nothing", `^f: has no agents$`},
		{"hello", `^f:1: must be the record of an agent`},
		{"id: a\n---\n- hello\n", `^f:3: must be the record of an agent`},
		{"- id: first\n- id: second\n  instrctions: {general: x}\n", `^f:3: instrctions: there is no such key, only .*command, `},
		{"id: a\ninstructions:\n  role: [x]\n  gaol: [x]\n", `^f:4: instructions.gaol: there is no such key, only general, goal, role$`},
		{"id: a\nname: b\nname: c\n", `^f:3: name: is given twice$`},
		{"id: a\n# many\nmax_attempts: many\n", `^f:3: max_attempts: a string does not belong here$`},
		{"id: a\ninstructions:\n  role: x\n", `^f:3: instructions.role: a string does not belong here$`},
		{"id: a\nllm_credentials:\n  name: n\n  value: 17\n", `^f:4: llm_credentials.value: a number does not belong here$`},
		{"name: A", `^f:1: id: an agent needs one of your choice$`},
		{"name: A\nid: 17", `^f:2: id: an agent needs one of your choice$`},
		{"- id: a\n- name: x\n  id: a\n", `^f:3: id: a stands in line 1 already$`},
		{"id: a\nmodel_name: ${env:HOME}\n", `^f:2: model_name: only secrets \(llm_credentials.value, mcp_servers.headers, remote.headers\) may refer`},
		{"id: a\nllm_credentials: {name: n, value: '${env:ERRAND_TEST_NOTHING}'}\n", `^f:2: llm_credentials.value: the variable ERRAND_TEST_NOTHING is not set, or empty$`},
		{"id: a\nllm_credentials:\n  name: n\n  value: ${file:nowhere/at/all}\n", `^f:4: llm_credentials.value: the file nowhere/at/all: no such file`},
		{"a: [\n", `^f: `},
	} {
		if agents, err := Parse("f", []byte(c.text)); err == nil || !regexp.MustCompile(c.err).MatchString(err.Error()) || len(agents) > 0 {
			t.Errorf("%q: error %v, want %s", c.text, err, c.err)
		}
	}
}

// TestSecrets: what is sealed may be named instead of written, whole or in part. What
// only looks like a reference is text.
func TestSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ERRAND_TEST_KEY", "from-${env:HOME}")
	for given, want := range map[string]string{
		"${env:ERRAND_TEST_KEY}": "from-${env:HOME}", "${file:" + file + "}": "from-a-file", "a-${file:" + file + "}-b": "a-from-a-file-b", "$HOME ${HOME}": "$HOME ${HOME}",
	} {
		agents, err := Parse("f", []byte("id: a\ninstructions: {general: 'Say ${env:HOME}.'}\nllm_credentials: {name: n, value: '"+given+"'}\n"))
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		var record agent.Record
		if err := json.Unmarshal(agents[0].JSON, &record); err != nil || record.LLMCredential.Value != want || record.Instructions.General != "Say ${env:HOME}." {
			t.Errorf("%s: %s, %v", given, agents[0].JSON, err)
		}
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Read(dir); err == nil || err.Error() != dir+": has no file whose name ends in .yaml, .yml, .json" {
		t.Errorf("an empty folder: %v", err)
	}
	write("2.yml", "id: c\n")
	write("1.yaml", "[{id: a}, {id: b}]")
	write("3.json", `{"id": "d"}`)
	write("README.md", "nothing")
	write(".hidden.yaml", "nothing")
	if agents, err := Read(dir); err != nil || ids(agents) != "a b c d" {
		t.Errorf("%s, %v", ids(agents), err)
	}
	write("4.yaml", "\nid: b")
	if _, err := Read(dir); err == nil || err.Error() != filepath.Join(dir, "4.yaml")+":2: id: b stands in "+filepath.Join(dir, "1.yaml")+":1 already" {
		t.Errorf("an id twice: %v", err)
	}
	if _, err := Read(filepath.Join(dir, "5.yaml")); err == nil || !strings.HasPrefix(err.Error(), filepath.Join(dir, "5.yaml")+": no such file") {
		t.Errorf("no file: %v", err)
	}
}

// FuzzAgentFile holds for any file that it is read as agents with ids that are
// different, or refused with one line that begins with its name.
func FuzzAgentFile(f *testing.F) {
	for _, seed := range []string{
		"id: a\nname: A\n", "- id: a\n- {id: b, runtime: worker, instructions: {role: [x]}}\n", "id: a\n---\nid: a\n", "- &x {id: a}\n- *x\n", "", "a", "[]", "id: [a]\n",
		"id: a\nllm_credentials: {name: n, valu: v}\n", "&a [*a]\n", "id: a\n<<: {name: b}\n", "? {a: b}\n: c\n", "id: !!binary aGk=\n", "id: a\n? [x]\n: 1\n", "1: 2\n", "id: .nan\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		agents, err := Parse("f", content)
		if err != nil {
			if text := err.Error(); !strings.HasPrefix(text, "f:") || len(agents) > 0 {
				t.Errorf("%q: %q with %d agents", content, text, len(agents))
			}
			return
		}
		seen := map[string]bool{}
		for _, a := range agents {
			var record agent.Record
			if err := json.Unmarshal(a.JSON, &record); err != nil || a.ID == "" || seen[a.ID] {
				t.Errorf("%q: %+v, %v", content, a, err)
			}
			if at := a.Wrong("instructions.role[0]", "x").Error(); !strings.HasPrefix(at, "f:") {
				t.Errorf("%q: %q", content, at)
			}
			seen[a.ID] = true
		}
		if len(agents) == 0 {
			t.Errorf("%q: no agents and no error", content)
		}
	})
}
