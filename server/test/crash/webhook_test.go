package crash

import (
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
// committed: each message at least once, those of a task in their order (H21).
func TestWebhooksSurviveKills(t *testing.T) {
	t.Parallel()
	const kills, each = 4, 5
	s := newServer(t, "--allow-private", "127.0.0.0/8")
	c := s.client()
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
			Type string
			Data struct {
				Task string `json:"task_id"`
			}
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
	var made struct{ Secret string }
	c.must(t, http.StatusCreated, http.MethodPost, "/v1/webhooks", obj{"url": hook.URL}).into(t, &made)
	mu.Lock()
	var err error
	verifier, err = standardwebhooks.NewWebhook(made.Secret)
	mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
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
	mu.Lock()
	defer mu.Unlock()
	for id, types := range got {
		if fmt.Sprint(types) != "[task.pending task.executing task.completed]" {
			t.Errorf("told of %s: %v", id, types)
		}
	}
}
