package model

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

// TestLastWordsGoWithTheStep holds that what is said shortly before the end is left for
// the commit that follows: it is not a commit of its own, for which that would wait.
func TestLastWordsGoWithTheStep(t *testing.T) {
	t.Parallel()
	for range 30 { // a choice between the two would be right in half of them
		synctest.Test(t, func(t *testing.T) {
			b := &book{left: -1}
			v := newVoice(t.Context(), b, "Asking", func(err error) { t.Error(err) })
			v.say(task.Chunk, "first")
			synctest.Wait()
			v.say(task.Chunk, "last")
			rest, spoken, err := v.leave()
			if err != nil || !spoken {
				t.Fatalf("spoken %v, %v", spoken, err)
			}
			want := []runtime.Event{{Type: task.Chunk, Data: []byte(`"last"`)}}
			if diff := cmp.Diff(want, rest); diff != "" {
				t.Errorf("what is left (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{`chunk "first"`}, b.log(task.Chunk)); diff != "" {
				t.Errorf("what was told (-want +got):\n%s", diff)
			}
		})
	}
}
