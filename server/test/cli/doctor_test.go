package cli_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestDoctorSeesABadProxy: one that takes an event out of each stream, one that takes
// their ends, and one that does not let streams resume.
func TestDoctorSeesABadProxy(t *testing.T) {
	t.Parallel()
	_, env := newServer(t)
	target, err := url.Parse(strings.TrimPrefix(env[0], "ERRAND_URL="))
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(w http.ResponseWriter, r *http.Request) http.ResponseWriter{
		"swallows": func(w http.ResponseWriter, _ *http.Request) http.ResponseWriter { return swallower{w, "id: 7\n"} },
		"never ends": func(w http.ResponseWriter, _ *http.Request) http.ResponseWriter {
			return swallower{w, `"task_finished"`}
		},
		// Only the stream that is cut in the middle has a cursor above 9.
		"forgets": func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
			if len(r.Header.Get("Last-Event-ID")) == 2 || len(r.URL.Query().Get("after")) == 2 {
				w.WriteHeader(http.StatusBadRequest)
				return discarder{w}
			}
			return w
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "never ends" && testing.Short() {
				t.Skip("doctor waits half a minute for an end")
			}
			pass := httputil.NewSingleHostReverseProxy(target)
			pass.FlushInterval = -1
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				pass.ServeHTTP(spoil(w, r), r)
			}))
			t.Cleanup(proxy.Close)
			c := exec.CommandContext(t.Context(), "errand", "doctor", "--server", proxy.URL)
			c.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0"), env...)
			out, _ := c.Output() // its exit code is looked at below
			if c.ProcessState.ExitCode() != 1 || !bytes.Contains(out, []byte("fail  stream")) || !bytes.Contains(out, []byte("neither buffer nor cut")) {
				t.Errorf("exit code %d:\n%s", c.ProcessState.ExitCode(), out)
			}
		})
	}
}

// swallower takes out of what is written each part that contains a text: one event,
// or several that are written together.
type swallower struct {
	http.ResponseWriter
	text string
}

func (s swallower) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(s.text)) {
		return len(p), nil
	}
	return s.ResponseWriter.Write(p)
}

func (s swallower) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// discarder has written its status already.
type discarder struct{ http.ResponseWriter }

func (discarder) WriteHeader(int)               {}
func (discarder) Write(p []byte) (int, error)   { return len(p), nil }
func (d discarder) Unwrap() http.ResponseWriter { return d.ResponseWriter }
