package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"regexp"
	"testing"
)

// TestTerminalLog: no name, path or error in a line of the log commands the terminal.
func TestTerminalLog(t *testing.T) {
	t.Parallel()
	colours := regexp.MustCompile(`\x1b\[[\d;]*m`)
	for _, evil := range []string{"\x1b[2Jx", `\x1b[2J x`, `\\x1b[2J x`, "\u009b2J", "\u202e", "\a\b", "x\ny"} {
		for _, plain := range []bool{true, false} {
			var shown bytes.Buffer
			log := slog.New(terminalLog(&shown, slog.LevelInfo, plain))
			log.With("worker_id", evil).Warn("task started", "err", errors.New(evil), "names", []string{evil}, slog.Group("more", "path", evil))
			line := colours.ReplaceAll(shown.Bytes(), nil)
			if left := printable(string(line[:len(line)-1])); left != string(line[:len(line)-1]) {
				t.Errorf("%q is shown as %q", evil, line)
			}
		}
	}
}
