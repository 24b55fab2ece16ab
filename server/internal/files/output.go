package files

import (
	"context"
	"io"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// PutOutput stores what r yields as an output file of a task's turn, in place of the
// one of its name: known says that there was one (O1). The file and the output are
// noted in one commit. Whoever may not write it is refused before anything is read.
func (s *Shelf) PutOutput(ctx context.Context, service *lifecycle.Service, who lifecycle.Caller, id, token, name string, r io.Reader) (o task.Output, known bool, err error) {
	if strings.ContainsAny(name, `/\`) || strings.Trim(name, " .") == "" {
		return task.Output{}, false, fault.Field("name", "must be the name of a file, without folders")
	}
	name = Name(name)
	if err := service.AwaitOutput(ctx, who, id, token); err != nil {
		return task.Output{}, false, err
	}
	_, err = s.bring(ctx, name, r, func(ctx context.Context, f File) error {
		o = task.Output{Name: name, File: f.ID, Size: f.Size, ContentType: f.ContentType}
		o, known, err = service.WriteOutput(ctx, who, id, token, o)
		return err
	})
	return o, known, err
}
