package program

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// LimitMemory bounds how much more address space this process may have. What asks for
// more ends it, or is told by SQLite.
func LimitMemory(more uint64) error {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return fmt.Errorf("limit memory: %w", err)
	}
	var pages uint64
	if _, err := fmt.Sscan(string(statm), &pages); err != nil {
		return fmt.Errorf("limit memory: %w", err)
	}
	most := pages*uint64(os.Getpagesize()) + more //nolint:gosec // a page's size is positive
	if err := unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: most, Max: most}); err != nil {
		return fmt.Errorf("limit memory: %w", err)
	}
	return nil
}
