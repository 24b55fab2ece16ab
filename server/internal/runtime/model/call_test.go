package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/testjournal"
	"github.com/errand-dev/errand/server/internal/tool"
)

// oracle stands for a provider: what it answers follows from how many messages it is
// sent. It notes what it was asked.
type oracle struct {
	mu      sync.Mutex
	answers map[int]string // chunks, by the number of messages
	asked   []string
}

func (o *oracle) RoundTrip(r *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var body struct {
		Messages []json.RawMessage `json:"messages"`
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil, err
	}
	o.mu.Lock()
	o.asked = append(o.asked, string(raw))
	o.mu.Unlock()
	var stream strings.Builder
	for line := range strings.Lines(strings.TrimSpace(o.answers[len(body.Messages)])) {
		stream.WriteString("data: " + strings.TrimSpace(line) + "\n\n")
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(stream.String())), Request: r}, nil
}

// calling is an answer with calls, each a name, an id and arguments.
func calling(text string, calls ...[3]string) string {
	var b strings.Builder
	if text != "" {
		fmt.Fprintf(&b, "{\"choices\":[{\"delta\":{\"content\":%q}}]}\n", text)
	}
	for i, c := range calls {
		fmt.Fprintf(&b, "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":%d,\"id\":%q,\"type\":\"function\",\"function\":{\"name\":%q,\"arguments\":%q}}]}}]}\n", i, c[1], c[0], c[2])
	}
	b.WriteString(`{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}`)
	return b.String()
}

func saying(text string) string {
	return fmt.Sprintf("{\"choices\":[{\"delta\":{\"content\":%q}}]}\n{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}", text)
}

// book is a journal on which attempts die: it takes so many writes and no more, and
// keeps what it took for the next one.
type book struct {
	runtime.Journal

	mu     sync.Mutex
	left   int // -1 for no end
	steps  []task.Step
	events []runtime.Event
	given  []runtime.Given
}

var errDead = fmt.Errorf("killed: %w", runtime.ErrLost)

func (b *book) write(fn func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left == 0 {
		return errDead
	}
	b.left--
	fn()
	return nil
}

func (b *book) Progress(context.Context, string) error          { return b.write(func() {}) }
func (b *book) Chunk(context.Context, string) error             { return b.write(func() {}) }
func (b *book) Offer(context.Context, string) ([]string, error) { return nil, nil }
func (b *book) Steps(context.Context) ([]task.Step, error)      { return b.steps, nil }

func (b *book) Give(_ context.Context, list []runtime.Given) error {
	return b.write(func() { b.given = append(b.given[:0], list...) })
}
func (b *book) Given(context.Context) ([]runtime.Given, error) { return b.given, nil }

func (b *book) Output(_ context.Context, name string, _ io.ReadSeeker) (task.Output, error) {
	return task.Output{Name: name}, nil
}

func (b *book) MaySpend(context.Context, bool) error              { return nil }
func (b *book) Spend(context.Context, string, runtime.Paid) error { return nil }

func (b *book) CommitWith(ctx context.Context, s task.Step, with runtime.With) (task.Step, error) {
	return testjournal.CommitWith(ctx, b, s, with)
}

func (b *book) Events(_ context.Context, events []runtime.Event) error {
	return b.write(func() {
		for _, e := range events {
			known := false
			for _, before := range b.events {
				known = known || e.ClientID != "" && before.ClientID == e.ClientID
			}
			if !known {
				b.events = append(b.events, e)
			}
		}
	})
}

func (b *book) Commit(_ context.Context, s task.Step) (task.Step, error) {
	err := b.write(func() {
		for _, before := range b.steps {
			if before.ID == s.ID {
				s = before
				return
			}
		}
		b.steps = append(b.steps, s)
	})
	return s, err
}

// log is the events, each on a line, of some types.
func (b *book) log(types ...task.Type) []string {
	var lines []string
	for _, e := range b.events {
		for _, t := range types {
			if e.Type == t {
				lines = append(lines, string(e.Type)+" "+string(e.Data))
			}
		}
	}
	return lines
}

// attempt runs one with some tools.
func attempt(ctx context.Context, o *oracle, b *book, number int, change func(*agent.Record, *runtime.Attempt), tools ...tool.Tool) (runtime.Outcome, error) {
	record := agent.Record{ModelName: "m"}
	prompt := "Why?"
	a := &runtime.Attempt{
		Turn: 1, Number: number, Journal: b,
		Earlier: func(context.Context) iter.Seq2[runtime.Turn, error] { return func(func(runtime.Turn, error) bool) {} },
	}
	a.Spec.Input.Text = &prompt
	if change != nil {
		change(&record, a)
	}
	a.Agent = func(context.Context) (agent.Agent, error) { return agent.Agent{Record: record}, nil }
	r := &Runner{
		Providers:  []model.Provider{{Name: model.OpenAI, BaseURL: "https://api.openai.com/v1"}, {Name: model.Anthropic, BaseURL: "https://api.anthropic.com"}},
		Client:     &http.Client{Transport: o},
		Credential: func(context.Context, string, string) (string, error) { return "", nil },
		Tools:      func(context.Context, *runtime.Attempt, agent.Agent) ([]tool.Tool, error) { return tools, nil },
	}
	return r.Run(ctx, a)
}

