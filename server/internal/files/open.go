package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/outbound"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

// Fetcher reads URLs that users gave. They are hostile: only http and https,
// no private or link-local address (checked at the moment of dialling, so
// also through redirects and changing DNS answers), with limits on time, size
// and redirects. What was fetched is kept in the data folder: a task fetches a URL once,
// whatever becomes of its attempts, and others of its organization as rarely as the
// URL's server allows.
type Fetcher struct {
	client *http.Client
	cache  cache
}

const (
	fetchTimeout = 2 * time.Minute
	maxRedirects = 5
)

// NewFetcher makes a fetcher that keeps what it has fetched in a folder. Addresses in
// allow are dialled although they are private: it is the operator's word.
func NewFetcher(allow []netip.Prefix, dir string, now func() time.Time) *Fetcher {
	transport := outbound.Guard{Networks: allow}.Transport()
	transport.ResponseHeaderTimeout = 30 * time.Second
	transport.DisableKeepAlives = true
	return &Fetcher{cache: cache{dir: dir, now: now}, client: &http.Client{
		Transport: transport,
		Timeout:   fetchTimeout,
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) >= maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			return nil
		},
	}}
}

// Trim drops what was not used for long.
func (f *Fetcher) Trim() { f.cache.trim() }

// Open starts to read a URL for a task of an organization, "" for none; reading more
// than MaxSize bytes fails.
func (f *Fetcher) Open(ctx context.Context, org, task, target string) (io.ReadCloser, error) {
	return f.cache.open(ctx, org, task, target, func(ctx context.Context, header http.Header) (*http.Response, error) {
		return f.ask(ctx, target, header)
	})
}

// ask sends one request. Its answer is the file, or says that it has not changed.
func (f *Fetcher) ask(ctx context.Context, target string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	req.Header = header
	res, err := f.client.Do(req)
	if err != nil {
		return nil, fetchError(req.URL.Host, err)
	}
	if res.StatusCode != http.StatusOK && (res.StatusCode != http.StatusNotModified || len(header) == 0) {
		res.Body.Close() //nolint:errcheck // nothing was read
		return nil, fmt.Errorf("fetch: the server of %s answered %s", req.URL.Host, res.Status)
	}
	res.Body = http.MaxBytesReader(nil, res.Body, MaxSize)
	return res, nil
}

// fetchError says what went wrong in words for the task's owner.
func fetchError(host string, err error) error {
	if outbound.Refused(err) {
		return fmt.Errorf("the server does not fetch from private addresses (%s): upload the file, or let its operator allow the address (--allow-private)", host)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return fmt.Errorf("fetch from %s: %w", host, err)
}

// NameOf is what the file of a task is called, by what the task keeps of it.
func NameOf(ref string) string {
	if _, name, ok := SplitRef(ref); ok {
		return name
	}
	if u, err := url.Parse(ref); err == nil {
		return Name(path.Base(u.Path))
	}
	return Name(ref)
}

// Opener opens the files of tasks for the server's own runtimes: those that
// the server keeps from its disk, others through the fetcher.
type Opener struct {
	shelf   *Shelf
	fetcher *Fetcher
	service *lifecycle.Service
}

// NewOpener makes an opener.
func NewOpener(shelf *Shelf, fetcher *Fetcher, service *lifecycle.Service) *Opener {
	return &Opener{shelf: shelf, fetcher: fetcher, service: service}
}

// Output keeps a file that an attempt of the server's own writes under its lease.
func (o *Opener) Output(ctx context.Context, org, id, token, name string, r io.Reader) (task.Output, error) {
	out, _, err := o.shelf.PutOutput(ctx, o.service, lifecycle.Caller{Scope: auth.All(org)}, id, token, name, r)
	return out, err
}

// Give keeps what an attempt of the server's own gives its agent of files.
func (o *Opener) Give(ctx context.Context, org, id, token string, list []runtime.Given) error {
	return o.shelf.Give(ctx, o.service, org, id, token, list)
}

// Given reads what was given of the files of a turn.
func (o *Opener) Given(ctx context.Context, org, id string, turn int) ([]runtime.Given, error) {
	return o.shelf.Given(ctx, o.service, org, id, turn)
}

// Files makes the files of a task readable; "" for those of none.
func (o *Opener) Files(org, id string, refs []string) []runtime.File {
	list := make([]runtime.File, 0, len(refs))
	for _, ref := range refs {
		if file, name, ok := SplitRef(ref); ok {
			list = append(list, o.stored(org, file, name))
			continue
		}
		list = append(list, runtime.File{Name: NameOf(ref), Open: func(ctx context.Context) (io.ReadCloser, error) {
			return o.fetcher.Open(ctx, org, id, ref)
		}})
	}
	return list
}

// Written are outputs of a task.
func (o *Opener) Written(org string, outputs []task.Output) []runtime.File {
	list := make([]runtime.File, len(outputs))
	for i, x := range outputs {
		list[i] = o.stored(org, x.File, x.Name)
	}
	return list
}

func (o *Opener) stored(org, id, name string) runtime.File {
	return runtime.File{Name: name, Open: func(ctx context.Context) (io.ReadCloser, error) {
		content, _, err := o.shelf.Open(ctx, org, id)
		return content, err
	}}
}
