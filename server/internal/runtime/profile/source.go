package profile

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"

	"github.com/errand-dev/errand/server/internal/tabular"
)

const (
	// headSize is how much of a file is looked at before it is read for real.
	headSize = 64 << 10
	// bytesPerStatus is how much is read between two progress reports, at least.
	bytesPerStatus = 1 << 20
	// maxStatuses is about how many reports there are about a file of known size.
	maxStatuses = 50
	// slowdown is, for a file of unknown size, which part of what has been read
	// comes in before the next report.
	slowdown = 16
	// maxStatusName leaves room in the 255 code points of a status for the rest.
	maxStatusName = 160
)

// source is the content of one file as UTF-8. The parsers see only its end:
// what ended it early, a cancelled task, a failing reader or reporter, is kept
// here, so that they need not tell such errors from malformed content.
type source struct {
	*bufio.Reader

	progress *progress
	content  *tabular.Content
	head     []byte // The start of the text.
	sample   []byte // The start of the content, unpacked, to tell what it is.
	magic    []byte // The start of the file.
	raw      *countingReader
	decoder  *decoder

	// unread says that nothing was made of the content.
	unread bool

	// load takes the tables, too, if somebody wants more of them than a report.
	load *loader
}

func newSource(ctx context.Context, name string, content io.Reader, progress *progress) *source {
	raw := &countingReader{stopped: ctx.Err, from: content, progress: progress}
	src := &source{progress: progress, raw: raw}
	src.magic = start(raw, tabular.HeadSize)
	src.content = tabular.Open(ctx, name, src.magic, io.MultiReader(bytes.NewReader(src.magic), raw))
	if src.content.Text == nil {
		src.content.Text = bytes.NewReader(nil)
	}
	sample := start(src.content.Text, headSize)
	encoding, mark := sniffEncoding(sample)
	src.sample = sample
	src.decoder = newDecoder(encoding, sample[mark:], src.content.Text)
	src.Reader = bufio.NewReaderSize(src.decoder, headSize)
	head, _ := src.Peek(headSize)
	src.head = bytes.Clone(head)
	if encoding != encodingBytes {
		src.sample = src.head
	}
	return src
}

// start reads the start of something. An error is either its end, if it is short, or
// kept.
func start(content io.Reader, size int) []byte {
	head := make([]byte, size)
	n, _ := io.ReadFull(content, head)
	return head[:n]
}

// whole tells whether head is all there is.
func (s *source) whole() bool { return len(s.head) < headSize }

// drain reads what is left, to learn the size.
func (s *source) drain() {
	// Errors are kept by raw.
	_, _ = io.Copy(io.Discard, s.content.Text)
	_, _ = io.Copy(io.Discard, s.raw)
}

// sizeText is the size of what was read, and its encoding unless it is the usual one.
func (s *source) sizeText() string {
	text := humanSize(s.size())
	if packed := s.content.Packed; packed != "" {
		text += " of " + packed
	}
	if s.content.Format != "" {
		text += " of " + s.content.Format
	}
	if s.decoder.encoding != encodingBytes {
		text += " of UTF-16"
	}
	return text
}

// notes says how well the file could be read.
func (s *source) notes() []string {
	return append(s.decoder.note(), s.short()...)
}

// short says that the file could not be read to its end, if it could not.
func (s *source) short() []string {
	err := s.broken()
	if err == nil {
		return nil
	}
	return []string{fmt.Sprintf("The file could be read only up to %s: %s.", humanSize(s.size()), inline(reason(err), maxCell*2))}
}

// size is the number of bytes read so far.
func (s *source) size() int64 { return s.raw.size }

// broken is the error that ended the content early, or nil.
func (s *source) broken() error {
	if s.raw.err != nil {
		return s.raw.err
	}
	return s.content.Err()
}

// countingReader counts what it passes on, reports progress, and ends when the
// context does. As the buffer above it holds about a thousand rows, that is
// prompt enough and costs nothing a row.
type countingReader struct {
	stopped  func() error
	from     io.Reader
	progress *progress
	size     int64
	err      error
}

func (r *countingReader) Read(p []byte) (int, error) {
	if r.err != nil || r.progress.err != nil || r.stopped() != nil {
		return 0, io.EOF
	}
	n, err := r.from.Read(p)
	r.size += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
		err = io.EOF
	}
	r.progress.read(r.size)
	return n, err
}

// progress tells the user how far a file has been read.
type progress struct {
	say  func(status string) error
	err  error  // Of say. After it nothing more is said.
	name string // Short enough to be a part of a status.
	rows int    // The parsers count them.
	size int64  // Of the file, or 0 if that is not known.
	next int64  // How much has to be read for the next report.
}

func newProgress(ctx context.Context, say func(ctx context.Context, status string) error, name string) *progress {
	return &progress{
		say: func(status string) error {
			// The parsers take the end of the context for the end of the file.
			if err := ctx.Err(); err != nil {
				return err
			}
			return say(ctx, status)
		},
		name: clip(plain(name), maxStatusName),
		next: bytesPerStatus,
	}
}

// start reports that the file is about to be read.
func (p *progress) start() { p.err = p.say("Reading " + p.name) }

// opened takes the size of a file that is on disk; others have none to tell.
func (p *progress) opened(content io.Reader) {
	file, onDisk := content.(fs.File)
	if !onDisk {
		return
	}
	if info, err := file.Stat(); err == nil {
		p.size = info.Size()
	}
}

// read reports now and then: by what was read and not by time, so that the same
// file always reports the same, however wide its rows.
func (p *progress) read(size int64) {
	if size < p.next || size == p.size || p.err != nil {
		return
	}
	status := p.name + ": "
	if p.rows > 0 {
		status += plural(p.rows, "row") + ", "
	}
	step := size / slowdown
	if p.size > 0 {
		step = p.size / maxStatuses
		status += strconv.FormatInt(min(100, 100*size/p.size), 10) + "%"
	} else {
		status += humanSize(size)
	}
	p.next = size + max(bytesPerStatus, step)
	p.err = p.say(status)
}

// done reports how many rows there are.
func (p *progress) done() {
	if p.err == nil && p.rows > 0 {
		p.err = p.say(p.name + ": " + plural(p.rows, "row"))
	}
}