const anything = `{"type":"object"}`

// T9: the calls of one answer run side by side; their results go back in the order of
// the calls, whichever ends first; what was said before them is a thought.
func TestT9CallsRunSideBySide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{answers: map[int]string{
			1: calling("Let me look.", [3]string{"slow", "a", `{"n": 9007199254740993}`}, [3]string{"fast", "b", ``}),
			4: saying("Because."),
		}}
		b := &book{left: -1}
		began := time.Now()
		got, err := attempt(
			t.Context(), o, b, 1, nil,
			tool.Tool{Name: "fast", Description: "It is.", Input: json.RawMessage(anything), Idempotent: true, Run: func(context.Context, tool.Call) (tool.Result, error) {
				time.Sleep(time.Second) //nolint:forbidigo // of the bubble's clock
				return tool.Error("no luck"), nil
			}},
			tool.Tool{Name: "slow", Description: "It is.", Input: json.RawMessage(anything), Run: func(_ context.Context, c tool.Call) (tool.Result, error) {
				time.Sleep(2 * time.Second) //nolint:forbidigo // of the bubble's clock
				return tool.Text(c.ID + string(c.Arguments)), nil
			}},
		)
		if err != nil || got.Result != "Because." || !cmp.Equal(got.Tools, []string{"slow", "fast"}) {
			t.Errorf("outcome %+v, %v", got, err)
		}
		if took := time.Since(began); took >= 3*time.Second {
			t.Errorf("one after the other: %s", took)
		}
		want := `"messages":[{"role":"user","content":"Why?"},` +
			`{"content":"Let me look.","role":"assistant","tool_calls":[{"function":{"arguments":"{\"n\": 9007199254740993}","name":"slow"},"id":"a","type":"function"},` +
			`{"function":{"arguments":"{}","name":"fast"},"id":"b","type":"function"}]},` +
			`{"role":"tool","tool_call_id":"a","content":"call_1_1_0{\"n\": 9007199254740993}"},{"role":"tool","tool_call_id":"b","content":"Error: no luck"}]`
		if len(o.asked) != 2 || !strings.Contains(o.asked[1], want) {
			t.Errorf("asked %s\nwant %s", o.asked, want)
		}
		log := []string{
			`chunk "Let me look."`,
			`task_compactization {"type": "retry", "data": {"is_retry": true}}`,
			`think {"title":"Thinking","thought":"Let me look."}`,
			`tool_call_request {"request_id":"call_1_1_0","operation_id":"slow","tool_call_id":"a","tool_name":"slow","payload":{"n":9007199254740993}}`,
			`tool_call_request {"request_id":"call_1_1_1","operation_id":"fast","tool_call_id":"b","tool_name":"fast","payload":{}}`,
			`tool_call_result {"request_id":"call_1_1_1","operation_id":"fast","tool_call_id":"b","tool_name":"fast","payload":{},"result":"no luck","is_error":true}`,
			`tool_call_result {"request_id":"call_1_1_0","operation_id":"slow","tool_call_id":"a","tool_name":"slow","payload":{"n":9007199254740993},` +
				`"result":"call_1_1_0{\"n\": 9007199254740993}","is_error":false}`,
			`chunk "Because."`,
		}
		if diff := cmp.Diff(log, b.log(task.Types()...)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		var steps []string
		for _, s := range b.steps {
			steps = append(steps, s.ID+" "+s.Kind)
		}
		if diff := cmp.Diff([]string{"model-1 model", "call-1-0 tool_call", "result-1-1 tool_result", "result-1-0 tool_result", "model-2 model"}, steps); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
	})
}

