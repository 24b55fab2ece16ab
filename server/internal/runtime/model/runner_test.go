package model

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/testjournal"
)

// journal is one that remembers, and that earlier attempts have written in.
type journal struct {
	runtime.Journal

	steps  []task.Step
	events []string
}

func (j *journal) Progress(context.Context, string) error          { return nil }
func (j *journal) Chunk(context.Context, string) error             { return nil }
func (j *journal) Offer(context.Context, string) ([]string, error) { return nil, nil }

func (j *journal) MaySpend(context.Context, bool) error              { return nil }
func (j *journal) Spend(context.Context, string, runtime.Paid) error { return nil }

func (j *journal) CommitWith(ctx context.Context, s task.Step, with runtime.With) (task.Step, error) {
	return testjournal.CommitWith(ctx, j, s, with)
}

func (j *journal) Give(context.Context, []runtime.Given) error    { return nil }
func (j *journal) Given(context.Context) ([]runtime.Given, error) { return nil, nil }

func (j *journal) Output(_ context.Context, name string, _ io.ReadSeeker) (task.Output, error) {
	return task.Output{Name: name}, nil
}

func (j *journal) Steps(context.Context) ([]task.Step, error) { return j.steps, nil }

func (j *journal) Events(_ context.Context, events []runtime.Event) error {
	for _, e := range events {
		j.events = append(j.events, string(e.Type)+" "+string(e.Data))
	}
	return nil
}

func (j *journal) Commit(_ context.Context, s task.Step) (task.Step, error) {
	j.steps = append(j.steps, s)
	return s, nil
}

// T8: what an attempt was answered is not asked for again by the next one; viewers
// are told anew, and end with what the result says.
func TestT8AnAnswerIsPaidForOnce(t *testing.T) {
	t.Parallel()
	body, err := json.Marshal(answer{Provider: "openai", Model: "m", Text: "Because.", Finish: model.Stop, Raw: json.RawMessage(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	j := &journal{steps: []task.Step{{ID: "model-1", Kind: "model", Body: body}}}
	prompt := "Why?"
	a := &runtime.Attempt{
		Number: 2, Journal: j, State: task.State{Tokens: &task.Tokens{Prompt: 7}},
		Agent: func(context.Context) (agent.Agent, error) {
			return agent.Agent{Record: agent.Record{ModelName: "m"}}, nil
		},
		Earlier: func(context.Context) iter.Seq2[runtime.Turn, error] { return func(func(runtime.Turn, error) bool) {} },
	}
	a.Spec.Input.Text = &prompt
	r := &Runner{
		Providers:  []model.Provider{{Name: model.OpenAI, BaseURL: "https://api.openai.com/v1"}},
		Client:     &http.Client{Transport: untouched{t}},
		Credential: func(context.Context, string, string) (string, error) { return "", nil },
	}
	got, err := r.Run(t.Context(), a)
	if err != nil || got.Reason != task.EndCompleted || got.Result != "Because." || got.Tokens != nil {
		t.Errorf("outcome %+v, %v", got, err)
	}
	want := []string{`task_compactization {"type": "retry", "data": {"is_retry": true}}`, `chunk "Because."`}
	if diff := cmp.Diff(want, j.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// untouched is a transport that nobody may use.
type untouched struct{ t *testing.T }

func (u untouched) RoundTrip(*http.Request) (*http.Response, error) {
	u.t.Error("the provider was asked")
	return nil, http.ErrServerClosed
}
