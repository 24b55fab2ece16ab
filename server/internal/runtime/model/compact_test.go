package model

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/tool"
)

// narrow stands for a model with a window: a request with more bytes is refused, one to
// sum up is summed up, and what has a summary is answered. It notes what it was asked.
type narrow struct {
	mu    sync.Mutex
	most  int
	asked []string
}

func (n *narrow) RoundTrip(r *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	body := string(raw)
	n.mu.Lock()
	n.asked = append(n.asked, body)
	n.mu.Unlock()
	status, said := http.StatusOK, calling("", [3]string{"dig", "a", "{}"})
	switch {
	case n.most > 0 && len(body) > n.most:
		status, said = http.StatusBadRequest, `{"error":{"message":"This is too much.","code":"context_length_exceeded"}}`
	case strings.Contains(body, "Your context is nearly full"):
		said = saying("THE SUMMARY")
	case strings.Contains(body, "THE SUMMARY"):
		said = saying("Because.")
	}
	if status == http.StatusOK {
		var stream strings.Builder
		for line := range strings.Lines(said) {
			stream.WriteString("data: " + strings.TrimSpace(line) + "\n\n")
		}
		said = stream.String()
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(said)), Request: r}, nil
}

// digs asks with a tool whose result is long.
func digs(t *testing.T, n *narrow, b *book, number int, window int64) (runtime.Outcome, error) {
	t.Helper()
	record := agent.Record{ModelName: "m", ContextWindow: window}
	r := &Runner{
		Providers:  []model.Provider{{Name: model.OpenAI, BaseURL: "https://api.openai.com/v1"}},
		Client:     &http.Client{Transport: n},
		Credential: func(context.Context, string, string) (string, error) { return "", nil },
		Tools: func(context.Context, *runtime.Attempt, agent.Agent) ([]tool.Tool, error) {
			return []tool.Tool{{Name: "dig", Description: "It digs.", Input: json.RawMessage(anything), Idempotent: true, Run: func(context.Context, tool.Call) (tool.Result, error) {
				return tool.Text(strings.Repeat("earth ", 5000)), nil
			}}}, nil
		},
	}
	a := &runtime.Attempt{Turn: 1, Number: number, Journal: b, Earlier: nobody}
	a.Spec.Input.Text = new("Why?")
	a.Agent = func(context.Context) (agent.Agent, error) { return agent.Agent{Record: record}, nil }
	return r.Run(t.Context(), a)
}

func nobody(context.Context) iter.Seq2[runtime.Turn, error] {
	return func(func(runtime.Turn, error) bool) {}
}

// T9: near the end of its window the model sums the conversation up, once, whenever the
// attempt is killed; what follows is the same as if it was not.
func TestT9ALongConversationIsSummedUp(t *testing.T) {
	t.Parallel()
	for name, most := range map[string]int{"T9 near the window": 0, "T9 too long for the provider": 20_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			window := int64(5000)
			if most > 0 {
				window = 0
			}
			whole, kept := &narrow{most: most}, &book{left: -1}
			got, err := digs(t, whole, kept, 1, window)
			if err != nil || got.Result != "Because." {
				t.Fatalf("it ends with %+v, %v", got, err)
			}
			last := whole.asked[len(whole.asked)-1]
			if !strings.Contains(last, "Why?") || strings.Contains(last, "earth") {
				t.Errorf("it goes on with %s", last)
			}
			if told := kept.log(task.TaskCompactization); len(told) != 1 || !strings.Contains(told[0], `"type":"summarization"`) || !strings.Contains(told[0], "THE SUMMARY") {
				t.Errorf("viewers are told %q", told)
			}
			if told := strings.Join(kept.log(task.Chunk), ""); strings.Contains(told, "SUMMARY") {
				t.Errorf("the summary is told as a part of the answer: %s", told)
			}
			for at := 1; ; at++ {
				n, b := &narrow{most: most}, &book{left: at}
				if _, err := digs(t, n, b, 1, window); err == nil {
					break
				}
				b.left = -1
				got, err := digs(t, n, b, 2, window)
				if err != nil || got.Result != "Because." {
					t.Fatalf("killed at %d, it ends with %+v, %v", at, got, err)
				}
				if diff := cmp.Diff(last, n.asked[len(n.asked)-1]); diff != "" {
					t.Errorf("killed at %d (-unkilled +killed):\n%s", at, diff)
				}
				sums := 0
				for _, s := range b.steps {
					if s.Kind == "compact" {
						sums++
					}
				}
				if sums != 1 || len(n.asked) > len(whole.asked)+2 {
					t.Errorf("killed at %d: %d summaries, %d requests in the place of %d", at, sums, len(n.asked), len(whole.asked))
				}
				if told := b.log(task.TaskCompactization); strings.Count(strings.Join(told, " "), "summarization") != 1 {
					t.Errorf("killed at %d, viewers are told %q", at, told)
				}
			}
		})
	}
}

// T9: what is too long by itself ends the task with the provider's words.
func TestT9AQuestionThatIsTooLong(t *testing.T) {
	t.Parallel()
	n, b := &narrow{most: 10}, &book{left: -1}
	got, err := digs(t, n, b, 1, 0)
	if err != nil || got.Reason != task.EndFailed || !strings.Contains(got.Result, "longer than the model takes") || !strings.Contains(got.Result, "This is too much.") {
		t.Fatalf("it ends with %+v, %v", got, err)
	}
	if len(n.asked) != 1 {
		t.Errorf("it was asked %d times", len(n.asked))
	}
}

// T9: what a record says of the window is of its own model; of any other the configuration
// knows more.
func TestT9WindowOfTheModel(t *testing.T) {
	t.Parallel()
	r := &Runner{Windows: model.Windows{"m": 10, "here/m": 20, "other": 30}}
	for _, c := range []struct {
		own            int64
		provider, name string
		want           int64
	}{
		{0, "there", "m", 10},
		{0, "here", "m", 20},
		{5, "here", "m", 5},
		{5, "here", "other", 30},
		{5, "here", "unknown", 5},
		{0, "here", "unknown", 0},
	} {
		if got := r.window(agent.Record{ModelName: "m", ContextWindow: c.own}, c.provider, c.name); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
