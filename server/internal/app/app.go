// Package app puts a server together and runs it. It is the only package that
// knows all the others.
package app

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/blob"
	"github.com/errand-dev/errand/server/internal/board"
	"github.com/errand-dev/errand/server/internal/deliver"
	"github.com/errand-dev/errand/server/internal/dispatch"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi"
	"github.com/errand-dev/errand/server/internal/httpapi/a2a"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	v1 "github.com/errand-dev/errand/server/internal/httpapi/v1"
	"github.com/errand-dev/errand/server/internal/invoke"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/mcp"
	"github.com/errand-dev/errand/server/internal/observe"
	"github.com/errand-dev/errand/server/internal/outbound"
	"github.com/errand-dev/errand/server/internal/people"
	"github.com/errand-dev/errand/server/internal/reading"
	"github.com/errand-dev/errand/server/internal/search"
	"github.com/errand-dev/errand/server/internal/secret"
	"github.com/errand-dev/errand/server/internal/stream"
	"github.com/errand-dev/errand/server/internal/task"
)

// ProfileAgent is the id of the agent that every server has: it profiles data
// without a model.
const ProfileAgent = "profile"

// App is a running server.
type App struct {
	opts     Options
	listener net.Listener
	http     *http.Server
	streams  *httpapi.Streams
	store    store
	service  *lifecycle.Service
	auth     *auth.Authenticator
	pages    atomic.Pointer[board.Board]
	servers  *mcp.Host
	tracer   *observe.Tracer // nil for no traces
	first    FirstStart
	reader   *reading.Reader
	fetcher  *files.Fetcher

	closing, sweeping, working context.Context //nolint:containedctx // the lives of the server's own parts
	beginClose                 context.CancelFunc
	stopSweeping               context.CancelFunc
	stopWorking                context.CancelFunc
	parts                      sync.WaitGroup
	pool                       chan struct{} // closed when the pool has stopped
	failed                     chan error    // of serving
	stopOnce                   sync.Once
	stopErr                    error
}

// Start opens the data folder, listens and serves. When it returns without an
// error, the server answers; Stop ends it.
func Start(ctx context.Context, o Options) (*App, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	a := &App{opts: o, pool: make(chan struct{}), failed: make(chan error, 1)}
	a.closing, a.beginClose = context.WithCancel(context.WithoutCancel(ctx))
	a.sweeping, a.stopSweeping = context.WithCancel(context.WithoutCancel(ctx))
	a.working, a.stopWorking = context.WithCancel(context.WithoutCancel(ctx))
	if err := a.start(ctx); err != nil {
		a.cancelAll()
		a.parts.Wait()
		if a.listener != nil {
			err = errors.Join(err, a.listener.Close())
		}
		a.tracer.Close(ctx)
		if a.store != nil {
			err = errors.Join(err, a.store.Close())
		}
		return nil, err
	}
	return a, nil
}

