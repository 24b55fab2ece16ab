package config

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/people"
	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/task"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const text = `
# a comment
slots: 7
drain: "1m"
allow-private: [10.0.0.0/8, 192.168.0.0/16]
commands:
  review:
    run: [sh, -c, "exit 0"]
    dir: /
    env: &keys [A, B]
    events: json
    timeout: 30m
    grace: 10s
  other: {run: [sh], env: *keys}
mcp_servers:
  clock: {run: [sh], env: *keys, grace: 1s}
oidc:
  issuer: https://login.example.com
  client_id: errand
  client_secret_file: /run/secret
  name: Example
  scopes: [email]
  claims: {owner: sub, groups: roles}
  people:
    - {group: staff, role: user, sees: group}
    - {owner: anna, role: admin}
  end_session: true
`
	f, err := Parse("errand.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := &File{
		Options: []Option{
			{Name: "slots", Values: []string{"7"}},
			{Name: "drain", Values: []string{"1m"}},
			{Name: "allow-private", Values: []string{"10.0.0.0/8", "192.168.0.0/16"}, List: true},
		},
		Commands: map[string]program.Program{
			"review": {
				Run: []string{"sh", "-c", "exit 0"}, Dir: "/", Env: []string{"A", "B"}, Events: true,
				Timeout: 30 * time.Minute, Grace: 10 * time.Second,
			},
			"other": {Run: []string{"sh"}, Env: []string{"A", "B"}},
		},
		Servers: map[string]program.Program{"clock": {Run: []string{"sh"}, Env: []string{"A", "B"}, Grace: time.Second}},
		OIDC: &people.Config{
			Issuer: "https://login.example.com", ClientID: "errand", SecretFile: "/run/secret", Name: "Example", Scopes: []string{"email"},
			Claims: people.Claims{Owner: "sub", Name: "name", Groups: "roles"}, EndSession: true,
			Rules: []people.Rule{{Group: "staff", Role: auth.User, Sees: auth.SeesGroup}, {Owner: "anna", Role: auth.Admin}},
		},
	}
	if diff := cmp.Diff(want, f, cmpopts.IgnoreUnexported(File{}, Option{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\n", "# only a comment\n"} {
		if f, err := Parse("x", []byte(text)); err != nil || len(f.Options)+len(f.Commands) > 0 {
			t.Errorf("%q: %+v, %v", text, f, err)
		}
	}
}

func TestParseNamesKeyAndLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, err string }{
		{"slots: [1\n", `^f: .*L1`},
		{"just text", `^f:1: must be a mapping`},
		{"- a\n- b\n", `^f:1: must be a mapping`},
		{"a: 1\n---\nb: 2\n", `^f: has more than one document$`},
		{"a: 1\nb: 2\na: 3\n", `^f:3: a: is given twice$`},
		{"a: 1\nb:\n", `^f:2: b: has no value$`},
		{"a:\n  b: 1\n", `^f:2: a: must be a single value$`},
		{"oidc:\n  client_secret: x\n", `^f:2: oidc.client_secret: a secret does not belong here`},
		{"oidc:\n  people: {owner: x}\n", `^f:2: oidc.people: must be a list`},
		{"oidc:\n  people:\n    - {who: x}\n", `^f:3: oidc.people\[0\].who: is unknown; there may be owner`},
		{"oidc:\n  claims: {mail: x}\n", `^f:2: oidc.claims.mail: is unknown`},
		{"oidc:\n  end_session: maybe\n", `^f:2: oidc.end_session: must be true or false$`},
		{"oidc:\n  url: x\n", `^f:2: oidc.url: is unknown; there may be issuer`},
		{"a:\n  - 1\n  - {b: 1}\n", `^f:3: a: must be a single value$`},
		{"commands: [a]\n", `^f:1: commands: must be a mapping`},
		{"commands:\n  x: sh\n", `^f:2: commands.x: must be a mapping`},
		{"commands:\n  '': {run: [sh]}\n", `^f:2: commands.: a program's name`},
		{"commands:\n  x:\n    run: sh -c true\n", `^f:3: commands.x.run: must be a list$`},
		{"commands:\n  x:\n    run: [sh]\n    evn: [A]\n", `^f:4: commands.x.evn: is unknown; there may be cpu, dir, env, `},
		{"commands:\n  x:\n    run: [sh]\n    events: yes\n", `^f:4: commands.x.events: must be json`},
		{"commands:\n  x:\n    run: [sh]\n    timeout: 5\n", `^f:4: commands.x.timeout: must be a duration`},
		{"commands:\n  x:\n    run: [sh]\n    grace: -1s\n", `^f:4: commands.x.grace: must be a duration`},
		{"mcp_servers:\n  x: {run: [sh], timeout: 5s}\n", `^f:2: mcp_servers.x.timeout: is unknown; there may be cpu, dir, env, grace, image, memory, network, processes, read, run, sandbox$`},
		{"commands:\n  x: {run: [sh], tty: vt100}\n", `^f:2: commands.x.tty: must be true or false$`},
		{"commands:\n  x: {run: [sh], memory: 5GB}\n", `^f:2: commands.x.memory: "5GB" is no size: write for example 512MiB or 2GiB$`},
		{"commands:\n  x: {run: [sh], processes: none}\n", `^f:2: commands.x.processes: must be a number, 1 at least$`},
		{"commands:\n  x: {run: [sh], sandbox: docker}\n", `^f:2: commands.x: sandbox: must be none, bwrap or podman$`},
		{"commands:\n  x: {run: [sh], sandbox: podman}\n", `^f:2: commands.x: image: name the image`},
		{"commands:\n  x: {run: [sh], network: none}\n", `^f:2: commands.x: sandbox: network, .+ are of a sandbox`},
		{"commands:\n  x: {env: [A]}\n", `^f:2: commands.x: run: name a program$`},
		{"commands:\n  x: {run: [there-is-no-such-program]}\n", `^f:2: commands.x: run: there is no program`},
		{"commands:\n  x: {run: [sh], env: [A=b]}\n", `^f:2: commands.x: env: "A=b"`},
		{"commands:\n  x: {run: [sh], dir: /nowhere/at/all}\n", `^f:2: commands.x: dir: /nowhere/at/all is no folder$`},
	} {
		if _, err := Parse("f", []byte(c.text)); err == nil || !regexp.MustCompile(c.err).MatchString(err.Error()) {
			t.Errorf("%q: error %v, want %s", c.text, err, c.err)
		}
	}
}

