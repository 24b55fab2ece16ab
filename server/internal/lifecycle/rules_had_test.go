package lifecycle_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

// keyed is a submission with an idempotency key.
func keyed(key, route, body string) lifecycle.Submission {
	return submission("", func(s *lifecycle.Submission) {
		s.Spec.IdempotencyKey, s.Route, s.Body = &key, route, []byte(body)
	})
}

func TestH3Idempotency(t *testing.T) {
	t.Parallel()
	b := open(t)
	try := func(sub lifecycle.Submission) (lifecycle.Snapshot, bool, error) {
		return b.Submit(b.ctx(), who(), sub)
	}
	first, replayed, err := try(keyed("k", "r", "body"))
	b.must(err)
	if replayed {
		t.Error("H3: the first is no replay")
	}
	id := first.Task.ID
	b.patch(id, fields{"status": "completed", "result": "done"})
	b.unchanged(id, func() {
		again, replayed, err := try(keyed("k", "r", "body"))
		b.must(err)
		if s := again.Task.State(); !replayed || again.Task.ID != id || s.Status != task.Completed || text(s.Result) != "done" {
			t.Errorf("H3: replayed %v: %s %s", replayed, again.Task.ID, s.Status)
		}
		_, _, err = try(keyed("k", "r", "another body"))
		b.refused(err, fault.Conflict)
	})
	for name, sub := range map[string]lifecycle.Submission{
		"another key": keyed("k2", "r", "body"), "another route": keyed("k", "r2", "body"),
	} {
		if made, replayed, err := try(sub); err != nil || replayed || made.Task.ID == id {
			t.Errorf("H3: %s: replayed %v, %v", name, replayed, err)
		}
	}
	if made, replayed, err := b.Submit(b.ctx(), lifecycle.Caller{Scope: auth.All("other")}, keyed("k", "r", "body")); err != nil || replayed || made.Task.ID == id {
		t.Errorf("H3: another organization: replayed %v, %v", replayed, err)
	}
	b.clock.forward(24*time.Hour - time.Second)
	b.must(b.Forget(b.ctx()))
	if _, replayed, err := try(keyed("k", "r", "body")); err != nil || !replayed {
		t.Errorf("H3: not kept for 24 hours: %v", err)
	}
	b.clock.forward(2 * time.Second)
	b.must(b.Forget(b.ctx()))
	if made, replayed, err := try(keyed("k", "r", "another body")); err != nil || replayed || made.Task.ID == id {
		t.Errorf("H3: kept for longer: replayed %v, %v", replayed, err)
	}
	for _, bad := range []string{"", strings.Repeat("k", 256)} {
		_, _, err := try(keyed(bad, "r", "body"))
		b.refused(err, fault.Invalid)
	}
	_, _, err = try(keyed(strings.Repeat("k", 255), "r", "body"))
	b.must(err)
}

func TestH3AFailedCreateUsesUpNothing(t *testing.T) {
	t.Parallel()
	b := open(t)
	sub := keyed("k", "r", "body")
	sub.Spec.ParentExecution = new("nobody")
	_, _, err := b.Submit(b.ctx(), who(), sub)
	b.refused(err, fault.Invalid)
	if _, replayed, err := b.Submit(b.ctx(), who(), keyed("k", "r", "corrected")); err != nil || replayed {
		t.Errorf("H3: replayed %v, %v", replayed, err)
	}
}

func TestA1UnknownAgents(t *testing.T) {
	t.Parallel()
	b := open(t)
	_, _, err := b.Submit(b.ctx(), who(), submission("t", func(s *lifecycle.Submission) { s.Spec.AgentID = "new" }))
	b.refused(err, fault.NotFound)
	if !strings.Contains(err.Error(), "new") || !strings.Contains(err.Error(), "PUT /v1/agents/new") {
		t.Errorf("A1: %q does not say what to type", err)
	}
	_, err = b.Register(b.ctx(), lifecycle.Registration{Organization: org, Agent: "new"})
	b.must(err)
	a, err := b.Agent(b.ctx(), org, "new", 0)
	b.must(err)
	if a.Record.Name != "new" || a.Record.Runtime != agent.Worker {
		t.Errorf("A1: created %+v", a.Record)
	}
	_, err = b.Register(b.ctx(), lifecycle.Registration{Organization: org, Agent: bot}) // a known one stays as it is
	b.must(err)
	if a, err := b.Agent(b.ctx(), org, bot, 0); err != nil || a.Version != 1 {
		t.Errorf("A1: version %d, %v", a.Version, err)
	}
	for _, id := range []string{".", ".."} { // clients take these out of a URL's path
		_, err = b.Register(b.ctx(), lifecycle.Registration{Organization: org, Agent: id})
		b.refused(err, fault.Invalid)
	}
}

