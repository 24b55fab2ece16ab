//go:build !linux

package query

// limitMemory leaves it to the limits on files, values and time elsewhere than on Linux:
// there is no limit there that holds.
func limitMemory(uint64) error { return nil }
