package errand

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
)

// TaskChange says that the log of a task has new events, or that the task was deleted.
type TaskChange struct {
	// Cursor is its place: EventsOptions.After goes on behind it.
	Cursor string `json:"cursor"`
	TaskID string `json:"task_id"`
	// FirstSeq and LastSeq are the numbers of the new events, 0 of a deleted task.
	FirstSeq int64 `json:"first_seq"`
	LastSeq  int64 `json:"last_seq"`
	// Kind is "changed" or "deleted".
	Kind string `json:"kind"`
}

// Deleted reports whether the task is no more. This is told to keys that see all.
func (c TaskChange) Deleted() bool { return c.Kind == "deleted" }

// EventsOptions say of which tasks changes are told, and from where on.
type EventsOptions struct {
	// Filter are only tasks that match it; its page and cursor do not apply.
	Filter ListOptions
	// After is the Cursor of the last change that was seen, or "0" for the oldest that
	// the server keeps; "" is from now on.
	After string
}

// Events yields the changes of all tasks that match a filter as they are committed,
// without a gap, whatever breaks in between: a cut connection, or a restart of the server.
// It goes on from its cursor, for as long as ctx lives. The changes of one task need not
// come in the order of their events: go by the numbers. A cursor that the server does not
// keep any more, after about ten minutes, is an error of code CodeGone: read the tasks
// again then. An error that the server answered, or the end of ctx, is yielded last.
//
// What has changed is in the task's log: Tasks.Events with After(c.FirstSeq-1), or
// Tasks.Get.
func (c *Client) Events(ctx context.Context, o EventsOptions) iter.Seq2[TaskChange, error] {
	return func(yield func(TaskChange, error) bool) {
		after := o.After
		resume(ctx, func() (over, moved bool, err error) {
			before := after
			over, err = c.changes(ctx, o.Filter, &after, yield)
			return over, after != before, err
		}, func(err error) { yield(TaskChange{}, err) })
	}
}

// changes reads one connection, and reports whether the caller has left. The feed has no
// end, so that of a connection is io.EOF.
func (c *Client) changes(ctx context.Context, filter ListOptions, after *string, yield func(TaskChange, error) bool) (bool, error) {
	filter.PerPage, filter.Cursor = 0, ""
	q := filter.query()
	q.Set("feed", "true")
	if *after != "" {
		q.Set("after", *after)
	}
	r := request{method: http.MethodGet, path: "/v1/events", header: http.Header{"Accept": {eventStream}}, query: q}
	return c.connection(ctx, r, func(_ int64, data []byte) (over bool) {
		var change TaskChange
		if err := json.Unmarshal(data, &change); err != nil { // it would be the same after a reconnect
			yield(TaskChange{}, fmt.Errorf("decode change: %w", err))
			return true
		}
		if change.Cursor == "" { // the stream says why it ends
			return false
		}
		*after = change.Cursor
		return change.Kind != "" && !yield(change, nil)
	})
}
