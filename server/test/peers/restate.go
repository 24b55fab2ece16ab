package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	restate "github.com/restatedev/sdk-go"
	"github.com/restatedev/sdk-go/ingress"
	restated "github.com/restatedev/sdk-go/server"
)

// restateVersion is the release of the npm package that has the server.
const restateVersion = "1.7.12"

// restatePeer is a server that calls the handlers in this process over HTTP.
type restatePeer struct {
	site   *site
	server *exec.Cmd
	admin  string
	client *ingress.Client
	rest   context.CancelFunc // of the handlers
	ended  chan error
}

const restateService, restateHandler = "Work", "do"

// installRestate installs the server's program, once for all runs.
func installRestate(ctx context.Context, cache string) (string, error) {
	if _, err := exec.LookPath("npm"); err != nil {
		return "", err
	}
	if err := os.MkdirAll(cache, 0o750); err != nil {
		return "", err
	}
	said, err := exec.CommandContext(ctx, "npm", "install", "--prefix", cache, "--no-audit", "--no-fund", "@restatedev/restate-server@"+restateVersion).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("npm install: %w: %s", err, said)
	}
	found, err := filepath.Glob(filepath.Join(cache, "node_modules/@restatedev/restate-server-*/bin/restate-server"))
	if err != nil || len(found) == 0 {
		return "", errors.Join(err, errors.New("the package has no program for this machine"))
	}
	return found[0], nil
}

func (p *restatePeer) start(ctx context.Context, s *site, begun func(string)) error {
	p.site = s
	var addrs [4]string
	for i := range addrs {
		var err error
		if addrs[i], err = freeAddr(ctx); err != nil {
			return err
		}
	}
	entry, admin, inner, handlers := addrs[0], addrs[1], addrs[2], addrs[3]
	p.admin, p.client = "http://"+admin, ingress.NewClient("http://"+entry)
	host, port, _ := strings.Cut(inner, ":")
	p.server = exec.Command(s.program, "--base-dir", s.dir, "--no-logo", "--listen-mode", "tcp", "--bind-ip", host, "--bind-port", port) //nolint:noctx // stop ends it
	p.server.Env = append(os.Environ(), "RESTATE_INGRESS__BIND_ADDRESS="+entry, "RESTATE_ADMIN__BIND_ADDRESS="+admin)
	if err := s.spawn(p.server); err != nil {
		return err
	}
	work := restate.NewService(restateService).Handler(restateHandler, restate.NewServiceHandler(func(_ restate.Context, asked string) (string, error) {
		begun(strings.TrimPrefix(asked, prompt+" "))
		return "done", nil
	}))
	serving, rest := context.WithCancel(ctx)
	p.rest, p.ended = rest, make(chan error, 1)
	go func() {
		p.ended <- restated.NewRestate().WithLogger(slog.DiscardHandler, true).Bind(work).Start(serving, handlers)
	}()
	for _, url := range []string{p.admin + "/health", "http://" + entry + "/restate/health"} {
		if err := ready(ctx, url); err != nil {
			return err
		}
	}
	_, err := p.ask(ctx, "/deployments", map[string]string{"uri": "http://" + handlers})
	return err
}

// ask asks the server's administrators' interface.
func (p *restatePeer) ask(ctx context.Context, path string, body any) (answer map[string]any, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.admin+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	if res.StatusCode >= http.StatusBadRequest {
		return nil, fmt.Errorf("%s: %s", path, res.Status)
	}
	return answer, json.NewDecoder(res.Body).Decode(&answer)
}

func (p *restatePeer) create(ctx context.Context, id string) error {
	_, err := ingress.ServiceSend[string](p.client, restateService, restateHandler).Send(ctx, prompt+" "+id)
	return err
}

func (p *restatePeer) idle(ctx context.Context) (bool, error) {
	answer, err := p.ask(ctx, "/query", map[string]string{"query": "SELECT id FROM sys_invocation WHERE status <> 'completed' LIMIT 1"})
	rows, ok := answer["rows"].([]any)
	if err == nil && !ok {
		err = fmt.Errorf("the server answers a query with %v", answer)
	}
	return len(rows) == 0, err
}

func (p *restatePeer) invoke(ctx context.Context, id string) error {
	_, err := ingress.Service[string, string](p.client, restateService, restateHandler).Request(ctx, prompt+" "+id)
	return err
}

func (p *restatePeer) stop() error {
	err := p.site.end(p.server)
	if p.rest != nil {
		p.rest()
		err = errors.Join(err, <-p.ended)
	}
	return err
}
