package crash

import (
	"context"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// backup runs errand backup and returns what it printed and its exit code.
func backup(t *testing.T, data, dest string) (said string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Getenv(binaryEnv), "backup", "--data", data, dest)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestBackup copies the data folder of a busy server, and serves the copy.
func TestBackup(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.client()
	c.putWorkerAgent(t, loadAgent, loadLease)
	c.putWorkerAgent(t, herdAgent, loadLease)
	c.putWorkerAgent(t, "slow", 2)

	// A task that has ended, with a file; one with secrets; one that runs.
	done := newFed(t, c)
	done.feed(t.Context(), t, 20, 100)
	done.finish(t.Context(), t)
	secrets := plant()
	var vault taskView
	c.must(t, http.StatusCreated, http.MethodPost, "/v1/tasks",
		with(secrets.members(), obj{"agent_id": "slow", "input": obj{"text": "secret"}, "run_at": time.Now().Add(time.Hour)})).into(t, &vault)
	c.create(t, obj{"agent_id": "slow", "id": "runs", "input": obj{"text": "talk"}})
	token := c.claim(t, "slow", "w1").Lease.Token
	talking, hush := context.WithCancel(t.Context())
	var talker sync.WaitGroup
	talker.Go(func() {
		for c := s.client(); talking.Err() == nil; await(10 * time.Millisecond) {
			a, err := c.call(context.WithoutCancel(talking), http.MethodPost, "/v1/tasks/runs/events",
				obj{"lease_token": token, "events": []obj{{"type": "chunk", "data": "more "}}})
			if err != nil || a.status != http.StatusOK {
				t.Errorf("append during the backup: %s, %v", a, err)
				return
			}
		}
	})

	copied := filepath.Join(t.TempDir(), "copy")
	b := newBook()
	before := map[string]int{"runs": 0, done.id: 0} // acknowledged events, by task
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	underLoad(t, s.client, b, 1, seed, func() {
		await(500 * time.Millisecond)
		for _, id := range b.takeDirty() {
			before[id] = 0
		}
		for id := range before {
			events, _ := c.mustLog(t, id)
			before[id] = len(events)
		}
		if said, code := backup(t, s.data, copied); code != 0 || !strings.HasPrefix(said, copied+": ") {
			t.Errorf("backup: exit code %d, %s", code, said)
		}
	})
	hush()
	talker.Wait()
	if t.Failed() {
		return
	}
	c.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/runs/finish", obj{"lease_token": token, "status": "completed", "result": "here"})
	t.Logf("%d tasks were there before, of %d", len(before), len(b.creations))
	private(t, copied)
	if said, code := backup(t, s.data, copied); code != 1 || !strings.Contains(said, "is there already") {
		t.Errorf("a second backup to the same place: exit code %d, %s", code, said)
	}

	restored := prepareServer(t)
	restored.data = copied
	restored.start(t)
	r := restored.client()
	for id, n := range before {
		events, got := r.mustLog(t, id)
		_, want := c.mustLog(t, id)
		if len(got) < n {
			t.Errorf("task %s has %d events, %d were acknowledged before the backup", id, len(got), n)
			continue
		}
		for i := range events {
			if events[i].ID != int64(i+1) {
				t.Errorf("task %s: event %d has the id %d", id, i+1, events[i].ID)
			}
			if i < n && unsigned(host(restored, string(got[i]))) != unsigned(host(s, string(want[i]))) {
				t.Errorf("task %s: event %d is %s, was %s", id, i+1, got[i], want[i])
			}
		}
	}

	// Its file is served, also by a URL that the first server signed.
	for _, of := range []*server{s, restored} {
		u, err := url.Parse(of.client().task(t, done.id).Input.Files[0])
		if err != nil {
			t.Fatal(err)
		}
		if a := r.must(t, http.StatusOK, http.MethodGet, u.Path, nil); string(a.body) != "region,amount\nnorth,1\n" {
			t.Errorf("the file is %q", a.body)
		}
	}
	// Its secrets open.
	a := r.must(t, http.StatusOK, http.MethodGet, "/agent-execution/"+vault.ID+"/status", nil)
	for _, kind := range secrets.ofTask() {
		if !strings.Contains(string(a.body), secrets[kind]) {
			t.Errorf("the secret %s is lost", kind)
		}
	}
	// What ran goes to another worker.
	again := r.claim(t, "slow", "w2")
	if again.Task.ID != "runs" || again.Lease.Attempt != 2 {
		t.Errorf("claimed %s, attempt %d", again.Task.ID, again.Lease.Attempt)
	}
	r.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/runs/finish", obj{"lease_token": again.Lease.Token, "status": "completed", "result": "there"})
	if here, there := c.task(t, "runs"), r.task(t, "runs"); *here.Result != "here" || *there.Result != "there" {
		t.Errorf("results %q and %q", *here.Result, *there.Result)
	}
	s.quiet(t)
	restored.quiet(t)
}

// host takes a server's own address out of a text.
func host(s *server, text string) string { return strings.ReplaceAll(text, s.addr, "HOST") }

// private checks that nobody else may read a folder.
func private(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
