// Package tabular opens the files that hold tables: workbooks (xlsx), parquet, and what
// is packed with gzip or alone in a zip archive. The profiler, the tool that queries
// tables and what gives files to models read by it, so that all of them see the same.
//
// Everything that it reads is hostile: what a file becomes when it is unpacked is bounded
// for each format, by what is really unpacked and not by what the file says of itself.
package tabular

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

const (
	// MaxPacked is the most of a file that has to be read as a whole, in bytes: of
	// whatever is not packed with gzip alone.
	MaxPacked = 64 << 20
	// MaxStream is the most that gzip, or a file in a zip archive, may become: as much as
	// can be attached without being packed.
	MaxStream = 1 << 30
	// MaxParts is the most that the parts of a workbook may become together.
	MaxParts = 512 << 20
	// maxShown is the most that the cells of a file may have together: a text or an empty cell
	// that a file has once may stand in millions of cells.
	maxShown = 1 << 30
)

// errUnpacked ends what becomes too much.
var errUnpacked = errors.New("it becomes too large when it is unpacked")

// Unread says why a file is not read.
type Unread struct {
	// What is what the file is, as "an archive of 3 files".
	What string
	// Hint is a sentence that says what to do, or "".
	Hint string
}

// Content is a file as it is to be read: text, sheets, or neither.
type Content struct {
	// Name is the file's, or that of the one packed in it.
	Name string
	// Packed is what it was packed with: gzip or zip, or "".
	Packed string
	// Text is what there is, unpacked, if it is in none of the formats below.
	Text io.Reader
	// Format is what tables are in, xlsx or parquet, or "".
	Format string
	// Sheets are those of a workbook.
	Sheets []*Sheet
	// Table is that of a parquet file.
	Table *Table
	// Unread is why nothing can be read, or nil.
	Unread *Unread

	stream *limited
}

// Err is what ended the unpacking of Text early.
func (c *Content) Err() error {
	if c.stream == nil || errors.Is(c.stream.err, io.EOF) {
		return nil
	}
	return c.stream.err
}

// Close ends what reads it.
func (c *Content) Close() {
	if c.Table != nil {
		c.Table.close()
	}
}

// HeadSize is how many bytes of a file Open has to know, unless it has fewer.
const HeadSize = 512

// Open finds out by its beginning what a file is; content is all of it, with the
// beginning. An error of content is taken for its end. What is opened is to be closed.
func Open(ctx context.Context, name string, head []byte, content io.Reader) *Content {
	c := &Content{Name: name, Text: content}
	switch {
	case isParquet(head):
		c.parquet(ctx, content)
	case isGzip(head):
		c.gunzip(ctx, content)
	case isArchive(head):
		c.unzip(ctx, content, true)
	default:
		c.Unread = binaryTable(head)
	}
	return c
}

func isGzip(head []byte) bool { return bytes.HasPrefix(head, []byte("\x1f\x8b")) }

func isParquet(head []byte) bool { return bytes.HasPrefix(head, []byte("PAR1")) }

func isArchive(head []byte) bool { return bytes.HasPrefix(head, []byte("PK\x03\x04")) }

