package program

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

func TestScreen(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{
		"a\x1b[31mb\x1b[0m\r\nc": "ab\nc", "10\r20\r": "10\r20\r", "\x1b]8;;http://x\x1b\\link\x1b]8;;\x07!": "link!",
		"\x1b(Bx\x1b=y\x1b[?25lz": "xyz", "ü\x1bPq1;2\x1b\\ß": "üß", "\x1b": "", "\r\r\n": "\r\n",
	} {
		for _, from := range []io.Reader{bytes.NewReader([]byte(written)), iotest.OneByteReader(bytes.NewReader([]byte(written)))} {
			if got, err := io.ReadAll(&screen{from: from}); string(got) != want || err != nil {
				t.Errorf("%q became %q, %v, want %q", written, got, err, want)
			}
		}
	}
}
