package files

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// origin is a server that counts, and a fetcher with a clock of the test's.
type origin struct {
	*Fetcher

	t      *testing.T
	dir    string
	url    string
	now    time.Time
	answer http.HandlerFunc
	asked  []string // "" for a request without conditions, else those
}

func newOrigin(t *testing.T) *origin {
	t.Helper()
	o := &origin{t: t, dir: filepath.Join(t.TempDir(), "fetched"), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	var mu sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		o.asked = append(o.asked, r.Header.Get("If-None-Match")+r.Header.Get("If-Modified-Since"))
		o.answer(w, r)
	}))
	t.Cleanup(s.Close)
	o.url = s.URL + "/a.csv"
	o.again()
	return o
}

// again is another process that has the folder.
func (o *origin) again() {
	o.Fetcher = NewFetcher([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, o.dir, func() time.Time { return o.now })
}

// reads reads the URL for a task.
func (o *origin) reads(org, task, want string) {
	o.t.Helper()
	content, err := o.Open(o.t.Context(), org, task, o.url)
	if err != nil {
		o.t.Fatal(err)
	}
	defer content.Close() //nolint:errcheck // it was only read
	got, err := io.ReadAll(content)
	if err != nil || string(got) != want {
		o.t.Errorf("%s of %s has read %q, %v, want %q", task, org, got, err, want)
	}
}

func (o *origin) times(want int) {
	o.t.Helper()
	if len(o.asked) != want {
		o.t.Errorf("asked %d times, want %d: %q", len(o.asked), want, o.asked)
	}
}

// says answers a content with headers, and 304 where its ETag is asked for.
func says(content string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		tag := w.Header().Get("ETag")
		if tag != "" && r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		fmt.Fprint(w, content)
	}
}

// O2: a task fetches a URL once, also when its server was killed meanwhile, and has read
// the same however the file has changed; another task asks whether it has.
func TestO2ATaskFetchesOnce(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.answer = says("one", "ETag", `"1"`)
	for range 3 {
		o.reads("o", "t", "one")
	}
	o.again()
	o.reads("o", "t", "one")
	o.times(1)
	o.reads("o", "u", "one")
	o.times(2)
	o.answer = says("two", "ETag", `"2"`)
	o.reads("o", "t", "one")
	o.reads("o", "v", "two")
	o.reads("o", "v", "two")
	o.times(3)
	if got := fmt.Sprint(o.asked); got != `[ "1" "1"]` {
		t.Errorf("asked with %s", got)
	}
	o.reads("other", "t", "two") // nothing is shared between organizations
	o.times(4)
	if o.asked[3] != "" {
		t.Errorf("O2: another organization asked with %q", o.asked[3])
	}
	o.now = o.now.Add(keepFetched + time.Hour)
	o.reads("o", "t", "two")
	o.times(5)
	entries, err := os.ReadDir(o.dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("O2: after a day there are %d files, %v", len(entries), err)
	}
}

// O2: other tasks share what the URL's server allows them to.
func TestO2TheServerSaysWhoShares(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header []string
		asked  []string // by three tasks, the last one an hour later
	}{
		{[]string{"Cache-Control", "max-age=600"}, []string{"", ""}},
		{[]string{"Cache-Control", "max-age=600", "Age", "600", "ETag", `"1"`}, []string{"", `"1"`, `"1"`}},
		{[]string{"Cache-Control", "max-age=7200"}, []string{""}},
		{[]string{"Cache-Control", "max-age=7200, no-cache", "ETag", `"1"`}, []string{"", `"1"`, `"1"`}},
		{[]string{"Cache-Control", "max-age=7200, no-store", "ETag", `"1"`}, []string{"", "", ""}},
		{[]string{"Vary", "*", "ETag", `"1"`}, []string{"", "", ""}},
		{[]string{"Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT"}, []string{"", "Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:00 GMT"}},
		{nil, []string{"", "", ""}},
	} {
		o := newOrigin(t)
		o.answer = says("one", c.header...)
		o.reads("o", "t", "one")
		o.reads("o", "u", "one")
		o.now = o.now.Add(time.Hour)
		o.reads("o", "v", "one")
		o.reads("o", "t", "one")
		if fmt.Sprintf("%q", o.asked) != fmt.Sprintf("%q", c.asked) {
			t.Errorf("O2: %q: asked with %q, want %q", c.header, o.asked, c.asked)
		}
	}
}

// O2: what breaks off, and what is refused, is not kept; many at once ask once.
func TestO2OnlyWholeFilesAreKept(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "half")
	}
	if _, err := o.Open(t.Context(), "o", "t", o.url); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("O2: what broke off was %v", err)
	}
	o.answer = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) }
	if _, err := o.Open(t.Context(), "o", "t", o.url); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("O2: what was refused was %v", err)
	}
	o.answer = says("whole")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { o.reads("o", "t", "whole") })
	}
	all.Wait()
	o.times(3)
}
