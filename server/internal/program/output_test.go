package program

import (
	"encoding/json"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errand-dev/errand/server/internal/task"
)

// TestC2WhatIsWrittenIsShown: words, prompts and progress bars are shown before their
// line has ended, whole lines at once, and the chunks together are the result.
func TestC2WhatIsWrittenIsShown(t *testing.T) {
	t.Parallel()
	const moment = patience + time.Millisecond
	type write struct {
		text string
		wait time.Duration
	}
	for _, c := range []struct {
		name   string
		events bool
		writes []write
		want   []string
	}{
		{"a line at once", false, []write{{"a\nb", 0}, {"c\n", 0}}, []string{"a\n", "bc\n"}},
		{"words", false, []write{{"one ", moment}, {"two ", moment}, {"three\n", 0}}, []string{"one ", "two ", "three\n"}},
		{"quick words come together", false, []write{{"one ", patience / 3}, {"two ", patience / 3}, {"three ", patience}}, []string{"one two three "}},
		{"a character in two pieces", false, []write{{"a\xc3", moment}, {"\xa4", moment}}, []string{"a", "ä"}},
		{"a bar", false, []write{{"\r10 %", moment}, {"\r20 %", 0}, {"\r30 %", moment}, {"\r40 %\n", 0}, {"end\n", 0}}, []string{"10 %", "\r30 %", "\r40 %\n", "end\n"}},
		{"a bar that nobody saw", false, []write{{"10 %\r20 %\r30 %\n", 0}}, []string{"30 %\n"}},
		{"a bar that ends its pieces", false, []write{{"10 %\r", moment}, {"20 %\r", moment}, {"\n", 0}}, []string{"10 %", "\r20 %", "\r\n"}},
		{"lines of Windows", false, []write{{"a\r", moment}, {"\nb\r\n", 0}}, []string{"a", "\r\n", "b\r\n"}},
		{"an event takes its time", true, []write{{`{"type": "think", `, moment}, {`"data": 1}` + "\n", 0}}, []string{"think 1"}},
		{"text beside events", true, []write{{"so far ", moment}, {`{"type": "think", "data": 1}` + "\n", 0}}, []string{"so far ", `{"type": "think", "data": 1}` + "\n"}},
		{"what is no event in the end", true, []write{{"{oh", moment}, {"", 0}}, []string{"{oh"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				from, to := io.Pipe()
				queue := make(chan Event, 100)
				o := &output{}
				go func() {
					defer close(queue)
					o.read(from, c.events, queue)
				}()
				for _, w := range c.writes {
					if _, err := io.WriteString(to, w.text); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					time.Sleep(w.wait) //nolint:forbidigo // of the bubble's clock
					synctest.Wait()
				}
				_ = to.Close()
				var got []string
				for e := range queue {
					var text string
					if e.Type != task.Chunk {
						text = string(e.Type) + " " + string(e.Data)
					} else if err := json.Unmarshal(e.Data, &text); err != nil {
						t.Fatal(err)
					}
					got = append(got, text)
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("got %q, want %q", got, c.want)
				}
			})
		})
	}
}
