package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverPeer inserts and works in one process.
type riverPeer struct {
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
}

type riverJob struct {
	ID     string `json:"id"`
	Prompt string `json:"prompt"`
}

func (riverJob) Kind() string { return "work" }

func (p *riverPeer) start(ctx context.Context, s *site, begun func(string)) error {
	database, err := s.database(ctx)
	if err != nil {
		return err
	}
	config, err := pgxpool.ParseConfig(database)
	if err != nil {
		return err
	}
	config.MaxConns = 64 // as many as create at a time
	if p.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	driver := riverpgxv5.New(p.pool)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(_ context.Context, job *river.Job[riverJob]) error {
		begun(job.Args.ID)
		return nil
	}))
	p.client, err = river.NewClient(driver, &river.Config{
		// By itself it waits for 100 ms between two looks, which would bound its rate.
		FetchCooldown: 5 * time.Millisecond,
		Logger:        slog.New(slog.DiscardHandler),
		Queues:        map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: slots}},
		Workers:       workers,
	})
	if err != nil {
		return err
	}
	return p.client.Start(ctx)
}

func (p *riverPeer) create(ctx context.Context, id string) error {
	_, err := p.client.Insert(ctx, riverJob{ID: id, Prompt: prompt}, nil)
	return err
}

func (p *riverPeer) idle(ctx context.Context) (idle bool, err error) {
	err = p.pool.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM river_job WHERE state IN ('available', 'running', 'retryable', 'scheduled'))").Scan(&idle)
	return idle, err
}

func (p *riverPeer) stop() error {
	err := p.client.Stop(context.Background())
	p.pool.Close()
	return err
}
