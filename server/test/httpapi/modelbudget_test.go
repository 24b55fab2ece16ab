package httpapi_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/model"
)

// loops answers with one more call of a tool each time, for 300 tokens.
func loops(n int) func(http.ResponseWriter, *http.Request) {
	return says(
		fmt.Sprintf(`{"choices":[{"delta":{"content":"Again. ","tool_calls":[{"index":0,"id":"c%d","function":{"name":"nothing","arguments":"{}"}}]}}]}`, n),
		`{"choices":[{"delta":{},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":280,"completion_tokens":20}}`,
	)
}

func loop() []func(http.ResponseWriter, *http.Request) {
	var script []func(http.ResponseWriter, *http.Request)
	for i := range 20 {
		script = append(script, loops(i))
	}
	return script
}

func (s *server) spent(t *testing.T) map[string]any {
	t.Helper()
	spent, _ := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"})["spent"].(map[string]any)
	return spent
}

// B1: a budget of 1,000 tokens stops a model that calls tools without an end: it is
// asked no more after the line, and goes on when that is raised.
func TestB1ALoopingModel(t *testing.T) {
	t.Parallel()
	p := newProvider(t, loop()...)
	s := start(t, p.use)
	s.modelAgent(t, "")
	s.wonder(t, `"input": {"text": "Loop"}, "budget": {"tokens": 1000}`)
	got := s.waitFor(t, "one", "paused")
	if n := len(p.requests()); n != 4 {
		t.Errorf("the model was asked %d times for 300 tokens, want 4", n)
	}
	tokens, _ := got["tokens"].(map[string]any)
	if tokens["prompt_tokens"] != 1120.0 || s.spent(t)["tokens"] != 1200.0 {
		t.Errorf("counted %v, %v", tokens, s.spent(t))
	}
	s.must(t, 200, call{method: "PATCH", path: "/v1/tasks/one", body: `{"budget": {"tokens": 1500, "at_limit": "end"}}`})
	got = s.waitFor(t, "one", "failed")
	if got["end_reason"] != "budget" || got["result"] != "Again. " {
		t.Errorf("it has ended %v with %v", got["end_reason"], got["result"])
	}
	if n := len(p.requests()); n != 5 {
		t.Errorf("the model was asked %d times in all, want 5", n)
	}
	if used := s.spent(t)["tokens"]; used != 1500.0 {
		t.Errorf("counted %v", used)
	}
}

// B1: an answer that reaches the line is the task's result all the same.
func TestB1TheLastAnswer(t *testing.T) {
	t.Parallel()
	p := newProvider(t, says(said("Done."), `{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":2000,"completion_tokens":3}}`))
	s := start(t, p.use)
	s.modelAgent(t, "")
	s.wonder(t, `"input": {"text": "One"}, "budget": {"tokens": 1000}`)
	if got := s.waitFor(t, "one", "completed"); got["result"] != "Done." {
		t.Errorf("its result is %v", got["result"])
	}
}

// B1: answers that break off are paid for, also where the provider has not said how much.
func TestB1WhatBreaksOff(t *testing.T) {
	t.Parallel()
	long := "This answer goes on for a while and is then cut off in the middle of"
	p := newProvider(t, says(said(long)), says(said("Whole."), ended))
	s := start(t, p.use)
	s.modelAgent(t, "")
	s.wonder(t, `"input": {"text": "Break"}, "budget": {"tokens": 1000}`)
	s.waitFor(t, "one", "completed")
	var uses []map[string]any
	for _, e := range s.events(t, "one") {
		if e["type"] == "usage" {
			uses = append(uses, e["data"].(map[string]any))
		}
	}
	if len(uses) != 2 || uses[0]["estimated"] != true || uses[1]["estimated"] != nil {
		t.Fatalf("its uses are %v", uses)
	}
	if used := s.spent(t)["tokens"]; used.(float64) <= 15 {
		t.Errorf("counted %v", used)
	}
}

// B1: money is counted by the configured prices, and without one nothing is asked.
func TestB1Money(t *testing.T) {
	t.Parallel()
	p := newProvider(t, loop()...)
	s := start(t, p.use, func(o *app.Options) { o.Prices = model.Prices{"openai/m-1": {Input: 1000, Output: 10_000}} })
	s.modelAgent(t, "")
	s.wonder(t, `"input": {"text": "Loop"}, "budget": {"cost": 1}`)
	s.waitFor(t, "one", "paused")
	if n, cost := len(p.requests()), s.spent(t)["cost"].(float64); n != 3 || cost < 1.43 || cost > 1.45 {
		t.Errorf("asked %d times for %v, want 3 times for 1.44", n, cost)
	}
	s.must(t, 201, call{
		method: "POST", path: "/v1/tasks", key: userKey,
		body: `{"agent_id": "sage", "id": "two", "input": {"text": "Loop"}, "llm_model_name": "m-2", "budget": {"cost": 1}}`,
	})
	s.waitFor(t, "two", "failed")
	if n := len(p.requests()); n != 3 {
		t.Errorf("a model without a price was asked %d times", n-3)
	}
}
