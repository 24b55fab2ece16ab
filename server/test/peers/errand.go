package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/errand-dev/errand"
)

const (
	errandKey   = "peers-admin-key-0123456789abcdef0123456789"
	errandAgent = "work"
)

// errandPeer is a server in a process of its own, which the Go client talks to over
// HTTP from both sides.
type errandPeer struct {
	postgres bool

	client  *errand.Client
	server  *exec.Cmd
	workers errgroup.Group
	rest    context.CancelFunc // of the workers
	site    *site
}

func (p *errandPeer) start(ctx context.Context, s *site, begun func(string)) error {
	p.site = s
	addr, err := freeAddr(ctx)
	if err != nil {
		return err
	}
	p.server = exec.Command(s.errand, "serve", "--data", s.dir, "--addr", addr) //nolint:noctx // stop ends it
	p.server.Env = append(os.Environ(), "ERRAND_ADMIN_KEY="+errandKey)
	if p.postgres {
		database, err := s.database(ctx)
		if err != nil {
			return err
		}
		p.server.Env = append(p.server.Env, "ERRAND_DATABASE_URL="+database)
	}
	if err := s.spawn(p.server); err != nil {
		return err
	}
	if err := ready(ctx, "http://"+addr+"/readyz"); err != nil {
		return err
	}
	if p.client, err = errand.NewClient(errand.WithURL("http://"+addr), errand.WithKey(errandKey)); err != nil {
		return err
	}
	if _, err := p.client.Agents.Apply(ctx, errandAgent, errand.Agent{Name: "Work", Runtime: "worker"}); err != nil {
		return err
	}
	ctx, p.rest = context.WithCancel(ctx)
	const workers = 4
	for range workers {
		w := errand.NewWorker(p.client, errand.WorkerOptions{Slots: slots / workers})
		w.Handle(errandAgent, func(ctx context.Context, a *errand.Attempt) (string, error) {
			id := strings.TrimPrefix(a.Task.Input.Text, prompt+" ")
			begun(id)
			if !strings.HasPrefix(id, talking) {
				return "done", nil
			}
			if err := a.Chunk(ctx, time.Now().Format(time.RFC3339Nano)); err != nil {
				return "", err
			}
			return "told", nil
		})
		p.workers.Go(func() error { return w.Run(ctx) })
	}
	return nil
}

// request asks for a task. As with other peers, the server makes its id.
func request(id string) errand.TaskRequest {
	return errand.TaskRequest{AgentID: errandAgent, Prompt: prompt + " " + id}
}

func (p *errandPeer) create(ctx context.Context, id string) error {
	_, err := p.client.Tasks.Create(ctx, request(id))
	return err
}

func (p *errandPeer) idle(ctx context.Context) (bool, error) {
	page, err := p.client.Tasks.List(ctx, errand.ListOptions{Statuses: []errand.Status{errand.Pending, errand.Executing}, PerPage: 1})
	return err == nil && len(page.Items) == 0, err
}

func (p *errandPeer) invoke(ctx context.Context, id string) error {
	t, err := p.client.Agents.Invoke(ctx, errandAgent, request(id))
	if err == nil && t.Status != errand.Completed {
		err = fmt.Errorf("task %s ended %s", id, t.Status)
	}
	return err
}

// talking begins the names of tasks whose handlers tell the time.
const talking = "talk-"

func (p *errandPeer) firstWord(ctx context.Context, id string) (time.Duration, error) {
	for e, err := range p.client.Agents.InvokeStream(ctx, errandAgent, request(talking+id)) {
		if err != nil {
			return 0, err
		}
		if e.Type == errand.Chunk {
			at, err := time.Parse(time.RFC3339Nano, e.Text())
			return time.Since(at), err
		}
	}
	return 0, errors.New("the stream ended without a word")
}

func (p *errandPeer) stop() error {
	if p.rest != nil {
		p.rest()
	}
	err := p.workers.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, p.site.end(p.server))
}

// ready waits until an address answers 200.
func ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(req)
		if err == nil {
			err = answer.Body.Close()
		}
		if err == nil && answer.StatusCode == http.StatusOK {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", url, errors.Join(err, ctx.Err()))
		case <-time.After(10 * time.Millisecond):
		}
	}
}
