package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/jackc/pgx/v5/pgxpool"
)

// dbosPeer puts workflows in a queue of one process.
type dbosPeer struct {
	pool  *pgxpool.Pool
	dbos  dbos.Context
	work  dbos.Workflow[string, string]
	queue dbos.Queue
}

func (p *dbosPeer) start(ctx context.Context, s *site, begun func(string)) error {
	database, err := s.database(ctx)
	if err != nil {
		return err
	}
	config, err := pgxpool.ParseConfig(database)
	if err != nil {
		return err
	}
	config.MaxConns = callers
	if p.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	if p.dbos, err = dbos.NewContext(ctx, dbos.Config{AppName: "peers", SystemDBPool: p.pool, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	p.work = func(_ dbos.Context, asked string) (string, error) {
		begun(strings.TrimPrefix(asked, prompt+" "))
		return "done", nil
	}
	dbos.RegisterWorkflow(p.dbos, p.work)
	// By itself it looks once a second, which would bound its rate.
	if p.queue, err = dbos.RegisterQueue(p.dbos, "work", dbos.WithWorkerConcurrency(slots), dbos.WithQueueBasePollingInterval(5*time.Millisecond)); err != nil {
		return err
	}
	return dbos.Launch(p.dbos)
}

func (p *dbosPeer) create(_ context.Context, id string) error {
	_, err := dbos.RunWorkflow(p.dbos, p.work, prompt+" "+id, dbos.WithQueue(p.queue))
	return err
}

func (p *dbosPeer) idle(ctx context.Context) (idle bool, err error) {
	err = p.pool.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM dbos.workflow_status WHERE status IN ('PENDING', 'ENQUEUED', 'DELAYED'))").Scan(&idle)
	return idle, err
}

func (p *dbosPeer) invoke(_ context.Context, id string) error {
	handle, err := dbos.RunWorkflow(p.dbos, p.work, prompt+" "+id)
	if err != nil {
		return err
	}
	_, err = handle.GetResult()
	return err
}

func (p *dbosPeer) stop() (err error) {
	if p.dbos != nil {
		err = dbos.Shutdown(p.dbos, 5*time.Second)
	}
	if p.pool != nil {
		p.pool.Close()
	}
	return err
}
