package reading

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/errand-dev/errand/server/internal/tabular"
)

// packed reads what is a zip archive: a document, or what the profiler reads too.
func (r *Reader) packed(ctx context.Context, all []byte, limit int) (Text, error) {
	archive, err := zip.NewReader(bytes.NewReader(all), int64(len(all)))
	if err != nil {
		return unread("It is an archive that is broken."), nil //nolint:nilerr // as the text says
	}
	for _, f := range archive.File {
		if f.Name != "word/document.xml" {
			continue
		}
		if f.UncompressedSize64 > maxUnpacked {
			return unread("It is a document that becomes more than %d MiB when it is unpacked.", maxUnpacked>>20), nil
		}
		return document(ctx, f, limit)
	}
	return r.unpacked(ctx, all, limit)
}

// unpacked reads a workbook, and what is packed with gzip or alone in an archive, by
// what the profiler reads them with.
func (r *Reader) unpacked(ctx context.Context, all []byte, limit int) (Text, error) {
	c := tabular.Open(ctx, "", all[:min(len(all), tabular.HeadSize)], bytes.NewReader(all))
	defer c.Close()
	switch {
	case ctx.Err() != nil:
		return Text{}, context.Cause(ctx)
	case c.Unread != nil:
		return unread("It is %s.", c.Unread.What), nil
	case c.Table != nil:
		return table(ctx, c.Table, limit)
	case c.Sheets != nil:
		return workbook(ctx, c.Sheets, limit)
	}
	t, err := r.Read(ctx, c.Text, limit) // that is not packed once more
	if err != nil && c.Err() == nil {
		return Text{}, err
	}
	if c.Err() != nil {
		return unread("What is packed in it cannot be read: %v.", c.Err()), nil
	}
	t.Why = append(t.Why, "It was unpacked from "+c.Packed+".")
	return t, nil
}

// bounded ends with an error where an archive says less of a file than it unpacks to, or
// where one token of it is too long for memory.
type bounded struct {
	from  io.Reader
	left  int64
	token int // What was read since the last one.
}

var errUnpacked = errors.New("unpacked too far")

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 || b.token > maxToken {
		return 0, errUnpacked
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	b.token += n
	return n, err
}

// document reads the text of a docx: its paragraphs, headings with #, rows of tables
// with their cells apart.
func document(ctx context.Context, f *zip.File, limit int) (Text, error) {
	content, err := f.Open()
	if err != nil {
		return unread("It is a document that is broken."), nil
	}
	defer content.Close() //nolint:errcheck // it was only read
	d := paper{out: builder{limit: limit}}
	from := &bounded{from: content, left: maxUnpacked}
	tokens := xml.NewDecoder(from)
	for n := 0; !d.out.full(); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return Text{}, context.Cause(ctx)
		}
		from.token = 0
		token, err := tokens.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			d.why = append(d.why, "It is broken: only what stands before that was read.")
			break
		}
		d.take(token)
	}
	text, whole := d.out.text()
	t := Text{As: AsText, Text: text, Whole: whole, Why: d.why}
	if d.deleted {
		t.Why = append(t.Why, "What is marked as deleted was left out.")
	}
	if strings.TrimSpace(text) == "" {
		t.As, t.Text = AsNothing, ""
		t.Why = append(t.Why, "The document has no text.")
	}
	return t, nil
}

// paper is a docx on its way to text.
type paper struct {
	out     builder
	why     []string
	inText  bool
	deleted bool
	cells   int // of the present row before this one; -1 outside of tables
	rows    int // depth of rows
}

func (d *paper) take(token xml.Token) {
	switch x := token.(type) {
	case xml.StartElement:
		d.begin(x)
	case xml.EndElement:
		d.end(x.Name.Local)
	case xml.CharData:
		if d.inText {
			d.out.Write(x)
		}
	}
}

func (d *paper) begin(x xml.StartElement) {
	switch x.Name.Local {
	case "t":
		d.inText = x.Name.Space == "w"
	case "tab":
		if d.out.Len() > 0 {
			d.out.WriteByte('\t')
		}
	case "br", "cr":
		d.out.WriteByte('\n')
	case "noBreakHyphen":
		d.out.WriteByte('-')
	case "delText":
		d.deleted = true
	case "pStyle":
		d.heading(x)
	case "tr":
		d.rows, d.cells = d.rows+1, 0
	case "tc":
		if d.cells++; d.cells > 1 {
			d.trim()
			d.out.WriteString(" | ")
		}
	}
}

func (d *paper) heading(x xml.StartElement) {
	for _, a := range x.Attr {
		level, err := strconv.Atoi(strings.TrimPrefix(a.Value, "Heading"))
		if a.Name.Local == "val" && err == nil && level >= 1 && level <= 6 {
			d.out.WriteString(strings.Repeat("#", level) + " ")
		}
	}
}

func (d *paper) end(name string) {
	switch name {
	case "t":
		d.inText = false
	case "p":
		if d.rows > 0 {
			d.out.WriteByte(' ') // the cell goes on in its line
			return
		}
		d.out.WriteByte('\n')
	case "tr":
		d.trim()
		d.out.WriteByte('\n')
		d.rows--
	}
}

// trim takes the spaces at the end away.
func (d *paper) trim() {
	d.out.Truncate(len(bytes.TrimRight(d.out.Bytes(), " ")))
}

// rowsText is a number of rows for a person.
func rowsText(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}
