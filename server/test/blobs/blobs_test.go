// Package blobs tests the places in which contents of files may lie, each in the same way.
package blobs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/errand-dev/errand/server/internal/blob"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

// realBucketEnv names a bucket of a real server, on which the tests then run, too: as
// --blobs does, with the keys where it looks for them.
const realBucketEnv = "ERRAND_TEST_S3"

func TestMain(m *testing.M) {
	if os.Getenv(realBucketEnv) == "" {
		_ = os.Setenv("AWS_ACCESS_KEY_ID", "key")
		_ = os.Setenv("AWS_SECRET_ACCESS_KEY", "words that nobody may read in a log")
	}
	os.Exit(m.Run())
}

// fake serves an S3 of its own, with one bucket.
func fake(t *testing.T, o ...gofakes3.Option) (endpoint string) {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("errand"); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(gofakes3.New(backend, append(o, gofakes3.WithAutoBucket(false))...).Server())
	t.Cleanup(s.Close)
	return s.URL
}

func inBucket(name, endpoint string) string {
	return "s3://" + name + "/some/prefix?endpoint=" + url.QueryEscape(endpoint)
}

// places are all kinds of places, by their names.
func places(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{"folder": blob.Folder, "database": blob.Database, "bucket": inBucket("errand", fake(t))}
	if real := os.Getenv(realBucketEnv); real != "" {
		all["real"] = real
	}
	return all
}

// open opens a place, over a store of its own.
func open(t *testing.T, place string) files.Blobs {
	t.Helper()
	dir := t.TempDir()
	store := teststore.Open(t, t, teststore.Options{Dir: dir, Now: time.Now})
	t.Cleanup(func() { check(t, store.Close()) })
	folder := filepath.Join(dir, files.Folder)
	check(t, os.Mkdir(folder, 0o700))
	b, err := blob.Open(t.Context(), place, folder, store, slog.New(slog.NewTextHandler(t.Output(), nil)))
	check(t, err)
	return b
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// some makes a content and its id.
func some(size int) (content []byte, id string) {
	content = make([]byte, size)
	for i := range content {
		content[i] = byte(rand.Uint32())
	}
	sum := sha256.Sum256(content)
	return content, hex.EncodeToString(sum[:])
}

// put puts a content as the shelf does.
func put(t *testing.T, b files.Blobs, id string, content []byte) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "upload")
	check(t, os.WriteFile(path, content, 0o600))
	return b.Put(t.Context(), id, int64(len(content)), path)
}

// What was put is read, from any place on and by many at once, until it is erased.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for name, place := range places(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, place)
			for _, size := range []int{0, 1, 256 << 10, 256<<10 + 1, 3 << 20} {
				comesAndGoes(t, b, size)
			}
			if b.Limit() < 64<<20 || b.Limit() > files.MaxSize {
				t.Errorf("the limit is %d", b.Limit())
			}
		})
	}
}

func comesAndGoes(t *testing.T, b files.Blobs, size int) {
	t.Helper()
	content, id := some(size)
	if _, err := b.Open(t.Context(), id, int64(size)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%d bytes that nobody has put: %v", size, err)
	}
	for range 2 { // there is no harm in putting it twice
		check(t, put(t, b, id, content))
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { reads(t, b, id, content) })
	}
	all.Wait()
	for range 2 {
		check(t, b.Erase(t.Context(), id))
	}
	if _, err := b.Open(t.Context(), id, int64(size)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%d bytes that were erased: %v", size, err)
	}
}

// reads reads a content whole and in parts, as http.ServeContent does.
func reads(t *testing.T, b files.Blobs, id string, content []byte) {
	t.Helper()
	open, err := b.Open(t.Context(), id, int64(len(content)))
	if err != nil {
		t.Error(err)
		return
	}
	defer open.Close() //nolint:errcheck // it was only read
	if size, err := open.Seek(0, io.SeekEnd); err != nil || size != int64(len(content)) {
		t.Errorf("it ends at %d, %v", size, err)
	}
	for range 4 {
		at := int64(0)
		if len(content) > 0 {
			at = rand.Int64N(int64(len(content)))
		}
		if _, err := open.Seek(at, io.SeekStart); err != nil {
			t.Error(err)
		}
		part := make([]byte, rand.IntN(len(content)-int(at)+1))
		if _, err := io.ReadFull(open, part); err != nil || !bytes.Equal(part, content[at:int(at)+len(part)]) {
			t.Errorf("%d bytes from %d on are wrong: %v", len(part), at, err)
		}
	}
	if _, err := open.Seek(0, io.SeekStart); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(open); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d of %d bytes were read, or wrong ones: %v", len(got), len(content), err)
	}
}

