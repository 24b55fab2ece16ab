package errand

import (
	"context"
	"net/http"
)

// MaxBatch is the most tasks that one call of CreateBatch may create.
const MaxBatch = 1000

// Created is what became of one task of many.
type Created struct {
	// ID is the task's; "" if it was refused.
	ID string
	// Repeated says that the request's IdempotencyKey had been used for it
	// before: ID is what the first one made.
	Repeated bool
	// Err is why it was refused, an *Error; nil if it was not.
	Err error
}

// CreateBatch creates up to MaxBatch tasks, which begin in their order, and
// answers what became of each. One that the server refuses hinders no other; the
// error is nil then. If the call breaks off, some may be there: the same requests
// with IdempotencyKeys of your own make none twice. The call itself, without such
// keys, makes its own, as Create does. TraceParent is that of the first request.
func (t *Tasks) CreateBatch(ctx context.Context, requests []TaskRequest) ([]Created, error) {
	return t.batch(ctx, requests, false)
}

// CreateAll creates up to MaxBatch tasks in one commit: all of them or, if one is
// refused, none; the error's Field names it then. The rest is as for CreateBatch.
func (t *Tasks) CreateAll(ctx context.Context, requests []TaskRequest) ([]Created, error) {
	return t.batch(ctx, requests, true)
}

func (t *Tasks) batch(ctx context.Context, requests []TaskRequest, all bool) ([]Created, error) {
	type item struct {
		taskBody
		IdempotencyKey string `json:"idempotency_key,omitempty"`
	}
	repeat := true
	items := make([]item, len(requests))
	for i, r := range requests {
		key := r.IdempotencyKey
		if key == "" && t.c.retry > 0 {
			key = newKey()
		}
		items[i] = item{r.body(), key}
		repeat = repeat && key != ""
	}
	call := request{
		method: http.MethodPost, path: "/v1/tasks/batch", repeat: repeat, header: http.Header{},
		body: struct {
			Tasks []item `json:"tasks"`
			All   bool   `json:"all,omitempty"`
		}{items, all},
	}
	if len(requests) > 0 && requests[0].TraceParent != "" {
		call.header.Set("traceparent", requests[0].TraceParent)
	}
	var answer struct {
		Results []struct {
			ID      string  `json:"id"`
			Created bool    `json:"created"`
			Error   *reason `json:"error"`
		} `json:"results"`
	}
	if err := t.c.call(ctx, call, &answer); err != nil {
		return nil, err
	}
	made := make([]Created, len(answer.Results))
	for i, r := range answer.Results {
		if err := r.Error.err(); err != nil {
			made[i].Err = err
			continue
		}
		made[i] = Created{ID: r.ID, Repeated: !r.Created}
	}
	return made, nil
}