func (a *App) start(ctx context.Context) error {
	o := a.opts
	hub, line, metrics := stream.NewHub(), dispatch.NewLine(), observe.NewMetrics(o.Version)
	node := nodeName(o)
	var indexer atomic.Pointer[search.Indexer]
	var taskLog *observe.TaskLog
	if o.TaskLog != nil {
		taskLog = observe.NewTaskLog(o.TaskLog)
		a.parts.Go(func() { taskLog.Run(a.sweeping) })
	}
	var courier atomic.Pointer[deliver.Courier]
	tailer := feed.NewTailer(func(entries []feed.Entry) { //nolint:contextcheck // it outlives the start
		hub.Publish(entries)
		if x := indexer.Load(); x != nil {
			x.Told()
		}
		if c := courier.Load(); c != nil {
			c.Told()
		}
		if pages := a.pages.Load(); pages != nil {
			pages.Publish(entries)
		}
		line.Publish(entries)
		metrics.Committed(entries)
		a.tracer.Committed(entries)
		taskLog.Committed(entries)
	})
	var err error
	// First of all, so that a start on an address in use leaves nothing behind.
	if a.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", o.Addr); err != nil {
		return cannotListen(o.Addr, err)
	}
	if o.Traces && observe.TracesWanted() {
		if a.tracer, err = observe.NewTracer(ctx, o.Version, o.Log); err != nil {
			return err
		}
	}
	if a.store, err = openStore(ctx, o, node, hearers{line.Expect, tailer.Committed, metrics.Batch}); err != nil {
		return err
	}
	a.tracer.Start(ctx, a.store)
	var box *secret.Box
	if err := alone(o, func() (err error) {
		if box, err = secret.Load(o.Data, o.SecretKey); err != nil {
			return err
		}
		if _, shared := a.store.(sharedStore); shared {
			if err := sameKey(ctx, a.store, box); err != nil {
				return err
			}
		}
		a.first, err = firstStart(ctx, o, a.store)
		return err
	}); err != nil {
		return err
	}
	folder := filepath.Join(o.Data, files.Folder)
	blobs, err := blob.Open(ctx, o.Blobs, folder, a.store, o.Log)
	if err != nil {
		return fmt.Errorf("--blobs: %w", err)
	}
	shelf := files.NewShelf(folder, blobs, a.store, box, o.Now, a.URL)
	if _, shared := a.store.(sharedStore); shared {
		if err := alone(o, func() error { return samePlace(ctx, a.store, box, shelf) }); err != nil {
			return fmt.Errorf("--blobs: %w", err)
		}
	}
	service := lifecycle.New(a.store, box, shelf, newID, o.Log)
	service.Name(node)
	a.service = service
	service.OfferModels(proxied(o.Providers))
	service.CapBy(o.Caps)
	service.DefineCommands(slices.Collect(maps.Keys(o.Commands)))
	service.DefineServers(slices.Collect(maps.Keys(o.MCPServers)))
	a.servers = mcp.NewHost(mcp.Options{Guard: outbound.Guard{Networks: o.AllowPrivate}, Programs: hidden(o.MCPServers, o.Data), Log: o.Log})
	service.Limit(lifecycle.Limits{MaxQueued: o.MaxQueued, CreateRate: o.CreateRate})
	if a.tracer != nil {
		service.Trace(a.tracer.Place)
	}
	if err := prepare(ctx, service); err != nil {
		return err
	}
	if err := a.ApplyAgents(ctx, o.Agents); err != nil {
		return err
	}
	if err := warnOfUnknown(ctx, service, o.Commands, o.Log); err != nil {
		return err
	}
	metrics.ShowState(a.store, hub.Subscribers, line.Present, o.Log)
	presenter := edge.NewPresenter(shelf, service)
	source := stream.NewSource(hub, service)
	a.pages.Store(board.New(service, board.Show{Row: edge.ShowRow, Counts: v1.ShowCounts, Approval: v1.ShowApproval, Workers: v1.ShowWorkers}))
	a.parts.Go(func() { a.pages.Load().Run(a.closing) })
	workers := dispatch.NewWorkers(service, line, o.Log, a.closing.Done())
	a.parts.Go(func() { workers.Run(a.closing) })
	a.reader = reading.New(filepath.Join(o.Data, reading.Folder))
	a.fetcher = files.NewFetcher(o.AllowPrivate, filepath.Join(o.Data, files.FetchedFolder), o.Now)
	opener := files.NewOpener(shelf, a.fetcher, service)
	runner := runners(hidden(o.Commands, o.Data), models(o, service, a.reader, a.servers), remoteAgents(o, service))
	pool := dispatch.NewPool(dispatch.PoolOptions{
		Service: service, Line: line, Watcher: hub, Files: opener,
		Present: func(ctx context.Context, s lifecycle.Snapshot) (json.RawMessage, error) {
			return presenter.Task(ctx, s, nil)
		},
		Runner: runner, Slots: o.Slots, Log: o.Log, URL: a.URL,
	})
	a.parts.Go(func() {
		defer close(a.pool)
		pool.Run(a.closing, a.working)
	})
	now := func() time.Time { return a.store.Now().Time() }
	indexer.Store(search.NewIndexer(a.store))
	guard := outbound.Guard{Networks: o.AllowPrivate}
	courier.Store(deliver.NewCourier(deliver.Options{Store: a.store, Box: box, Guard: guard, Folding: a2a.Folding(shelf), Posted: metrics.Posted, Log: o.Log}))
	chores := dispatch.Chores{
		Trim:    a.trim,
		Index:   indexer.Load().StepAndRest,
		Deliver: courier.Load().Run,
		Due:     courier.Load().Told,
		Forget:  shelf.Forget,
	}
	if o.Retention.Least() > 0 {
		chores.Retain = func(ctx context.Context, goOn func() bool) error { return service.Retain(ctx, o.Retention, goOn) }
	}
	a.parts.Go(func() { dispatch.NewSweeper(service, o.Log, now, chores).Run(a.sweeping) })
	if shared, ok := a.store.(sharedStore); ok {
		mark, _, err := shared.Mark(ctx, "") // before anybody looks: what is committed from now on is told
		if err != nil {
			return err
		}
		a.parts.Go(func() {
			tailer.Follow(a.sweeping, shared, mark, shared.Hints(), func(err error) {
				if fault.CodeOf(err) != fault.Unavailable { // else the store has told the log why
					o.Log.ErrorContext(a.sweeping, "read the feed", "error", err)
				}
			})
		})
	}
	a.auth = auth.NewAuthenticator(a.store)
	var provider *people.Provider
	if o.OIDC != nil {
		provider = people.NewProvider(*o.OIDC, box, a.URL()+v1.CallbackPath, a.URL()+auth.SignInPage)
		a.parts.Go(func() { provider.Run(a.closing, o.Log) })
	}
	a.streams = httpapi.NewStreams(a.listener.Addr(), idleTimeout)
	a.serve(httpapi.New(httpapi.Options{ //nolint:contextcheck // each handler has its request's own
		Core: edge.Core{
			Service: service, Workers: workers, Board: a.pages.Load(), Changes: board.NewChanges(a.pages.Load(), a.store, service), Presenter: presenter, Log: o.Log,
			Source: source, Turns: invoke.NewTurns(service, source, o.KeepAlive), KeepAlive: o.KeepAlive, WriteTimeout: o.WriteTimeout,
			ReadTimeout: o.ReadTimeout, Closing: a.closing,
		},
		Version: o.Version, Store: o.storeName(), Defaults: o.Defaults, Auth: a.auth, People: provider, Search: search.NewFinder(a.store), Pushes: deliver.NewBook(courier.Load()), Shelf: shelf, Ready: a.ready,
		Proxy: modelProxy(o, service), Preview: previews(runner, opener), Data: o.Data,
		Retention: o.Retention, AgentTools: o.MCPAgentTools,
		Cookie: sessionCookie(box, a.URL()), Origin: origin(a.URL()), PublicURL: trimSlash(o.PublicURL),
		Metrics: metrics.Handler(), Measure: metrics.Request, Streams: a.streams,
	}))
	if o.exposed() {
		o.Log.WarnContext(ctx, "listening beyond this machine without TLS: keys travel in the clear; use --tls-cert and --tls-key, or a proxy that encrypts", "addr", o.Addr)
	}
	return nil
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// sessionCookie is where browsers keep their sessions. Its name is the same after each
// start, and on all servers of a database.
func sessionCookie(box *secret.Box, url string) edge.SessionCookie {
	return edge.SessionCookie{Name: "errand_" + hex.EncodeToString(box.MAC("session cookie"))[:8], Secure: strings.HasPrefix(url, "https:")}
}

