//go:build unix && !linux

package program

import (
	"errors"
	"time"
)

// limitArg is nothing where there are no boxes.
const limitArg = "limit-program"

var errNoBoxes = errors.New("programs are confined on Linux alone")

func (s *supervisor) boxed() (pid int, err error) { return 0, errNoBoxes }

func (s *supervisor) tellBox(time.Duration) {}

func keepPrivate() {}

func limit([]string) error { return errNoBoxes }
