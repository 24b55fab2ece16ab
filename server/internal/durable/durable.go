// Package durable writes files and makes folders that are still there, whole,
// after a loss of power.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// WriteFile writes a file whole or not at all: under another name first, synced,
// then renamed. The mode is 0600.
func WriteFile(path string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // it is gone already if all went well
	_, err = tmp.Write(content)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return Rename(tmp.Name(), path)
}

// Rename moves a file and makes that last.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// Mkdir makes a folder, unless it is there, and makes that last. Its parent
// must be there. The mode is 0700.
func Mkdir(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a folder last.
func SyncDir(path string) error {
	dir, err := os.Open(path) //nolint:gosec // a folder of the data folder
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// A server with less than Little space is in trouble soon, with less than TooLittle it is
// already.
const (
	Little    = 1 << 30
	TooLittle = 100 << 20
)
