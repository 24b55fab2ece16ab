package crash

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// withCommands prepares a server whose configuration defines programs in
// shell, each behind an agent of its name.
func withCommands(t *testing.T, scripts map[string]string, args ...string) *server {
	t.Helper()
	commands := obj{}
	for name, script := range scripts {
		commands[name] = obj{"run": []string{"sh", "-c", script}, "events": "json", "grace": "1s"}
	}
	text, err := json.Marshal(obj{"commands": commands}) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "errand.yaml")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, append([]string{"--config", config}, args...)...)
	for name := range scripts {
		s.client().putCommandAgent(t, name, obj{})
	}
	return s
}

func (c *client) putCommandAgent(t *testing.T, name string, more obj) {
	t.Helper()
	c.must(t, http.StatusOK, http.MethodPut, "/v1/agents/"+name, with(obj{"name": name, "runtime": "command", "command": name}, more))
}

func (c *client) ask(t *testing.T, agent, id string) {
	t.Helper()
	c.create(t, obj{"agent_id": agent, "id": id, "input": obj{"text": "Do it"}})
}

// ends waits for a task's end.
func (c *client) ends(t *testing.T, id string) (v taskView) {
	t.Helper()
	eventually(t, 20*time.Second, "task "+id+" ends", func() bool {
		v = c.task(t, id)
		return v.ended()
	})
	return v
}

// family runs for long with a child and a grandchild; their numbers stand in a file.
func family(pids string) string {
	return fmt.Sprintf(`P=%s; (sleep 1000 & echo $! >> $P; sleep 1000) & echo $! >> $P; echo $$ >> $P; wait`, pids)
}

// running waits for n numbers of processes in a file.
func running(t *testing.T, file string, n int) (pids []int) {
	t.Helper()
	eventually(t, 20*time.Second, "the program has started", func() bool {
		text, _ := os.ReadFile(file) // it may not be there yet
		pids = nil
		for line := range strings.FieldsSeq(string(text)) {
			pid, err := strconv.Atoi(line)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
		return len(pids) == n && bytes.HasSuffix(text, []byte("\n"))
	})
	return pids
}

// gone waits until none of the processes runs.
func gone(t *testing.T, limit time.Duration, pids []int) {
	t.Helper()
	eventually(t, limit, fmt.Sprintf("none of %v runs", pids), func() bool {
		for _, pid := range pids {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err == nil && bytes.Contains(stat[bytes.LastIndexByte(stat, ')'):], []byte(" Z ")) {
				continue // it has ended, and nobody has asked how
			}
			if !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
				return false
			}
		}
		return true
	})
}

func types(events []logged) string {
	var all []string
	for _, e := range events {
		all = append(all, e.Type)
	}
	return strings.Join(all, " ")
}

