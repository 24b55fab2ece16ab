// Package reading makes text of files for agents that read text: of text in any
// encoding, of workbooks (xlsx), of documents (docx) and of PDF. Everything that it
// reads is hostile: what a file becomes when it is unpacked is bounded for each format,
// and PDF is read in a sandbox without files or network.
package reading

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/runtime/profile"
)

// Folder is the name of a reader's folder in the data folder.
const Folder = "reading"

const (
	// MaxFile is the most of a file that is no text, in bytes: it is read as a whole.
	MaxFile = 64 << 20
	// maxUnpacked is the most that a part of a packed file may become.
	maxUnpacked = 256 << 20
	// maxToken is the longest text in such a part, with its marks.
	maxToken = 4 << 20
)

// As says what a file is given as.
type As string

// What a file is given as.
const (
	AsText    As = "text"
	AsTable   As = "table"
	AsNothing As = "nothing"
)

// Text is what an agent is given of a file.
type Text struct {
	As As
	// Text is UTF-8, whatever the file's encoding; Whole says that it is all of it.
	Text  string
	Whole bool
	// Why says what else is to be known: why it is nothing, what was left out.
	Why []string
	// Pages, Rows, Width and Height are how much there is, as far as that was read; 0
	// where it does not apply.
	Pages, Rows   int
	Width, Height int
	// Tables are those that stand in Text as CSV, the first ones of many.
	Tables []Table
	// Size is how many bytes of the file were read, of one that is on disk how many it
	// has; ContentType is what it is, by what it begins with and its name.
	Size        int64
	ContentType string
	// Image is the content of an image, nil for any other file.
	Image []byte
}

// Table is where a table stands in a text, in bytes, and how much of it there is.
type Table struct {
	Name          string
	From, To      int
	Rows, Columns int
}

// maxTables is how many tables of a file are told apart.
const maxTables = 100

// unread is a file that cannot be given.
func unread(why string, args ...any) Text {
	return Text{As: AsNothing, Whole: true, Why: []string{fmt.Sprintf(why, args...)}}
}

// Reader reads files. It is safe for concurrent use.
type Reader struct{ pdf *sandbox }

// New makes a reader. What it has to prepare for PDF, with the first one, it keeps in a
// folder, "" for nowhere: then that takes seconds in each process.
func New(cache string) *Reader { return &Reader{pdf: &sandbox{cache: cache}} }

// Close ends what it has begun.
func (r *Reader) Close() error { return r.pdf.close() }

// headSize is how much of a file tells what it is.
const headSize = 512

// Read reads a file up to about limit bytes of text. Its errors are those of content
// and of ctx; what is wrong with the file itself is told in what it returns.
func (r *Reader) Read(ctx context.Context, content io.Reader, limit int) (Text, error) {
	b := bufio.NewReaderSize(content, 64<<10)
	head, err := b.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return Text{}, err
	}
	read := formatOf(head)
	if read == nil {
		return plainText(b, limit)
	}
	all, err := io.ReadAll(io.LimitReader(b, MaxFile+1))
	if err != nil {
		return Text{}, err
	}
	if len(all) > MaxFile {
		return unread("It has more than %d MiB, and is no text.", MaxFile>>20), nil
	}
	return read(r, ctx, all, limit)
}

// Open reads a file as Read does, after it has opened it, and tells its size and type.
func (r *Reader) Open(ctx context.Context, f runtime.File, limit int) (Text, error) {
	content, err := f.Open(ctx)
	if err != nil {
		return Text{}, err
	}
	defer content.Close() //nolint:errcheck // it was only read
	seen := &seen{from: content}
	t, err := r.Read(ctx, seen, limit)
	t.Size, t.ContentType = seen.size, profile.TypeOf(seen.head, f.Name)
	if onDisk, is := content.(fs.File); is {
		if info, err := onDisk.Stat(); err == nil {
			t.Size = info.Size()
		}
	}
	return t, err
}

// seen counts what is read, and keeps its beginning.
type seen struct {
	from io.Reader
	head []byte
	size int64
}

func (s *seen) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	s.size += int64(n)
	if room := headSize - len(s.head); room > 0 {
		s.head = append(s.head, p[:min(n, room)]...)
	}
	return n, err
}

// formatOf finds out by its beginning how a file is read; nil is as text.
func formatOf(head []byte) func(*Reader, context.Context, []byte, int) (Text, error) {
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return (*Reader).packed
	case bytes.HasPrefix(head, []byte("\x1f\x8b")), bytes.HasPrefix(head, []byte("\xd0\xcf\x11\xe0")),
		bytes.HasPrefix(head, []byte("PAR1")):
		return (*Reader).unpacked
	case bytes.Contains(head, []byte("%PDF-")):
		return (*Reader).portable
	}
	if _, _, err := image.DecodeConfig(bytes.NewReader(head)); err == nil || isImage(head) {
		return (*Reader).picture
	}
	return nil
}

func isImage(head []byte) bool {
	for _, magic := range []string{"\x89PNG\r\n\x1a\n", "\xff\xd8\xff", "GIF8"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return len(head) > 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP"
}

func plainText(content io.Reader, limit int) (Text, error) {
	t, err := profile.ReadText(content, limit)
	if err != nil {
		return Text{}, err
	}
	if !t.Is {
		return unread("It is no text, and of a kind that cannot be read."), nil
	}
	out := Text{As: AsText, Text: t.Text, Whole: t.Whole}
	return out, nil
}

// builder gathers text up to a limit.
type builder struct {
	bytes.Buffer
	limit int
}

func (b *builder) full() bool { return b.Len() > b.limit }

// text is what was gathered, at most limit bytes of it, and whether that is all.
func (b *builder) text() (text string, whole bool) {
	all := b.Bytes()
	if whole = len(all) <= b.limit; !whole {
		all = all[:b.limit]
		for len(all) > 0 && !utf8.Valid(all[max(0, len(all)-utf8.UTFMax):]) {
			if r, size := utf8.DecodeLastRune(all); r != utf8.RuneError || size != 1 {
				break
			}
			all = all[:len(all)-1]
		}
	}
	return string(bytes.ToValidUTF8(all, []byte("\uFFFD"))), whole
}
