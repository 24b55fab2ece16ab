package nodes

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// While the database is down, nodes say so and go on by themselves when it is back. No
// lease has run out meanwhile: nobody could reach a server that stores (rule L2).
func TestDatabaseGoesAndComesBack(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts real servers")
	}
	server := pgtest.Start(t, pgtest.Options{})
	c := clusterOn(t, server.URL("postgres"))
	a, b := c.start(t), c.start(t)
	const lease = 4
	a.agent(t, "worker", lease)
	made := a.create(t, "worker", nil)
	got := b.claim(t, "worker", "w")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*node{a, b} {
		eventually(t, "it is not ready", func() bool {
			ready, err := n.call(t.Context(), http.MethodGet, "/readyz", nil)
			return err == nil && ready.status == http.StatusServiceUnavailable && strings.Contains(string(ready.body), "database")
		})
		for _, x := range []struct {
			method, path string
			body         any
		}{
			{http.MethodGet, "/v1/tasks/" + made.ID, nil},
			{http.MethodGet, "/v1/tasks", nil},
			{http.MethodGet, "/v1/tasks/" + made.ID + "/events", nil},
			{http.MethodPost, "/v1/tasks", obj{"agent_id": "worker", "input": obj{"text": "x"}}},
			{http.MethodPost, "/v1/tasks/" + made.ID + "/heartbeat", obj{"lease_token": got.Lease.Token}},
			{http.MethodPost, "/v1/claim", obj{"agent_ids": []string{"worker"}, "worker_id": "w"}},
		} {
			told := n.must(t, http.StatusServiceUnavailable, x.method, x.path, x.body)
			if !strings.Contains(string(told.body), "database") {
				t.Errorf("%s %s: %s", x.method, x.path, told)
			}
		}
		n.must(t, http.StatusOK, http.MethodGet, "/healthz", nil)
	}
	<-time.After(time.Until(got.Lease.ExpiresAt)) // what is waited for is the end of the lease
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*node{a, b} {
		n.awaitReady(t)
	}
	viewer := a.stream(t, "/v1/tasks/"+made.ID+"/events")
	b.say(t, got, "I am still here")
	b.finish(t, got, "done")
	messages := viewer.rest(t)
	log := a.events(t, made.ID)
	gapless(t, "a viewer at A", messages, 0, int64(len(log)))
	if lost := typed(log, "attempt_lost"); len(lost) > 0 {
		t.Errorf("the attempt was lost by the outage: %s", lost[0].Data)
	}
	// Hints flow again: a claim that waits at B gets a task of A at once.
	answers := make(chan error, 1)
	for range 3 {
		go func() {
			claims, err := b.claims(t.Context(), "worker", "w", 20*time.Second)
			if err == nil && len(claims) == 1 {
				b.finish(t, claims[0], "done")
			}
			answers <- err
		}()
		a.create(t, "worker", nil)
		if err := wait(t, answers, "a claim is answered"); err != nil {
			t.Error(err)
		}
	}
	for _, n := range []*node{a, b} {
		for line := range strings.Lines(n.log(t)) {
			if strings.Contains(line, "level=ERROR") && !strings.Contains(line, "the store cannot write") {
				t.Errorf("it logged more than once that the database is away: %s", line)
			}
		}
	}
}
