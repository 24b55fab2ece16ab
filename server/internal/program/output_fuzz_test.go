package program

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/task"
)

// FuzzOutput reads any output, in any pieces: without events its chunks together
// are what was written, with what must not be stored replaced, and so is the
// result; with events, each event is one that may be appended.
func FuzzOutput(f *testing.F) {
	for _, seed := range []string{
		"", "a\nb", "ü", "\r10 %\r20 %\r\n", "a\rb\r", "ab\r\ncd", "a\x00b\xff\n", `{"type": "think", "data": {"a": 1}}` + "\n", `{"type": "chunk", "data": "x"}` + "\nrest", `{"type": "chunk", "data": 5}` + "\n",
		`{"type": "task_finished"}` + "\n", "  {\"type\": \"step\"}\r\n", "{\"type\": \"think\", \"data\": \"\\u0000\"}\n", "{\"type\": \"think\", \"data\": 1e999}\n", `{"type": "think", "type": "chunk"}` + "\n",
	} {
		f.Add([]byte(seed), uint16(1), false)
		f.Add([]byte(seed), uint16(1000), true)
	}
	f.Fuzz(func(t *testing.T, written []byte, times uint16, events bool) {
		all := bytes.Repeat(written, 1+int(times)%2000)
		if len(all) > 2<<20 {
			t.Skip("as long as it need be")
		}
		queue := make(chan Event)
		o := &output{}
		go func() {
			defer close(queue)
			o.read(iotest.HalfReader(bytes.NewReader(all)), events, queue)
		}()
		var said strings.Builder
		for e := range queue {
			if !e.Type.Writable() || !json.Valid(e.Data) || !utf8.Valid(e.Data) || len(e.Data) > task.MaxEvent {
				t.Fatalf("%q became the event %s %q", written, e.Type, e.Data)
			}
			var values any
			if err := json.Unmarshal(e.Data, &values); err != nil { // a server would refuse it
				t.Fatalf("%q became the event %s %q: %v", written, e.Type, e.Data, err)
			}
			if e.Type != task.Chunk {
				continue
			}
			var text string
			if err := json.Unmarshal(e.Data, &text); err != nil {
				t.Fatalf("%q: the chunk %q is no text", written, e.Data)
			}
			said.WriteString(text)
		}
		if o.text.String() != said.String() {
			t.Errorf("%q: the result is %q, and the chunks say %q", written, o.text.String(), said.String())
		}
		if strings.ContainsRune(said.String(), 0) {
			t.Errorf("%q: NUL came through", written)
		}
		if want := stands(once(task.CleanText(string(all)))); !events && stands(once(said.String())) != want {
			t.Errorf("%q came as %q, want %q", written, said.String(), want)
		}
	})
}

// once leaves one of the characters that stand for bytes which are none: how
// many there are depends on where the output was cut into pieces.
func once(text string) string { return regexp.MustCompile("\uFFFD+").ReplaceAllString(text, "\uFFFD") }

// stands is what stands on a terminal in the end: of each line, what comes after its
// last carriage return.
func stands(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		end := strings.TrimRight(line, "\r")
		lines[i] = line[strings.LastIndexByte(end, '\r')+1:]
	}
	return strings.Join(lines, "\n")
}

// FuzzMessage holds for any task that its text begins the message and each of
// its files is in it.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{`{}`, `{"input": {"text": "a", "files": ["http://b/"], "attachments": [{"url": "http://c/"}]}}`, `{"input": null}`, `{"input": {"attachments": [null]}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, given []byte) {
		message, err := Message(given)
		var x struct {
			Input struct {
				Text  string   `json:"text"`
				Files []string `json:"files"`
			} `json:"input"`
		}
		if err != nil || json.Unmarshal(given, &x) != nil {
			return
		}
		if !strings.HasPrefix(message, x.Input.Text) {
			t.Errorf("%q: the message is %q", given, message)
		}
		for _, url := range x.Input.Files {
			if !strings.Contains(message, url) {
				t.Errorf("%q: %q lacks %q", given, message, url)
			}
		}
	})
}
