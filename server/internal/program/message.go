package program

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Message is what a program reads on standard input: the text of a task's
// input and, if it has files, a line "Files: url, url" below it. It is made
// from the task's public JSON.
func Message(task json.RawMessage) (string, error) {
	var t struct {
		Input struct {
			Text        string   `json:"text"`
			Files       []string `json:"files"`
			Attachments []struct {
				URL string `json:"url"`
			} `json:"attachments"`
		} `json:"input"`
	}
	if err := json.Unmarshal(task, &t); err != nil {
		return "", fmt.Errorf("decode task: %w", err)
	}
	files := t.Input.Files
	for _, a := range t.Input.Attachments {
		files = append(files, a.URL)
	}
	if len(files) == 0 {
		return t.Input.Text, nil
	}
	return t.Input.Text + "\nFiles: " + strings.Join(files, ", "), nil
}