// origin is what browsers say that pages below a URL come from.
func origin(of string) string {
	u, err := url.Parse(of)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// prepare makes what every server has and clears what a crash may have left.
func prepare(ctx context.Context, s *lifecycle.Service) error {
	if err := s.Begin(ctx); err != nil {
		return err
	}
	_, err := s.Agent(ctx, auth.DefaultOrganization, ProfileAgent, 0)
	if fault.CodeOf(err) != fault.NotFound {
		return err
	}
	description := "Profiles the data files of a task: no model, no network."
	_, err = s.PutAgent(ctx, auth.DefaultOrganization, ProfileAgent, agent.Record{
		Name: "Data profiler", Runtime: agent.Profile, Description: &description,
	})
	return err
}

// Limits on what a connection may cost before it has said what it wants.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
)

func (a *App) serve(handler http.Handler) {
	a.http = &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(a.closing) },
		ConnContext: edge.WithConnection,
	}
	serve := a.http.Serve
	if a.opts.TLSCert == "" {
		a.parts.Go(func() { _ = a.http.Serve(a.streams) }) // it ends with the other
	} else { // no connection is taken over, and a Serve that is first would leave it without HTTP/2
		a.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		serve = func(l net.Listener) error { return a.http.ServeTLS(l, a.opts.TLSCert, a.opts.TLSKey) }
	}
	a.parts.Go(func() {
		if err := serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			a.failed <- err
		}
	})
}

