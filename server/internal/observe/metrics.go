// Package observe tells operators what a server does: metrics for Prometheus,
// and traces for an OpenTelemetry collector. What can be is derived from
// committed changes, in one place, so that no verb has to think of it.
package observe

import (
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/errand-dev/errand/server/internal/deliver"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/task"
)

// Metrics counts and measures. Its methods are safe for concurrent use and
// wait for nothing. docs/OPERATIONS.md explains each metric.
type Metrics struct {
	registry *prometheus.Registry

	// Of committed changes.
	first, next        prometheus.Counter // turns
	finished           map[task.EndReason]prometheus.Counter
	wait               prometheus.Histogram
	attempts           map[task.Outcome]prometheus.Observer
	expired            prometheus.Counter
	lateEvent, lateEnd prometheus.Counter
	events             map[task.Type]prometheus.Counter
	// Of the store and the router.
	posts               map[deliver.Outcome]prometheus.Counter
	commits, commitSize prometheus.Histogram
	requests            *prometheus.HistogramVec
}

// NewMetrics makes the metrics of a server of some version. Every series whose
// labels are known beforehand is there from the start, at 0: a rate needs that.
func NewMetrics(version string) *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := &Metrics{
		registry: registry, finished: map[task.EndReason]prometheus.Counter{},
		attempts: map[task.Outcome]prometheus.Observer{}, events: map[task.Type]prometheus.Counter{},
		posts: map[deliver.Outcome]prometheus.Counter{},
	}
	create := promauto.With(registry)
	create.NewGaugeVec(prometheus.GaugeOpts{
		Name: "errand_build_info", Help: "Always 1; the labels say what runs.",
	}, []string{"version", "go_version"}).WithLabelValues(version, runtime.Version()).Set(1)

	created := create.NewCounterVec(prometheus.CounterOpts{
		Name: "errand_tasks_created_total", Help: "Turns that have begun: the first of new tasks, and the next of others.",
	}, []string{"turn"})
	m.first, m.next = created.WithLabelValues("first"), created.WithLabelValues("next")
	finished := create.NewCounterVec(prometheus.CounterOpts{
		Name: "errand_tasks_finished_total", Help: "Turns that have ended, by status and reason.",
	}, []string{"status", "reason"})
	for _, r := range task.EndReasons() {
		m.finished[r] = finished.WithLabelValues(string(r.Status()), string(r))
	}
	m.wait = create.NewHistogram(prometheus.HistogramOpts{
		Name: "errand_queue_wait_seconds", Help: "How long turns were ready before their first attempt started.",
		Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600},
	})
	attempts := create.NewHistogramVec(prometheus.HistogramOpts{
		Name: "errand_attempt_duration_seconds", Help: "How long run attempts owned their turn, by outcome.",
		Buckets: []float64{0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 1800, 3600, 14400},
	}, []string{"outcome"})
	for _, o := range task.Outcomes() {
		m.attempts[o] = attempts.WithLabelValues(string(o))
	}
	m.expired = create.NewCounter(prometheus.CounterOpts{
		Name: "errand_leases_expired_total", Help: "Run attempts that lost their turn because their lease ran out.",
	})
	late := create.NewCounterVec(prometheus.CounterOpts{
		Name: "errand_late_writes_refused_total", Help: "Writes refused because the attempt owned its turn no more: each attempt's first event, and its end.",
	}, []string{"write"})
	m.lateEvent, m.lateEnd = late.WithLabelValues("event"), late.WithLabelValues("end")
	events := create.NewCounterVec(prometheus.CounterOpts{
		Name: "errand_events_total", Help: "Events appended to the logs of tasks, by type.",
	}, []string{"type"})
	for _, t := range task.Types() {
		m.events[t] = events.WithLabelValues(string(t))
	}
	posts := create.NewCounterVec(prometheus.CounterOpts{
		Name: "errand_pushes_posted_total", Help: "Requests to addresses that are told of turns, by what has come of them.",
	}, []string{"outcome"})
	for _, o := range deliver.Outcomes() {
		m.posts[o] = posts.WithLabelValues(string(o))
	}
	m.commits = create.NewHistogram(prometheus.HistogramOpts{
		Name: "errand_commit_duration_seconds", Help: "How long commits took, with the writes in them and until they were on disk.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
	})
	m.commitSize = create.NewHistogram(prometheus.HistogramOpts{
		Name: "errand_commit_batch_size", Help: "How many callers shared a commit.", Buckets: prometheus.ExponentialBuckets(1, 2, 9),
	})
	m.requests = create.NewHistogramVec(prometheus.HistogramOpts{
		Name: "errand_http_request_duration_seconds", Help: "How long requests took until their answer was complete; those for a stream until it began.",
		Buckets: []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"route", "code"})
	return m
}

// Posted counts a request to an address that is told of a turn.
func (m *Metrics) Posted(o deliver.Outcome) { m.posts[o].Inc() }

// Committed counts what has happened to tasks.
func (m *Metrics) Committed(entries []feed.Entry) {
	for _, entry := range entries {
		if entry.Change == nil { // another node's, which counts it
			continue
		}
		c := *entry.Change
		for _, e := range c.Events {
			m.event(c, e)
		}
		for _, a := range c.EndedAttempts() {
			if a.Started() {
				m.attempts[a.Outcome].Observe(a.EndedAt.Sub(a.StartedAt).Seconds())
			}
			if lost := a.Outcome == task.OutcomeLost || a.Outcome == task.OutcomeUnassigned; lost && a.LeaseUntil <= a.EndedAt {
				m.expired.Inc()
			}
		}
	}
}

func (m *Metrics) event(c task.Change, e task.Event) {
	m.events[e.Type].Inc()
	switch e.Type { //nolint:exhaustive // the others are only counted
	case task.TaskCreated:
		if e.Turn == 1 {
			m.first.Inc()
		} else {
			m.next.Inc()
		}
	case task.TaskFinished:
		m.finished[c.Task.Ended()].Inc()
	case task.AttemptStarted:
		if run := c.Task.Run; run != nil && run.InTurn == 1 {
			m.wait.Observe(run.StartedAt.Sub(c.Task.ReadyAt).Seconds())
		}
	case task.LateWriteRefused:
		if end := slices.ContainsFunc(c.Attempts, func(a task.Attempt) bool { return a.RefusedEnd }); end {
			m.lateEnd.Inc()
		} else {
			m.lateEvent.Inc()
		}
	}
}

// Batch measures a commit that so many callers shared.
func (m *Metrics) Batch(size int, took time.Duration) {
	m.commits.Observe(took.Seconds())
	m.commitSize.Observe(float64(size))
}

// Request measures a request to a route; "" is none that there is. Status 0 is
// a connection that was broken off without an answer.
func (m *Metrics) Request(route string, status int, took time.Duration) {
	if route == "" {
		route = "none"
	}
	code := "none"
	if status > 0 {
		code = strconv.Itoa(status/100) + "xx"
	}
	m.requests.WithLabelValues(route, code).Observe(took.Seconds())
}

// Handler serves all metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
