//go:build unix && !linux

package program

import (
	"os"
	"syscall"
)

func executable() (string, error) { return os.Executable() }

func adopt() {}

func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func killChildren() {}
