//go:build !unix

package pgtest

import (
	"errors"
	"runtime"
	"syscall"
)

// account exists on Unix only.
type account struct{}

func unprivileged() (*account, error) {
	return nil, errors.New("tests cannot start PostgreSQL on " + runtime.GOOS + ": name a running server in " + Env)
}

func (*account) give(string) error { return nil }

func (*account) attributes() *syscall.SysProcAttr { return nil }
