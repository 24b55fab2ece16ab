//go:build !linux

package sandbox

import (
	"errors"
)

// SelfFD is the file descriptor by which this program's own file is reached.
const SelfFD = 5

var errElsewhere = errors.New("sandbox: programs are confined on Linux alone")

// Errand is where this program's file is in a box.
func (Box) Errand() string { return "" }

// Command fails where there are no boxes.
func (Box) Command(string, string, []string) ([]string, error) { return nil, errElsewhere }

// Shows reports nothing where there are no boxes.
func (Box) Shows(string, string) bool { return false }

// Give fails where there are no boxes.
func (Box) Give(string) error { return errElsewhere }

func (Box) try(string) error { return errElsewhere }

// Lay fails where there are no boxes.
func (Limits) Lay() error { return errElsewhere }
