package program

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/errand-dev/errand/server/internal/task"
)

// AskFunc asks people something, once for each key of the turn, and answers what has
// come of it. As long as nothing has, it gives the turn up: it fails with ErrWaiting, and
// the attempt is over (rule S10).
type AskFunc func(ctx context.Context, q task.Asked) (*Answer, error)

// ErrWaiting is that an attempt is over because its task waits for an answer: the next
// one asks the same and has it.
var ErrWaiting = errors.New("the task waits for an answer, and its next attempt goes on")

// Answer is what has come of a question, as a program reads it.
type Answer struct {
	// Status is task.ApprovalDone, or task.ApprovalExpired: then nobody has answered in
	// time, and there was no default.
	Status task.ApprovalState `json:"status"`
	Answer task.Answer        `json:"answer,omitempty"`
	// Value is what was asked for, null for nothing.
	Value json.RawMessage `json:"value"`
	Note  string          `json:"note"`
	// By names who has answered, ByDefault says that nobody did in time.
	By        string     `json:"by"`
	At        task.Stamp `json:"at"`
	ByDefault bool       `json:"by_default"`
}

// Ask asks people something from inside a program, by the socket that StepSocket names.
// It fails with ErrWaiting when the attempt is over with it.
func Ask(ctx context.Context, socket string, q task.Asked) (*Answer, error) {
	l, err := callIn(ctx, socket)
	if err != nil {
		return nil, err
	}
	defer l.hangUp()
	said, err := l.say(word{Ask: &q})
	switch {
	case errors.Is(err, io.EOF):
		return nil, ErrWaiting
	case err != nil:
		return nil, fmt.Errorf("the attempt is over: %w", err)
	case said.Error != "":
		return nil, errors.New(said.Error)
	case said.Answer == nil:
		return nil, errors.New("the attempt has answered nothing")
	}
	return said.Answer, nil
}

// asking lets a program ask as ask does, and calls over when its attempt waits.
func asking(ask AskFunc, over context.CancelCauseFunc) AskFunc {
	if ask == nil {
		return nil
	}
	return func(ctx context.Context, q task.Asked) (*Answer, error) {
		answer, err := ask(ctx, q)
		if errors.Is(err, ErrWaiting) {
			over(ErrWaiting)
		}
		return answer, err
	}
}

// withAnswers is a task as JSON with what has come of the questions of its turn.
func withAnswers(asked json.RawMessage, answers map[string]Answer) (json.RawMessage, error) {
	if answers == nil {
		answers = map[string]Answer{}
	}
	all, err := json.Marshal(answers)
	inside, isObject := bytes.CutSuffix(bytes.TrimSpace(asked), []byte("}"))
	if err != nil || !isObject {
		return nil, errors.Join(errors.New("the task is no JSON object"), err)
	}
	comma := ","
	if len(bytes.TrimSpace(inside)) == 1 {
		comma = ""
	}
	return slices.Concat(inside, []byte(comma+`"answers":`), all, []byte("}")), nil
}