// FuzzParse holds for any file that it is refused with an error that begins with
// its name, or read: every key once, every option with its values, every command
// one that can run.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"slots: 7\ncommands: {x: {run: [sh], env: &a [A], dir: *a}}\n", "a: &x [*x]\n<<: *x\n", "a: [1, 2]\nb: ~\n", "commands:\n  x:\n    run: [sh]\n    timeout: 1h\n",
		"? [a]\n: b\n", "'': 1\n", "a: !!binary aGk=\n", "a: 1\n---\n", "&a a: *a\n", "commands: {? {a: b} : c}\n", "a: \"\\0\"\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse("f", text)
		if err != nil {
			if file != nil || !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("%q: %q", text, err)
			}
			return
		}
		seen := map[string]bool{}
		for _, o := range file.Options {
			if seen[o.Name] || !o.List && len(o.Values) != 1 {
				t.Errorf("%q: option %+v", text, o)
			}
			seen[o.Name] = true
		}
		for name, p := range file.Commands {
			if err := p.Check(); err != nil || name == "" {
				t.Errorf("%q: command %q: %v", text, name, err)
			}
		}
	})
}

// TestCommandDocument keeps the list of a command's fields complete.
func TestCommandDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/CONFIGURATION.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(fields())) {
		if !regexp.MustCompile("(?m)^\\| `" + name + "` \\| .+ \\|$").Match(text) {
			t.Errorf("docs/CONFIGURATION.md has no row for %s", name)
		}
	}
}

// Prices are those of models, each per million tokens.
func TestPrices(t *testing.T) {
	t.Parallel()
	f, err := Parse("errand.yaml", []byte("prices:\n  gpt-4o: {input: 2.5, output: 10, cache_read: 1.25}\n  anthropic/c: {input: 3}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p := f.Prices["gpt-4o"]; p.Input != 2.5 || p.Output != 10 || *p.CacheRead != 1.25 || p.CacheWrite != nil {
		t.Errorf("read %+v", p)
	}
	for _, wrong := range []string{"{input: -1}", "{input: much}", "{inputs: 1}", "{input: .inf}", "3"} {
		if _, err := Parse("errand.yaml", []byte("prices:\n  m: "+wrong+"\n")); err == nil || !strings.Contains(err.Error(), "prices.m") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// Windows are those of models, in tokens.
func TestWindows(t *testing.T) {
	t.Parallel()
	f, err := Parse("errand.yaml", []byte("windows: {qwen3: 32768, ollama/qwen3: 8192}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if here, there := f.Windows.Of("ollama", "qwen3"), f.Windows.Of("gpu", "qwen3"); here != 8192 || there != 32768 || f.Windows.Of("gpu", "m") != 0 {
		t.Errorf("read %+v", f.Windows)
	}
	for _, wrong := range []string{"0", "-1", "128k", "1.5", "100000001", "[1]", "{tokens: 1}", ""} {
		if _, err := Parse("errand.yaml", []byte("windows:\n  m: "+wrong+"\n")); err == nil || !strings.Contains(err.Error(), "errand.yaml:2: windows.m: ") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// B1: caps are those of owners and groups, and what says nothing sensible is refused with
// its place.
func TestCaps(t *testing.T) {
	t.Parallel()
	f, err := Parse("errand.yaml", []byte("caps:\n  owners:\n    \"*\": {day: {tokens: 20, cost: 1.5}}\n  groups:\n    g: {month: {cost: 3}, warn_at: 0.5, at_limit: end}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Caps) != 2 || f.Caps[0].ID != task.EachOf || *f.Caps[0].Caps.Day != (task.Allowance{Tokens: 20, Cost: 1.5}) ||
		f.Caps[1].Of != task.CapGroup || f.Caps[1].Caps.AtLimit != task.EndAtLimit {
		t.Errorf("read %+v", f.Caps)
	}
	for wrong, says := range map[string]string{
		"agents: {a: {day: {tokens: 1}}}":      "caps.agents",
		"owners: {anna: {day: {tokens: 1}}}":   "caps.owners.anna",
		"owners: {\"*\": {week: {tokens: 1}}}": "week",
		"groups: {g: {day: {tokens: -1}}}":     "caps.groups.g.day.tokens",
		"groups: {g: {day: {tokens: 1.5}}}":    "caps.groups.g.day.tokens",
		"groups: {g: {day: {steps: 1}}}":       "caps.groups.g.day.steps",
		"groups: {g: {at_limit: maybe}}":       "caps.groups.g.at_limit",
		"groups: {g: {warn_at: 2}}":            "caps.groups.g.warn_at",
	} {
		if _, err := Parse("errand.yaml", []byte("caps:\n  "+wrong+"\n")); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}