// binaryTable knows what may hold a table and cannot be read.
func binaryTable(head []byte) *Unread {
	switch {
	case bytes.HasPrefix(head, []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")):
		return &Unread{"a workbook of an old kind (xls), or one with a password", "Save it as xlsx without a password to have it analysed."}
	case bytes.HasPrefix(head, []byte("PARE")):
		return &Unread{"a parquet file that is encrypted", ""}
	case bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return &Unread{"an archive without files", ""}
	}
	return nil
}

func (c *Content) unread(why *Unread) {
	c.Text, c.Sheets, c.Table, c.Unread = nil, nil, nil, why
}

// gunzip sets what is packed in a file.
func (c *Content) gunzip(ctx context.Context, content io.Reader) {
	c.Packed, c.Name = "gzip", strings.TrimSuffix(c.Name, path.Ext(c.Name))
	z, err := gzip.NewReader(content)
	if err != nil {
		c.unread(&Unread{"something packed with gzip that is broken", ""})
		return
	}
	c.inner(ctx, z)
}

// inner opens what was packed, unless it is packed once more.
func (c *Content) inner(ctx context.Context, unpacked io.Reader) {
	c.stream = &limited{from: unpacked, left: MaxStream}
	head := make([]byte, HeadSize)
	n, _ := io.ReadFull(c.stream, head) // its error is kept by the stream
	head = head[:n]
	c.Text = io.MultiReader(bytes.NewReader(head), c.stream)
	const tar = 257 // where such an archive says what it is
	switch {
	case isGzip(head):
		c.unread(packedTwice())
	case isArchive(head):
		c.unzip(ctx, c.Text, false)
	case isParquet(head):
		c.parquet(ctx, c.Text)
	case len(head) > tar && bytes.HasPrefix(head[tar:], []byte("ustar")):
		c.unread(&Unread{"an archive (tar) that is packed", "Unpack it and attach the files inside to have them analysed."})
	default:
		c.Unread = binaryTable(head)
	}
}

func packedTwice() *Unread {
	return &Unread{"something that is packed twice", "Unpack it and attach what is in it to have that analysed."}
}

// unzip sets what an archive is: a workbook or, if it is not packed itself, the one file
// in it.
func (c *Content) unzip(ctx context.Context, content io.Reader, unpack bool) {
	all, err := readAll(content)
	if err != nil {
		c.unread(unreadable("an archive", err))
		return
	}
	archive, err := zip.NewReader(bytes.NewReader(all), int64(len(all)))
	if err != nil {
		c.unread(&Unread{"an archive that is broken", ""})
		return
	}
	if why := otherPackage(archive); why != nil {
		c.unread(why)
		return
	}
	if isWorkbook(archive) {
		c.Text, c.Format = nil, "xlsx"
		if c.Sheets, err = openWorkbook(archive); err != nil {
			c.unread(&Unread{"a workbook that cannot be read: " + reason(err), ""})
		}
		return
	}
	files := filesOf(archive)
	if !unpack {
		c.unread(packedTwice())
		return
	}
	if len(files) != 1 {
		c.unread(&Unread{fmt.Sprintf("an archive of %d files", len(files)), "Unpack it and attach the files inside to have them analysed."})
		return
	}
	c.Packed, c.Name = "zip", path.Base(strings.ReplaceAll(files[0].Name, `\`, "/"))
	if files[0].Flags&1 != 0 {
		c.unread(&Unread{"an archive that needs a password", ""})
		return
	}
	unpacked, err := files[0].Open()
	if err != nil {
		c.unread(&Unread{"an archive that is packed in an unusual way", ""})
		return
	}
	c.inner(ctx, unpacked)
}

// otherPackage knows the archives that are documents of other kinds.
func otherPackage(archive *zip.Reader) *Unread {
	for _, f := range archive.File {
		switch {
		case f.Name == "xl/workbook.bin":
			return &Unread{"a binary workbook (xlsb)", "Save it as xlsx to have it analysed."}
		case f.Name == "word/document.xml" || strings.HasPrefix(f.Name, "ppt/"):
			return &Unread{"a document, not a table", ""}
		case f.Name == "META-INF/manifest.xml":
			return &Unread{"a document of a kind that is not read, perhaps OpenDocument", "Save it as xlsx or CSV to have it analysed."}
		}
	}
	return nil
}

// filesOf are the files of an archive, without what systems put beside them.
func filesOf(archive *zip.Reader) []*zip.File {
	var files []*zip.File
	for _, f := range archive.File {
		if f.FileInfo().IsDir() || strings.HasPrefix(f.Name, "__MACOSX/") || path.Base(f.Name) == ".DS_Store" {
			continue
		}
		files = append(files, f)
	}
	return files
}

// unreadable is something that could not be read as a whole.
func unreadable(what string, err error) *Unread {
	if errors.Is(err, errUnpacked) {
		return &Unread{fmt.Sprintf("%s of more than %d MiB", what, MaxPacked>>20), ""}
	}
	return &Unread{fmt.Sprintf("%s that cannot be unpacked: %v", what, err), ""}
}

// readAll reads a file that has to be in memory.
func readAll(content io.Reader) ([]byte, error) {
	all, err := io.ReadAll(io.LimitReader(content, MaxPacked+1))
	if err == nil && len(all) > MaxPacked {
		err = errUnpacked
	}
	return all, err
}

// limited ends with an error when more comes out than may.
type limited struct {
	from io.Reader
	left int64
	err  error
}

func (l *limited) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	if l.left <= 0 {
		if n, _ := l.from.Read(make([]byte, 1)); n == 0 {
			l.err = io.EOF
			return 0, l.err
		}
		l.err = fmt.Errorf("it becomes more than %d MiB when it is unpacked", MaxStream>>20)
		return 0, l.err
	}
	n, err := l.from.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	l.err = err
	return n, err
}
