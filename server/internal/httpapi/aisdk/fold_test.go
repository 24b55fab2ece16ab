package aisdk

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/testkit/storytest"
)

// lines are what a message tells of a log, a chunk a line.
func lines(t *testing.T, m *message, log []string) string {
	t.Helper()
	var b strings.Builder
	for _, e := range storytest.Log(t, log...) {
		chunks, more, err := m.add(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range chunks {
			data, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(append(data, '\n'))
		}
		if !more {
			break
		}
	}
	return b.String()
}

func TestH18WhatIsTold(t *testing.T) {
	t.Parallel()
	storytest.Golden(t, func(t *testing.T, log []string) map[string]string {
		t.Helper()
		all := map[string]string{"": lines(t, &message{task: "t", id: "t_1"}, log)}
		for _, question := range []string{"ap1", "q1"} {
			if strings.Contains(strings.Join(log, ""), `"id":"`+question+`"`) {
				goes := &message{task: "t", id: "t_1"}
				goes.Since = []string{question}
				all[" goes on"] = lines(t, goes, log)
				whole := &message{task: "t", id: "t_1"}
				whole.Open = func(string, int64) bool { return false }
				all[" resumed"] = lines(t, whole, log)
			}
		}
		return all
	})
}
