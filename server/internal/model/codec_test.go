package model

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/outbound"
)

// answer is what a stream amounts to.
type answer struct {
	Text, Reasoning string
	Calls           []CallDelta // put together
	Whole           []Call
	Usage           *Usage
	Finish          Finish
	Raw             string
}

func (a *answer) add(d Delta) {
	a.Text += d.Text
	a.Reasoning += d.Reasoning
	if c := d.Call; c != nil {
		for len(a.Calls) <= c.Slot {
			a.Calls = append(a.Calls, CallDelta{Slot: len(a.Calls)})
		}
		call := &a.Calls[c.Slot]
		call.ID, call.Name, call.Arguments = call.ID+c.ID, call.Name+c.Name, call.Arguments+c.Arguments
	}
	if d.Usage != nil {
		a.Usage = d.Usage
	}
	if d.End != nil {
		a.Finish, a.Whole, a.Raw = d.End.Finish, d.End.Calls, string(d.End.Raw)
	}
}

// roundTrip is a transport that never leaves the process.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answering makes a provider's model that gets one answer.
func answering(provider string, status int, header http.Header, body io.Reader) Model {
	base := "https://api.openai.com/v1"
	if provider == Anthropic {
		base = "https://api.anthropic.com"
	}
	client := NewClient(outbound.Guard{})
	client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if header == nil {
			header = http.Header{}
		}
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(body), Request: r}, nil
	})
	return New(Provider{provider, base, "secret-key"}, client)
}

func ask(ctx context.Context, m Model) (a answer, err error) {
	for d, err := range m.Stream(ctx, Request{Model: "m", CallPrefix: "own_", Messages: []Message{
		{Role: User, Text: "hello"},
		{Role: Assistant, Raw: json.RawMessage(`{}`)},
		{Role: User, Results: []Result{{CallID: "before", Text: "x"}}},
	}}) {
		if err != nil {
			return a, err
		}
		a.add(d)
	}
	return a, nil
}

// chunks makes a stream of chat completions of what stands on lines.
func chunks(lines string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, ":") {
			line = "data: " + line
		}
		b.WriteString(line + "\n\n")
	}
	return b.String()
}

// events makes a stream of messages of what stands on lines.
func events(lines string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		line = strings.TrimSpace(line)
		var e struct {
			Type string `json:"type"`
		}
		_ = json.Unmarshal([]byte(line), &e)
		b.WriteString("event: " + e.Type + "\ndata: " + line + "\n\n")
	}
	return b.String()
}