// URL is under what the server is reached.
func (a *App) URL() string {
	if a.opts.PublicURL != "" {
		return trimSlash(a.opts.PublicURL)
	}
	scheme := "http"
	if a.opts.TLSCert != "" {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(a.listener.Addr().String())
	if err != nil {
		return scheme + "://" + a.listener.Addr().String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

func trimSlash(s string) string {
	for len(s) > 0 && s[len(s)-1] == '/' {
		s = s[:len(s)-1]
	}
	return s
}

// SignInLink makes a URL that signs a browser in, once, as the admin key of the data
// folder.
func (a *App) SignInLink(ctx context.Context) (string, error) {
	who, err := a.auth.Authenticate(ctx, a.first.Key)
	if err != nil {
		return "", err
	}
	path, _, err := a.auth.Link(ctx, who, "")
	return a.URL() + path, err
}

// FirstStart tells of the admin key that the first start has made.
func (a *App) FirstStart() FirstStart { return a.first }

// Failed yields an error if serving ends by itself.
func (a *App) Failed() <-chan error { return a.failed }

func (a *App) ready(ctx context.Context) error {
	if err := a.closing.Err(); err != nil {
		return err
	}
	if err := a.store.Writable(ctx); err != nil {
		return err
	}
	_, err := a.store.Organizations(ctx)
	return err
}

func (a *App) cancelAll() {
	a.beginClose()
	a.stopWorking()
	a.stopSweeping()
}

// Stop ends the server, in this order: claims stop and streams end properly;
// running work and requests get until the drain limit; what still runs is
// given back; the sweeper and the store go last. It is idempotent, and safe to
// call from several goroutines.
func (a *App) Stop() error {
	a.stopOnce.Do(func() { a.stopErr = a.stop() })
	return a.stopErr
}

func (a *App) stop() error {
	limit, cancel := context.WithTimeout(context.Background(), a.opts.Drain)
	defer cancel()
	a.beginClose()
	select {
	case <-a.pool:
	case <-limit.Done():
		a.opts.Log.Warn("running work is given back: it outlasted the drain limit", "drain", a.opts.Drain.String())
	}
	a.stopWorking()
	<-a.pool
	a.servers.Close()
	// Requests that are still under way have a little longer than the work.
	grace, cancelGrace := context.WithTimeout(context.Background(), max(5*time.Second, a.opts.Drain/4))
	defer cancelGrace()
	err := errors.Join(a.http.Shutdown(grace), a.streams.Shutdown(grace))
	if errors.Is(err, context.DeadlineExceeded) {
		err = a.http.Close()
	}
	a.stopSweeping()
	// What waits for a store that does not answer is turned away by the store's end.
	late := time.AfterFunc(leaveTime, func() { _ = a.store.Close() }) // it answers the same below
	a.parts.Wait()
	a.leave()
	late.Stop()
	a.tracer.Close(context.Background())
	return errors.Join(err, a.reader.Close(), a.store.Close())
}

// trim drops what is kept for minutes, and gives the disk back what is not needed.
func (a *App) trim(ctx context.Context) error {
	a.fetcher.Trim()
	now := task.StampOf(time.Now())
	err := errors.Join(a.store.DropFeed(ctx, a.store.Now().Add(-keepFeed)), a.store.DropSessions(ctx, now), a.store.DropPasses(ctx, now), a.store.DropStats(ctx, a.store.Now()))
	if s, ok := a.store.(shrinker); ok {
		err = errors.Join(err, s.Shrink(ctx))
	}
	return err
}

// leaveTime bounds how long an end waits for the store.
const leaveTime = 3 * time.Second

// leave tells other nodes that this one ends.
func (a *App) leave() {
	if _, shared := a.store.(sharedStore); !shared {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	if err := a.service.Leave(ctx); err != nil {
		a.opts.Log.Warn("the other servers will notice the end of this one by its silence", "error", err)
	}
}

// cannotListen says why an address cannot be had.
func cannotListen(addr string, err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w: is another server running? Choose another address", err)
	}
	return fmt.Errorf("--addr %s: %w", addr, err)
}
