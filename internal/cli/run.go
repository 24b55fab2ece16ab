package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/internal/app"
)

type runCmd struct {
	Prompt string   `arg:"" help:"What is to be done; - reads it from standard input."`
	File   []string `help:"A file, or an http(s) URL, for the task; may be repeated." short:"f" placeholder:"FILE" sep:"none"`
	Agent  string   `help:"Who is to do it." default:"profile"`
	JSON   bool     `help:"Print the finished task as JSON, and nothing else."`
	Server string   `help:"URL of a server to use instead of an own one." env:"ERRAND_URL" placeholder:"URL"`
	Key    string   `help:"Its key." env:"ERRAND_API_KEY" placeholder:"KEY"`
}

// Help says what cannot be said in flags.
func (runCmd) Help() string {
	return "Exit code: 0 completed, 3 failed, 4 error, 5 stopped, 130 stopped by Ctrl-C, 1 anything else."
}

// Run runs the task, with a server of its own in a temporary folder when none
// is given.
func (c *runCmd) Run(e *env) (err error) {
	prompt, err := e.prompt(c.Prompt)
	if err != nil {
		return err
	}
	if c.Server == "" && c.Agent != app.ProfileAgent {
		return fmt.Errorf("--agent %s: without a server there is only %s; set ERRAND_URL to the server that has this agent", c.Agent, app.ProfileAgent)
	}
	if err := checkFiles(c.File); err != nil {
		return err
	}
	url, key := c.Server, c.Key
	if url == "" {
		own, startErr := startOwn(e.ctx)
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, own.stop()) }()
		url, key = own.URL(), own.FirstStart().Key
	}
	client, err := errand.NewClient(errand.WithURL(url), errand.WithKey(key))
	if err != nil {
		return err
	}
	var task *errand.Task
	err = e.interruptible(func(ctx context.Context) error {
		var err error
		task, err = create(ctx, client, errand.TaskRequest{AgentID: c.Agent, Prompt: prompt}, c.File)
		return err
	})
	if err != nil {
		return err
	}
	f := follower{env: e, client: client, stops: true, quiet: c.JSON}
	if !c.JSON && c.Agent == app.ProfileAgent {
		fmt.Fprintln(e.Err, "No model is used: the built-in profiler reads the files and reports what they hold.")
	}
	return f.follow(task.ID, c.JSON)
}

// checkFiles looks before anything is started or sent.
func checkFiles(names []string) error {
	for _, f := range names {
		if isURL(f) {
			continue
		}
		if info, err := os.Stat(f); err != nil {
			return fmt.Errorf("--file %s: %w", f, errors.Unwrap(err))
		} else if info.IsDir() {
			return fmt.Errorf("--file %s: is a folder; name its files", f)
		}
	}
	return nil
}

// create uploads the files and creates the task.
func create(ctx context.Context, client *errand.Client, r errand.TaskRequest, files []string) (*errand.Task, error) {
	for _, name := range files {
		if isURL(name) {
			r.FileURLs = append(r.FileURLs, name)
			continue
		}
		uploaded, err := upload(ctx, client, name)
		if err != nil {
			return nil, err
		}
		r.FileURLs = append(r.FileURLs, uploaded.URL)
	}
	return client.Tasks.Create(ctx, r)
}

func upload(ctx context.Context, client *errand.Client, name string) (*errand.File, error) {
	content, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer content.Close() //nolint:errcheck // it was only read
	file, err := client.Files.Upload(ctx, filepath.Base(name), content)
	if err != nil {
		return nil, fmt.Errorf("upload %s: %w", name, err)
	}
	return file, nil
}

func isURL(name string) bool {
	return strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
}

// ownServer is an embedded server in a temporary folder.
type ownServer struct {
	*app.App
	dir string
}

func startOwn(ctx context.Context) (*ownServer, error) {
	// A reader that leaves (| head) must not end the program before it has
	// cleaned up.
	signal.Ignore(syscall.SIGPIPE)
	dir, err := os.MkdirTemp("", "errand-run-")
	if err != nil {
		return nil, err
	}
	o := app.DefaultOptions()
	o.Addr, o.Data, o.Drain = "127.0.0.1:0", dir, 2*time.Second
	o.Log = slog.New(slog.DiscardHandler)
	a, err := app.Start(ctx, o)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &ownServer{App: a, dir: dir}, nil
}

func (s *ownServer) stop() error { return errors.Join(s.Stop(), os.RemoveAll(s.dir)) }

// follower follows a task to its end.
type follower struct {
	*env
	client *errand.Client
	// stops says that Ctrl-C stops the task; else it only stops following.
	stops bool
	quiet bool

	mu   sync.Mutex // guards view
	view *view
}

// show lets one goroutine at a time at the view.
func (f *follower) show(fn func(*view)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn(f.view)
}

// follow shows a task until it has ended and answers its exit code.
func (f *follower) follow(id string, asJSON bool) error {
	ctx, cancel := context.WithCancelCause(f.ctx)
	defer cancel(nil)
	interrupted := make(chan bool, 1)
	go func() { interrupted <- f.attend(ctx, cancel, id) }()
	f.view = newView(f.env)
	var explaining sync.WaitGroup
	defer explaining.Wait()
	defer cancel(nil)
	if !f.quiet {
		explaining.Go(func() { f.explain(ctx, id) })
		explaining.Go(func() { f.tick(ctx) })
	}
	for e, err := range f.client.Tasks.Events(ctx, id) {
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			f.show((*view).leave)
			return err
		}
		if !f.quiet {
			f.show(func(v *view) { v.event(e) })
		}
	}
	task, err := f.client.Tasks.Get(ctx, id)
	if err != nil {
		return err
	}
	cancel(nil)
	if asJSON {
		fmt.Fprintln(f.Out, string(task.JSON()))
	} else {
		f.show(func(v *view) { v.end(task) })
	}
	if <-interrupted && task.Status == errand.Stopped {
		return exitCodeError{code: exitInterrupted}
	}
	return exitFor(task)
}

// tick lets the changing line show how time passes.
func (f *follower) tick(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.show((*view).draw)
		}
	}
}

// explainEvery is how often a waiting task is asked what it waits for.
const explainEvery = 2 * time.Second

// explain says why a task is waiting for as long as it is.
func (f *follower) explain(ctx context.Context, id string) {
	tick := time.NewTicker(explainEvery)
	defer tick.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		waiting := false
		f.show(func(v *view) { waiting = v.status == errand.Pending || v.status == errand.Paused })
		if !waiting {
			last = ""
			continue
		}
		t, err := f.client.Tasks.Get(ctx, id)
		if err != nil || t.Waiting == nil || t.Waiting.Message == last {
			continue // the stream itself tells of trouble
		}
		last = t.Waiting.Message
		f.show(func(v *view) { v.say("waiting: " + last) })
	}
}

// attend waits for Ctrl-C. The first one stops the task, or ends the watching;
// a second one ends the program without waiting. It reports whether one came.
func (f *follower) attend(ctx context.Context, cancel context.CancelCauseFunc, id string) bool {
	select {
	case <-ctx.Done():
		return false
	case <-f.interrupts:
	}
	if !f.stops {
		cancel(exitCodeError{code: exitInterrupted})
		return true
	}
	if _, err := f.client.Tasks.Stop(ctx, id); err != nil {
		cancel(fmt.Errorf("stop task %s: %w", id, err))
		return true
	}
	select {
	case <-ctx.Done():
	case <-f.interrupts:
		cancel(exitCodeError{exitInterrupted, "left without waiting for the worker to stop"})
	}
	return true
}