// T9: what cannot be run is told to the model, and nothing is run.
func TestT9WrongCallsAreToldToTheModel(t *testing.T) {
	t.Parallel()
	input := `{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}`
	for _, c := range []struct {
		name, called, arguments, says string
		limit                         int
	}{
		{"an unknown tool", "g", `{}`, `There is no tool \"g\". There are: f.`, 9},
		{"arguments that are no JSON", "f", `{"n": 1`, "the input is not JSON", 9},
		{"arguments that do not follow the schema", "f", `{"n": "1"}`, "/n: got string, want integer", 9},
		{"arguments that are no object", "f", `[1]`, "got array, want object", 9},
		{"no arguments", "f", ``, "missing property 'n'", 9},
		{"more calls than the task may have", "f", `{"n": 1}`, "this task may call 0 tools", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := &oracle{answers: map[int]string{1: calling("", [3]string{c.called, "a", c.arguments}), 3: saying("So be it.")}}
			got, err := attempt(t.Context(), o, &book{left: -1}, 1, func(_ *agent.Record, a *runtime.Attempt) { a.State.ToolCallLimit = &c.limit }, tool.Tool{
				Name: "f", Input: json.RawMessage(input), Run: func(context.Context, tool.Call) (tool.Result, error) {
					t.Error("it was run")
					return tool.Result{}, nil
				},
			})
			if err != nil || got.Result != "So be it." || len(got.Tools) > 0 {
				t.Errorf("outcome %+v, %v", got, err)
			}
			if len(o.asked) != 2 || !strings.Contains(o.asked[1], `"content":"Error: `) || !strings.Contains(o.asked[1], c.says) {
				t.Errorf("asked %s\nwant %s", o.asked, c.says)
			}
		})
	}
}

// T9: a model that never ends is asked so many times and no more.
func TestT9StepsAreLimited(t *testing.T) {
	t.Parallel()
	o := &oracle{answers: map[int]string{}}
	for n := range 9 {
		o.answers[2*n+1] = calling("", [3]string{"f", "same id", `{}`})
	}
	got, err := attempt(t.Context(), o, &book{left: -1}, 1, func(r *agent.Record, _ *runtime.Attempt) { r.MaxSteps = 3 }, tool.Tool{
		Name: "f", Input: json.RawMessage(anything), Run: func(context.Context, tool.Call) (tool.Result, error) { return tool.Text("x"), nil },
	})
	if err != nil || got.Reason != task.EndFailed || !strings.Contains(got.Result, "asked 3 times") || len(o.asked) != 3 {
		t.Errorf("outcome %+v, %v, after %d requests", got, err, len(o.asked))
	}
	if last := o.asked[len(o.asked)-1]; strings.Count(last, "same id") != 2 || strings.Count(last, "call_1_2_0") != 2 {
		t.Errorf("an id that comes again is another: %s", last)
	}
}

// T9: a call that cannot be answered yet ends the attempt when the others are over, and
// is run again by the next one.
func TestT9ACallEndsItsAttempt(t *testing.T) {
	t.Parallel()
	o := &oracle{answers: map[int]string{1: calling("", [3]string{"ask", "a", `{}`}, [3]string{"count", "b", `{}`}), 4: saying("Good.")}}
	b := &book{left: -1}
	asked, counted := 0, 0
	tools := []tool.Tool{
		{Name: "ask", Input: json.RawMessage(anything), Idempotent: true, Run: func(context.Context, tool.Call) (tool.Result, error) {
			if asked++; asked == 1 {
				return tool.Result{}, &runtime.Later{Reason: "nobody is there"}
			}
			return tool.Text("yes"), nil
		}},
		{Name: "count", Input: json.RawMessage(anything), Run: func(context.Context, tool.Call) (tool.Result, error) {
			counted++
			return tool.Text("1"), nil
		}},
	}
	if _, err := attempt(t.Context(), o, b, 1, nil, tools...); err == nil || err.Error() != "nobody is there" {
		t.Errorf("error %v", err)
	}
	got, err := attempt(t.Context(), o, b, 2, nil, tools...)
	if err != nil || got.Result != "Good." || asked != 2 || counted != 1 || len(o.asked) != 2 {
		t.Errorf("outcome %+v, %v; asked %d, counted %d, %d requests", got, err, asked, counted, len(o.asked))
	}
}

// T9, T8: an attempt may die at any write. The next one asks for no answer again that
// was committed, sends what the one that nobody killed sends, and runs no call twice
// whose tool does not say that it may. So it is with either wire.
func TestT9KilledAtEveryWrite(t *testing.T) {
	t.Parallel()
	for _, w := range []spoken{
		{
			provider: model.OpenAI, messages: 3, calling: calling, saying: saying,
			result: func(id, text string, failed bool) string {
				if failed {
					text = "Error: " + text
				}
				return fmt.Sprintf(`{"role":"tool","tool_call_id":%q,"content":%q}`, id, text)
			},
		},
		{
			provider: model.Anthropic, messages: 2, calling: using, saying: telling,
			result: func(id, text string, failed bool) string {
				end := "}"
				if failed {
					end = `,"is_error":true}`
				}
				return fmt.Sprintf(`{"type":"tool_result","tool_use_id":%q,"content":%q%s`, id, text, end)
			},
		},
	} {
		t.Run(w.provider, func(t *testing.T) {
			t.Parallel()
			killedAtEveryWrite(t, w)
		})
	}
}