// Who is connected would create a deleted agent again, bare of its record.
func TestA1DeletingWhileAWorkerIsConnected(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.register()
	b.refused(b.DeleteAgent(b.ctx(), org, bot), fault.Conflict)
	b.cut(w)
	b.must(b.DeleteAgent(b.ctx(), org, bot))
}

func TestA2Versions(t *testing.T) {
	t.Parallel()
	b := open(t)
	put := func(r agent.Record) int {
		t.Helper()
		a, err := b.PutAgent(b.ctx(), org, "a", r)
		b.must(err)
		return a.Version
	}
	record := agent.Record{Name: "A", Instructions: &agent.Instructions{Role: []string{"x"}}, OutputSchema: json.RawMessage(`{"a":1}`), OutputFormat: new("json")}
	if v := put(record); v != 1 {
		t.Errorf("A2: first version %d", v)
	}
	if v := put(record); v != 1 {
		t.Errorf("A2: equal content made version %d", v)
	}
	record.Name = "B"
	if v := put(record); v != 2 {
		t.Errorf("A2: other content made version %d", v)
	}
	for version, want := range map[string]fault.Code{"1": "", "2": "", "3": fault.NotFound, "0": fault.NotFound, "x": fault.NotFound} {
		_, _, err := b.Submit(b.ctx(), who(), submission("", func(s *lifecycle.Submission) { s.Spec.AgentID, s.AgentVersion = "a", version }))
		if fault.CodeOf(err) != want {
			t.Errorf("A2: version %s: %v", version, err)
		}
	}
}

// inFiles reports whether the text stands anywhere in the data folder, deleted
// pages included, or in a row of the database.
func (b *bench) inFiles(text string) bool {
	b.t.Helper()
	found := false
	for _, rows := range teststore.Rows(b.tb, b.dir) {
		found = found || strings.Contains(strings.Join(rows, "\n"), text)
	}
	b.must(filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		found = found || bytes.Contains(content, []byte(text))
		return err
	}))
	return found
}

func TestA5SecretsAreSealedAndErasedWithTheTask(t *testing.T) {
	t.Parallel()
	b := open(t)
	secrets := map[string]string{
		"user_tokens": "needle-user-token", "oidc": "needle-oidc", "api_key": "needle-api-key",
		"client_secret": "needle-client-secret", "header": "needle-header", "env": "needle-env",
	}
	made := b.submit("t", func(s *lifecycle.Submission) {
		s.Spec.Input.Text = new("needle-prompt")
		s.Spec.UserTokens = json.RawMessage(`{"x":"` + secrets["user_tokens"] + `"}`)
		s.Spec.UserOIDCToken = new(secrets["oidc"])
		s.Spec.MCPServers = json.RawMessage(`[{"name":"m","url":"https://m","api_key":"` + secrets["api_key"] + `","client_secret":"` +
			secrets["client_secret"] + `","headers":{"h":"` + secrets["header"] + `"},"env_vars":{"e":"` + secrets["env"] + `"}}]`)
	})
	_, err := b.PutAgent(b.ctx(), org, "a", agent.Record{Name: "a", LLMCredential: &agent.Credentials{Name: "n", Value: "needle-llm"}})
	b.must(err)
	everything := string(made.Spec)
	for _, e := range b.log("t") {
		everything += string(e.Data())
	}
	for name, value := range secrets {
		if strings.Contains(everything, value) {
			t.Errorf("A5: %s stands in the task or its log", name)
		}
		if b.inFiles(value) {
			t.Errorf("A5: %s stands in the data folder", name)
		}
	}
	if b.inFiles("needle-llm") {
		t.Error("A5: the agent's credentials stand in the data folder")
	}
	if !b.inFiles("needle-prompt") {
		t.Fatal("the search for needles finds nothing")
	}
	x, err := b.TaskSecrets(b.ctx(), org, "t")
	b.must(err)
	opened, err := json.Marshal(x)
	b.must(err)
	for name, value := range secrets {
		if !strings.Contains(string(opened), value) {
			t.Errorf("A5: %s is lost: %s", name, opened)
		}
	}
	if c, err := b.AgentCredentials(b.ctx(), org, "a"); err != nil || c == nil || c.Value != "needle-llm" {
		t.Errorf("A5: credentials %+v, %v", c, err)
	}
	sealed, err := b.store.Secret(b.ctx(), org, lifecycle.OfTask, "t")
	b.must(err)
	b.must(b.Delete(b.ctx(), who(), "t"))
	if left, err := b.store.Secret(b.ctx(), org, lifecycle.OfTask, "t"); err != nil || left != nil {
		t.Errorf("A5: %d sealed bytes outlive the task, %v", len(left), err)
	}
	if len(sealed) == 0 {
		t.Error("A5: nothing was sealed")
	}
	if y, err := b.TaskSecrets(b.ctx(), org, "t"); err != nil || y.UserOIDCToken != nil {
		t.Errorf("A5: after the delete %+v, %v", y, err)
	}
}

