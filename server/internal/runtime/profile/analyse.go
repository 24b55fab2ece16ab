package profile

import (
	"bytes"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// content is what a file holds, as far as this runtime can tell.
type content int

const (
	contentOther content = iota
	contentDelimited
	contentJSON
	contentJSONLines
	contentText
	contentPage
	contentSheets
	contentNamed // A table that names its columns.
)

// analyse returns the section about one file, starting with its heading.
func analyse(name string, src *source) string {
	var md markdown
	md.heading(2, inline(name, maxCell*2))
	what, mediaType := classify(src)
	body, _ := profileContent(src, what, mediaType)
	return md.String() + body
}

// profileContent returns what there is to say about a file, and what the file is if
// that is not analysed.
func profileContent(src *source, what content, mediaType string) (body, unread string) {
	switch what {
	case contentSheets:
		return profileSheets(src), ""
	case contentNamed:
		return profileNamed(src), ""
	case contentDelimited:
		return profileDelimited(src), ""
	case contentJSON:
		return profileJSON(src), ""
	case contentJSONLines:
		return profileJSONLines(src), ""
	case contentText:
		return profileText(src), ""
	case contentPage:
		mediaType = "an HTML page"
	case contentOther:
	}
	return describeOther(src, mediaType), mediaType
}

// extension is that of the file's name, or of the one packed in it.
func (s *source) extension() string { return strings.ToLower(path.Ext(s.content.Name)) }

// classify goes by the extension unless the content contradicts it. Text under any
// other name is a table or JSON if it looks like one. What is not analysed has a name.
func classify(src *source) (what content, mediaType string) {
	switch {
	case src.content.Unread != nil:
		return contentOther, src.content.Unread.What
	case src.content.Sheets != nil:
		return contentSheets, ""
	case src.content.Table != nil:
		return contentNamed, ""
	}
	mediaType = sniffMediaType(src.sample)
	return classifyText(src.extension(), mediaType, src), mediaType
}

func classifyText(extension, mediaType string, src *source) content {
	text := isText(src.sample)
	switch {
	case hasSignature(mediaType, text):
		return contentOther
	case mostlyControls(src.sample):
		return contentOther
	case mediaType == "text/html":
		return contentPage
	}
	switch extension {
	case ".csv", ".tsv", ".tab", ".psv":
		return contentDelimited
	case ".json", ".geojson":
		if looksLikeJSONLines(src.head) {
			return contentJSONLines
		}
		return contentJSON
	case ".ndjson", ".jsonl":
		return contentJSONLines
	}
	switch {
	case !text:
		return contentOther
	case looksLikeJSONLines(src.head):
		return contentJSONLines
	case looksLikeJSON(src.head):
		return contentJSON
	case looksLikeTable(src.head, src.whole()):
		return contentDelimited
	}
	return contentText
}

// looksLikeTable recognises a delimited table whatever the name of its file: all lines
// up to an empty one have the same number of fields, but for those above the table,
// and there are values in a column. One row is enough where the other line names them.
func looksLikeTable(head []byte, whole bool) bool {
	if _, named := separatorLine(head); named > 0 {
		return true
	}
	sample := readRecords(bytes.NewReader(head), sniffComma(head, whole, ""), whole, sampleRecords)
	if len(sample) == 0 {
		return false
	}
	rows := block(sample[findTable(sample):])
	if len(rows) < minRows && !isOneRow(rows) || rows[0].width < 2 {
		return false
	}
	for _, r := range rows {
		if r.width != rows[0].width {
			return false
		}
	}
	return hasValues(rows[1:])
}

// isOneRow recognises names with one row below them, and no space before a field, where prose
// has one.
func isOneRow(records []record) bool {
	spaced := func(r record) bool {
		return slices.ContainsFunc(r.cells, func(cell string) bool { return strings.HasPrefix(cell, " ") })
	}
	return len(records) == 2 && hasHeader(records) && !slices.ContainsFunc(records, spaced)
}

// sniffMediaType names the type of the content by its first bytes.
func sniffMediaType(head []byte) string {
	mediaType, _, _ := strings.Cut(http.DetectContentType(head), ";")
	return mediaType
}

// TypeOf is what a file is, by the 512 bytes that it begins with; the name only tells
// kinds of text apart.
func TypeOf(head []byte, name string) string {
	sniffed := http.DetectContentType(head)
	if !strings.HasPrefix(sniffed, "text/plain") {
		return sniffed
	}
	switch strings.ToLower(path.Ext(name)) {
	case ".csv":
		return "text/csv; charset=utf-8"
	case ".tsv":
		return "text/tab-separated-values; charset=utf-8"
	case ".json":
		return "application/json"
	case ".md":
		return "text/markdown; charset=utf-8"
	default:
		return sniffed
	}
}

// isText tells text from binary content. Text in an old encoding has a few
// bytes that are not UTF-8, binary content has many, or has NUL bytes.
func isText(head []byte) bool {
	if bytes.IndexByte(head, 0) >= 0 {
		return false
	}
	bad := 0
	for rest := head; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError && size == 1 || r < ' ' && !strings.ContainsRune("\t\n\v\f\r\x1b", r) {
			bad++
		}
		rest = rest[size:]
	}
	return bad*10 <= len(head)
}

// hasSignature tells whether content is of the type that its first bytes say. Text may
// begin like a picture, as BMI does, or like a font; of what is text only two have a
// signature.
func hasSignature(mediaType string, text bool) bool {
	if text {
		return mediaType == "application/pdf" || mediaType == "application/postscript"
	}
	return mediaType != "application/octet-stream" && !strings.HasPrefix(mediaType, "text/")
}

// fewBytes are too few for a share of them to say much.
const fewBytes = 64

// mostlyControls tells whether more than a tenth of the content, or a quarter of a
// short one, are characters that no text has, whatever its encoding.
func mostlyControls(head []byte) bool {
	controls := 0
	for _, c := range head {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			controls++
		}
	}
	if len(head) < fewBytes {
		return controls*4 > len(head)
	}
	return controls*10 > len(head)
}

// describeOther names a file that is not analysed.
func describeOther(src *source, what string) string {
	src.drain()
	hint := ""
	switch why := src.content.Unread; {
	case why != nil && why.Hint != "":
		hint = " " + why.Hint
	case why != nil:
	case src.extension() == ".xls", src.extension() == ".ods", src.extension() == ".numbers":
		hint = " Save the sheet as CSV to have it analysed."
	case slices.Contains([]string{".7z", ".xz", ".zst", ".bz2"}, src.extension()):
		hint = " Unpack it and attach the files inside to have them analysed."
	}
	var md markdown
	src.unread = true
	md.para(fmt.Sprintf("Not analysed: %s of %s.%s",
		humanSize(src.size()), inline(what, maxCell*2), hint))
	md.list(src.short()) // it has no characters that could have been read otherwise
	return md.String()
}

func emptyFile(src *source) string {
	var md markdown
	src.unread = true
	if src.broken() == nil {
		md.para("The file is empty.")
	}
	md.list(src.notes())
	return md.String()
}
