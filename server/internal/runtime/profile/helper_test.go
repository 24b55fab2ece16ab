package profile

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/testjournal"
)

// recorder is a journal that remembers, and calls hook before each report.
type recorder struct {
	runtime.Journal

	statuses []string
	chunks   []string
	hook     func() error
}

func (r *recorder) Progress(_ context.Context, status string) error {
	r.statuses = append(r.statuses, status)
	return r.call()
}

func (r *recorder) Chunk(_ context.Context, text string) error {
	r.chunks = append(r.chunks, text)
	return r.call()
}

func (r *recorder) Events(context.Context, []runtime.Event) error { return r.call() }

func (r *recorder) Offer(context.Context, string) ([]string, error) { return nil, r.call() }

func (r *recorder) MaySpend(context.Context, bool) error              { return nil }
func (r *recorder) Spend(context.Context, string, runtime.Paid) error { return nil }

func (r *recorder) CommitWith(ctx context.Context, s task.Step, with runtime.With) (task.Step, error) {
	return testjournal.CommitWith(ctx, r, s, with)
}

func (r *recorder) Give(context.Context, []runtime.Given) error    { return nil }
func (r *recorder) Given(context.Context) ([]runtime.Given, error) { return nil, nil }

func (r *recorder) Output(context.Context, string, io.ReadSeeker) (task.Output, error) {
	return task.Output{}, r.call()
}

func (r *recorder) Steps(context.Context) ([]task.Step, error) { return nil, r.call() }

func (r *recorder) Commit(_ context.Context, s task.Step) (task.Step, error) { return s, r.call() }

func (r *recorder) call() error {
	if r.hook == nil {
		return nil
	}
	return r.hook()
}

// diskFile returns a file of a job whose content is on disk.
func diskFile(path string) runtime.File {
	return runtime.File{
		Name: filepath.Base(path),
		Open: func(context.Context) (io.ReadCloser, error) { return os.Open(path) },
	}
}

// writeFile puts content into a file of its own.
func writeFile(tb testing.TB, name, content string) runtime.File {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "content")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		tb.Fatalf("write %s: %v", name, err)
	}
	file := diskFile(path)
	file.Name = name
	return file
}

// profileFiles runs a job and checks what holds for every report: it was sent as it
// grew, or nothing was sent, as nothing could be read.
func profileFiles(tb testing.TB, files ...runtime.File) (string, *recorder) {
	tb.Helper()
	rec := &recorder{}
	done, err := New().Run(tb.Context(), asked(rec, "Analyze the data", files...))
	if err != nil {
		tb.Fatalf("Run: %v", err)
	}
	if done.Reason == task.EndFailed {
		if len(rec.chunks) > 0 {
			tb.Errorf("a run that failed has sent %q", rec.chunks)
		}
		rec.chunks = []string{done.Result}
	}
	checkReport(tb, done.Result, rec)
	return done.Result, rec
}

func checkReport(tb testing.TB, text string, rec *recorder) {
	tb.Helper()
	if joined := strings.Join(rec.chunks, ""); joined != text {
		tb.Errorf("the chunks make %d bytes that differ from the %d bytes returned", len(joined), len(text))
	}
	for _, chunk := range rec.chunks {
		if len(chunk) > maxChunk || !utf8.ValidString(chunk) {
			tb.Errorf("a chunk has %d bytes, valid UTF-8 %v", len(chunk), utf8.ValidString(chunk))
		}
	}
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		tb.Errorf("the report is not clean text: %q", text)
	}
	for _, status := range rec.statuses {
		if !utf8.ValidString(status) || utf8.RuneCountInString(status) > 255 {
			tb.Errorf("bad status %q", status)
		}
	}
}

// profileOne returns the report about one file with the given content.
func profileOne(tb testing.TB, name, content string) string {
	tb.Helper()
	text, _ := profileFiles(tb, writeFile(tb, name, content))
	return text
}

// wantParts checks that a report has all the parts.
func wantParts(tb testing.TB, report string, parts ...string) {
	tb.Helper()
	for _, part := range parts {
		if !strings.Contains(report, part) {
			tb.Errorf("the report lacks %q:\n%s", part, report)
		}
	}
}

// asked is the attempt of a task with a prompt and files; what it tells goes to rec.
func asked(rec *recorder, prompt string, files ...runtime.File) *runtime.Attempt {
	a := &runtime.Attempt{Files: files, Journal: rec}
	a.Spec.Input.Text = &prompt
	return a
}
