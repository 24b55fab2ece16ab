package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/app"
)

// drip sends the beginning of a request and then a byte every few milliseconds,
// until the server has answered and cut the connection. It returns the status,
// 0 for none, and how long that took.
func (s *server) drip(t *testing.T, head string) (status int, took time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // it ends both sides
	begun := time.Now()
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		in := bufio.NewReader(conn)
		if res, err := http.ReadResponse(in, nil); err == nil {
			status = res.StatusCode
			defer res.Body.Close() //nolint:errcheck // the connection's end is what counts
		}
		_, _ = io.Copy(io.Discard, in) // until the connection is cut
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-gone:
			if ctx.Err() != nil {
				t.Errorf("the server still reads: %.60q", head)
			}
			return status, time.Since(begun)
		case <-tick.C:
			_, _ = io.WriteString(conn, "x") // who is cut may not be told yet
		}
	}
}

// A body that comes drop by drop is cut, wherever it is sent: with a key or
// without, where it is read and where it is not.
func TestABodyThatDripsIsCut(t *testing.T) { //nolint:tparallel // one subtest holds all others, to end after them
	t.Parallel()
	s := start(t, func(o *app.Options) { o.ReadTimeout = 300 * time.Millisecond })
	s.agent(t, "agent-1")
	s.task(t, "one")
	before := s.stored(t)
	t.Run("everywhere", func(t *testing.T) {
		for _, c := range []struct {
			method, path, key string
			status            int
		}{
			{"POST", "/v1/tasks", adminKey, 400},
			{"POST", "/v1/files?name=a.csv", adminKey, 400},
			{"POST", "/v1/tasks", wrongKey, 401},
			{"POST", "/v1/files?name=a.csv", wrongKey, 401},
			{"GET", "/healthz", "", 200},
			{"GET", "/agent-execution/one/status", adminKey, 200},
			{"PATCH", "/agent-execution/one/update", adminKey, 400},
			{"POST", "/nothing", adminKey, 404},
		} {
			t.Run(c.method+" "+c.path+" "+c.key, func(t *testing.T) {
				t.Parallel()
				head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: h\r\nX-Api-Key: %s\r\nContent-Length: 200000\r\n\r\n{", c.method, c.path, c.key)
				status, took := s.drip(t, head)
				if status != c.status || took > 10*time.Second {
					t.Errorf("answered %d after %s", status, took)
				}
			})
		}
	})
	if after := s.stored(t); after != before {
		t.Errorf("stored something:\n%s\n%s", before, after)
	}
	if left, err := filepath.Glob(filepath.Join(s.dir, "files", "upload-*")); err != nil || len(left) > 0 {
		t.Errorf("unfinished uploads are left: %v, %v", left, err)
	}
}

// An upload may take longer than the time for one of its pieces, if it goes on.
func TestASlowUploadThatGoesOnIsTaken(t *testing.T) {
	t.Parallel()
	const timeout = 4 * time.Second // a busy machine stalls for more than one
	s := start(t, func(o *app.Options) { o.ReadTimeout = timeout })
	in, out := io.Pipe()
	begun := time.Now()
	go func() {
		tick := time.NewTicker(timeout / 8)
		defer tick.Stop()
		for range 10 {
			<-tick.C
			if _, err := out.Write(make([]byte, 128<<10)); err != nil {
				return // the request has failed, which the test sees
			}
		}
		out.Close() //nolint:errcheck // never fails
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/files?name=a.bin", in)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", adminKey)
	res, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	if took := time.Since(begun); res.StatusCode != http.StatusCreated || took < timeout {
		t.Errorf("answered %d after %s", res.StatusCode, took)
	}
}

// A body whose request then waits is not cut while it does: the time is for the
// body alone.
func TestAWaitAfterTheBodyIsNotCut(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *app.Options) { o.ReadTimeout = 100 * time.Millisecond })
	s.agent(t, "agent-1")
	begun := time.Now()
	s.must(t, 200, call{method: "POST", path: "/v1/claim", body: `{"agent_ids": ["agent-1"], "worker_id": "w", "wait": 0.5}`})
	if took := time.Since(begun); took < 500*time.Millisecond {
		t.Errorf("it waited %s only", took)
	}
}
