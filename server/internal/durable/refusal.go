package durable

import (
	"errors"
	"syscall"
)

// Why a data folder takes nothing more, in words for whoever wanted to write.
const (
	Full     = "the server's disk is full"
	ReadOnly = "the server's data folder is read-only"
)

// Refusal returns Full or ReadOnly if that is why a file could not be written,
// and "" for any other error.
func Refusal(err error) string {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) {
			return Full
		}
	}
	if errors.Is(err, syscall.EROFS) {
		return ReadOnly
	}
	return ""
}
