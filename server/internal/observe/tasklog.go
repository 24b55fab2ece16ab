package observe

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/task"
)

// waitingLines is how many lines may wait for a slow terminal. More are left out.
const waitingLines = 1000

// TaskLog logs a line when a turn of a task is created, started or ended on this node.
type TaskLog struct {
	log    *slog.Logger
	lines  chan line
	missed atomic.Int64
}

type line struct {
	message string
	about   []slog.Attr
}

// NewTaskLog writes to a log. Run does it.
func NewTaskLog(log *slog.Logger) *TaskLog {
	return &TaskLog{log: log, lines: make(chan line, waitingLines)}
}

// Committed takes what has happened to tasks. It does not wait for the log.
func (l *TaskLog) Committed(entries []feed.Entry) {
	if l == nil {
		return
	}
	for _, entry := range entries {
		if entry.Change == nil { // another node's
			continue
		}
		for _, e := range entry.Change.Events {
			told, is := lineOf(entry.Change.Task, e)
			if !is {
				continue
			}
			select {
			case l.lines <- told:
			default:
				l.missed.Add(1)
			}
		}
	}
}

// Run logs until the context ends.
func (l *TaskLog) Run(ctx context.Context) {
	for {
		select {
		case told := <-l.lines:
			l.log.LogAttrs(ctx, slog.LevelInfo, told.message, told.about...) //nolint:sloglint // one of three constants
			if n := l.missed.Swap(0); n > 0 {
				l.log.InfoContext(ctx, "lines about tasks were left out", "lines", n)
			}
		case <-ctx.Done():
			return
		}
	}
}

func lineOf(t task.Task, e task.Event) (told line, is bool) {
	told.about = []slog.Attr{slog.String("task_id", t.ID), slog.String("agent_id", t.AgentID)}
	more := func(a ...slog.Attr) { told.about = append(told.about, a...) }
	if e.Turn > 1 {
		more(slog.Int("turn", e.Turn))
	}
	switch e.Type { //nolint:exhaustive // the others happen within a task
	case task.TaskCreated:
		told.message = "task created"
	case task.AttemptStarted:
		told.message = "task started"
		if run := t.Run; run != nil {
			more(slog.String("worker_id", run.WorkerID), slog.Int("attempt", run.InTurn))
		}
	case task.TaskFinished:
		told.message = "task ended"
		more(slog.String("status", string(t.Status())))
		if reason := string(t.Ended()); reason != string(t.Status()) {
			more(slog.String("reason", reason))
		}
	default:
		return line{}, false
	}
	return told, true
}
