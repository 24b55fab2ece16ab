//go:build !unix

package cli

import "errors"

func freeDisk(string) (int64, error) { return 0, errors.ErrUnsupported }

func openFileLimit() (uint64, error) { return 0, errors.ErrUnsupported }
