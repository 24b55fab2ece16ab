package errand

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Output is a file that an attempt of a task has written.
type Output struct {
	// Name names it in its turn, and has its extension.
	Name string `json:"name"`
	// FileID is the SHA-256 of its content: its id among the files.
	FileID      string `json:"file_id"`
	Size        int64  `json:"size"`
	ContentType string `json:"content_type"`
	// URL is where anybody may fetch it, and what to give to another task; it is good
	// for a day.
	URL string `json:"url"`
	// Turn is the turn, and Attempt the attempt that wrote it, as Author.Attempt of its
	// event, whose ID is EventID.
	Turn    int       `json:"turn"`
	Attempt int       `json:"attempt"`
	EventID int64     `json:"event_id"`
	Time    time.Time `json:"time"`
}

// Outputs yields the files that the attempts of a task's turn have written, in that
// order; with 0 those of all turns. An error is yielded last.
func (t *Tasks) Outputs(ctx context.Context, id string, turn int) iter.Seq2[Output, error] {
	return parts[Output](ctx, t.c, taskPath(id)+"/outputs", ofTurn(turn))
}

// OpenOutput starts to read an output file of a task, by its name; with turn 0 that of
// the newest turn that has one. The caller closes it. Reading fails when the connection
// breaks before the end.
func (t *Tasks) OpenOutput(ctx context.Context, id, name string, turn int) (io.ReadCloser, error) {
	res, err := t.c.send(ctx, request{method: http.MethodGet, path: outputPath(id, name), query: query(ofTurn(turn))}, &content{})
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

func outputPath(id, name string) string {
	return taskPath(id) + "/outputs/" + url.PathEscape(name)
}

// Output keeps what content yields, at most 1 GiB, as an output file of the task, which
// whoever may see the task can list and download. A name has no folders; a file takes
// the place of the one of its name in the turn. Output returns once the server has it
// whole, behind everything that was told before. If content is an io.Seeker, sending
// that breaks off is begun again.
func (a *Attempt) Output(ctx context.Context, name string, content io.Reader) (*Output, error) {
	if err := a.out.flush(ctx); err != nil {
		return nil, err
	}
	written, err := a.lease.output(ctx, name, content)
	if errors.Is(err, ErrConflict) {
		signal(a.lease.nudge) // the answer to a heartbeat says why
	}
	if err != nil {
		return nil, fmt.Errorf("write output %s: %w", name, err)
	}
	return written, nil
}

// output sends a file under the lease, which its answer renews.
func (l *lease) output(ctx context.Context, name string, content io.Reader) (*Output, error) {
	var written Output
	err := l.tasks.c.call(ctx, request{
		method: http.MethodPut, path: outputPath(l.task, name), body: content, repeat: true, limit: -1,
		header: http.Header{"X-Errand-Lease-Token": {l.token}},
	}, &written)
	if err != nil {
		return nil, err
	}
	return &written, nil
}
