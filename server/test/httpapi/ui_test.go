package httpapi_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/ui"
)

// head is what is answered beside a page.
type head struct {
	status        int
	Header        http.Header
	ContentLength int64
}

// page asks for a page as a browser does, without following a redirect.
func (s *server) page(t *testing.T, method, path string, header map[string]string) (head, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return head{res.StatusCode, res.Header, res.ContentLength}, body
}

// H9: the pages need no key, every path of theirs answers the page, and a browser is led to them.
func TestH9ThePagesAreThere(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, index := s.page(t, "GET", "/ui/", nil)
	for _, path := range []string{"/ui", "/ui/tasks", "/ui/tasks/some-id?view=all", "/ui/tasks?status=failed&status=error", "/ui/../ui/x", "//ui//agents/"} {
		if res, body := s.page(t, "GET", path, nil); res.status != 200 || !bytes.Equal(body, index) {
			t.Errorf("%s: %d, %s", path, res.status, clip(body))
		}
	}
	scripts := regexp.MustCompile(`/ui/assets/[^"]+`).FindAllString(string(index), -1)
	if len(scripts) < 3 {
		t.Fatalf("the page names %v", scripts)
	}
	for _, path := range scripts {
		res, body := s.page(t, "GET", path, nil)
		if res.status != http.StatusOK || len(body) == 0 || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d, %v", path, res.status, res.Header)
		}
	}
	if res, _ := s.page(t, "GET", "/ui/assets/index-gone.js", nil); res.status != 404 {
		t.Errorf("an asset of another version: %d", res.status)
	}
	if res, _ := s.page(t, "POST", "/ui/tasks", nil); res.status != 405 {
		t.Errorf("a page that is written to: %d", res.status)
	}
	if res, _ := s.page(t, "GET", "/", map[string]string{"Accept": "text/html,*/*;q=0.8"}); res.status != 303 || res.Header.Get("Location") != "/ui/" {
		t.Errorf("a browser that knocks: %d, %v", res.status, res.Header)
	}
	if res, _ := s.page(t, "GET", "/", nil); res.status != 401 {
		t.Errorf("a program that knocks: %d", res.status)
	}
}

// H9: no page lets another host, an inline script or a frame in, and none is guessed at.
func TestH9ThePagesAreClosed(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, path := range []string{"/ui/", "/ui/errand.svg", "/ui/licences.txt"} {
		res, body := s.page(t, "GET", path, nil)
		for name, want := range map[string]string{
			"Content-Security-Policy": ui.Policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if bytes.Contains(body, []byte("<script>")) || bytes.Contains(body, []byte("style=\"")) {
			t.Errorf("%s has what its policy forbids", path)
		}
	}
	if strings.Contains(ui.Policy, "unsafe") || !strings.HasPrefix(ui.Policy, "default-src 'none'") {
		t.Errorf("the policy: %s", ui.Policy)
	}
}

// H9: a page is sent as it lies in the program, or unpacked for who does not take that, and not again if it is known.
func TestH9ThePagesArePacked(t *testing.T) {
	t.Parallel()
	s := start(t)
	plain, whole := s.page(t, "GET", "/ui/", nil)
	packed, body := s.page(t, "GET", "/ui/", map[string]string{"Accept-Encoding": "br, gzip;q=0.8"})
	if packed.Header.Get("Content-Encoding") != "gzip" || packed.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("packed: %v", packed.Header)
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if unpacked, err := io.ReadAll(z); err != nil || !bytes.Equal(unpacked, whole) {
		t.Errorf("unpacked: %v, %s", err, clip(unpacked))
	}
	if res, _ := s.page(t, "GET", "/ui/", map[string]string{"Accept-Encoding": "gzip;q=0"}); res.Header.Get("Content-Encoding") != "" {
		t.Error("packed for who refuses that")
	}
	if res, body := s.page(t, "GET", "/ui/", map[string]string{"If-None-Match": plain.Header.Get("Etag")}); res.status != 304 || len(body) != 0 {
		t.Errorf("known: %d", res.status)
	}
	if res, body := s.page(t, "HEAD", "/ui/", nil); res.status != 200 || len(body) != 0 || res.ContentLength != int64(len(whole)) {
		t.Errorf("HEAD: %d, %d bytes", res.status, res.ContentLength)
	}
}
