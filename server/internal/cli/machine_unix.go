//go:build unix

package cli

import "golang.org/x/sys/unix"

// openFileLimit is how many files a process may have open. Go raises the soft
// limit to the hard one.
func openFileLimit() (uint64, error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, err
	}
	return uint64(l.Max), nil //nolint:unconvert // it is of another type elsewhere
}
