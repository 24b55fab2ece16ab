package reading

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/requests"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

const (
	// maxPages is how many pages of a PDF are read.
	maxPages = 2000
	// maxTime is how long one PDF may take.
	maxTime = time.Minute
	// maxSandbox is how much memory a sandbox may have, in pages of 64 KiB: 1 GiB.
	maxSandbox = 16 << 10
)

// sandbox runs PDFium as WebAssembly, without files or network. It is begun with the
// first PDF, and one is read at a time.
type sandbox struct {
	cache string // where what was compiled is kept

	mu    sync.Mutex
	pool  pdfium.Pool
	kept  wazero.CompilationCache
	ended bool
}

func (s *sandbox) begin() error {
	if s.pool != nil {
		return nil
	}
	config := wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling).
		WithMemoryLimitPages(maxSandbox).WithCloseOnContextDone(true)
	if s.cache != "" {
		kept, err := wazero.NewCompilationCacheWithDir(s.cache)
		if err != nil {
			return fmt.Errorf("keep what reads PDF: %w", err)
		}
		s.kept = kept
		config = config.WithCompilationCache(kept)
	}
	pool, err := webassembly.Init(webassembly.Config{
		MinIdle: 0, MaxIdle: 1, MaxTotal: 1, RuntimeConfig: config, FSConfig: wazero.NewFSConfig(), Stdout: io.Discard, Stderr: io.Discard,
	})
	if err != nil {
		return fmt.Errorf("begin to read PDF: %w", err)
	}
	s.pool = pool
	return nil
}

func (s *sandbox) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.pool == nil {
		return nil
	}
	err := s.pool.Close()
	s.pool = nil
	if s.kept != nil {
		_ = s.kept.Close(context.Background()) // it is on disk
	}
	return err
}

// portable reads the text of a PDF, page by page.
func (r *Reader) portable(ctx context.Context, all []byte, limit int) (t Text, err error) {
	s := r.pdf
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return Text{}, os.ErrClosed
	}
	if err := s.begin(); err != nil {
		return Text{}, err
	}
	if ctx.Err() != nil {
		return Text{}, context.Cause(ctx)
	}
	instance, err := s.pool.GetInstanceWithContext(ctx)
	if err != nil {
		return Text{}, fmt.Errorf("begin to read a PDF: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	killed := make(chan struct{})
	keep := context.AfterFunc(limited, func() { defer close(killed); _ = instance.Kill() })
	defer func() { // each PDF has a sandbox of its own
		broken := recover() != nil
		if keep() {
			_ = instance.Close()
		} else {
			<-killed
		}
		switch {
		case ctx.Err() != nil:
			t, err = Text{}, context.Cause(ctx)
		case limited.Err() != nil:
			t, err = unread("It is a PDF that takes more than %s to read.", maxTime), nil
		case broken:
			t, err = unread("It is a PDF that is broken."), nil
		}
	}()
	doc, err := instance.OpenDocument(&requests.OpenDocument{File: &all})
	if err != nil {
		if strings.Contains(err.Error(), "password") {
			return unread("It is a PDF that needs a password."), nil
		}
		return unread("It is a PDF that is broken."), nil
	}
	count, err := instance.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: doc.Document})
	if err != nil {
		return unread("It is a PDF that is broken."), nil
	}
	p := pages{out: builder{limit: limit}}
	for i := 0; i < min(count.PageCount, maxPages) && !p.out.full(); i++ {
		if limited.Err() != nil {
			break
		}
		page := requests.Page{ByIndex: &requests.PageByIndex{Document: doc.Document, Index: i}}
		text, err := instance.GetPageText(&requests.GetPageText{Page: page})
		if err != nil {
			p.broken = append(p.broken, i+1)
			continue
		}
		turned, err := instance.FPDFPage_GetRotation(&requests.FPDFPage_GetRotation{Page: page})
		p.add(i+1, text.Text, err == nil && turned.PageRotation != 0)
	}
	return p.text(count.PageCount), nil
}

// pages are those of a PDF on their way to text.
type pages struct {
	out                   builder
	empty, turned, broken []int
	words                 bool // there is any text
}

func (p *pages) add(number int, text string, turned bool) {
	text = strings.TrimSpace(unbroken(strings.ReplaceAll(text, "\r\n", "\n")))
	fmt.Fprintf(&p.out, "--- page %d ---\n", number)
	if text == "" {
		p.empty = append(p.empty, number)
		p.out.WriteString("(no text: it may be a scan)\n\n")
		return
	}
	if turned {
		p.turned = append(p.turned, number)
	}
	p.words = true
	p.out.WriteString(text + "\n\n")
}

// unbroken joins words that PDFium says to be hyphenated at the end of a line, with
// U+0002. A hyphen stays where the word has one elsewhere in the text, or goes on with
// what is no small letter.
func unbroken(text string) string {
	if !strings.Contains(text, "\x02") {
		return text
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "\x02")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		text = strings.TrimPrefix(after, "\n")
		last := before[strings.LastIndexAny(before, " \n\t")+1:]
		next := text
		if end := strings.IndexAny(text, " \n\t.,;:!?)"); end >= 0 {
			next = text[:end]
		}
		if next == "" || next[0] < 'a' || next[0] > 'z' && next[0] < 0x80 || strings.Contains(b.String(), last+"-"+next) || strings.Contains(text, last+"-"+next) {
			b.WriteByte('-')
		}
	}
}

func (p *pages) text(count int) Text {
	text, whole := p.out.text()
	t := Text{As: AsText, Text: text, Whole: whole && count <= maxPages, Pages: count}
	if !p.words {
		t.As, t.Text = AsNothing, ""
		t.Why = append(t.Why, fmt.Sprintf("None of its %s has text: it seems to be scanned.", rowsText(count, "page")))
		return t
	}
	for _, of := range []struct {
		what  string
		pages []int
	}{
		{"Without text, perhaps scanned", p.empty}, {"Turned, so that lines may stand in a wrong order", p.turned}, {"Could not be read", p.broken},
	} {
		if len(of.pages) > 0 {
			t.Why = append(t.Why, of.what+": page "+numbers(of.pages)+".")
		}
	}
	return t
}

// numbers lists numbers, the first ones of many.
func numbers(list []int) string {
	const most = 20
	var b strings.Builder
	for i, n := range list[:min(len(list), most)] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, n)
	}
	if len(list) > most {
		fmt.Fprintf(&b, " and %d more", len(list)-most)
	}
	return b.String()
}
