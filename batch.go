package errand

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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
// returns what became of each. One that the server refuses hinders no other; the
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

// CreateRaw is CreateBatch, or with all CreateAll, for tasks that are encoded already,
// each a JSON object as POST /v1/tasks takes it, with its idempotency_key if it has one.
func (t *Tasks) CreateRaw(ctx context.Context, tasks []json.RawMessage, all bool) ([]Created, error) {
	keyed := make([]json.RawMessage, len(tasks))
	repeat := true
	for i, task := range tasks {
		var key struct {
			Key *string `json:"idempotency_key"`
		}
		keyed[i] = task
		if err := json.Unmarshal(task, &key); err != nil {
			return nil, fmt.Errorf("errand: tasks[%d] is not a JSON object", i)
		}
		switch {
		case key.Key != nil:
			repeat = repeat && *key.Key != ""
		case t.c.retry > 0:
			keyed[i] = withKey(task, newKey())
		default:
			repeat = false
		}
	}
	return postBatch(ctx, t.c, keyed, all, repeat, "")
}

// withKey is an object with one more member, ahead of the others.
func withKey(object json.RawMessage, key string) json.RawMessage {
	rest := bytes.TrimLeft(bytes.TrimLeft(object, " \t\r\n")[1:], " \t\r\n")
	with := fmt.Appendf(nil, `{"idempotency_key":%q`, key)
	if rest[0] != '}' {
		with = append(with, ',')
	}
	return append(with, rest...)
}

func (t *Tasks) batch(ctx context.Context, requests []TaskRequest, all bool) ([]Created, error) {
	type item struct {
		taskBody
		IdempotencyKey string `json:"idempotency_key,omitempty"`
	}
	repeat := true
	trace := ""
	items := make([]item, len(requests))
	for i, r := range requests {
		key := r.IdempotencyKey
		if key == "" && t.c.retry > 0 {
			key = newKey()
		}
		items[i] = item{r.body(), key}
		repeat = repeat && key != ""
	}
	if len(requests) > 0 {
		trace = requests[0].TraceParent
	}
	return postBatch(ctx, t.c, items, all, repeat, trace)
}

func postBatch[T any](ctx context.Context, c *Client, items []T, all, repeat bool, trace string) ([]Created, error) {
	call := request{
		method: http.MethodPost, path: "/v1/tasks/batch", repeat: repeat, header: http.Header{},
		body: struct {
			Tasks []T  `json:"tasks"`
			All   bool `json:"all,omitempty"`
		}{items, all},
	}
	if trace != "" {
		call.header.Set("traceparent", trace)
	}
	var answer struct {
		Results []struct {
			ID      string  `json:"id"`
			Created bool    `json:"created"`
			Error   *reason `json:"error"`
		} `json:"results"`
	}
	if err := c.call(ctx, call, &answer); err != nil {
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
