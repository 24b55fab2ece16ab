package v1

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/task"
)

func events() []Event {
	return []Event{
		{},
		{ID: 7, Type: task.Chunk, TaskID: "t-1", Organization: "default", Turn: 2, Time: 1_700_000_000_000_001, Author: task.Author{Attempt: 3}, Data: json.RawMessage(`"a <word>"`)},
		{ID: 1 << 60, Type: task.TaskFinished, TaskID: "Ä\"\\\x00\u2028", Organization: "<&>", Author: task.Author{Attempt: 1, By: "key \"a\nb\""}, Data: json.RawMessage("{\"a\": 1}")},
		{Author: task.Author{By: "node 1"}, Data: json.RawMessage("null")},
	}
}

func TestAnEventInAStreamIsAnEvent(t *testing.T) {
	t.Parallel()
	for _, e := range events() {
		want, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var asTold, asMarshaled map[string]any
		if err := json.Unmarshal(e.json(), &asTold); err != nil {
			t.Fatalf("%s: %v", e.json(), err)
		}
		if err := json.Unmarshal(want, &asMarshaled); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(asMarshaled, asTold); diff != "" {
			t.Error(diff)
		}
	}
}

func BenchmarkEvent(b *testing.B) {
	e := events()[1]
	b.Run("json.Marshal", func(b *testing.B) {
		for b.Loop() {
			if _, err := json.Marshal(e); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("by hand", func(b *testing.B) {
		for b.Loop() {
			e.json()
		}
	})
}
