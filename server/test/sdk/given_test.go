package sdk_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/errand-dev/errand"
)

// What an agent would be given of a file, and what it was given.
func TestGivenFiles(t *testing.T) {
	t.Parallel()
	a, _ := withAgent(t, 30)
	c := clientOf(t, a)
	f, err := c.Files.Upload(t.Context(), "sales.csv", strings.NewReader("item,price\nlamp,2\ndesk,40\n"))
	if err != nil {
		t.Fatal(err)
	}
	preview, err := c.Files.Preview(t.Context(), f.URL, "profile")
	if err != nil || preview.ID != "" || preview.Name != "sales.csv" || preview.State != "given" || len(preview.Given) != 1 || preview.Given[0].Rows != 2 {
		t.Fatalf("a preview is %+v, %v", preview, err)
	}
	task, err := c.Tasks.Create(t.Context(), errand.TaskRequest{AgentID: "profile", FileURLs: []string{f.URL}})
	if err != nil {
		t.Fatal(err)
	}
	ended(t, task)
	var files []errand.TaskFile
	for f, err := range c.Tasks.Files(t.Context(), task.ID, 0) {
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	if len(files) != 1 || files[0].ID != "1-1" || files[0].Size != f.Size || files[0].Given[0] != preview.Given[0] {
		t.Fatalf("the files are %+v", files)
	}
	table, err := c.Tasks.FileTable(t.Context(), task.ID, "1-1", 1)
	if err != nil || table.Pages != 1 || strings.Join(table.Columns, " ") != "item price" || strings.Join(table.Rows[1], " ") != "desk 40" {
		t.Errorf("its table is %+v, %v", table, err)
	}
	text, err := c.Tasks.FileText(t.Context(), task.ID, "1-1", 1)
	if err != nil || text.Text != "item,price\nlamp,2\ndesk,40\n" || text.Cut {
		t.Errorf("its text is %+v, %v", text, err)
	}
	if _, err := c.Tasks.OpenFilePicture(t.Context(), task.ID, "1-1", 1); !errors.Is(err, errand.ErrNotFound) {
		t.Errorf("its picture is %v", err)
	}
}
