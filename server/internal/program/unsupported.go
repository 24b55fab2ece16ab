//go:build !unix

package program

import (
	"errors"
	"os"
	"runtime"
)

// Executable is this program's file.
func Executable() (string, error) { return os.Executable() }

func (p Program) start(folder, Attempt, *counter) (*group, error) { return nil, errUnsupported }

func (p Program) launch(folder, []string, *os.File) (*group, error) { return nil, errUnsupported }

var errUnsupported = errors.New("programs cannot be run on " + runtime.GOOS + " yet: use Linux or macOS")

// Supervise does nothing where programs cannot be run.
func Supervise([]string) (code int, mine bool) { return 0, false }

func killGroup(int) {}
