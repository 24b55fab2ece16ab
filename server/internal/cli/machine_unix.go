//go:build unix

package cli

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// freeDisk is how many bytes a user may still write to the file system of a
// folder.
func freeDisk(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("look at the file system of %s: %w", dir, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:gosec,unconvert // they are small, and of other types elsewhere
}

// openFileLimit is how many files a process may have open. Go raises the soft
// limit to the hard one.
func openFileLimit() (uint64, error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, err
	}
	return uint64(l.Max), nil //nolint:unconvert // it is of another type elsewhere
}