// streams has what providers do, each as it was seen.
func streams() []struct {
	name, provider, stream string
	want                   answer
} {
	call := func(slot int, id, name, arguments string) CallDelta { return CallDelta{slot, id, name, arguments} }
	return []struct {
		name, provider, stream string
		want                   answer
	}{
		{
			"text with its usage behind the end, and comments", OpenAI, chunks(`
: OPENROUTER PROCESSING
{"choices":[]}
{"choices":[{"delta":{"role":"assistant","content":""}}]}
{"choices":[{"delta":{"content":"Par"}}]}
{"choices":[{"delta":{"content":"is."}}]}
{"choices":[{"delta":{},"finish_reason":"stop"}]}
{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":9}}}
[DONE]`),
			answer{Text: "Paris.", Usage: &Usage{Prompt: 10, Completion: 2, CacheRead: 9}, Finish: Stop, Raw: `{"content":"Paris.","role":"assistant"}`},
		},
		{
			"usage on an ordinary chunk, and no [DONE]", OpenAI, chunks(`
{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}
{"choices":[{"delta":{"content":"b"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`),
			answer{Text: "ab", Usage: &Usage{Prompt: 1, Completion: 2}, Finish: Stop, Raw: `{"content":"ab","role":"assistant"}`},
		},
		{
			"no usage at all", OpenAI, chunks(`
{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}
[DONE]`),
			answer{Text: "a", Finish: Stop, Raw: `{"content":"a","role":"assistant"}`},
		},
		{
			"reasoning_content, which goes back", OpenAI, chunks(`
{"choices":[{"delta":{"role":"assistant","reasoning_content":"Hm"}}]}
{"choices":[{"delta":{"reasoning_content":"m."}}]}
{"choices":[{"delta":{"content":"Yes"}}]}
{"choices":[{"delta":{"content":""},"finish_reason":"stop"}]}
[DONE]`),
			answer{Text: "Yes", Reasoning: "Hmm.", Finish: Stop, Raw: `{"content":"Yes","reasoning_content":"Hmm.","role":"assistant"}`},
		},
		{
			"empty reasoning_content goes back, too", OpenAI, chunks(`
{"choices":[{"delta":{"content":"Yes","reasoning_content":""}}]}
{"choices":[{"delta":{},"finish_reason":"stop"}]}
[DONE]`),
			answer{Text: "Yes", Finish: Stop, Raw: `{"content":"Yes","reasoning_content":"","role":"assistant"}`},
		},
		{
			"reasoning, with details that grow", OpenAI, chunks(`
{"choices":[{"delta":{"reasoning":"a","reasoning_details":[{"text":"a","index":0}]}}]}
{"choices":[{"delta":{"reasoning":"b","reasoning_details":[{"text":"b","index":0}]}}]}
{"choices":[{"delta":{"content":"c"},"finish_reason":"stop"}]}
[DONE]`),
			answer{
				Text: "c", Reasoning: "ab", Finish: Stop,
				Raw: `{"content":"c","reasoning":"ab","reasoning_details":[{"text":"a","index":0},{"text":"b","index":0}],"role":"assistant"}`,
			},
		},
		{
			"parallel calls that come in turns", OpenAI, chunks(`
{"choices":[{"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}}]}
{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\""}}]}}]}
{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]}}]}
{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}]}
{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}
[DONE]`),
			answer{
				Calls: []CallDelta{call(0, "a", "f", `{"x":1}`), call(1, "b", "g", `{}`)}, Finish: Calls,
				Whole: []Call{{"a", "f", `{"x":1}`}, {"b", "g", `{}`}},
				Raw: `{"content":null,"role":"assistant","tool_calls":[{"function":{"arguments":"{\"x\":1}","name":"f"},"id":"a","type":"function"},` +
					`{"function":{"arguments":"{}","name":"g"},"id":"b","type":"function"}]}`,
			},
		},
		{
			"parallel calls that all have index 0 stay two", OpenAI, chunks(`
{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}]}}]}
{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":"{\"y\":2}"}}]}}]}
{"choices":[{"delta":{},"finish_reason":"stop"}]}
[DONE]`),
			answer{
				Calls: []CallDelta{call(0, "a", "f", `{"x":1}`), call(1, "b", "f", `{"y":2}`)}, Finish: Calls,
				Whole: []Call{{"a", "f", `{"x":1}`}, {"b", "f", `{"y":2}`}},
				Raw: `{"content":null,"role":"assistant","tool_calls":[{"function":{"arguments":"{\"x\":1}","name":"f"},"id":"a","type":"function"},` +
					`{"function":{"arguments":"{\"y\":2}","name":"f"},"id":"b","type":"function"}]}`,
			},
		},
		{
			"parallel calls without index or id, one of them with an object", OpenAI, chunks(`
{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":{"x":1}}}]}}]}
{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{\"y\""}}]}}]}
{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":":2}"}}]},"finish_reason":"stop"}]}
[DONE]`),
			answer{
				Calls: []CallDelta{call(0, "", "f", `{"x":1}`), call(1, "", "f", `{"y":2}`)}, Finish: Calls,
				Whole: []Call{{"own_0", "f", `{"x":1}`}, {"own_1", "f", `{"y":2}`}},
				Raw: `{"content":null,"role":"assistant","tool_calls":[{"function":{"arguments":"{\"x\":1}","name":"f"},"id":"own_0","type":"function"},` +
					`{"function":{"arguments":"{\"y\":2}","name":"f"},"id":"own_1","type":"function"}]}`,
			},
		},
		{
			"a call without arguments or a reason to stop, and what a provider adds", OpenAI, chunks(`
{"choices":[{"delta":{"content":"","tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""},"extra_content":{"google":{"thought_signature":"s"}}}]}}]}
[DONE]`),
			answer{
				Calls: []CallDelta{call(0, "a", "f", "")}, Finish: Calls, Whole: []Call{{"a", "f", `{}`}},
				Raw: `{"content":"","role":"assistant","tool_calls":[{"extra_content":{"google":{"thought_signature":"s"}},` +
					`"function":{"arguments":"{}","name":"f"},"id":"a","type":"function"}]}`,
			},
		},
		{
			"one id for two calls, and one that the conversation has", OpenAI, chunks(`
{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"before","type":"function","function":{"name":"f","arguments":"{}"}}]}}]}
{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}}]}
{"choices":[{"delta":{"tool_calls":[{"index":2,"id":"a","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`),
			answer{
				Calls: []CallDelta{call(0, "before", "f", "{}"), call(1, "a", "f", "{}"), call(2, "a", "g", "{}")}, Finish: Calls,
				Whole: []Call{{"own_0", "f", `{}`}, {"a", "f", `{}`}, {"own_2", "g", `{}`}},
				Raw: `{"content":null,"role":"assistant","tool_calls":[{"function":{"arguments":"{}","name":"f"},"id":"own_0","type":"function"},` +
					`{"function":{"arguments":"{}","name":"f"},"id":"a","type":"function"},{"function":{"arguments":"{}","name":"g"},"id":"own_2","type":"function"}]}`,
			},
		},
		{
			"arguments that are no JSON, or no object, go back as none", OpenAI, chunks(`
{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\": 1"}}]}}]}
{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"f","arguments":"[1]"}}]},"finish_reason":"tool_calls"}]}`),
			answer{
				Calls: []CallDelta{call(0, "a", "f", `{"x": 1`), call(1, "b", "f", `[1]`)}, Finish: Calls,
				Whole: []Call{{"a", "f", `{"x": 1`}, {"b", "f", `[1]`}},
				Raw: `{"content":null,"role":"assistant","tool_calls":[{"function":{"arguments":"{}","name":"f"},"id":"a","type":"function"},` +
					`{"function":{"arguments":"{}","name":"f"},"id":"b","type":"function"}]}`,
			},
		},
		{
			"a call that the limit may have cut", OpenAI, chunks(`
{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"amount\": 12}"}}]},"finish_reason":"length"}]}`),
			answer{
				Calls: []CallDelta{call(0, "a", "f", `{"amount": 12}`)}, Finish: Length, Raw: `{"content":null,"role":"assistant"}`,
			},
		},
		{
			"length", OpenAI, chunks(`
{"choices":[{"delta":{"content":"a"},"finish_reason":"length"}]}
[DONE]`),
			answer{Text: "a", Finish: Length, Raw: `{"content":"a","role":"assistant"}`},
		},
		{
			"a refusal", OpenAI, chunks(`
{"choices":[{"delta":{"refusal":"No."},"finish_reason":"stop"}]}
[DONE]`),
			answer{Text: "No.", Finish: Refused, Raw: `{"content":null,"refusal":"No.","role":"assistant"}`},
		},
		{
			"messages: text", Anthropic, events(`
{"type":"message_start","message":{"usage":{"input_tokens":1,"cache_read_input_tokens":9,"cache_creation_input_tokens":4,"output_tokens":1}}}
{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}
{"type":"ping"}
{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Par"}}
{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"is."}}
{"type":"content_block_delta","index":0,"delta":{"type":"something_new","text":"!"}}
{"type":"content_block_stop","index":0}
{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}
{"type":"message_stop"}`),
			answer{
				Text: "Paris.", Usage: &Usage{Prompt: 14, Completion: 7, CacheRead: 9, CacheWrite: 4}, Finish: Stop,
				Raw: `{"role":"assistant","content":[{"text":"Paris.","type":"text"}]}`,
			},
		},
		{
			"messages: thinking with a signature, an empty text, calls", Anthropic, events(`
{"type":"message_start","message":{"usage":{"input_tokens":1,"output_tokens":1}}}
{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}
{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hmm."}}
{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}}
{"type":"content_block_stop","index":0}
{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"xyz"}}
{"type":"content_block_stop","index":1}
{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}
{"type":"content_block_stop","index":2}
{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}
{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":""}}
{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"x\""}}
{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":": 9007199254740993}"}}
{"type":"content_block_stop","index":3}
{"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"b","name":"g","input":{},"caller":{"type":"direct"}}}
{"type":"content_block_stop","index":4}
{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":3}}
{"type":"message_stop"}`),
			answer{
				Reasoning: "Hmm.", Usage: &Usage{Prompt: 1, Completion: 3}, Finish: Calls,
				Calls: []CallDelta{call(0, "a", "f", `{"x": 9007199254740993}`), call(1, "b", "g", "")},
				Whole: []Call{{"a", "f", `{"x": 9007199254740993}`}, {"b", "g", `{}`}},
				Raw: `{"role":"assistant","content":[{"signature":"sig","thinking":"Hmm.","type":"thinking"},{"data":"xyz","type":"redacted_thinking"},` +
					`{"id":"a","input":{"x":9007199254740993},"name":"f","type":"tool_use"},` +
					`{"caller":{"type":"direct"},"id":"b","input":{},"name":"g","type":"tool_use"}]}`,
			},
		},
		{
			"messages: a call that the limit has cut is none", Anthropic, events(`
{"type":"message_start","message":{"usage":{"input_tokens":1,"output_tokens":1}}}
{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}
{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"amount\": 12"}}
{"type":"content_block_stop","index":0}
{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":3}}
{"type":"message_stop"}`),
			answer{
				Usage: &Usage{Prompt: 1, Completion: 3}, Finish: Length, Calls: []CallDelta{call(0, "a", "f", `{"amount": 12`)},
				Raw: `{"role":"assistant","content":[]}`,
			},
		},
		{
			"messages: citations, and a turn that is to go on", Anthropic, events(`
{"type":"message_start","message":{}}
{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a","citations":[]}}
{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"n":1}}}
{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"n":2}}}
{"type":"content_block_stop","index":0}
{"type":"message_delta","delta":{"stop_reason":"pause_turn"}}
{"type":"message_stop"}`),
			answer{
				Text: "a", Usage: &Usage{}, Finish: Interrupted,
				Raw: `{"role":"assistant","content":[{"citations":[{"n":1},{"n":2}],"text":"a","type":"text"}]}`,
			},
		},
		{
			"messages: a call without the reason that it is one is none, and does not go back", Anthropic, events(`
{"type":"message_start","message":{}}
{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a"}}
{"type":"content_block_stop","index":0}
{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}
{"type":"content_block_stop","index":1}
{"type":"message_delta","delta":{"stop_reason":"end_turn"}}
{"type":"message_stop"}`),
			answer{
				Text: "a", Usage: &Usage{}, Calls: []CallDelta{call(0, "a", "f", "")}, Finish: Stop,
				Raw: `{"role":"assistant","content":[{"text":"a","type":"text"}]}`,
			},
		},
		{
			"messages: the reason for calls without one", Anthropic, events(`
{"type":"message_start","message":{}}
{"type":"message_delta","delta":{"stop_reason":"tool_use"}}
{"type":"message_stop"}`),
			answer{Usage: &Usage{}, Finish: Stop, Raw: `{"role":"assistant","content":[]}`},
		},
		{
			"messages: a refusal", Anthropic, events(`
{"type":"message_start","message":{}}
{"type":"message_delta","delta":{"stop_reason":"refusal"}}
{"type":"message_stop"}`),
			answer{Usage: &Usage{}, Finish: Refused, Raw: `{"role":"assistant","content":[]}`},
		},
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	for _, c := range streams() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := ask(t.Context(), answering(c.provider, 200, nil, strings.NewReader(c.stream)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestStreamsCutAnywhere holds that a stream that ends after any byte, cleanly or
// not, is the whole answer or an error that may be repeated, and never a call more
// or less.
func TestStreamsCutAnywhere(t *testing.T) {
	t.Parallel()
	for _, c := range streams() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for at := range len(c.stream) {
				for _, end := range [...]error{io.EOF, io.ErrUnexpectedEOF} {
					body := io.MultiReader(strings.NewReader(c.stream[:at]), failing{end})
					got, err := ask(t.Context(), answering(c.provider, 200, nil, body))
					failed, is := errors.AsType[*Error](err)
					switch {
					case err != nil && (!is || !failed.Temporary):
						t.Fatalf("cut at %d by %v: %v", at, end, err)
					case err != nil && got.Finish != "":
						t.Fatalf("cut at %d by %v: an end and then %v", at, end, err)
					case err == nil:
						got.Usage = c.want.Usage // it may come behind the end
						if diff := cmp.Diff(c.want, got); diff != "" {
							t.Fatalf("cut at %d by %v (-want +got):\n%s", at, end, diff)
						}
					case !strings.HasPrefix(c.want.Text, got.Text) || !strings.HasPrefix(c.want.Reasoning, got.Reasoning) || len(got.Calls) > len(c.want.Calls):
						t.Fatalf("cut at %d by %v: %+v", at, end, got)
					}
				}
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestErrors holds what is made of answers that are none.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, provider string
		status         int
		header         http.Header
		body           string
		want           Error
	}{
		{
			"a rate limit", OpenAI, 429,
			http.Header{"Retry-After": {"2"}},
			`{"error":{"message":"Slow down","type":"rate_limit_error"}}`,
			Error{Status: 429, Message: "Slow down", Temporary: true, After: 2e9},
		},
		{
			"in milliseconds", OpenAI, 503,
			http.Header{"Retry-After-Ms": {"1500"}, "Retry-After": {"7"}},
			`{"error":{"code":503,"message":"Loading model"}}`,
			Error{Status: 503, Message: "Loading model", Temporary: true, After: 1.5e9},
		},
		{
			"an account without money", OpenAI, 429, nil, `{"error":{"message":"Pay","code":"insufficient_quota"}}`,
			Error{Status: 429, Message: "Pay", Access: true},
		},
		{"overloaded", Anthropic, 529, nil, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, Error{Status: 529, Message: "Overloaded", Temporary: true}},
		{"not implemented", OpenAI, 501, nil, ``, Error{Status: 501, Message: "Not Implemented"}},
		{
			"an image to a text model", OpenAI, 500, nil, `{"error":{"code":500,"message":"image input is not supported","type":"server_error"}}`,
			Error{Status: 500, Message: "image input is not supported"},
		},
		{
			"a wrong key, which is not told on", OpenAI, 401, nil, `{"error":{"message":"Incorrect API key: secret-key"}}`,
			Error{Status: 401, Message: "Incorrect API key: …", Access: true},
		},
		{
			"too long", OpenAI, 400, nil, `{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error","n_ctx":4096}}`,
			Error{Status: 400, Message: "the request exceeds the available context size", TooLong: true},
		},
		{"a text", OpenAI, 404, nil, "404 page not found\n", Error{Status: 404, Message: "404 page not found", Access: true}},
		{"a page", OpenAI, 502, nil, "<html>bad</html>", Error{Status: 502, Message: "Bad Gateway", Temporary: true}},
		{"just a text", OpenAI, 400, nil, `{"error":"no such thing"}`, Error{Status: 400, Message: "no such thing"}},
		{"a detail", OpenAI, 422, nil, `{"detail":"no"}`, Error{Status: 422, Message: "no"}},
		{"a redirect", OpenAI, 302, http.Header{"Location": {"http://127.0.0.1/"}}, ``, Error{Status: 302, Message: "Found"}},
		{"a long one", OpenAI, 400, nil, `{"message":"` + strings.Repeat("x", 5000) + `"}`, Error{Status: 400, Message: strings.Repeat("x", 1021) + "…"}},
		{
			"within the stream, with a number", OpenAI, 200, nil, chunks(`{"error":{"code":502,"message":"bad gateway"}}`),
			Error{Message: "bad gateway", Temporary: true},
		},
		{
			"within the stream, with a word", OpenAI, 200, nil, chunks(`{"error":{"code":"content_policy","message":"no"}}`),
			Error{Message: "no"},
		},
		{
			"within messages", Anthropic, 200, nil, events(`{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`),
			Error{Message: "Overloaded", Temporary: true},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.want.Provider = c.provider
			_, err := ask(t.Context(), answering(c.provider, c.status, c.header, strings.NewReader(c.body)))
			got, is := errors.AsType[*Error](err)
			if !is {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(&c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestRequests holds what is sent, and what is not unless it was asked for.
func TestRequests(t *testing.T) {
	t.Parallel()
	warm := 0.5
	conversation := []Message{{Role: User, Text: "a"}, {Role: Assistant, Raw: json.RawMessage(`{"role":"assistant","content":"b","extra":{"x":[1]}}`)}, {Role: User, Text: "c"}}
	answered := append(conversation[:2:2], Message{Role: User, Text: "c", Results: []Result{{"1", "x", false}, {"2", "y", true}}})
	shown := []Message{{Role: User, Text: "c", Pictures: []Picture{{"image/png", []byte{1, 2}}}}}
	tools := []Tool{{"f", "d", json.RawMessage(`{"type":"object"}`)}}
	for _, c := range []struct {
		name   string
		p      Provider
		r      Request
		path   string
		header http.Header
		body   string
	}{
		{
			"openai",
			Provider{OpenAI, "https://api.openai.com/v1", "k"},
			Request{Model: "m", System: "s", Messages: conversation, MaxTokens: 7, CacheKey: "agent"},
			"https://api.openai.com/v1/chat/completions",
			http.Header{"Authorization": {"Bearer k"}},
			`{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"b","extra":{"x":[1]}},` +
				`{"role":"user","content":"c"}],"stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":7,"prompt_cache_key":"agent"}`,
		},
		{
			"something compatible, without a key",
			Provider{"vllm", "http://gpu:8000/v1", ""},
			Request{Model: "m", Messages: conversation[:1], Temperature: &warm, Effort: "high", MaxTokens: 7, CacheKey: "agent"},
			"http://gpu:8000/v1/chat/completions",
			http.Header{},
			`{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true,"stream_options":{"include_usage":true},"temperature":0.5,"reasoning_effort":"high","max_tokens":7}`,
		},
		{
			"anthropic",
			Provider{Anthropic, "https://api.anthropic.com", "k"},
			Request{Model: "m", System: "s", Messages: conversation},
			"https://api.anthropic.com/v1/messages",
			http.Header{"Anthropic-Version": {"2026-10-21"}, "X-Api-Key": {"k"}},
			`{"model":"m","max_tokens":16384,"system":"s","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","extra":{"x":[1]}},` +
				`{"role":"user","content":"c"}],"stream":true,"cache_control":{"type":"ephemeral"}}`,
		},
		{
			"openai, tools",
			Provider{OpenAI, "https://api.openai.com/v1", ""},
			Request{Model: "m", Messages: answered, Tools: tools},
			"https://api.openai.com/v1/chat/completions",
			http.Header{},
			`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","extra":{"x":[1]}},` +
				`{"role":"tool","tool_call_id":"1","content":"x"},{"role":"tool","tool_call_id":"2","content":"Error: y"},{"role":"user","content":"c"}],` +
				`"stream":true,"stream_options":{"include_usage":true},"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}]}`,
		},
		{
			"something compatible, a schema",
			Provider{"vllm", "http://gpu:8000/v1", ""},
			Request{Model: "m", Messages: conversation[:1], Schema: json.RawMessage(`{"type":"object"}`)},
			"http://gpu:8000/v1/chat/completions",
			http.Header{},
			`{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true,"stream_options":{"include_usage":true},` +
				`"response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object"}}}}`,
		},
		{
			"something compatible, a schema and tools",
			Provider{"vllm", "http://gpu:8000/v1", ""},
			Request{Model: "m", Messages: conversation[:1], Schema: json.RawMessage(`{"type":"object"}`), Tools: tools},
			"http://gpu:8000/v1/chat/completions",
			http.Header{},
			`{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true,"stream_options":{"include_usage":true},` +
				`"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}]}`,
		},
		{
			"anthropic, tools: results stand first in the next message",
			Provider{Anthropic, "https://api.anthropic.com", ""},
			Request{Model: "m", Messages: answered, Tools: tools},
			"https://api.anthropic.com/v1/messages",
			http.Header{"Anthropic-Version": {"2026-10-21"}},
			`{"model":"m","max_tokens":16384,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","extra":{"x":[1]}},` +
				`{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"x"},{"type":"tool_result","tool_use_id":"2","content":"y","is_error":true},{"type":"text","text":"c"}]}],` +
				`"stream":true,"cache_control":{"type":"ephemeral"},"tools":[{"name":"f","description":"d","input_schema":{"type":"object"}}]}`,
		},
		{
			"openai, pictures",
			Provider{OpenAI, "https://api.openai.com/v1", ""},
			Request{Model: "m", Messages: shown},
			"https://api.openai.com/v1/chat/completions",
			http.Header{},
			`{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AQI="}},{"type":"text","text":"c"}]}],` +
				`"stream":true,"stream_options":{"include_usage":true}}`,
		},
		{
			"anthropic, pictures",
			Provider{Anthropic, "https://api.anthropic.com", ""},
			Request{Model: "m", Messages: shown},
			"https://api.anthropic.com/v1/messages",
			http.Header{"Anthropic-Version": {"2026-10-21"}},
			`{"model":"m","max_tokens":16384,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AQI="}},{"type":"text","text":"c"}]}],` +
				`"stream":true,"cache_control":{"type":"ephemeral"}}`,
		},
		{
			"anthropic, thinking",
			Provider{Anthropic, "https://api.anthropic.com", "k"},
			Request{Model: "m", Messages: conversation[:1], Effort: "low", Temperature: &warm, MaxTokens: 7},
			"https://api.anthropic.com/v1/messages",
			http.Header{"Anthropic-Version": {"2026-10-21"}, "X-Api-Key": {"k"}},
			`{"model":"m","max_tokens":7,"messages":[{"role":"user","content":"a"}],"stream":true,"temperature":0.5,"cache_control":{"type":"ephemeral"},` +
				`"thinking":{"type":"adaptive"},"output_config":{"effort":"low"}}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var body []byte
			var sent *http.Request
			m := New(c.p, &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				sent = r
				body, _ = io.ReadAll(r.Body)
				return &http.Response{StatusCode: http.StatusTeapot, Body: io.NopCloser(bytes.NewReader(nil))}, nil
			})})
			for _, err := range m.Stream(t.Context(), c.r) {
				if err == nil {
					t.Error("no error")
				}
			}
			sent.Header.Del("Content-Type")
			if sent.URL.String() != c.path || string(body) != c.body {
				t.Errorf("%s\n got %s\nwant %s", sent.URL, body, c.body)
			}
			if diff := cmp.Diff(c.header, sent.Header); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestRefusedSchema holds that a provider that takes no schemas is asked without.
func TestRefusedSchema(t *testing.T) {
	t.Parallel()
	var formats []bool
	m := New(Provider{"deepseek", "https://api.example.com/v1", "k"}, &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		formats = append(formats, bytes.Contains(body, []byte("response_format")))
		if formats[len(formats)-1] {
			return &http.Response{StatusCode: http.StatusBadRequest, Body: io.NopCloser(strings.NewReader(`{"error":{"message":"This response_format type is unavailable now"}}`))}, nil
		}
		said := "data: {\"choices\":[{\"delta\":{\"content\":\"{}\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(strings.NewReader(said))}, nil
	})})
	var text string
	for d, err := range m.Stream(t.Context(), Request{Model: "m", Messages: []Message{{Role: User, Text: "a"}}, Schema: json.RawMessage(`{"type":"object"}`)}) {
		if err != nil {
			t.Fatal(err)
		}
		text += d.Text
	}
	if diff := cmp.Diff([]bool{true, false}, formats); diff != "" || text != "{}" {
		t.Errorf("said %q, asked (-want +got):\n%s", text, diff)
	}
}

// TestLeaving holds that whoever stops listening ends the request.
func TestLeaving(t *testing.T) {
	t.Parallel()
	for _, c := range streams() {
		closed := &closing{Reader: strings.NewReader(c.stream)}
		m := New(Provider{c.provider, "https://x.example", ""}, &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: closed}, nil
		})})
		for _, err := range m.Stream(t.Context(), Request{}) {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			break
		}
		if !closed.closed {
			t.Errorf("%s: the answer was left open", c.name)
		}
	}
}

// TestConnectionsAreUsedAgain holds that an answer leaves its connection to the next
// request, and that a request with which such a connection has broken is not sent once more
// unseen: it may be paid for, so it is the runtime that asks again.
func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	said := map[string]string{
		OpenAI:    chunks(`{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}` + "\n[DONE]"),
		Anthropic: events(`{"type":"message_delta","delta":{"stop_reason":"end_turn"}}` + "\n" + `{"type":"message_stop"}`),
	}
	for provider, stream := range said {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) == 3 {
					panic(http.ErrAbortHandler)
				}
				_, _ = io.WriteString(w, stream)
				_ = http.NewResponseController(w).Flush()
			}))
			defer server.Close()
			client := NewClient(outbound.Guard{Hosts: []string{server.Listener.Addr().String()}})
			defer client.CloseIdleConnections()
			m := New(Provider{provider, server.URL, ""}, client)
			var used []bool
			rests := make(chan error, 1)
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				GotConn:     func(c httptrace.GotConnInfo) { used = append(used, c.Reused) },
				PutIdleConn: func(err error) { rests <- err },
			})
			for range 2 {
				if _, err := ask(ctx, m); err != nil {
					t.Fatal(err)
				}
				select {
				case err := <-rests:
					if err != nil {
						t.Fatal(err)
					}
				case <-time.After(time.Minute):
					t.Fatal("the connection is not left")
				}
			}
			_, err := ask(ctx, m)
			if failed, is := errors.AsType[*Error](err); !is || !failed.Temporary {
				t.Errorf("a connection that broke: %v", err)
			}
			if want := []bool{false, true, true}; !slices.Equal(used, want) || asked.Load() != 3 {
				t.Errorf("connections that were used before: %v, want %v; %d requests", used, want, asked.Load())
			}
		})
	}
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

func TestFromEnvironment(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  map[string]string
		want []Provider
		err  string
	}{
		{nil, []Provider{{Ollama, "http://127.0.0.1:11434/v1", ""}}, ""},
		{
			map[string]string{"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b", "OLLAMA_HOST": "0.0.0.0"},
			[]Provider{{OpenAI, "https://api.openai.com/v1", "a"}, {Anthropic, "https://api.anthropic.com", "b"}, {Ollama, "http://127.0.0.1:11434/v1", ""}},
			"",
		},
		{
			map[string]string{"OPENAI_BASE_URL": "http://gpu:8000/v1/", "OLLAMA_HOST": "https://ollama.example/x/"},
			[]Provider{{OpenAI, "http://gpu:8000/v1", ""}, {Ollama, "https://ollama.example/x/v1", ""}},
			"",
		},
		{map[string]string{"OLLAMA_HOST": "[::1]:99"}, []Provider{{Ollama, "http://[::1]:99/v1", ""}}, ""},
		{map[string]string{"OPENAI_BASE_URL": "gpu:8000"}, nil, "OPENAI_BASE_URL: must be an http or https URL"},
		{map[string]string{"ANTHROPIC_BASE_URL": "http://a:b@gpu"}, nil, "ANTHROPIC_BASE_URL: must not hold a name or password"},
		{map[string]string{"OLLAMA_HOST": "ftp://x"}, nil, "OLLAMA_HOST: must be an http or https URL"},
	} {
		got, err := FromEnvironment(func(name string) string { return c.env[name] })
		if c.err != "" && (err == nil || err.Error() != c.err) || c.err == "" && err != nil {
			t.Errorf("%v: error %v, want %q", c.env, err, c.err)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.env, got, c.want)
		}
	}
}

// TestSilence holds that a provider that says nothing is waited for so long and no
// longer, before its first byte and between any two.
func TestSilence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, said string }{{"from the beginning", ""}, {"in the middle", chunks(`{"choices":[{"delta":{"content":"a"}}]}`)}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				m := New(Provider{OpenAI, "https://x.example", ""}, &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					if c.said == "" {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					<-time.After(patience - 1)
					body := io.MultiReader(strings.NewReader(c.said), waiting{r.Context().Done()})
					return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(body)}, nil
				})})
				_, err := ask(t.Context(), m)
				failed, is := errors.AsType[*Error](err)
				if !is || !failed.Temporary || !strings.Contains(failed.Message, "silent for 2m") {
					t.Errorf("error %v", err)
				}
				if took := time.Since(began); took < patience || took >= 2*patience {
					t.Errorf("waited for %s", took)
				}
			})
		})
	}
}

type waiting struct{ until <-chan struct{} }

func (w waiting) Read([]byte) (int, error) {
	<-w.until
	return 0, context.Canceled
}
