// Package release_test uses the modules of this checkout as everybody will who
// gets them from a module proxy: outside of its workspace, by version.
package release_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// user is somebody with a folder and a module proxy that has this checkout as
// v0.0.0 of its modules.
type user struct {
	dir string
	env []string
}

func newUser(t *testing.T) user {
	t.Helper()
	if testing.Short() {
		t.Skip("it compiles programs")
	}
	proxy := t.TempDir()
	publish := exec.CommandContext(t.Context(), "go", "run", "../modproxy", "../../..", proxy, ".", "server")
	if out, err := publish.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	known, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	cache, proxies, _ := strings.Cut(strings.TrimSpace(string(known)), "\n")
	u := user{dir: t.TempDir()}
	u.env = append(
		os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod -modcacherw -trimpath", "GOBIN="+u.dir,
		// What others have published comes from where it has come from before,
		// when it was compared with what everybody else gets.
		"GOMODCACHE="+t.TempDir(), "GOPROXY=file://"+proxy+",file://"+cache+"/cache/download,"+proxies, "GOSUMDB=off",
	)
	return u
}

// run runs a program in the user's folder and returns its standard output.
func (u user) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = u.dir, u.env
	var told strings.Builder
	cmd.Stderr = &told
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, told.String())
	}
	return string(out)
}

func (u user) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(u.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A program of Go 1.25 gets the client and nothing else, stays one of Go 1.25,
// and the client uses nothing that came later.
func TestClientInAModuleOfGo125(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	const mod = "module example.com/program\n\ngo 1.25\n\nrequire github.com/errand-dev/errand v0.0.0\n"
	u.write(t, "go.mod", mod)
	u.write(t, "main.go", `package main

import (
	"context"
	"fmt"
	"log"

	"github.com/errand-dev/errand"
)

func main() {
	ctx := context.Background()
	client, err := errand.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	task, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "Analyze the sales data"})
	if err != nil {
		log.Fatal(err)
	}
	for event, err := range task.Events(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(event.Type, event.Type == errand.TaskFinished)
	}
}
`)
	u.run(t, "go", "mod", "tidy")
	tidied, err := os.ReadFile(filepath.Join(u.dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if string(tidied) != mod {
		t.Errorf("go.mod has become\n%s", tidied)
	}
	if all := u.run(t, "go", "list", "-m", "all"); all != "example.com/program\ngithub.com/errand-dev/errand v0.0.0\n" {
		t.Errorf("it has the modules\n%s", all)
	}
	u.run(t, "go", "vet", ".", "github.com/errand-dev/errand")
	u.run(t, "go", "build", "-o", "program", ".")
}

// The program is installed by one command: no go.mod has what forbids that.
func TestInstall(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.run(t, "go", "install", "github.com/errand-dev/errand/server/cmd/errand@v0.0.0")
	if said := u.run(t, filepath.Join(u.dir, "errand"), "--help"); !strings.Contains(said, "Usage: errand <command>") {
		t.Errorf("its help is\n%s", said)
	}
	if said := u.run(t, filepath.Join(u.dir, "errand"), "version"); !strings.Contains(said, "v0.0.0") {
		t.Errorf("its version is %s", said)
	}
}
