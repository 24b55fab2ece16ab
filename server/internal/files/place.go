package files

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// marked begins the content that marks a place; markSize is how long that is.
const (
	marked   = "The files of an Errand database lie here.\n"
	markSize = int64(len(marked) + 26)
)

// Mark puts a content into the place that no other place has, and returns its id.
func (s *Shelf) Mark(ctx context.Context) (id string, err error) {
	f, path, err := s.spool("", strings.NewReader(marked+rand.Text()))
	if err != nil {
		return "", err
	}
	defer os.Remove(path) //nolint:errcheck // it is gone already where contents lie in a folder
	return f.ID, s.blobs.Put(ctx, f.ID, f.Size, path)
}

// Marked reports whether the place has a content that Mark has put.
func (s *Shelf) Marked(ctx context.Context, id string) (bool, error) {
	content, err := s.blobs.Open(ctx, id, markSize)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the files: %w", err)
	}
	return true, content.Close()
}
