package profile

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/errand-dev/errand/internal/runtime"
)

const (
	// headSize is how much of a file is looked at before it is read for real.
	headSize = 64 << 10
	// rowsPerStatus is how many rows pass between two progress reports.
	rowsPerStatus = 50_000
	// maxStatusName leaves room in the 255 code points of a status for the rest.
	maxStatusName = 160
)

// source is the content of one file as UTF-8. The parsers see only its end:
// what ended it early, a cancelled task or a failing reader, is kept here, so
// that they need not tell such errors from malformed content.
type source struct {
	*bufio.Reader

	progress *progress
	head     []byte // The start of the text.
	sample   []byte // The start of the content, to tell what it is.
	raw      *countingReader
	decoder  *decoder
}

func newSource(ctx context.Context, content io.Reader, progress *progress) *source {
	raw := &countingReader{stopped: ctx.Err, from: content}
	sample := make([]byte, headSize)
	// An error is either the end of a short file or kept by raw.
	n, _ := io.ReadFull(raw, sample)
	sample = sample[:n]
	encoding, mark := sniffEncoding(sample)
	src := &source{progress: progress, sample: sample, raw: raw}
	src.decoder = newDecoder(encoding, sample[mark:], raw)
	src.Reader = bufio.NewReaderSize(src.decoder, headSize)
	head, _ := src.Peek(headSize)
	src.head = bytes.Clone(head)
	if encoding != encodingBytes {
		src.sample = src.head
	}
	return src
}

// whole tells whether head is all there is.
func (s *source) whole() bool { return len(s.head) < headSize }

// drain reads what is left, to learn the size.
func (s *source) drain() {
	// Errors are kept by raw.
	_, _ = io.Copy(io.Discard, s.raw)
}

// sizeText is the size of what was read, and its encoding unless it is the usual one.
func (s *source) sizeText() string {
	if s.decoder.encoding != encodingBytes {
		return humanSize(s.size()) + " of UTF-16"
	}
	return humanSize(s.size())
}

// notes says how well the file could be read.
func (s *source) notes() []string {
	notes := s.decoder.note()
	if err := s.broken(); err != nil {
		notes = append(notes, fmt.Sprintf("The file could be read only up to %s: %s.",
			humanSize(s.size()), inline(reason(err), maxCell*2)))
	}
	return notes
}

// size is the number of bytes read so far.
func (s *source) size() int64 { return s.raw.size }

// broken is the error that ended the content early, or nil.
func (s *source) broken() error { return s.raw.err }

// countingReader counts what it passes on and ends when the context does. As
// the buffer above it holds about a thousand rows, that is prompt enough and
// costs nothing a row.
type countingReader struct {
	stopped func() error
	from    io.Reader
	size    int64
	err     error
}

func (r *countingReader) Read(p []byte) (int, error) {
	if r.err != nil || r.stopped() != nil {
		return 0, io.EOF
	}
	n, err := r.from.Read(p)
	r.size += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
		err = io.EOF
	}
	return n, err
}

// progress tells the user how far a file has been read.
type progress struct {
	say  func(status string) error
	name string // Short enough to be a part of a status.
	rows int
	said int // The rows last reported.
}

func newProgress(ctx context.Context, report runtime.Reporter, name string) *progress {
	return &progress{
		say: func(status string) error {
			// The parsers take the end of the context for the end of the file.
			if err := ctx.Err(); err != nil {
				return err
			}
			return report.Progress(ctx, status)
		},
		name: clip(plain(name), maxStatusName),
	}
}

// row counts a row and reports now and then: by rows and not by time, so that
// the same file always reports the same.
func (p *progress) row() error {
	p.rows++
	if p.rows%rowsPerStatus != 0 {
		return nil
	}
	p.said = p.rows
	return p.say(p.name + ": " + plural(p.rows, "row"))
}

// done reports how many rows there are, unless row just did.
func (p *progress) done() error {
	if p.rows > 0 && p.said == p.rows {
		return nil
	}
	return p.say(p.name + ": " + plural(p.rows, "row"))
}
