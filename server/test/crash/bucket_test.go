package crash

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// fakeBucket is an S3 with one bucket, whose puts can be made to stay unanswered.
type fakeBucket struct {
	*s3mem.Backend
	url  string
	mute atomic.Bool
	put  chan struct{} // one for each object that was put and not answered
}

func newFakeBucket(t *testing.T) *fakeBucket {
	t.Helper()
	b := &fakeBucket{Backend: s3mem.New(), put: make(chan struct{}, 9)}
	if err := b.CreateBucket("errand"); err != nil {
		t.Fatal(err)
	}
	handler, over := gofakes3.New(b.Backend).Server(), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut || !b.mute.Load() {
			handler.ServeHTTP(w, r)
			return
		}
		handler.ServeHTTP(httptest.NewRecorder(), r)
		b.put <- struct{}{}
		<-over
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(over) })
	b.url = "s3://errand/files?endpoint=" + url.QueryEscape(s.URL)
	return b
}

// objects counts what is in the bucket.
func (b *fakeBucket) objects(t *testing.T) int {
	t.Helper()
	list, err := b.ListBucket("errand", nil, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	return len(list.Contents)
}

// A server that is killed between the object and the commit leaves no file without a
// content; the object that nobody has goes an hour later, and no key stands in the log.
func TestKilledBesideABucket(t *testing.T) {
	t.Parallel()
	b := newFakeBucket(t)
	s := prepareServer(t, "--blobs", b.url)
	s.env = []string{"AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=words-of-the-bucket"}
	s.start(t)
	before := b.objects(t)
	c := s.client()
	var first struct{ URL string }
	c.must(t, http.StatusCreated, http.MethodPost, "/v1/files?name=a.txt", "first content").into(t, &first)
	rest := func(want string) {
		t.Helper()
		got := c.must(t, http.StatusPartialContent, http.MethodGet, strings.TrimPrefix(first.URL, s.url()), nil, "Range", "bytes=6-")
		if string(got.body) != want {
			t.Errorf("a range of the file is %q", got.body)
		}
	}
	rest("content")
	if b.objects(t) != before+1 {
		t.Errorf("%d objects, want that of the file alone", b.objects(t)-before)
	}

	b.mute.Store(true)
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = c.call(ctx, http.MethodPost, "/v1/files?name=b.txt", "second content") // nobody answers
	}()
	<-b.put
	s.kill(t)
	leave()
	<-gone
	b.mute.Store(false)
	if b.objects(t) != before+2 {
		t.Fatalf("%d objects, want that of the lost upload, too", b.objects(t)-before)
	}
	s.change(t, "UPDATE transit SET at = 1") // it was an hour ago
	s.start(t)
	eventually(t, startLimit, "the object of the lost upload goes", func() bool { return b.objects(t) == before+1 })
	rest("content")
	if log := s.log(t); strings.Contains(log, "words-of-the-bucket") {
		t.Error("the log has the bucket's key")
	}
}
