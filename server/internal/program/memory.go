package program

import (
	"errors"
	"os/exec"
	"strings"
)

// WantedMemory tells by a process's end that it could have no more: somebody has killed
// it, or Go could not go on, for which a panic would be another reason.
func WantedMemory(ended error, said string) bool {
	exit, is := errors.AsType[*exec.ExitError](ended)
	return is && (exit.ExitCode() < 0 || exit.ExitCode() == 2 && !strings.Contains(said, "panic:"))
}
