package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/errand-dev/errand/server/internal/task"
)

// OutputFunc keeps a file that the program has left as an output of its task. A
// *RefusedError is about this file alone.
type OutputFunc func(ctx context.Context, name string, content io.ReadSeeker) error

// RefusedError says why a file is not taken.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// maxTold is of how many files that are not taken the log tells one by one.
const maxTold = 20

// collect keeps what the program has left in its folder for outputs, when nothing of it
// runs any more (rule O1). What is no plain file of that folder is not taken: a link
// may lead anywhere. The log tells what was not taken, and why.
func (d folder) collect(ctx context.Context, a Attempt) error {
	if a.Output == nil {
		return nil
	}
	root, err := d.outFolder()
	if err != nil || root == nil {
		return err
	}
	defer root.Close() //nolint:errcheck // it was only read
	c := collection{ctx: ctx, attempt: a, root: root, from: map[string]string{}}
	err = fs.WalkDir(root.FS(), ".", c.visit)
	return errors.Join(err, c.tell())
}

// outFolder opens the folder; nil when there is none.
func (d folder) outFolder() (*os.Root, error) {
	info, err := os.Lstat(d.path(outFolder))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil //nolint:nilnil // nothing was left
	case err != nil:
		return nil, fmt.Errorf("read ERRAND_OUT: %w", err)
	case !info.IsDir():
		return nil, errors.New("ERRAND_OUT is no folder any more")
	}
	root, err := os.OpenRoot(d.path(outFolder))
	if err != nil {
		return nil, fmt.Errorf("read ERRAND_OUT: %w", err)
	}
	return root, nil
}

// collection is the files of one run on their way.
type collection struct {
	ctx     context.Context //nolint:containedctx // of one walk
	attempt Attempt
	root    *os.Root
	from    map[string]string // where each name that was taken comes from
	refused []string
}

func (c *collection) visit(path string, entry fs.DirEntry, err error) error {
	if err != nil {
		c.refuse(path, "it cannot be read")
		return nil //nolint:nilerr // the log says so
	}
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	if entry.IsDir() {
		return nil
	}
	name := strings.ReplaceAll(filepath.ToSlash(path), "/", "_") // names have no folders
	switch before, taken := c.from[name]; {
	case entry.Type()&fs.ModeSymlink != 0:
		c.refuse(path, "it is a symbolic link")
	case !entry.Type().IsRegular():
		c.refuse(path, "it is no plain file")
	case taken:
		c.refuse(path, fmt.Sprintf("%s has its name, %s", before, name))
	case len(c.from) == task.MaxOutputs:
		c.refuse(path, fmt.Sprintf("there are more than %d files", task.MaxOutputs))
	default:
		c.from[name] = path
		return c.keep(path, name)
	}
	return nil
}

func (c *collection) keep(path, name string) error {
	content, err := c.root.Open(path)
	if err != nil {
		c.refuse(path, "it cannot be read")
		return nil // the log says so
	}
	defer content.Close() //nolint:errcheck // it was only read
	err = c.attempt.Output(c.ctx, name, content)
	if refused, is := errors.AsType[*RefusedError](err); is {
		c.refuse(path, refused.Reason)
		return nil
	}
	if err != nil {
		return fmt.Errorf("keep the output %s: %w", name, err)
	}
	return nil
}

func (c *collection) refuse(path, why string) {
	c.refused = append(c.refused, fmt.Sprintf("%q was not taken as an output: %s", path, why))
}

// tell tells the log what was not taken.
func (c *collection) tell() error {
	if len(c.refused) == 0 || c.ctx.Err() != nil {
		return nil //nolint:nilerr // nobody is told any more
	}
	lines := c.refused[:min(len(c.refused), maxTold)]
	if more := len(c.refused) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	data, err := json.Marshal(struct {
		Text string `json:"text"`
	}{strings.Join(lines, "\n")})
	if err != nil {
		return err
	}
	return c.attempt.Emit(c.ctx, []Event{{Type: task.AgentMessage, Data: data}})
}
