package crash

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// What has happened to tasks is told although the server is killed as soon as it is
// committed: each message at least once, those of a task in their order (H21). Nothing that
// is stored or logged holds the secret.
func TestWebhooksSurviveKills(t *testing.T) {
	t.Parallel()
	const kills, each = 4, 5
	s := newServer(t, "--allow-private", "127.0.0.0/8", "--log-level", "debug")
	c := s.client()
	x := &secretTest{client: c, t: t, planted: planted{"secret": base64.StdEncoding.EncodeToString([]byte("PLANTED" + rand.Text()))}}
	c.putWorkerAgent(t, "talker", 600)
	var mu sync.Mutex
	var verifier *standardwebhooks.Webhook
	got := map[string][]string{} // by task, each type once
	seen := map[string]bool{}
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		var m struct {
			Type string `json:"type"`
			Data struct {
				Task string `json:"task_id"`
			} `json:"data"`
		}
		if err != nil || verifier.Verify(body, r.Header) != nil || json.Unmarshal(body, &m) != nil {
			t.Errorf("posted %s, %v", body, r.Header)
		}
		if id := r.Header.Get("webhook-id"); !seen[id] {
			seen[id] = true
			got[m.Data.Task] = append(got[m.Data.Task], m.Type)
		}
	}))
	t.Cleanup(hook.Close)
	secret := "whsec_" + x.planted["secret"]
	var err error
	if verifier, err = standardwebhooks.NewWebhook(secret); err != nil {
		t.Fatal(err)
	}
	c.must(t, http.StatusCreated, http.MethodPost, "/v1/webhooks", obj{"url": hook.URL, "secret": secret})
	x.clean(http.StatusOK, http.MethodGet, "/v1/webhooks", nil)
	for i := range kills {
		for n := range each {
			id := fmt.Sprintf("t-%d-%d", i, n)
			c.must(t, http.StatusCreated, http.MethodPost, "/v1/tasks", obj{"id": id, "agent_id": "talker", "input": obj{"text": "x"}})
			token := c.claim(t, "talker", "w").Lease.Token
			c.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/"+id+"/finish", obj{"lease_token": token, "status": "completed"})
		}
		s.kill(t)
		s.start(t)
	}
	eventually(t, time.Minute, "all is told", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == 3*kills*each
	})
	s.kill(t)
	x.scan(s)
	if found := x.in([]byte(s.log(t))); len(found) > 0 {
		t.Errorf("the log tells %v", found)
	}
	mu.Lock()
	defer mu.Unlock()
	for id, types := range got {
		if fmt.Sprint(types) != "[task.pending task.executing task.completed]" {
			t.Errorf("told of %s: %v", id, types)
		}
	}
}
