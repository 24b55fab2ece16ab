package errand

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"unicode/utf8"
)

// kind is what a file is taken for.
type kind int

const (
	kindOther kind = iota
	kindImage
	kindPDF
	kindDocument
	kindText
	kindAudio
	kindVideo
)

// attached is a file of a task.
type attached struct {
	Attachment
	kind kind
}

// attached lists the task's files in their order.
func (t *Task) attached() []attached {
	var files []attached
	if len(t.Input.Attachments) == 0 {
		for _, u := range t.Input.Files {
			files = append(files, attached{Attachment{URL: u}, kindOfURL(u)})
		}
		return files
	}
	known := map[string]Attachment{}
	for _, a := range t.Input.Attachments {
		known[a.URL] = a
	}
	for _, a := range t.Input.Attachments {
		a = known[a.URL]
		files = append(files, attached{a, kindOf(a)})
	}
	return files
}

// kindOf goes by what an attachment says, and else by its URL.
func kindOf(a Attachment) kind {
	switch a.Kind {
	case "image":
		return kindImage
	case "pdf":
		return kindPDF
	case "document":
		return kindDocument
	case "text":
		return kindText
	case "audio":
		return kindAudio
	case "video":
		return kindVideo
	case "archive":
		return kindOther
	}
	mime, _, _ := strings.Cut(strings.ToLower(a.MIME), ";")
	switch mime = strings.TrimSpace(mime); {
	case strings.HasPrefix(mime, "image/") && mime != "image/svg+xml":
		return kindImage
	case strings.HasPrefix(mime, "audio/"):
		return kindAudio
	case strings.HasPrefix(mime, "video/"):
		return kindVideo
	case mime == "application/pdf":
		return kindPDF
	case isOneOf(mime, documentTypes):
		return kindDocument
	case strings.HasPrefix(mime, "text/"), mime == "application/json", mime == "application/xml", mime == "image/svg+xml":
		return kindText
	}
	return kindOfURL(a.URL)
}

// The suffixes of each kind; text formats are what models read as they are.
const (
	imageSuffixes    = ".jpg .jpeg .png .gif .bmp .tiff .webp"
	documentSuffixes = ".docx .doc .docm .xlsx .xls .xlsm .xlsb .pptx .ppt .pptm .pot .pps .ppsx .odt .ods .odp .rtf .epub .pages .key .numbers"
	textSuffixes     = ".svg .txt .csv .json .xml .html .htm .md .rst .yaml .yml .py .js .ts .java .c .cpp .h .cs .go .rb .php .sh .tsv .log .ini .toml .tex .ipynb .eml"
	audioSuffixes    = ".mp3 .wav .m4a .ogg .flac .aac .opus"
	videoSuffixes    = ".mp4 .mov .mkv .webm .avi .mpeg .mpg .flv .wmv .3gp"
	documentTypes    = "application/vnd.openxmlformats-officedocument.wordprocessingml.document application/msword " +
		"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet application/vnd.ms-excel " +
		"application/vnd.openxmlformats-officedocument.presentationml.presentation application/vnd.ms-powerpoint " +
		"application/vnd.oasis.opendocument.text application/vnd.oasis.opendocument.spreadsheet " +
		"application/vnd.oasis.opendocument.presentation application/rtf application/epub+zip " +
		"application/vnd.apple.pages application/vnd.apple.keynote application/vnd.apple.numbers"
)

// isOneOf reports whether a word is in a list separated by spaces.
func isOneOf(word, list string) bool {
	for w := range strings.FieldsSeq(list) {
		if w == word {
			return true
		}
	}
	return false
}

// kindOfURL goes by the suffix of a URL's path, in small or capital letters.
func kindOfURL(u string) kind {
	suffix := suffixOf(strings.ToLower(pathOf(u)))
	switch {
	case isOneOf(suffix, imageSuffixes):
		return kindImage
	case suffix == ".pdf":
		return kindPDF
	case isOneOf(suffix, documentSuffixes):
		return kindDocument
	case isOneOf(suffix, textSuffixes):
		return kindText
	case isOneOf(suffix, audioSuffixes):
		return kindAudio
	case isOneOf(suffix, videoSuffixes):
		return kindVideo
	default:
		return kindOther
	}
}

