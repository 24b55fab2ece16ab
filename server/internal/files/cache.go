package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/errand-dev/errand/server/internal/durable"
)

// FetchedFolder is the name of the cache's folder in the data folder.
const FetchedFolder = "fetched"

const (
	// maxFetched bounds what the cache holds, in bytes, and maxFetchedFile one content:
	// a longer one is read as it comes, each time anew.
	maxFetched     = 1 << 30
	maxFetchedFile = 256 << 20
	// keepFetched is how long what was fetched is kept.
	keepFetched = 24 * time.Hour
)

// How names in the cache's folder begin: of contents, of what an organization has
// fetched from a URL, of what a task has, and of what is on its way.
const (
	cachedContent = "content-"
	cachedURL     = "url-"
	cachedPin     = "task-"
	cachedComing  = "coming-"
)

// cache keeps what was fetched, in files: so it outlives a server that was killed. A task
// reads a URL once, and what it has read stays the same for it; other tasks of the
// organization share it as far as the URL's server allows. Nothing is shared between
// organizations.
type cache struct {
	dir string
	now func() time.Time

	mu   sync.Mutex
	busy map[string]*turnstile // by what is being fetched
}

// turnstile lets one in at a time.
type turnstile struct {
	in    chan struct{} // holds a token while somebody is in
	users int           // who is in or waits
}

// cached is what is known of a content that was fetched.
type cached struct {
	Content      string    `json:"content"`
	Size         int64     `json:"size"`
	ETag         string    `json:"etag,omitempty"`
	LastModified string    `json:"last_modified,omitempty"`
	FreshUntil   time.Time `json:"fresh_until,omitzero"` // for other tasks; they ask again after it
}

// keyOf names something in the folder: its parts cannot be told from the name.
func keyOf(kind string, parts ...string) string {
	hash := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(hash, "%d:%s", len(p), p)
	}
	return kind + hex.EncodeToString(hash.Sum(nil))
}

