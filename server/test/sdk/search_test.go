package sdk_test

import (
	"testing"
	"time"

	"github.com/errand-dev/errand"
)

// What a task was asked is found, part by part, and no longer when it is deleted.
func TestSearch(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	const tasks = 25 // more than one part has
	for range tasks {
		create(t, c, errand.TaskRequest{Prompt: "Count the <b>zebras</b>"})
	}
	find := func(words string, want int) (found []errand.Hit) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; {
			found = nil
			for hit, err := range c.Tasks.Search(t.Context(), words, errand.SearchOptions{Status: errand.Pending}) {
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, hit)
			}
			if len(found) == want {
				return found
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %d places, want %d", words, len(found), want)
			}
		}
	}
	found := find(`"the b zebras"`, tasks)
	one := found[0]
	if one.Part != errand.FoundInPrompt || one.EventID != 1 || one.Status != errand.Pending || len(one.Snippet) != 7 || one.Snippet[5] != (errand.Piece{Text: "zebras", Hit: true}) {
		t.Errorf("%+v", one)
	}
	if err := c.Tasks.Delete(t.Context(), one.TaskID); err != nil {
		t.Fatal(err)
	}
	find("zebras", tasks-1)
	for _, err := range c.Tasks.Search(t.Context(), `"*"`, errand.SearchOptions{}) {
		if errand.CodeOf(err) != errand.CodeInvalid {
			t.Errorf("without a word: %v", err)
		}
	}
}
