// Package blob has the places in which the contents of files may lie: a folder, the
// database itself, a bucket of a server that speaks S3.
package blob

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/errand-dev/errand/server/internal/files"
)

// The kinds of places that need no more than their name; "" is Folder.
const (
	Folder   = "folder"
	Database = "database"
)

// Check says what is wrong with the name of a place: a kind, or s3://bucket/prefix.
func Check(place string) error {
	switch {
	case place == "" || place == Folder || place == Database:
		return nil
	case strings.HasPrefix(place, s3Scheme):
		_, err := parse(place)
		return err
	}
	return fmt.Errorf("write %s, %s or s3://bucket/prefix?endpoint=URL&region=NAME", Folder, Database)
}

// Open opens a place that Check has found good, and proves that it can be written: dir is
// the folder of one kind, and rows are those of another. The log is told when a bucket
// fails.
func Open(ctx context.Context, place, dir string, rows Rows, log *slog.Logger) (files.Blobs, error) {
	switch place {
	case "", Folder:
		return folder{dir}, nil
	case Database:
		return database{rows}, nil
	}
	return openBucket(ctx, place, log)
}