// lock has a key alone until unlock, unless ctx ends before that is so.
func (c *cache) lock(ctx context.Context, key string) (unlock func(), err error) {
	c.mu.Lock()
	if c.busy == nil {
		c.busy = map[string]*turnstile{}
	}
	x := c.busy[key]
	if x == nil {
		x = &turnstile{in: make(chan struct{}, 1)}
		c.busy[key] = x
	}
	x.users++
	c.mu.Unlock()
	leave := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if x.users--; x.users == 0 {
			delete(c.busy, key)
		}
	}
	select {
	case x.in <- struct{}{}:
		return func() { <-x.in; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}

// open reads a URL for a task of an organization. ask sends a request with some headers.
func (c *cache) open(ctx context.Context, org, task, url string, ask func(ctx context.Context, header http.Header) (*http.Response, error)) (io.ReadCloser, error) {
	pin, shared := keyOf(cachedPin, org, task, url), keyOf(cachedURL, org, url)
	unlock, err := c.lock(ctx, shared)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if task == "" { // a preview keeps nothing that others may not have, too
		pin = ""
	} else if known, content := c.read(pin); content != nil {
		c.write(pin, known) // it is of use still
		return content, nil
	}
	known, content := c.read(shared)
	if content != nil && c.now().Before(known.FreshUntil) {
		c.write(pin, known)
		return content, nil
	}
	header := http.Header{}
	if content != nil {
		set(header, "If-None-Match", known.ETag)
		set(header, "If-Modified-Since", known.LastModified)
	}
	res, err := ask(ctx, header)
	switch {
	case err != nil:
	case res.StatusCode == http.StatusNotModified && content != nil:
		res.Body.Close() //nolint:errcheck // it has none
		known.FreshUntil = c.fresh(res.Header)
		c.write(shared, known)
		c.write(pin, known)
		return content, nil
	}
	if content != nil {
		content.Close() //nolint:errcheck // it was not read
	}
	if err != nil {
		return nil, err
	}
	return c.keep(org, pin, shared, res)
}

func set(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}

// keep reads an answer and keeps it. What is too long to be kept is passed on as it comes.
func (c *cache) keep(org, pin, shared string, res *http.Response) (io.ReadCloser, error) {
	if err := durable.Mkdir(c.dir); err != nil {
		return res.Body, nil //nolint:nilerr // without the cache it can be read as well
	}
	c.trim()
	coming, err := os.CreateTemp(c.dir, cachedComing+"*")
	if err != nil {
		return res.Body, nil //nolint:nilerr // as above
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%d:%s", len(org), org)
	size, err := io.Copy(io.MultiWriter(coming, hash), io.LimitReader(res.Body, maxFetchedFile+1))
	if err == nil {
		_, err = coming.Seek(0, io.SeekStart)
	}
	if err != nil {
		err = errors.Join(err, coming.Close(), os.Remove(coming.Name()), res.Body.Close())
		return nil, err
	}
	if size > maxFetchedFile {
		_ = os.Remove(coming.Name()) // it is read once more, and then gone
		return &joined{io.MultiReader(coming, res.Body), []io.Closer{coming, res.Body}}, nil
	}
	_ = res.Body.Close() // it is whole
	known := cached{
		Content: cachedContent + hex.EncodeToString(hash.Sum(nil)), Size: size,
		ETag: res.Header.Get("Etag"), LastModified: res.Header.Get("Last-Modified"), FreshUntil: c.fresh(res.Header),
	}
	now := c.now()
	_ = os.Chtimes(coming.Name(), now, now)
	if pin == "" && !sharable(res.Header) {
		_ = os.Remove(coming.Name())
		return coming, nil // it is read once, and then gone
	}
	if kept := os.Rename(coming.Name(), filepath.Join(c.dir, known.Content)) == nil; !kept {
		_ = os.Remove(coming.Name())
		return coming, nil // it is read once; only nobody finds it again
	}
	c.write(pin, known)
	if sharable(res.Header) {
		c.write(shared, known)
	}
	return coming, nil
}

// joined is what is read from several places.
type joined struct {
	io.Reader
	all []io.Closer
}

func (j *joined) Close() error {
	var err error
	for _, x := range j.all {
		err = errors.Join(err, x.Close())
	}
	return err
}

// directives are those of Cache-Control.
func directives(h http.Header) []string {
	list := strings.Split(strings.ToLower(strings.Join(h.Values("Cache-Control"), ",")), ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// sharable tells whether other tasks may have an answer: nobody has asked it not to be
// stored, and it does not depend on what cannot be compared.
func sharable(h http.Header) bool {
	return !slices.Contains(directives(h), "no-store") && !strings.Contains(h.Get("Vary"), "*")
}

// fresh is until when an answer counts without asking again.
func (c *cache) fresh(h http.Header) time.Time {
	list := directives(h)
	if slices.Contains(list, "no-cache") {
		return time.Time{}
	}
	for _, d := range list {
		if text, is := strings.CutPrefix(d, "max-age="); is {
			if seconds, err := strconv.Atoi(strings.Trim(text, `"`)); err == nil && seconds > 0 {
				age, _ := strconv.Atoi(h.Get("Age")) // none is 0
				return c.now().Add(min(time.Duration(max(seconds-age, 0))*time.Second, keepFetched))
			}
		}
	}
	return time.Time{}
}

// read opens the content of a record; nil if it is not there any more.
func (c *cache) read(key string) (known cached, content *os.File) {
	raw, err := os.ReadFile(filepath.Join(c.dir, key)) //nolint:gosec // a hash
	if err != nil || json.Unmarshal(raw, &known) != nil || !strings.HasPrefix(known.Content, cachedContent) {
		return cached{}, nil
	}
	if info, err := os.Stat(filepath.Join(c.dir, key)); err != nil || c.now().Sub(info.ModTime()) > keepFetched {
		return cached{}, nil
	}
	path := filepath.Join(c.dir, filepath.Base(known.Content))
	if content, err = os.Open(path); err != nil { //nolint:gosec // a hash
		return cached{}, nil
	}
	if info, err := content.Stat(); err != nil || info.Size() != known.Size { // a machine that lost its power
		_ = content.Close()
		return cached{}, nil
	}
	now := c.now()
	_ = os.Chtimes(path, now, now) // what is used goes last
	return known, content
}

// write keeps a record, whole or not at all. One that cannot be kept costs a request.
func (c *cache) write(key string, known cached) {
	if key == "" {
		return
	}
	raw, err := json.Marshal(known)
	if err != nil {
		return
	}
	coming, err := os.CreateTemp(c.dir, cachedComing+"*")
	if err != nil {
		return
	}
	_, err = coming.Write(raw)
	now := c.now()
	if err = errors.Join(err, coming.Close(), os.Chtimes(coming.Name(), now, now)); err == nil {
		err = os.Rename(coming.Name(), filepath.Join(c.dir, key))
	}
	if err != nil {
		_ = os.Remove(coming.Name())
	}
}

// trim removes what is too old, and, while the contents are too much, those that were
// used the longest time ago.
func (c *cache) trim() {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	var contents []fs.FileInfo
	var size int64
	for _, e := range entries {
		info, err := e.Info()
		switch {
		case err != nil:
		case c.now().Sub(info.ModTime()) > keepFetched:
			_ = os.Remove(filepath.Join(c.dir, e.Name()))
		case strings.HasPrefix(e.Name(), cachedContent):
			contents, size = append(contents, info), size+info.Size()
		}
	}
	slices.SortFunc(contents, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range contents {
		if size <= maxFetched-maxFetchedFile {
			return
		}
		_ = os.Remove(filepath.Join(c.dir, info.Name()))
		size -= info.Size()
	}
}
