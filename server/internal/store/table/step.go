package table

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/errand-dev/errand/server/internal/task"
)

// insertStep notes which event commits a step.
func insertStep(org, id string, s task.Step) Op {
	return Op{
		SQL:  "INSERT INTO steps (org, task, seq, turn, id) VALUES (?, ?, ?, ?, ?)",
		Args: []any{org, id, s.Seq, s.Turn, s.ID}, In: Steps,
	}
}

const readingSteps = `SELECT e.seq, e.turn, e.time, e.own, e.attempt
	FROM steps s JOIN events e ON e.org = s.org AND e.task = s.task AND e.seq = s.seq
	WHERE s.org = ? AND s.task = ? AND s.turn = ? AND `

func scanStep(rows Rows) (task.Step, error) {
	var e task.Event
	var own string
	if err := rows.Scan(&e.Seq, &e.Turn, &e.Time, &own, &e.Author.Attempt); err != nil {
		return task.Step{}, err
	}
	e.Own = json.RawMessage(own)
	return task.StepOf(e)
}

// ReadStep reads a step of a turn by its id, nil when there is none.
func ReadStep(ctx context.Context, db DB, org, id string, turn int, step string) (*task.Step, error) {
	var found *task.Step
	err := each(ctx, db, readingSteps+"s.id = ?", []any{org, id, turn, step}, func(rows Rows) error {
		s, err := scanStep(rows)
		found = &s
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read step: %w", err)
	}
	return found, nil
}

// Steps implements lifecycle.TaskReader.
func (r *Reader) Steps(ctx context.Context, org, id string, turn int, after int64, limit int) ([]task.Step, error) {
	var found []task.Step
	size := 0
	err := each(ctx, r.DB, readingSteps+"s.seq > ? ORDER BY s.seq LIMIT ?", []any{org, id, turn, after, limit}, func(rows Rows) error {
		s, err := scanStep(rows)
		if err != nil {
			return err
		}
		found = append(found, s)
		if size += len(s.Body); size >= maxBytes {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("read steps: %w", err)
	}
	return found, nil
}