// An object that is not what was put does not pass for it: neither one of another size nor,
// where the server looks, one of another hash.
func TestBucketsKeepNothingElse(t *testing.T) {
	t.Parallel()
	real := os.Getenv(realBucketEnv)
	b, err := blob.Open(t.Context(), cmp.Or(real, inBucket("errand", fake(t))), "", nil, slog.New(slog.DiscardHandler))
	check(t, err)
	content, id := some(1000)
	check(t, put(t, b, id, content))
	if _, err := b.Open(t.Context(), id, 1001); err == nil {
		t.Error("an object of another size was opened")
	}
	if _, other := some(1); real != "" && put(t, b, other, content) == nil {
		t.Error("a content was put whose hash is another")
	}
	check(t, b.Erase(t.Context(), id))
}

// An object that breaks off on its way is told as the bucket's trouble, without its
// address, and never passes for the whole.
func TestBucketThatBreaksOff(t *testing.T) {
	t.Parallel()
	content, id := some(1000)
	behind, err := url.Parse(fake(t))
	check(t, err)
	s3 := httputil.NewSingleHostReverseProxy(behind)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, id) {
			s3.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Length", "1000")
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		_, _ = w.Write(content[:10])
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(s.Close)
	b := open(t, inBucket("errand", s.URL))
	check(t, put(t, b, id, content))
	got, err := b.Open(t.Context(), id, 1000)
	check(t, err)
	defer got.Close() //nolint:errcheck // it was only read
	if _, err = io.ReadAll(got); fault.CodeOf(err) != fault.Unavailable || strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("it broke off with %v", err)
	}
}

// A start says what is wrong with a bucket, and what to do about it, and shows no key.
func TestBucketsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	t.Cleanup(silent.Close)
	t.Cleanup(func() { close(over) })
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, c := range []struct{ what, place, want string }{
		{"no bucket", inBucket("other", fake(t)), "there is no such bucket"},
		{"a clock", inBucket("errand", fake(t, gofakes3.WithTimeSource(gofakes3.FixedTimeSource(time.Now().Add(-time.Hour))))), "clock"},
		{"an unknown key", inBucket("errand", refusing(t, "InvalidAccessKeyId")), "it refuses the key (InvalidAccessKeyId): see AWS_ACCESS_KEY_ID"},
		{"a wrong key", inBucket("errand", refusing(t, "SignatureDoesNotMatch")), "it refuses the key (SignatureDoesNotMatch)"},
		{"a key without rights", inBucket("errand", refusing(t, "AccessDenied")), "needs GetObject, PutObject and DeleteObject"},
		{"another region", inBucket("errand", refusing(t, "AuthorizationHeaderMalformed")), "&region="},
		{"nobody", inBucket("errand", gone.URL), "refused"},
		{"somebody silent", inBucket("errand", silent.URL), "deadline"},
	} {
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := blob.Open(ctx, c.place, "", nil, slog.New(slog.DiscardHandler))
		stop()
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "the bucket ") || strings.Contains(err.Error(), "words that nobody") {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
}

// refusing serves an S3 that refuses all with an error.
func refusing(t *testing.T, code string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>no</Message></Error>")
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// What names no place is refused in words that do not repeat it.
func TestPlacesThatAreNone(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"":                                     "",
		"folder":                               "",
		"database":                             "",
		"s3://bucket":                          "",
		"s3://bucket/a/b?region=eu-north-1":    "",
		"Folder":                               "write folder, database or s3://",
		"/var/files":                           "write folder, database or s3://",
		"s3:bucket":                            "write folder, database or s3://",
		"s3://":                                "write s3://bucket",
		"s3://key:hidden@bucket":               "keys do not belong",
		"s3://bucket?secret=hidden":            "only endpoint=URL and region=NAME",
		"s3://bucket?endpoint=hidden:9000":     "the endpoint must be",
		"s3://bucket?endpoint=http://h/hidden": "the endpoint must be",
	} {
		err := blob.Check(given)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden")) {
			t.Errorf("%q: %v, want %q", given, err, want)
		}
	}
}
