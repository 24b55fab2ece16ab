// Package cli_test uses the command line as people and scripts do: real
// processes, real servers, real files. The scripts are in testdata.
package cli_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/errand-dev/errand/server/internal/cli"
)

func TestMain(m *testing.M) {
	run := func() { os.Exit(cli.Main(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})) }
	testscript.Main(m, map[string]func(){
		"errand": run,
		"5":      run, // in a sandbox it is started from an open file, /proc/self/fd/5
	})
}

// patience bounds every wait of a script.
const patience = 30 * time.Second

func TestScripts(t *testing.T) {
	t.Parallel()
	examples, err := filepath.Abs("../../../examples")
	if err != nil {
		t.Fatal(err)
	}
	packed := t.TempDir()
	if err := packedSales(packed, filepath.Join(examples, "data", "sales_data.csv")); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("EXAMPLES", examples)
			e.Setenv("DATA", filepath.Join(examples, "data"))
			e.Setenv("PACKED", packed)
			e.Setenv("OLLAMA_HOST", "127.0.0.1:9")  // nothing is there, whatever runs on this machine
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else each process of a race build takes a second to end
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"refused": refused, "code": code, "json": jsonFields, "jsonlines": jsonLines,
			"use": use, "usekey": useKey, "until": until, "agent": agent, "work": work, "provider": provider, "threadid": threadID, "answer": answer,
		},
	})
}

// refused PATTERN ARGS… runs errand: it must print nothing but one line on
// standard error that matches, and exit 1, or 2 if the line sends to --help.
func refused(ts *testscript.TestScript, _ bool, args []string) {
	got := exitCode(ts, ts.Exec("errand", args[1:]...))
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("something on standard output: %q", out)
	}
	text := ts.ReadFile("stderr")
	line, more, ended := strings.Cut(text, "\n")
	if !ended || more != "" || !strings.HasPrefix(line, "errand: ") {
		ts.Fatalf("not one line: %q", text)
	}
	want := 1
	if strings.HasSuffix(line, " --help") {
		want = 2
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	if !regexp.MustCompile(args[0]).MatchString(line) {
		ts.Fatalf("%q does not match %q", line, args[0])
	}
}

// code N PROGRAM ARGS… runs a program that must exit with a code.
func code(ts *testscript.TestScript, _ bool, args []string) {
	if got := strconv.Itoa(exitCode(ts, ts.Exec(args[1], args[2:]...))); got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

func exitCode(ts *testscript.TestScript, err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	default:
		ts.Fatalf("run: %v", err)
		return -1
	}
}

// json NAME=VALUE… says that standard output is one JSON object, on one line,
// with these members.
func jsonFields(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile("stdout")
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		ts.Fatalf("not one line: %.200q", text)
	}
	var got map[string]any
	ts.Check(json.Unmarshal([]byte(text), &got))
	for _, arg := range args {
		name, want, _ := strings.Cut(arg, "=")
		if value, ok := got[name]; !ok || fmt.Sprint(value) != want {
			ts.Fatalf("%s is %v, want %s", name, value, want)
		}
	}
}

// jsonlines TYPES… says that standard output is events, one on each line,
// numbered from 1, whose types are these.
func jsonLines(ts *testscript.TestScript, _ bool, args []string) {
	var types []string
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		var e struct {
			ID   int    `json:"id"`
			Type string `json:"type"`
		}
		ts.Check(json.Unmarshal([]byte(line), &e))
		types = append(types, e.Type)
		if e.ID != len(types) {
			ts.Fatalf("event %d has the id %d", len(types), e.ID)
		}
	}
	if got, want := strings.Join(types, " "), strings.Join(args, " "); got != want {
		ts.Fatalf("events %s, want %s", got, want)
	}
}

// use FOLDER waits for the server of a data folder and names it in the
// environment.
func use(ts *testscript.TestScript, _ bool, args []string) {
	address := ts.MkAbs(filepath.Join(args[0], "address"))
	wait(ts, "a server of "+args[0], func() bool {
		_, err := os.Stat(address)
		return err == nil
	})
	key, err := os.ReadFile(ts.MkAbs(filepath.Join(args[0], "admin.key")))
	ts.Check(err)
	ts.Setenv("ERRAND_URL", strings.TrimSpace(ts.ReadFile(address)))
	ts.Setenv("ERRAND_API_KEY", strings.TrimSpace(string(key)))
}

// usekey FILE takes the key that stands in a file.
func useKey(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv("ERRAND_API_KEY", strings.TrimSpace(ts.ReadFile(args[0])))
}

// until PATTERN PROGRAM ARGS… runs a program until its standard output matches.
func until(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(args[0])
	wait(ts, args[0], func() bool {
		return ts.Exec(args[1], args[2:]...) == nil && pattern.MatchString(ts.ReadFile("stdout"))
	})
}

func wait(ts *testscript.TestScript, what string, is func() bool) {
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(patience)
	defer over.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-over.C:
			ts.Fatalf("waited in vain for %s", what)
		}
	}
}

// agent ID [RECORD] applies an agent, for remote workers if there is no record.
func agent(ts *testscript.TestScript, _ bool, args []string) {
	record := `{"name": "` + args[0] + `"}`
	if len(args) > 1 {
		record = args[1]
	}
	call(ts, http.MethodPut, "/v1/agents/"+args[0], record, nil)
}

// work AGENT STATUS RESULT claims a task and ends it as a worker does.
func work(ts *testscript.TestScript, _ bool, args []string) {
	var got struct {
		Claims []struct {
			Task  struct{ ID string }
			Lease struct{ Token string }
		}
	}
	call(ts, http.MethodPost, "/v1/claim", fmt.Sprintf(`{"agent_ids": [%q], "worker_id": "w", "wait": 30}`, args[0]), &got)
	if len(got.Claims) != 1 {
		ts.Fatalf("claimed %d tasks", len(got.Claims))
	}
	call(ts, http.MethodPost, "/v1/tasks/"+got.Claims[0].Task.ID+"/finish",
		fmt.Sprintf(`{"lease_token": %q, "status": %q, "result": %q}`, got.Claims[0].Lease.Token, args[1], args[2]), nil)
}

func call(ts *testscript.TestScript, method, path, body string, into any) {
	req, err := http.NewRequest(method, ts.Getenv("ERRAND_URL")+path, bytes.NewBufferString(body)) //nolint:noctx // a script has no context
	ts.Check(err)
	req.Header.Set("x-api-key", ts.Getenv("ERRAND_API_KEY"))
	res, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer res.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(res.Body)
	ts.Check(err)
	if res.StatusCode/100 != 2 {
		ts.Fatalf("%s %s: %s: %s", method, path, res.Status, text)
	}
	if into != nil {
		ts.Check(json.Unmarshal(text, into))
	}
}
