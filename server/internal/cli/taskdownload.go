package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/errand-dev/errand"
)

type taskDownloadCmd struct {
	remote
	ID    string   `arg:"" help:"The task's id, or its first 6 characters or more."`
	Names []string `arg:"" optional:"" name:"name" help:"Names of output files; all of them when left out."`
	Out   string   `short:"o" help:"The folder that they go to; it is made if it is not there." default:"." placeholder:"DIR" type:"path"`
	Turn  int      `help:"Of which turn; of each name that of the newest turn when left out."`
	Force bool     `help:"Overwrite files that are there."`
}

// Help says what cannot be said in flags.
func (taskDownloadCmd) Help() string {
	return "Each file is written whole or not at all, and its path is printed. One that is there is an error without --force."
}

// Run downloads output files of the task.
func (c *taskDownloadCmd) Run(e *env) error {
	if c.Turn < 0 {
		return misused("--turn must be at least 1")
	}
	return c.callOn(e, []*string{&c.ID}, func(ctx context.Context, client *errand.Client) error {
		wanted, err := c.wanted(ctx, client)
		if err != nil {
			return err
		}
		if len(wanted) == 0 && !c.JSON {
			fmt.Fprintln(e.Err, "the task has no output files")
		}
		if err := os.MkdirAll(c.Out, 0o755); err != nil { //nolint:gosec // as the user's own folders
			return err
		}
		for _, o := range wanted {
			path := filepath.Join(c.Out, o.Name)
			if err := c.fetch(ctx, client, o, path); err != nil {
				return err
			}
			if !c.JSON {
				fmt.Fprintln(e.Out, path)
				continue
			}
			if err := printJSON(e.Out, struct {
				errand.Output
				Path string `json:"path"`
			}{o, path}); err != nil {
				return err
			}
		}
		return nil
	})
}

// wanted finds the files: of each name the newest.
func (c *taskDownloadCmd) wanted(ctx context.Context, client *errand.Client) ([]errand.Output, error) {
	var found []errand.Output
	for o, err := range client.Tasks.Outputs(ctx, c.ID, c.Turn) {
		if err != nil {
			return nil, err
		}
		found = slices.DeleteFunc(found, func(before errand.Output) bool { return before.Name == o.Name })
		if len(c.Names) == 0 || slices.Contains(c.Names, o.Name) {
			found = append(found, o)
		}
	}
	var missing []string
	for _, name := range c.Names {
		if !slices.ContainsFunc(found, func(o errand.Output) bool { return o.Name == name }) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("the task has no output %s", strings.Join(missing, ", "))
	}
	return found, nil
}

// fetch writes one file, beside its place first.
func (c *taskDownloadCmd) fetch(ctx context.Context, client *errand.Client, o errand.Output, path string) error {
	if o.Name != filepath.Base(path) || !filepath.IsLocal(o.Name) { // no server's word leads out of the folder
		return fmt.Errorf("%q is not the name of a file", o.Name)
	}
	if _, err := os.Lstat(path); err == nil && !c.Force {
		return fmt.Errorf("%s is there already: --force overwrites it", path)
	}
	content, err := client.Tasks.OpenOutput(ctx, c.ID, o.Name, o.Turn)
	if err != nil {
		return err
	}
	defer content.Close() //nolint:errcheck // it was only read
	part, err := os.CreateTemp(c.Out, ".errand-*")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name()) //nolint:errcheck // it has its name if all went well
	_, err = io.Copy(part, content)
	if err := errors.Join(err, part.Chmod(0o644), part.Close()); err != nil {
		return fmt.Errorf("download %s: %w", o.Name, err)
	}
	return os.Rename(part.Name(), path)
}