func TestCommandResults(t *testing.T) {
	t.Parallel()
	s := withCommands(t, map[string]string{
		"echo":   `cat; echo; echo "$ERRAND_TASK_ID $ERRAND_ATTEMPT"; env | grep -c ERRAND_ADMIN_KEY || :`,
		"file":   `echo loud; printf quiet > "$ERRAND_RESULT_FILE"; grep -o '"agent_id":"[a-z]*"' "$ERRAND_TASK_FILE"`,
		"events": `echo '{"type":"think","data":{"thought":"hm"}}'; echo '{"type":"task_finished"}'; echo done`,
		"fails":  `echo half; echo "no such table" >&2; exit 3`,
		"fast":   `seq 1 20000`,
	})
	c := s.client()
	t.Cleanup(func() { s.quiet(t) })
	for _, x := range []struct{ agent, status, result, log string }{
		{
			"echo", "completed", `^Do it\nFiles: http://127\.0\.0\.1:\d+/f/[^ ]+/a\.txt, https://example\.com/b\.csv\necho-1 1\n0\n$`,
			`^task_created attempt_started task_updated( chunk)+ task_finished$`,
		},
		{"file", "completed", `^quiet$`, ` chunk chunk task_finished$`},
		{"events", "completed", "^\\{\"type\":\"task_finished\"\\}\ndone\n$", ` think chunk chunk task_finished$`},
		{"fails", "error", `^the program ended with exit code 3: no such table$`, ` chunk task_finished$`},
		{"fast", "completed", "^1\n2\n(?s:.*)\n20000\n$", `^task_created attempt_started task_updated( chunk){1000}`},
	} {
		t.Run(x.agent, func(t *testing.T) {
			t.Parallel()
			id := x.agent + "-1"
			input := obj{"text": "Do it"}
			if x.agent == "echo" {
				input["files"] = []string{upload(t, c), "https://example.com/b.csv"}
			}
			c.create(t, obj{"agent_id": x.agent, "id": id, "input": input})
			v := c.ends(t, id)
			if v.Status != x.status || v.Result == nil || !regexp.MustCompile(x.result).MatchString(*v.Result) {
				t.Errorf("%s (%s): %.300q", v.Status, v.EndReason, *v.Result)
			}
			if v.Status == "error" && v.EndReason != "worker_error" {
				t.Errorf("end reason %s", v.EndReason)
			}
			events, _ := c.mustLog(t, id)
			if got := types(events); !regexp.MustCompile(x.log).MatchString(got) {
				t.Errorf("events %.300s", got)
			}
		})
	}
	a := c.must(t, http.StatusUnprocessableEntity, http.MethodPut, "/v1/agents/x", obj{"name": "x", "runtime": "command", "command": "sh -c id"})
	if !strings.Contains(string(a.body), `"field":"command"`) {
		t.Errorf("A4: %s", a)
	}
}

// upload stores a small file and returns its URL.
func upload(t *testing.T, c *client) string {
	t.Helper()
	body := "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhello\r\n--x--\r\n"
	var f struct {
		URL string `json:"url"`
	}
	c.must(t, http.StatusCreated, http.MethodPost, "/v1/files", body, "Content-Type", "multipart/form-data; boundary=x").into(t, &f)
	return f.URL
}

func TestStopReachesACommand(t *testing.T) {
	t.Parallel()
	pidFile := filepath.Join(t.TempDir(), "pids")
	s := withCommands(t, map[string]string{"long": `echo begun; ` + family(pidFile)})
	c := s.client()
	c.ask(t, "long", "t")
	pids := running(t, pidFile, 3)
	c.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/t/stop", nil)
	gone(t, time.Second, pids)
	eventually(t, 5*time.Second, "the stop is confirmed", func() bool {
		events, _ := c.mustLog(t, "t")
		return strings.HasSuffix(types(events), " chunk stop_requested task_finished stop_confirmed")
	})
	s.quiet(t)
}

// TestStopReachesAChattyCommand stops a program that writes without end: its
// late output is refused, which is no trouble.
func TestStopReachesAChattyCommand(t *testing.T) {
	t.Parallel()
	pidFile := filepath.Join(t.TempDir(), "pids")
	s := withCommands(t, map[string]string{"chatty": `echo $$ > ` + pidFile + `; exec yes`})
	c := s.client()
	c.ask(t, "chatty", "t")
	pids := running(t, pidFile, 1)
	eventually(t, 10*time.Second, "it talks", func() bool { return c.task(t, "t").LastSeq > 1000 })
	c.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/t/stop", nil)
	gone(t, time.Second, pids)
	eventually(t, 5*time.Second, "the stop is confirmed", func() bool {
		a := c.must(t, http.StatusOK, http.MethodGet, "/v1/tasks/t", nil)
		return strings.Contains(string(a.body), `"confirmed_at":"2`)
	})
	events, _ := c.mustLog(t, "t")
	// What it said last may reach the store before its end does, or behind it.
	if got := types(events); !regexp.MustCompile(` chunk stop_requested task_finished (late_write_refused )?stop_confirmed( late_write_refused)?$`).MatchString(got) {
		t.Errorf("the log ends with %s", tail(got, 200))
	}
	s.quiet(t)
}

func TestPausedCommandStartsAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pidFile := filepath.Join(dir, "pids")
	s := withCommands(t, map[string]string{
		"twice": `if mkdir ` + dir + `/first 2>/dev/null; then ` + family(pidFile) + `; else echo again $ERRAND_ATTEMPT; fi`,
	})
	c := s.client()
	c.ask(t, "twice", "t")
	pids := running(t, pidFile, 3)
	c.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/t/pause", nil)
	gone(t, time.Second, pids)
	if v := c.task(t, "t"); v.Status != "paused" {
		t.Fatalf("S6: %s", v.Status)
	}
	c.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/t/resume", nil)
	if v := c.ends(t, "t"); v.Status != "completed" || *v.Result != "again 2\n" {
		t.Errorf("S6: %s %q", v.Status, *v.Result)
	}
	s.quiet(t)
}

// TestKilledServerLeavesNoProgram kills the server and looks for what ran
// below it. The lost attempt is repeated only where that was asked for.
func TestKilledServerLeavesNoProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := func(name string) string {
		return `if mkdir ` + dir + `/` + name + ` 2>/dev/null; then trap '' TERM; ` + family(filepath.Join(dir, name+".pids")) + `; else echo again; fi`
	}
	s := withCommands(t, map[string]string{"once": script("once"), "retried": script("retried")})
	c := s.client()
	c.putCommandAgent(t, "once", obj{"lease_seconds": 2})
	c.putCommandAgent(t, "retried", obj{"lease_seconds": 2, "retry_started": true})
	var pids []int
	for _, agent := range []string{"once", "retried"} {
		c.ask(t, agent, agent)
		pids = append(pids, running(t, filepath.Join(dir, agent+".pids"), 3)...)
	}
	s.kill(t)
	gone(t, 2*time.Second, pids)
	s.start(t)
	c = s.client()
	if v := c.ends(t, "once"); v.Status != "error" || v.EndReason != "worker_lost" {
		t.Errorf("L4: %s (%s)", v.Status, v.EndReason)
	}
	if v := c.ends(t, "retried"); v.Status != "completed" || *v.Result != "again\n" {
		t.Errorf("L4: %s (%s)", v.Status, v.EndReason)
	}
}

// TestTermWithCommands asks a server to end while two programs run: one is
// done within the drain limit, the other is ended and its attempt given back.
func TestTermWithCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pidFile := filepath.Join(dir, "pids")
	s := withCommands(t, map[string]string{
		"short": `echo $$ > ` + dir + `/short; while [ ! -e ` + dir + `/go ]; do sleep 0.02; done; echo well done`,
		"long":  `if mkdir ` + dir + `/first 2>/dev/null; then ` + family(pidFile) + `; else echo again; fi`,
	}, "--drain", "2s")
	c := s.client()
	for _, agent := range []string{"short", "long"} {
		c.ask(t, agent, agent)
	}
	running(t, filepath.Join(dir, "short"), 1)
	pids := running(t, pidFile, 3)
	begun := time.Now()
	s.term(t)
	eventually(t, 5*time.Second, "the server drains", func() bool { return strings.Contains(s.log(t), "shutting down") })
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code := s.proc.ended(t, 20*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(begun); took < 2*time.Second {
		t.Errorf("it ended after %v, before the drain limit", took)
	}
	gone(t, time.Second, pids)
	s.start(t)
	c = s.client()
	if v := c.ends(t, "short"); v.Status != "completed" || *v.Result != "well done\n" || v.Attempt != 1 {
		t.Errorf("short: %s, attempt %d", v.Status, v.Attempt)
	}
	// Its agent allows one attempt: one that was given back does not count.
	if v := c.ends(t, "long"); v.Status != "completed" || *v.Result != "again\n" || v.Attempt != 2 {
		t.Errorf("long: %s (%s), attempt %d", v.Status, v.EndReason, v.Attempt)
	}
	s.quiet(t)
}
