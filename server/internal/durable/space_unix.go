//go:build unix

package durable

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Free is how many bytes a user may still write to the file system of a folder.
func Free(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("look at the file system of %s: %w", dir, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:gosec,unconvert // they are small, and of other types elsewhere
}