func TestA5SecretsOfATurnGoWithIt(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("t", func(s *lifecycle.Submission) { s.Spec.UserOIDCToken = new("first") })
	b.stop("t")
	b.submit("t", nil)
	if x, err := b.TaskSecrets(b.ctx(), org, "t"); err != nil || x.UserOIDCToken != nil {
		t.Errorf("A5: the next turn has %+v, %v", x, err)
	}
}

// Whatever time passes, a task stays, with all of its log and what it was asked.
func TestD1NothingIsDeletedUnasked(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	_, err := b.Append(b.ctx(), org, "t", token, chunks("one", "two"))
	b.must(err)
	_, err = b.finish("t", token, task.EndCompleted, "r")
	b.must(err)
	before, err := b.Get(b.ctx(), org, "t")
	b.must(err)
	b.unchanged("t", func() {
		b.later(10 * 365 * 24 * time.Hour)
		b.must(b.Forget(b.ctx()))
	})
	after, err := b.Get(b.ctx(), org, "t")
	b.must(err)
	if !bytes.Equal(before.Spec, after.Spec) {
		t.Errorf("D1: it was asked %s, and now %s", before.Spec, after.Spec)
	}
}

func TestD2OrganizationsAreApart(t *testing.T) {
	t.Parallel()
	b := open(t)
	them := lifecycle.Caller{Scope: auth.All("other"), By: "key eve"}
	token := b.run("t", func(s *lifecycle.Submission) { s.Spec.UserOIDCToken = new("ours") })
	for name, reach := range map[string]func() error{
		"get":       func() error { _, err := b.Get(b.ctx(), "other", "t"); return err },
		"stop":      func() error { _, err := b.Stop(b.ctx(), them, "t"); return err },
		"pause":     func() error { _, err := b.Pause(b.ctx(), them, "t"); return err },
		"resume":    func() error { _, err := b.Resume(b.ctx(), them, "t"); return err },
		"delete":    func() error { return b.Delete(b.ctx(), them, "t") },
		"update":    func() error { _, err := b.Update(b.ctx(), them, "t", lifecycle.Edit{Title: new("x")}); return err },
		"patch":     func() error { _, err := b.Patch(b.ctx(), them, "t", nil); return err },
		"events":    func() error { _, err := b.Task(b.ctx(), "other", "t"); return err },
		"heartbeat": func() error { _, err := b.Heartbeat(b.ctx(), "other", "t", token); return err },
		"append":    func() error { _, err := b.Append(b.ctx(), "other", "t", token, chunks("x")); return err },
		"finish": func() error {
			_, err := b.Finish(b.ctx(), "other", "t", token, lifecycle.Outcome{Reason: task.EndCompleted})
			return err
		},
	} {
		b.unchanged("t", func() {
			if err := reach(); fault.CodeOf(err) != fault.NotFound {
				t.Errorf("D2: %s across organizations: %v", name, err)
			}
		})
	}
	if x, err := b.TaskSecrets(b.ctx(), "other", "t"); err != nil || x.UserOIDCToken != nil {
		t.Errorf("D2: secrets across organizations: %+v, %v", x, err)
	}
	// The same id elsewhere is simply another task (T1).
	_, _, err := b.Submit(b.ctx(), them, submission("t", nil))
	b.must(err)
	got, err := b.Claim(b.ctx(), them, lifecycle.ClaimRequest{Agents: []string{bot}, Worker: "w1", Slots: 9})
	b.must(err)
	if len(got) != 1 || got[0].Task.OrganizationID != "other" {
		t.Errorf("D2: they claimed %d tasks", len(got))
	}
	_, err = b.Finish(b.ctx(), "other", "t", token, lifecycle.Outcome{Reason: task.EndCompleted})
	b.refused(err, fault.Conflict)
	b.must(b.Delete(b.ctx(), them, "t"))
	b.shows("t", task.Executing, "")
	list, err := b.List(b.ctx(), "other", lifecycle.Filter{}, lifecycle.Page{Size: 10})
	b.must(err)
	if len(list.Items) != 0 {
		t.Errorf("D2: they list %d tasks", len(list.Items))
	}
	w, err := b.Register(b.ctx(), lifecycle.Registration{Organization: "other", Agent: bot})
	b.must(err)
	b.submit("u", nil)
	if found, err := b.Assign(b.ctx(), "other", bot, w.ID); err != nil || len(found.Given) != 0 {
		t.Errorf("D2: their worker was given %d tasks, %v", len(found.Given), err)
	}
}
