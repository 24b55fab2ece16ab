package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/errand-dev/errand"
)

type fileCmds struct {
	Put  filePutCmd  `cmd:"" help:"Upload files and print their URLs, which may be given to tasks for a day."`
	List fileListCmd `cmd:"" aliases:"ls" help:"List uploaded files, newest first."`
	Rm   fileRmCmd   `cmd:"" aliases:"delete,remove" help:"Delete uploaded files that no task uses, for good."`
}

type filePutCmd struct {
	remote
	Files []string `arg:"" name:"file" help:"The files."`
}

// Run uploads the files. Nothing is uploaded if one of them is not there.
func (c *filePutCmd) Run(e *env) error {
	for _, name := range c.Files {
		if err := checkFile(name); err != nil {
			return err
		}
	}
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		for _, name := range c.Files {
			file, err := upload(ctx, client, name)
			switch {
			case err != nil:
				return err
			case c.JSON:
				if err := printJSON(e.Out, file); err != nil {
					return err
				}
			default:
				fmt.Fprintln(e.Out, file.URL)
			}
		}
		return nil
	})
}

type fileListCmd struct {
	remote
	Limit int `help:"How many." default:"20"`
}

// Run prints a table of files.
func (c *fileListCmd) Run(e *env) error {
	if c.Limit < 1 {
		return misused("--limit must be at least 1")
	}
	files, more := []errand.File{}, false
	err := c.call(e, func(ctx context.Context, client *errand.Client) error {
		for file, err := range client.Files.All(ctx, errand.FileListOptions{PerPage: min(c.Limit, pageSize)}) {
			if err != nil {
				return err
			}
			if more = len(files) == c.Limit; more {
				return nil
			}
			files = append(files, file)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.Out, files)
	}
	w := newTable(e.Out, "ID", "NAME", "BYTES", "TASKS", "CREATED")
	for _, f := range files {
		w.row(f.ID, f.Name, strconv.FormatInt(f.Size, 10), strconv.Itoa(f.Tasks), when(f.CreatedAt))
	}
	w.end()
	if more {
		fmt.Fprintf(e.Err, "the newest %d; --limit shows more\n", len(files))
	}
	return nil
}

type fileRmCmd struct {
	remote
	IDs []string `arg:"" name:"id" help:"The files' ids."`
}

// Run deletes the files.
func (c *fileRmCmd) Run(e *env) error {
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		return c.removed(e, c.IDs, func(id string) error { return client.Files.Delete(ctx, id) })
	})
}
