//go:build unix && !linux

package program

import (
	"os"
	"syscall"
)

// Executable is this program's file.
func Executable() (string, error) { return os.Executable() }

func adopt() {}

func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func killChildren() {}
