//go:build !unix

package cli

import "errors"

func openFileLimit() (uint64, error) { return 0, errors.ErrUnsupported }
