// Package profile is a runtime with no model and no network: it reads the
// files of a task and writes a statistical report about them in Markdown.
//
// Delimited text and JSON are profiled column by column, plain text is counted,
// anything else is only named. Every file is read once, as a stream, in memory
// that does not grow with it: what has a limit (see budget) says so in the report
// when it is reached. Sums and means are exact; quartiles interpolate linearly
// between the two nearest values (position (n-1)*q of the sorted values). The
// same files always give the same report.
package profile

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

// Runner implements [runtime.Runner]. It holds no state, so the zero value
// works and one Runner may serve any number of attempts at once.
type Runner struct{}

var (
	_ runtime.Runner    = (*Runner)(nil)
	_ runtime.Previewer = (*Runner)(nil)
)

// New returns a Runner.
func New() *Runner { return &Runner{} }

// Run profiles the files of an attempt and streams the report while it grows, one
// section a file. A file that cannot be understood is described as such and
// does not stop the others. The attempt fails only when there is no file to read.
func (r *Runner) Run(ctx context.Context, a *runtime.Attempt) (runtime.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return runtime.Outcome{}, err
	}
	if len(a.Files) == 0 {
		return runtime.Failed("No file is attached, so there is nothing to profile. " +
			`Attach one or more, for example: errand run --file data.csv "Analyze the data"`), nil
	}

	out := &output{report: a}
	out.add(intro(a))
	var unopened, unread []string
	var given []runtime.Given
	opened, read := 0, 0
	for i, file := range a.Files {
		section, g, made, err := profileFile(ctx, file, a.Progress)
		g.Number = i + 1
		given = append(given, g)
		if made {
			read++
		}
		failed, unopenable := errors.AsType[*openError](err)
		switch {
		case unopenable:
			unopened = append(unopened, failed.Error())
			section = unopenedSection(file.Name, failed)
		case err != nil:
			return runtime.Outcome{}, err
		default:
			opened++
		}
		out.add(section)
		if !made {
			unread = append(unread, sentence(file.Name, section))
		}
		// Nothing is sent before one file could be read: an attempt that fails
		// because none could should not leave half a report behind.
		if read > 0 {
			if err := out.flush(ctx); err != nil {
				return runtime.Outcome{}, err
			}
		}
	}
	if err := a.Give(ctx, given); err != nil {
		return runtime.Outcome{}, err
	}
	if opened == 0 {
		return runtime.Failed("None of the attached files could be opened: " +
			strings.Join(unopened, "; ") + ". Attach them again and start a new task."), nil
	}
	if read == 0 {
		return runtime.Failed("Nothing could be analysed. " + strings.Join(unread, " ")), nil
	}
	out.add(outro())
	if err := out.flush(ctx); err != nil {
		return runtime.Outcome{}, err
	}
	return runtime.Completed(out.text.String()), nil
}

// sentence is what the section of a file says, without its heading and in one line.
func sentence(name, section string) string {
	_, said, _ := strings.Cut(section, "\n")
	return clip(plain(name), maxStatusName) + ": " + strings.Join(strings.Fields(said), " ")
}

// Preview implements [runtime.Previewer].
func (r *Runner) Preview(ctx context.Context, _ agent.Agent, f runtime.File) (runtime.Given, error) {
	_, g, _, err := profileFile(ctx, f, func(context.Context, string) error { return nil })
	if _, unopenable := errors.AsType[*openError](err); unopenable {
		err = nil
	}
	return g, err
}

// profileFile returns the section of one file, what the report was given of it, and
// whether anything was made of that. Its errors are those of the context, of what is
// told how far it has come, or an *openError.
func profileFile(
	ctx context.Context, file runtime.File, say func(ctx context.Context, status string) error,
) (section string, given runtime.Given, made bool, err error) {
	given = runtime.Given{Given: task.Given{Name: file.Name}}
	progress := newProgress(ctx, say, file.Name)
	if progress.start(); progress.err != nil {
		return "", given, false, progress.err
	}
	content, err := file.Open(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return "", given, false, ctx.Err()
		}
		given.Failed = reason(err)
		return "", given, false, &openError{name: progress.name, cause: err}
	}
	defer func() { _ = content.Close() }() // Nothing was written, so nothing can be lost.

	progress.opened(content)
	src := newSource(ctx, file.Name, content, progress)
	defer src.content.Close()
	kept := keep(src)
	section = analyse(file.Name, src)
	progress.done()
	if ctx.Err() != nil {
		return "", given, false, ctx.Err()
	}
	return section, kept.given(file.Name), !src.unread, progress.err
}

// openError tells which file could not be opened and why.
type openError struct {
	name  string
	cause error
}

func (e *openError) Error() string { return e.name + " (" + reason(e.cause) + ")" }

func (e *openError) Unwrap() error { return e.cause }

// reason is the text of err for a user: without the path on the server, which
// says nothing to them and is not theirs to know.
func reason(err error) string {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	return clip(plain(err.Error()), maxCell*2)
}
