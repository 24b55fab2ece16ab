package program

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/errand-dev/errand/server/internal/task"
)

// folder is the private folder of one run: what the program is given, and what
// it may leave.
type folder struct{ dir string }

const (
	taskFile    = "task.json"
	messageFile = "message"
	resultFile  = "result"
	socketFile  = "steps"
	outFolder   = "out"
)

// newFolder makes the folder (mode 0700) with its files (0600).
func newFolder(a Attempt) (folder, error) {
	dir, err := os.MkdirTemp("", "errand-task-*")
	if err != nil {
		return folder{}, fmt.Errorf("make a folder for the program: %w", err)
	}
	d := folder{dir}
	asked, err := withAnswers(a.Task, a.Answers)
	err = errors.Join(err,
		os.WriteFile(d.path(taskFile), asked, 0o600),
		os.WriteFile(d.path(messageFile), []byte(a.Message), 0o600),
		os.Mkdir(d.path(outFolder), 0o700),
	)
	if err != nil {
		d.remove()
		return folder{}, fmt.Errorf("write the program's task: %w", err)
	}
	return d, nil
}

func (d folder) path(name string) string { return filepath.Join(d.dir, name) }

// remove takes the folder away, also when the program has closed folders in it.
func (d folder) remove() {
	if os.RemoveAll(d.dir) == nil {
		return
	}
	_ = filepath.WalkDir(d.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			_ = os.Chmod(path, 0o700) //nolint:gosec // a folder of this process's own user
		}
		return nil
	})
	_ = os.RemoveAll(d.dir) // what is another user's stays
}

// unbuffered makes Python write what it prints at once, and not when there are 8 KiB.
const unbuffered = "PYTHONUNBUFFERED"

// environment is all that the program sees of any.
func (d folder) environment(p Program, a Attempt, steps *counter) []string {
	env := append(p.Environment(),
		"ERRAND_TASK_ID="+a.TaskID,
		"ERRAND_ATTEMPT="+strconv.Itoa(a.Number),
		"ERRAND_TASK_FILE="+d.path(taskFile),
		"ERRAND_RESULT_FILE="+d.path(resultFile),
	)
	if !slices.Contains(p.Env, unbuffered) {
		env = append(env, unbuffered+"=1")
	}
	if p.TTY && !slices.Contains(p.Env, "TERM") {
		env = append(env, "TERM=dumb")
	}
	if a.Output != nil {
		env = append(env, "ERRAND_OUT="+d.path(outFolder))
	}
	env = append(env, a.Models.environment(p)...)
	if a.TraceParent != "" {
		env = append(env, "TRACEPARENT="+a.TraceParent)
	}
	if steps != nil {
		env = append(env, StepSocket+"="+d.path(socketFile))
	}
	if p.Events {
		env = append(env, "ERRAND_EVENTS=json")
	}
	return env
}

// said is what a program has said on standard output, as far as it may become
// its result.
type said struct {
	text string
	more bool // than fits into a result
}

// result is what the program left in its result file, else what it said.
func (d folder) result(out said) (string, error) {
	left, err := d.left()
	switch {
	case err != nil:
		return "", err
	case left != "":
		return left, nil
	case out.more:
		return "", fmt.Errorf("the program wrote more than %d bytes to standard output, which is too much for a result: let it write its result to ERRAND_RESULT_FILE", task.MaxResult)
	default:
		return out.text, nil
	}
}

// left reads the result file.
func (d folder) left() (string, error) {
	info, err := os.Lstat(d.path(resultFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read ERRAND_RESULT_FILE: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("ERRAND_RESULT_FILE is no regular file")
	}
	f, err := os.Open(d.path(resultFile))
	if err != nil {
		return "", fmt.Errorf("read ERRAND_RESULT_FILE: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(io.LimitReader(f, task.MaxResult+1))
	if err != nil {
		return "", fmt.Errorf("read ERRAND_RESULT_FILE: %w", err)
	}
	text := task.CleanText(string(content))
	if len(text) > task.MaxResult {
		return "", fmt.Errorf("the program left more than %d bytes in ERRAND_RESULT_FILE", task.MaxResult)
	}
	return text, nil
}
