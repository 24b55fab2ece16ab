package sdk_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/errand-dev/errand"
)

// A token of a task is used by its URL, listed, and revoked.
func TestShare(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	task := create(t, c, errand.TaskRequest{Prompt: "x"})
	token, err := c.Tasks.Share(t.Context(), task.ID, 0)
	if err != nil || token.TaskID != task.ID || token.Secret == "" || time.Until(token.ExpiresAt) > time.Hour {
		t.Fatalf("%+v, %v", token, err)
	}
	read := func(want int) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.Tasks.SharedURL(token), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _ = res.Body.Close(); res.StatusCode != want {
			t.Errorf("answered %s, want %d", res.Status, want)
		}
	}
	read(200)
	list, err := c.Tasks.Shares(t.Context(), task.ID)
	if err != nil || len(list) != 1 || list[0].ID != token.ID || list[0].Secret != "" {
		t.Errorf("listed: %+v, %v", list, err)
	}
	if err := c.Tasks.Unshare(t.Context(), task.ID, token.ID); err != nil {
		t.Fatal(err)
	}
	read(401)
}
