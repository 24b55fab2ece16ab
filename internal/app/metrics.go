package app

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/errand-dev/errand/internal/lifecycle"
	"github.com/errand-dev/errand/internal/stream"
	"github.com/errand-dev/errand/internal/task"
)

// metrics serves what is measured of the server. Counts of tasks and queues
// are read from the store when they are asked for.
func metrics(store lifecycle.Store, hub *stream.Hub, log *slog.Logger) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&storeCollector{store: store, log: log},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "errand_streams_open", Help: "Open subscriptions to tasks.",
		}, func() float64 { return float64(hub.Subscribers()) }),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

type storeCollector struct {
	store lifecycle.Store
	log   *slog.Logger
}

func (c *storeCollector) tasks() *prometheus.Desc {
	return prometheus.NewDesc("errand_tasks", "Tasks by status.", []string{"organization", "status"}, nil)
}

func (c *storeCollector) depth() *prometheus.Desc {
	return prometheus.NewDesc("errand_queue_depth", "Tasks that wait for a worker.", []string{"organization", "agent"}, nil)
}

func (c *storeCollector) wait() *prometheus.Desc {
	return prometheus.NewDesc("errand_queue_oldest_wait_seconds", "How long the oldest task that is ready has waited.",
		[]string{"organization", "agent"}, nil)
}

// Describe implements prometheus.Collector.
func (c *storeCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.tasks()
	ch <- c.depth()
	ch <- c.wait()
}

// Collect implements prometheus.Collector.
func (c *storeCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	counts, queues, err := c.store.Counts(ctx)
	if err != nil {
		c.log.Error("collect metrics", "error", err)
		return
	}
	orgs, err := c.store.Organizations(ctx)
	if err != nil {
		c.log.ErrorContext(ctx, "collect metrics", "error", err)
		return
	}
	known := map[lifecycle.StatusCount]int{}
	for _, x := range counts {
		known[lifecycle.StatusCount{Organization: x.Organization, Status: x.Status}] = x.Count
	}
	for _, org := range orgs {
		for _, status := range task.Statuses() {
			n := known[lifecycle.StatusCount{Organization: org, Status: status}]
			ch <- prometheus.MustNewConstMetric(c.tasks(), prometheus.GaugeValue, float64(n), org, string(status))
		}
	}
	now := c.store.Now()
	for _, q := range queues {
		ch <- prometheus.MustNewConstMetric(c.depth(), prometheus.GaugeValue, float64(q.Count), q.Organization, q.Agent)
		ch <- prometheus.MustNewConstMetric(c.wait(), prometheus.GaugeValue, max(0, now.Sub(q.Oldest).Seconds()), q.Organization, q.Agent)
	}
}
