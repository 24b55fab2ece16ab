package main

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"time"

	"github.com/hibiken/asynq"
)

// asynqPeer keeps tasks in a Redis that writes each command to the disk before it is answered.
type asynqPeer struct {
	site   *site
	redis  *exec.Cmd
	client *asynq.Client
	looks  *asynq.Inspector
	server *asynq.Server
}

func (p *asynqPeer) start(ctx context.Context, s *site, begun func(string)) error {
	p.site = s
	addr, err := freeAddr(ctx)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	p.redis = exec.Command(s.program, "--bind", host, "--port", port, "--dir", s.dir, "--appendonly", "yes", "--appendfsync", "always", "--save", "") //nolint:noctx // stop ends it
	if err := s.spawn(p.redis); err != nil {
		return err
	}
	at := asynq.RedisClientOpt{Addr: addr, PoolSize: callers}
	p.client, p.looks = asynq.NewClient(at), asynq.NewInspector(at)
	if err := p.answers(ctx); err != nil {
		return err
	}
	p.server = asynq.NewServer(at, asynq.Config{Concurrency: slots, LogLevel: asynq.FatalLevel})
	return p.server.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		begun(string(t.Payload()[len(prompt)+1:]))
		return nil
	}))
}

// answers waits until Redis answers.
func (p *asynqPeer) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := p.client.Ping()
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

func (p *asynqPeer) create(ctx context.Context, id string) error {
	_, err := p.client.EnqueueContext(ctx, asynq.NewTask("work", []byte(prompt+" "+id)))
	return err
}

func (p *asynqPeer) idle(context.Context) (bool, error) {
	info, err := p.looks.GetQueueInfo("default")
	return err == nil && info.Pending+info.Active+info.Retry+info.Scheduled == 0, err
}

func (p *asynqPeer) stop() error {
	var err error
	if p.server != nil {
		p.server.Shutdown()
	}
	if p.client != nil {
		err = errors.Join(p.client.Close(), p.looks.Close())
	}
	return errors.Join(err, p.site.end(p.redis))
}
