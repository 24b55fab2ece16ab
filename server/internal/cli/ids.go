package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/errand-dev/errand"
)

// begun is how the id of a task begins that a server has made. An id of somebody's own
// is always written whole: whoever deletes report-1 must not meet report-10.
var begun = regexp.MustCompile(`^[0-9a-f]{6,8}(-|$)[0-9a-f-]*$`)

// wholeID is how long the ids are that a server makes.
const wholeID = 36

// maxNamed is how many tasks are named when it is not clear which is meant.
const maxNamed = 10

// whole makes the ids of tasks whole of which only the beginning was typed: at least 6
// characters that only one of the tasks has that the key sees.
func whole(ctx context.Context, client *errand.Client, ids ...*string) error {
	for _, id := range ids {
		if len(*id) >= wholeID || !begun.MatchString(*id) {
			continue
		}
		found, err := client.Tasks.Find(ctx, *id)
		switch {
		case errors.Is(err, errand.ErrForbidden) || errors.Is(err, errand.ErrInvalid) && exists(ctx, client, *id):
			continue // a worker's key sees the tasks that it is given by their whole ids
		case err != nil:
			return fmt.Errorf("task %s: %w", *id, err)
		}
		if *id, err = meant(*id, found); err != nil {
			return err
		}
	}
	return nil
}

func exists(ctx context.Context, client *errand.Client, id string) bool {
	_, err := client.Tasks.Get(ctx, id)
	return err == nil
}

// meant is the one of some tasks that a beginning means; if there is none, the server
// says so of what was typed.
func meant(id string, found []errand.TaskRow) (string, error) {
	var lines []string
	only := id
	for _, t := range found {
		switch {
		case t.ID == id:
			return id, nil
		case len(t.ID) != wholeID: // somebody's own
			continue
		}
		only = t.ID
		lines = append(lines, fmt.Sprintf("%s (%s, %s)", t.ID, t.Status, ago(t.CreatedAt)))
	}
	if len(lines) < 2 {
		return only, nil
	}
	more := ""
	if n := len(lines) - maxNamed; n > 0 {
		lines, more = lines[:maxNamed], fmt.Sprintf(" and %d more", n)
	}
	return "", fmt.Errorf("%s begins %s, write more of it: %s%s", id, plural(len(found), "task"), strings.Join(lines, ", "), more)
}

// pointers are those of some ids.
func pointers(ids []string) []*string {
	all := make([]*string, len(ids))
	for i := range ids {
		all[i] = &ids[i]
	}
	return all
}

// callOn is call for a command that is about tasks, whose ids it makes whole first.
func (c connection) callOn(e *env, ids []*string, fn func(context.Context, *errand.Client) error) error {
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		if err := whole(ctx, client, ids...); err != nil {
			return err
		}
		return fn(ctx, client)
	})
}
