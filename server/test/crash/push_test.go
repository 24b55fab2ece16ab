package crash

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Updates that are posted while the server is killed again and again come in their order,
// each at least once (H20), and nothing that is stored or logged holds what they are shown
// with. An address that may not be dialled any more is given up, and its owner is told why.
func TestPushesSurviveKills(t *testing.T) {
	t.Parallel()
	const pieces, kills = 60, 4
	s := newServer(t, "--allow-private", "127.0.0.0/8", "--log-level", "debug")
	c := s.client()
	x := &secretTest{client: c, t: t, planted: planted{"credentials": "PLANTED" + rand.Text()}}
	c.putWorkerAgent(t, "talker", 600)
	var mu sync.Mutex
	var got []string // the places of what was taken
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var update map[string]struct {
			Metadata struct {
				Place struct {
					Seq string `json:"seq"`
				} `json:"urn:errand:a2a:sequence:1"`
			} `json:"metadata"`
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil || json.Unmarshal(body, &update) != nil || r.Header.Get("Authorization") != "Bearer "+x.planted["credentials"] {
			t.Errorf("posted %s, %v", body, r.Header)
		}
		for _, u := range update {
			got = append(got, u.Metadata.Place.Seq)
		}
	}))
	t.Cleanup(hook.Close)
	taken := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got)
	}
	x.clean(http.StatusOK, http.MethodPost, "/a2a/talker/message:send", obj{
		"message": obj{"messageId": "m", "contextId": "t", "role": "ROLE_USER", "parts": []obj{{"text": "talk"}}},
		"configuration": obj{"returnImmediately": true, "taskPushNotificationConfig": obj{
			"url": hook.URL, "id": "hook", "authentication": obj{"scheme": "Bearer", "credentials": x.planted["credentials"]},
		}},
	})
	x.clean(http.StatusOK, http.MethodPost, "/a2a/talker/tasks/t~1/pushNotificationConfigs", obj{"url": "http://127.0.0.1:1/", "id": "closed"})
	token := c.claim(t, "talker", "w").Lease.Token
	for i := range pieces {
		if i%(pieces/kills) == pieces/kills-1 {
			s.kill(t)
			x.scan(s)
			s.start(t)
		}
		c.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/t/events", obj{
			"lease_token": token, "events": []obj{{"type": "chunk", "data": strconv.Itoa(i), "client_id": fmt.Sprint("c-", i)}},
		})
	}
	c.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/t/finish", obj{"lease_token": token, "status": "completed", "result": "over"})
	_, log := c.mustLog(t, "t")
	last := strconv.Itoa(len(log))
	eventually(t, time.Minute, "all is told", func() bool { all := taken(); return len(all) > 0 && all[len(all)-1] == last })
	distinct := taken()
	inOrder := slices.IsSortedFunc(distinct, byPlace)
	if distinct = slices.Compact(distinct); !inOrder || len(distinct) != pieces+4 { // submitted, working, the result, completed
		t.Errorf("told %v", distinct)
	}
	s.kill(t)
	s.args = s.args[2:]
	s.start(t)
	var told struct {
		Delivery struct{ State, Failure string }
	}
	eventually(t, time.Minute, "the closed address is given up", func() bool {
		x.clean(http.StatusOK, http.MethodGet, "/a2a/talker/tasks/t~1/pushNotificationConfigs/closed", nil).into(t, &told)
		return told.Delivery.State == "given_up"
	})
	if told.Delivery.Failure == "" {
		t.Error("nobody says why")
	}
	s.kill(t)
	x.scan(s)
	if found := x.in([]byte(s.log(t))); len(found) > 0 {
		t.Errorf("the log tells %v", found)
	}
}

// byPlace compares places of updates, which are numbers.
func byPlace(a, b string) int {
	var x, y float64
	_, _ = fmt.Sscan(a, &x)
	_, _ = fmt.Sscan(b, &y)
	return int(2 * (x - y))
}
