package profile

import (
	"bytes"
	"fmt"
	"net/http"
	"path"
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
)

// analyse returns the section about one file, starting with its heading.
func analyse(name string, src *source) string {
	var md markdown
	md.heading(2, inline(name, maxCell*2))
	extension := strings.ToLower(path.Ext(name))
	mediaType := sniffMediaType(src.sample)

	var body string
	switch classify(extension, mediaType, src) {
	case contentDelimited:
		body = profileDelimited(src, extension)
	case contentJSON:
		body = profileJSON(src)
	case contentJSONLines:
		body = profileJSONLines(src)
	case contentText:
		body = profileText(src)
	case contentOther:
		body = describeOther(src, extension, mediaType)
	}
	return md.String() + body
}

// classify goes by the extension unless the content contradicts it.
func classify(extension, mediaType string, src *source) content {
	if !strings.HasPrefix(mediaType, "text/") && mediaType != "application/octet-stream" {
		return contentOther
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
	if isText(src.sample) {
		return contentText
	}
	return contentOther
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

// describeOther names a file that is not analysed.
func describeOther(src *source, extension, mediaType string) string {
	src.drain()
	hint := ""
	switch extension {
	case ".xlsx", ".xls", ".ods", ".numbers":
		hint = " Save the sheet as CSV to have it analysed."
	case ".zip", ".gz", ".tgz", ".7z", ".xz", ".zst", ".bz2":
		hint = " Unpack it and attach the files inside to have them analysed."
	}
	var md markdown
	md.para(fmt.Sprintf("Not analysed: %s of %s.%s",
		humanSize(src.size()), inline(mediaType, maxCell), hint))
	md.list(src.notes())
	return md.String()
}

func emptyFile(src *source) string {
	var md markdown
	if src.broken() == nil {
		md.para("The file is empty.")
	}
	md.list(src.notes())
	return md.String()
}
