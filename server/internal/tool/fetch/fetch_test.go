package fetch

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/outbound"
	"github.com/errand-dev/errand/server/internal/tool"
)

// run fetches a URL behind a guard.
func run(t *testing.T, guard outbound.Guard, target string, offset int) tool.Result {
	t.Helper()
	tools, err := New(guard)(t.Context(), nil, agent.Agent{})
	if err != nil {
		t.Fatal(err)
	}
	arguments, err := json.Marshal(map[string]any{"url": target, "offset": offset})
	if err != nil {
		t.Fatal(err)
	}
	got, err := tools[0].Run(t.Context(), tool.Call{Arguments: arguments})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// serve answers paths, at an address that the guard allows.
func serve(t *testing.T, paths map[string]http.HandlerFunc) (base string, guard outbound.Guard) {
	t.Helper()
	mux := http.NewServeMux()
	for path, h := range paths {
		mux.HandleFunc(path, h)
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL, outbound.Guard{Hosts: []string{strings.TrimPrefix(s.URL, "http://")}}
}

func says(kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		fmt.Fprint(w, body)
	}
}

func goesTo(target string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) }
}

// T9, A4: what is refused is told to the model, and nothing of it is fetched.
func TestT9FetchRefuses(t *testing.T) {
	t.Parallel()
	touched := func(http.ResponseWriter, *http.Request) { t.Error("a private address was asked") }
	private := httptest.NewServer(http.HandlerFunc(touched))
	t.Cleanup(private.Close)
	port := private.URL[strings.LastIndex(private.URL, ":"):]
	bomb := func(w http.ResponseWriter, _ *http.Request) {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		for range 64 {
			_, _ = z.Write(bytes.Repeat([]byte("a"), 1<<20))
		}
		_ = z.Close()
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	}
	base, guard := serve(t, map[string]http.HandlerFunc{
		"/to-loopback": goesTo(private.URL),
		"/to-name":     goesTo("http://localhost" + port),
		"/to-metadata": goesTo("http://169.254.169.254/latest/meta-data/"),
		"/to-file":     goesTo("file:///etc/passwd"),
		"/to-secret":   goesTo("http://name:password@example.com/"),
		"/round":       goesTo("/round"),
		"/bomb":        bomb,
		"/endless": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			for {
				if _, err := io.WriteString(w, strings.Repeat("and so on ", 1000)); err != nil {
					return
				}
			}
		},
		"/headers": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Long", strings.Repeat("x", 200_000)) },
		"/missing": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"/packed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			fmt.Fprint(w, "x")
		},
		"/cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "half")
		},
		"/picture": says("image/png", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"),
	})
	const toPrivate = "does not fetch from private addresses"
	for target, want := range map[string]string{
		private.URL:                         toPrivate,
		"http://localhost" + port:           toPrivate,
		"http://[::1]" + port:               toPrivate,
		"http://[::ffff:127.0.0.1]" + port:  toPrivate,
		"http://0.0.0.0" + port:             toPrivate,
		"http://10.0.0.1/":                  toPrivate,
		"http://192.168.1.1/":               toPrivate,
		"http://172.16.0.1/":                toPrivate,
		"http://100.64.0.1/":                toPrivate,
		"http://169.254.169.254/latest/":    toPrivate,
		"http://[fd00:ec2::254]/latest/":    toPrivate,
		"http://[fe80::1]/":                 toPrivate,
		base + "/to-loopback":               toPrivate,
		base + "/to-name":                   toPrivate,
		base + "/to-metadata":               toPrivate,
		base + "/to-file":                   "only http and https",
		base + "/to-secret":                 "must not hold a name or password",
		base + "/round":                     "more than 5 redirects",
		base + "/bomb":                      "longer than 4194304 bytes",
		base + "/endless":                   "longer than 4194304 bytes",
		base + "/headers":                   "exceeded",
		base + "/missing":                   "answered 404 Not Found",
		base + "/packed":                    "in the encoding br",
		base + "/cut":                       "broke off",
		base + "/picture":                   "is no text (image/png)",
		"file:///etc/passwd":                "only http and https",
		"gopher://example.com/":             "only http and https",
		"http:///x":                         "only http and https",
		"example.com":                       "only http and https",
		"http://a:b@example.com/":           "must not hold a name or password",
		"http://%zz/":                       "that is no URL",
		"http://nowhere.invalid/index.html": "fetch from nowhere.invalid",
	} {
		if got := run(t, guard, target, 0); !got.IsError || !strings.Contains(got.Text, want) {
			t.Errorf("%s: %+v, want an error with %q", target, got, want)
		}
	}
}

