package observe

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// Store is what the state of tasks is read from (package lifecycle).
type Store interface {
	Now() task.Stamp
	Organizations(ctx context.Context) ([]string, error)
	Counts(ctx context.Context, org string) ([]lifecycle.StatusCount, []lifecycle.QueueDepth, error)
	Size(ctx context.Context) (int64, error)
}

// ShowState adds what the store holds, how many streams are open, and how many
// workers are in line for tasks, to the metrics.
func (m *Metrics) ShowState(store Store, streams, inLine func() int, log *slog.Logger) {
	promauto.With(m.registry).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "errand_streams_open", Help: "Open subscriptions to tasks.",
	}, func() float64 { return float64(streams()) })
	promauto.With(m.registry).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "errand_workers_in_line", Help: "Claims that wait for a task, and worker streams.",
	}, func() float64 { return float64(inLine()) })
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	m.registry.MustRegister(&stateCollector{
		store: store, log: log,
		tasks: describe("errand_tasks", "Tasks that have not ended, by status.", "organization", "status"),
		depth: describe("errand_queue_depth", "Tasks that wait for a worker.", "organization", "agent"),
		wait:  describe("errand_queue_oldest_wait_seconds", "How long the oldest task that is ready has waited.", "organization", "agent"),
		size:  describe("errand_store_size_bytes", "Size of the database."),
	})
}

// stateCollector reads what the store holds when it is asked for. What there
// is to count are open tasks only; a backlog of a million takes a quarter of a
// second. Whatever it takes, no more than a twentieth of the time is spent on
// it, however often it is asked.
type stateCollector struct {
	store                    Store
	log                      *slog.Logger
	tasks, depth, wait, size *prometheus.Desc

	mu    sync.Mutex
	known []prometheus.Metric
	until time.Time
}

// frugality is how many times as long as it took to count, a count is good for.
const frugality = 20

// countLimit bounds one count.
const countLimit = 10 * time.Second

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.tasks, c.depth, c.wait, c.size} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.read() {
		ch <- m
	}
}

func (c *stateCollector) read() []prometheus.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	begun := time.Now()
	if begun.Before(c.until) {
		return c.known
	}
	ctx, cancel := context.WithTimeout(context.Background(), countLimit)
	defer cancel()
	found, err := c.count(ctx)
	if err != nil {
		c.log.ErrorContext(ctx, "collect metrics", "error", err)
		return nil
	}
	c.known, c.until = found, begun.Add(frugality*time.Since(begun))
	return c.known
}

func (c *stateCollector) count(ctx context.Context) ([]prometheus.Metric, error) {
	var found []prometheus.Metric
	show := func(d *prometheus.Desc, value float64, labels ...string) {
		found = append(found, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...))
	}
	size, err := c.store.Size(ctx)
	if err != nil {
		return nil, err
	}
	show(c.size, float64(size))
	orgs, err := c.store.Organizations(ctx)
	if err != nil {
		return nil, err
	}
	for _, org := range orgs {
		counts, queues, err := c.store.Counts(ctx, org)
		if err != nil {
			return nil, err
		}
		for _, x := range counts {
			show(c.tasks, float64(x.Count), org, string(x.Status))
		}
		now := c.store.Now()
		for _, q := range queues {
			show(c.depth, float64(q.Count), org, q.Agent)
			show(c.wait, max(0, now.Sub(q.Oldest).Seconds()), org, q.Agent)
		}
	}
	return found, nil
}