// spoken is how a provider speaks: its answers with calls and without, how many messages
// an answer with its results are, and how a result is sent to it.
type spoken struct {
	provider string
	messages int
	calling  func(text string, calls ...[3]string) string
	saying   func(text string) string
	result   func(id, text string, failed bool) string
}

// using is calling for Anthropic's wire.
func using(text string, calls ...[3]string) string {
	lines := []string{`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`, fmt.Sprintf(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%q}}`, text), `{"type":"content_block_stop","index":0}`}
	for i, c := range calls {
		lines = append(lines, fmt.Sprintf(`{"type":"content_block_start","index":%d,"content_block":{"type":"tool_use","id":%q,"name":%q,"input":{}}}`, i+1, c[1], c[0]),
			fmt.Sprintf(`{"type":"content_block_delta","index":%d,"delta":{"type":"input_json_delta","partial_json":%q}}`, i+1, c[2]), fmt.Sprintf(`{"type":"content_block_stop","index":%d}`, i+1))
	}
	reason := "tool_use"
	if len(calls) == 0 {
		reason = "end_turn"
	}
	lines = append(lines, fmt.Sprintf(`{"type":"message_delta","delta":{"stop_reason":%q}}`, reason), `{"type":"message_stop"}`)
	return strings.Join(lines, "\n")
}

// telling is saying for it.
func telling(text string) string { return using(text) }

func killedAtEveryWrite(t *testing.T, w spoken) {
	t.Helper()
	of := func(r *agent.Record, _ *runtime.Attempt) { r.ModelProvider = w.provider }
	script := map[int]string{}
	for n := range 4 { // four answers with two calls each, and an end
		script[w.messages*n+1] = w.calling(fmt.Sprintf("Step %d.", n), [3]string{"once", fmt.Sprintf("once-%d", n), `{}`}, [3]string{"often", fmt.Sprintf("often-%d", n), `{"n": 1}`})
	}
	script[4*w.messages+1] = w.saying("Done.")
	whole, fresh := &oracle{answers: script}, &book{left: -1}
	runs := map[string]int{}
	var mu sync.Mutex
	tools := func() []tool.Tool {
		mu.Lock()
		defer mu.Unlock()
		runs = map[string]int{}
		count := func(_ context.Context, c tool.Call) (tool.Result, error) {
			mu.Lock()
			defer mu.Unlock()
			runs[c.ID]++
			return tool.Text("ran " + c.ID), nil
		}
		return []tool.Tool{
			{Name: "often", Input: json.RawMessage(anything), Idempotent: true, Run: count},
			{Name: "once", Input: json.RawMessage(anything), Run: count},
		}
	}
	if got, err := attempt(t.Context(), whole, fresh, 1, of, tools()...); err != nil || got.Result != "Done." {
		t.Fatalf("outcome %+v, %v", got, err)
	}
	for at := 1; ; at++ {
		o, b := &oracle{answers: script}, &book{left: at}
		mine := tools()
		_, err := attempt(t.Context(), o, b, 1, of, mine...)
		if err == nil {
			if at < 20 {
				t.Errorf("only %d writes", at)
			}
			return
		}
		if !errors.Is(err, errDead) {
			t.Fatalf("killed at %d: %v", at, err)
		}
		b.left = -1
		got, err := attempt(t.Context(), o, b, 2, of, mine...)
		if err != nil || got.Result != "Done." || !cmp.Equal(got.Tools, []string{"once", "often"}) {
			t.Fatalf("killed at %d: outcome %+v, %v", at, got, err)
		}
		for id, n := range runs {
			if n > 1 && strings.HasSuffix(id, "_0") {
				t.Errorf("killed at %d: call %s ran %d times", at, id, n)
			}
		}
		// The last request shows the whole conversation. What is not known of a call is
		// all in which it may differ.
		last := o.asked[len(o.asked)-1]
		for n := range 4 {
			id := fmt.Sprintf("once-%d", n)
			last = strings.Replace(last, w.result(id, unknown, true), w.result(id, fmt.Sprintf("ran call_1_%d_0", n+1), false), 1)
		}
		if diff := cmp.Diff(whole.asked[len(whole.asked)-1], last); diff != "" {
			t.Errorf("killed at %d: (-unkilled +killed):\n%s", at, diff)
		}
		if more := len(o.asked) - len(whole.asked); more > 1 {
			t.Errorf("killed at %d: %d answers more were asked for", at, more)
		}
		var told []string
		for _, e := range b.events {
			if e.Type == task.ToolCallRequest || e.Type == task.ToolCallResult || e.Type == task.Think {
				told = append(told, e.ClientID)
			}
		}
		if len(told) != 20 {
			t.Errorf("killed at %d: told of %d thoughts, calls and results: %v", at, len(told), told)
		}
	}
}