// T9: who answers slowly is left after a while, before and in the middle of an answer.
func TestT9FetchIsPatientForSoLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, said := range map[string]bool{"no answer": false, "a slow one": true} {
			f := &fetcher{&http.Client{Timeout: timeout, Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if !said {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return &http.Response{StatusCode: http.StatusOK, Body: &slow{until: r.Context().Done()}, Request: r}, nil
			})}}
			began := time.Now()
			got, err := f.run(t.Context(), tool.Call{Arguments: json.RawMessage(`{"url": "http://example.com/"}`)})
			if took := time.Since(began); err != nil || !strings.Contains(got.Text, "took longer than 30s") || took != timeout {
				t.Errorf("%s: %+v, %v after %s", name, got, err, took)
			}
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// slow is a body that says a letter a second.
type slow struct{ until <-chan struct{} }

func (s *slow) Read(p []byte) (int, error) {
	select {
	case <-s.until:
		return 0, context.DeadlineExceeded // as a transport says it, and the client before it if it is quicker
	case <-time.After(time.Second):
		p[0] = 'a'
		return 1, nil
	}
}

func (s *slow) Close() error { return nil }

// T9: a page is read as text, piece by piece.
func TestT9FetchReads(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 10_000)
	base, guard := serve(t, map[string]http.HandlerFunc{
		"/long": says("text/plain", long),
		"/json": says("application/json", `{"a": "ü"}`),
		"/old":  goesTo("/json"),
		"/page": says("text/html; charset=utf-8", `<html><head><title>Tides &amp; moons</title><style>p {}</style><script>if (a < b) {}</script></head>
			<body><h1>Tides</h1><p>They   come <b>twice</b>, <a href="why?x=1">and why</a>.</p><ul><li>high<li>low</ul></body></html>`),
	})
	for target, want := range map[string]string{
		base + "/json": base + "/json (application/json)\n\n" + `{"a": "ü"}`,
		base + "/old":  base + "/json (application/json)\n\n" + `{"a": "ü"}`,
		base + "/page": base + "/page (text/html)\n\nTides & moons\nTides\nThey come twice, and why (" + base + "/why?x=1).\n- high\n- low",
	} {
		if got := run(t, guard, target, 0); got.IsError || got.Text != want {
			t.Errorf("%s: %+v\nwant %q", target, got, want)
		}
	}
	read := 0
	for n := 0; n < 9 && read < len(long); n++ {
		got := run(t, guard, base+"/long", read)
		_, text, _ := strings.Cut(got.Text, "\n\n")
		text, note, _ := strings.Cut(text, "\n(")
		if !strings.HasPrefix(long[read:], text) || len(got.Text) > tool.MaxResult || note == "" {
			t.Fatalf("piece at %d: %d bytes, %q", read, len(text), note)
		}
		read += len(text)
	}
	if got := run(t, guard, base+"/long", read); !strings.Contains(got.Text, "nothing more") || read != len(long) {
		t.Errorf("behind the end at %d: %+v", read, got)
	}
}

// Any page is read, however broken.
func FuzzPlain(f *testing.F) {
	for _, page := range []string{"<p>a<p>b", "<script>", "<a href=x>y", "</a></a>", "<ul><li>", "<title></p>"} {
		f.Add(page)
	}
	base := &url.URL{Scheme: "http", Host: "example.com"}
	f.Fuzz(func(t *testing.T, page string) {
		if len(page) > 4096 {
			return
		}
		plain(page, base)
	})
}
