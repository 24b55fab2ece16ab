package tabular

import (
	"archive/zip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

const (
	// maxTexts is the most that the texts of a workbook's cells may have together, each
	// with what it takes to remember it. They are in memory.
	maxTexts = 64 << 20
	textSize = 16
	// maxToken is the longest text, with its marks, in a part of a workbook.
	maxToken = 4 << 20
	// maxSheets is how many sheets of a workbook are told apart.
	maxSheets = 1_000
	// maxStyles is how many formats of cells a workbook may have: Excel has 65,490.
	maxStyles = 100_000
)

// isWorkbook tells whether an archive is a workbook.
func isWorkbook(archive *zip.Reader) bool {
	for _, f := range archive.File {
		if strings.EqualFold(f.Name, "xl/workbook.xml") {
			return true
		}
	}
	return false
}

// parts are the files of a workbook. What is read of them counts together.
type parts struct {
	files map[string]*zip.File
	left  int64
}

// part reads one of them, token by token.
type part struct {
	tokens *xml.Decoder
	of     *parts
	from   io.ReadCloser
	token  int // What was read since the last token.
}

func (p *parts) open(name string) (*part, error) {
	f, is := p.files[strings.ToLower(strings.TrimPrefix(name, "/"))]
	if !is {
		return nil, errMissing
	}
	from, err := f.Open()
	if err != nil {
		return nil, err
	}
	one := &part{of: p, from: from}
	one.tokens = xml.NewDecoder(one)
	return one, nil
}

var (
	errMissing = errors.New("a part of it is not there")
	errToken   = errors.New("a value is longer than 4 MiB")
	errTexts   = errors.New("it has more than 64 MiB of texts")
	errSheets  = errors.New("it has too many sheets or formats")
)

// Read implements [io.Reader]: what a part says of its size is not believed.
func (p *part) Read(b []byte) (int, error) {
	if p.of.left <= 0 {
		return 0, errUnpacked
	}
	if p.token > maxToken {
		return 0, errToken
	}
	n, err := p.from.Read(b[:min(int64(len(b)), p.of.left)])
	p.of.left -= int64(n)
	p.token += n
	return n, err
}

func (p *part) close() { _ = p.from.Close() } // it was only read

// next returns the next token, with names as they stand in the file.
func (p *part) next() (xml.Token, error) {
	p.token = 0
	return p.tokens.RawToken()
}

// each calls a function for all elements of a part, as they begin and end.
func (p *part) each(begin func(xml.StartElement) error) error {
	defer p.close()
	for {
		token, err := p.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if element, begins := token.(xml.StartElement); begins {
			if err := begin(element); err != nil {
				return err
			}
		}
	}
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// related is the attribute id of another part; sheetId is none.
func related(e xml.StartElement) string {
	for _, a := range e.Attr {
		if a.Name.Local == "id" && a.Name.Space != "" {
			return a.Value
		}
	}
	return ""
}

func isTrue(value string) bool { return value == "1" || value == "true" }

// workbook is what its sheets share.
type workbook struct {
	parts
	texts        []string
	textsRead    bool
	formats      []format
	since1904    bool
	recalculated bool // It asks to be calculated anew when it is opened.
	shown        int64
}

// openWorkbook opens the sheets of a workbook, all that have cells.
func openWorkbook(archive *zip.Reader) ([]*Sheet, error) {
	b := &workbook{parts: parts{files: map[string]*zip.File{}, left: MaxParts}, shown: maxShown}
	var says uint64
	for _, f := range archive.File {
		if says += f.UncompressedSize64; says > MaxParts {
			return nil, fmt.Errorf("it becomes more than %d MiB when it is unpacked", MaxParts>>20)
		}
		b.files[strings.ToLower(f.Name)] = f
	}
	const main = "xl/workbook.xml"
	targets, err := b.targets(main)
	if err != nil {
		return nil, err
	}
	if err := b.readFormats(); err != nil && !errors.Is(err, errMissing) {
		return nil, err
	}
	p, err := b.open(main)
	if err != nil {
		return nil, err
	}
	var sheets []*Sheet
	err = p.each(func(e xml.StartElement) error {
		switch e.Name.Local {
		case "workbookPr":
			b.since1904 = isTrue(attribute(e, "date1904"))
		case "calcPr":
			b.recalculated = isTrue(attribute(e, "fullCalcOnLoad"))
		case "sheet":
			if len(sheets) == maxSheets {
				return errSheets
			}
			state := attribute(e, "state")
			target := targets[related(e)]
			sheets = append(sheets, &Sheet{
				Name: attribute(e, "name"), Hidden: state == "hidden" || state == "veryHidden",
				book: b, part: target.part, other: target.kind != "worksheet",
			})
		}
		return nil
	})
	if err == nil && len(sheets) == 0 {
		err = errMissing
	}
	return sheets, err
}

// target is what an id in a part stands for.
type target struct {
	part, kind string
}

// targets are the parts that one names by ids.
func (b *workbook) targets(of string) (map[string]target, error) {
	folder, name := path.Split(of)
	p, err := b.open(folder + "_rels/" + name + ".rels")
	if err != nil {
		return nil, err
	}
	all := map[string]target{}
	return all, p.each(func(e xml.StartElement) error {
		if e.Name.Local == "Relationship" && len(all) < 2*maxSheets {
			to := attribute(e, "Target")
			if !strings.HasPrefix(to, "/") {
				to = path.Join(folder, to)
			}
			all[attribute(e, "Id")] = target{part: to, kind: path.Base(attribute(e, "Type"))}
		}
		return nil
	})
}

// readFormats finds out how the numbers of cells are meant.
func (b *workbook) readFormats() error {
	p, err := b.open("xl/styles.xml")
	if err != nil {
		return err
	}
	own := map[string]format{}
	inCells := false
	return p.each(func(e xml.StartElement) error {
		switch e.Name.Local {
		case "numFmt":
			if len(own) < maxStyles {
				own[attribute(e, "numFmtId")] = formatOf(attribute(e, "formatCode"))
			}
		case "cellXfs":
			inCells = true
		case "cellStyles", "dxfs":
			inCells = false
		case "xf":
			if !inCells {
				return nil
			}
			if len(b.formats) == maxStyles {
				return errSheets
			}
			id := attribute(e, "numFmtId")
			f, is := own[id]
			if !is {
				f = builtIn(id)
			}
			b.formats = append(b.formats, f)
		}
		return nil
	})
}

// text is one of the texts that cells name by their numbers.
func (b *workbook) text(number string) (string, error) {
	if !b.textsRead {
		b.textsRead = true
		if err := b.readTexts(); err != nil {
			return "", err
		}
	}
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 || i >= len(b.texts) {
		return "", errMissing
	}
	return b.texts[i], nil
}

func (b *workbook) readTexts() error {
	p, err := b.open("xl/sharedStrings.xml")
	if err != nil {
		return err
	}
	defer p.close()
	left := maxTexts
	for {
		token, err := p.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if e, begins := token.(xml.StartElement); begins && e.Name.Local == "si" {
			text, err := p.text("si")
			if err != nil {
				return err
			}
			if left -= len(text) + textSize; left < 0 {
				return errTexts
			}
			b.texts = append(b.texts, text)
		}
	}
}

// text reads the text within an element, up to its end: what stands in t, but for
// what says how it is pronounced.
func (p *part) text(element string) (string, error) {
	var text strings.Builder
	in, spoken := false, false
	for {
		token, err := p.next()
		if err != nil {
			return "", err
		}
		switch x := token.(type) {
		case xml.StartElement:
			in = x.Name.Local == "t"
			spoken = spoken || x.Name.Local == "rPh"
		case xml.EndElement:
			in = false
			switch x.Name.Local {
			case "rPh":
				spoken = false
			case element:
				return unescaped(text.String()), nil
			}
		case xml.CharData:
			if in && !spoken {
				if text.Len()+len(x) > maxToken {
					return "", errToken
				}
				text.Write(x)
			}
		}
	}
}

// unescaped reads the characters that XML cannot have: _x000D_ is a carriage return.
func unescaped(text string) string {
	const size = len("_x000D_")
	for from := 0; ; {
		i := strings.Index(text[from:], "_x")
		if i < 0 {
			return text
		}
		i += from
		from = i + 1
		if len(text) < i+size || text[i+size-1] != '_' {
			continue
		}
		if code, err := strconv.ParseUint(text[i+2:i+size-1], 16, 16); err == nil {
			text = text[:i] + string(rune(code)) + text[i+size:]
		}
	}
}

// reason is an error in the words of whoever attached the file.
func reason(err error) string {
	if syntax, is := errors.AsType[*xml.SyntaxError](err); is {
		return fmt.Sprintf("it is broken (%s)", syntax.Msg)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "it ends too early"
	}
	return err.Error()
}