// pathOf cuts a URL's path out, as it is written. It takes what net/url would
// refuse, and leaves out the parameters that may follow a last semicolon.
func pathOf(u string) string {
	u = strings.TrimLeftFunc(u, func(r rune) bool { return r <= ' ' })
	u = strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(u)
	if scheme, rest, ok := strings.Cut(u, ":"); ok && !strings.ContainsAny(scheme, "/?#") {
		u = rest
	}
	if rest, ok := strings.CutPrefix(u, "//"); ok {
		u = ""
		if i := strings.IndexAny(rest, "/?#"); i >= 0 {
			u = rest[i:]
		}
	}
	u, _, _ = strings.Cut(u, "#")
	u, _, _ = strings.Cut(u, "?")
	folder, name := path.Split(u)
	name, _, _ = strings.Cut(name, ";")
	return folder + name
}

// suffixOf is a name's suffix with its dot. Dots at a name's beginning begin none.
func suffixOf(p string) string {
	_, name := path.Split(p)
	return path.Ext(strings.TrimLeft(name, "."))
}

// Image is a picture of a task.
type Image struct {
	URL    string
	client *Client
}

// Fetch reads the picture, at most 30 MiB, and says which MIME type its bytes
// have: that of PNG, JPEG, GIF, WebP, BMP or TIFF. Anything else is an error.
func (i Image) Fetch(ctx context.Context) (content []byte, mimeType string, err error) {
	if i.client == nil {
		return nil, "", errNoClient
	}
	return i.client.files.image(ctx, i.URL)
}

// Images lists the pictures among the task's files. It reads nothing: give
// their URLs to a model that fetches for itself, or see Image.Fetch. With
// DisableAttachmentInjection there are none.
func (t *Task) Images() []Image {
	var images []Image
	for _, f := range t.attached() {
		if f.kind == kindImage && !t.DisableAttachmentInjection {
			images = append(images, Image{URL: f.URL, client: t.client})
		}
	}
	return images
}

// Document is a PDF of a task.
type Document struct {
	URL     string
	Name    string
	Content []byte
}

// Files reads the PDFs among the task's files, each at most 30 MiB. One that
// cannot be read, or is no PDF, is left out, and the error tells which by its
// name: the others are answered all the same.
func (t *Task) Files(ctx context.Context) ([]Document, error) {
	if t.client == nil {
		return nil, errNoClient
	}
	var pdfs []attached
	for _, f := range t.attached() {
		if f.kind == kindPDF {
			pdfs = append(pdfs, f)
		}
	}
	contents, errs := make([][]byte, len(pdfs)), make([]error, len(pdfs))
	each(len(pdfs), func(i int) { contents[i], errs[i] = t.client.files.pdf(ctx, pdfs[i].URL) })
	var documents []Document
	for i, f := range pdfs {
		name := path.Base(pathOf(f.URL))
		if errs[i] != nil {
			errs[i] = fmt.Errorf("%s: %w", name, errs[i])
			continue
		}
		documents = append(documents, Document{URL: f.URL, Name: name, Content: contents[i]})
	}
	return documents, errors.Join(errs...)
}

// TextFile is a file that people and models can read.
type TextFile struct {
	URL string
	// Content is its text, cut as Message says. When it could not be read it
	// says so: it begins with "Error:" then.
	Content string
}

// HumanReadableFiles reads the text files among the task's files: what Message
// shows of them. With DisableAttachmentInjection nothing is read and Content
// is empty. The error is that of ctx alone.
func (t *Task) HumanReadableFiles(ctx context.Context) ([]TextFile, error) {
	if t.client == nil {
		return nil, errNoClient
	}
	var texts, documents []TextFile
	for _, f := range t.attached() {
		switch {
		case f.kind == kindText:
			texts = append(texts, TextFile{URL: f.URL})
		case f.kind == kindDocument && !t.DisableAttachmentInjection:
			documents = append(documents, TextFile{URL: f.URL, Content: documentUnread})
		}
	}
	if !t.DisableAttachmentInjection {
		each(len(texts), func(i int) { texts[i].Content = t.client.files.text(ctx, texts[i].URL) })
	}
	texts = append(texts, documents...)
	left := t.client.inline.total
	for i := range texts {
		texts[i].Content = t.client.inline.cut(texts[i].Content, texts[i].URL, left)
		left -= utf8.RuneCountInString(texts[i].Content)
	}
	return texts, ctx.Err()
}

// fetching bounds how many files of a task are read at a time.
const fetching = 4

// each calls do for 0 to n-1, some at a time.
func each(n int, do func(int)) {
	slots := make(chan struct{}, fetching)
	var all sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	all.Wait()
}
