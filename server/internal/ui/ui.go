// Package ui serves the web UI: pages that were built from web/ and lie in the
// program. They hold nothing of anybody's, and know what they show from the
// public API alone.
package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// dist is what `make ui` built. Texts lie in it gzipped, as they are sent.
//
//go:embed all:dist
var dist embed.FS

// Policy is the Content-Security-Policy of the pages: nothing of another host,
// no script but the built one, and no text becomes HTML or a script's address but
// through the two named policies.
const Policy = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data: blob:; " +
	"font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types svelte-trusted-html errand-worker"

// prefix is where the pages are.
const prefix = "/ui/"

// asset is a file of the pages.
type asset struct {
	kind    string // its media type
	tag     string // its ETag, of what it is when unpacked
	forever bool   // its name says its content
	packed  []byte // gzipped; nil if it lies as it is
	plain   func() ([]byte, error)
}

// site is all of them by name.
var site = sync.OnceValues(func() (map[string]asset, error) { //nolint:gochecknoglobals // a constant that has to be computed
	assets := map[string]asset{}
	err := fs.WalkDir(dist, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == "dist/SOURCE" {
			return err
		}
		content, err := dist.ReadFile(name)
		if err != nil {
			return err
		}
		short, packed := strings.CutSuffix(strings.TrimPrefix(name, "dist/"), ".gz")
		sum := sha256.Sum256(content)
		a := asset{kind: kindOf(short), tag: `"` + hex.EncodeToString(sum[:8]) + `"`, forever: strings.HasPrefix(short, "assets/")}
		if packed {
			a.packed, a.plain = content, sync.OnceValues(func() ([]byte, error) { return unpacked(content) })
		} else {
			a.plain = func() ([]byte, error) { return content, nil }
		}
		assets[short] = a
		return nil
	})
	return assets, err
})

// kindOf is the media type of a file, which no table of the machine decides.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	case ".txt":
		return "text/plain; charset=utf-8"
	default:
		return "application/octet-stream"
	}
}

func unpacked(content []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("unpack a page: %w", err)
	}
	return io.ReadAll(z)
}

// Page reports whether a request is for one of the pages, or a browser's that knocks
// at the server's front door: such a request needs no key.
func Page(r *http.Request) bool {
	return r.URL.Path == "/ui" || strings.HasPrefix(r.URL.Path, prefix) || knocks(r)
}

// knocks reports whether a browser asks for the server itself. Programs, which do not
// ask for HTML, get no redirect, as on no other path (rule H1).
func knocks(r *http.Request) bool {
	return r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
}

// Built names the pages that lie in the program; other pages have another name.
var Built = sync.OnceValue(func() string { //nolint:gochecknoglobals // a constant that has to be computed
	sum, _ := dist.ReadFile("dist/SOURCE") // a program without it is found by the tests
	return string(sum[:min(len(sum), 12)])
})

// Register serves the pages on mux. What is below /ui/ and no file is a page's own
// path, which index.html shows. A browser that asks for the server itself is led to
// them; for whatever else is not there, notFound answers.
func Register(mux *http.ServeMux, notFound http.HandlerFunc) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if !knocks(r) {
			notFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Location", prefix)
		w.WriteHeader(http.StatusSeeOther)
	})
	serve := func(w http.ResponseWriter, r *http.Request) {
		assets, err := site()
		name := strings.TrimPrefix(r.URL.Path, prefix)
		a, known := assets[name]
		if !known && !strings.HasPrefix(name, "assets/") { // else it is of another version: no page has that name
			a, known = assets["index.html"]
		}
		if err != nil || !known {
			notFound(w, r)
			return
		}
		a.send(w, r)
	}
	mux.HandleFunc("GET /ui", serve)
	mux.HandleFunc("GET /ui/{path...}", serve)
}

func (a asset) send(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Content-Security-Policy", Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("ETag", a.tag)
	h.Set("Cache-Control", "no-cache")
	if a.forever {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if a.packed != nil {
		h.Set("Vary", "Accept-Encoding")
	}
	if r.Header.Get("If-None-Match") == a.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	content := a.packed
	if content != nil && takesGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
	} else {
		var err error
		if content, err = a.plain(); err != nil {
			http.Error(w, "a page of the program cannot be read", http.StatusInternalServerError)
			return
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(content)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(content) // a reader who has gone misses nothing
	}
}

// takesGzip reports whether a list of encodings has gzip, and not as refused.
func takesGzip(accept string) bool {
	for one := range strings.SplitSeq(accept, ",") {
		coding, weight, err := mime.ParseMediaType("x/" + strings.TrimSpace(one))
		if err == nil && coding == "x/gzip" {
			q, err := strconv.ParseFloat(weight["q"], 64)
			return weight["q"] == "" || err == nil && q > 0
		}
	}
	return false
}
