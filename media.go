package errand

import (
	"bytes"
	"context"
	"errors"
	"image"
	_ "image/gif"  // their headers tell the size
	_ "image/jpeg" // of a picture
	_ "image/png"  // before it is decoded
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// fileUnread stands in place of a text that could not be read. It names no
// cause, which might name a host inside a private network.
const fileUnread = "Error: file could not be read"

// text reads a text file.
func (f fetcher) text(ctx context.Context, url string) string {
	got, err := f.get(ctx, url, maxTextFile, textLimit)
	if err != nil {
		return fileUnread
	}
	text, ok := decodeText(got.content, charsetOf(got.kind))
	if !ok {
		return fileUnread
	}
	return text
}

// pdf reads a PDF.
func (f fetcher) pdf(ctx context.Context, url string) ([]byte, error) {
	got, err := f.get(ctx, url, maxMediaFile, mediaLimit)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(got.content[:min(1024, len(got.content))], []byte("%PDF-")) {
		return nil, errNoPDF
	}
	return got.content, nil
}

var errNoPDF = errors.New("the link did not return a PDF")

// maxPixels bounds the pictures that are taken for pictures: more would fill
// the memory of whoever decodes them.
const maxPixels = 40_000_000

// image reads a picture.
func (f fetcher) image(ctx context.Context, url string) ([]byte, string, error) {
	got, err := f.get(ctx, url, maxMediaFile, mediaLimit)
	if err != nil {
		return nil, "", err
	}
	said, _, _ := strings.Cut(strings.ToLower(got.kind), ";")
	said = strings.TrimSpace(said)
	if said != "" && !strings.HasPrefix(said, "image/") && said != "application/octet-stream" && said != "binary/octet-stream" {
		return nil, "", errNoImage
	}
	kind := imageType(got.content)
	if kind == "" {
		return nil, "", errNoImage
	}
	if c, _, err := image.DecodeConfig(bytes.NewReader(got.content)); err == nil && c.Width*c.Height > maxPixels {
		return nil, "", errors.New("the image has too many pixels")
	}
	return got.content, kind, nil
}

var errNoImage = errors.New("the link did not return an image")

// imageType goes by a picture's first bytes.
func imageType(b []byte) string {
	if len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP" {
		return "image/webp"
	}
	for _, known := range []struct{ start, kind string }{
		{"\x89PNG\r\n\x1a\n", "image/png"},
		{"\xff\xd8\xff", "image/jpeg"},
		{"GIF87a", "image/gif"},
		{"GIF89a", "image/gif"},
		{"BM", "image/bmp"},
		{"II*\x00", "image/tiff"},
		{"MM\x00*", "image/tiff"},
	} {
		if strings.HasPrefix(string(b[:min(8, len(b))]), known.start) {
			return known.kind
		}
	}
	return ""
}

// charsetOf reads a content type's charset; utf-8 when it names none.
func charsetOf(contentType string) string {
	_, rest, ok := strings.Cut(strings.ToLower(contentType), "charset=")
	name, _, _ := strings.Cut(rest, ";")
	name = strings.Trim(strings.TrimSpace(name), `"`)
	if !ok || name == "" {
		return "utf-8"
	}
	return name
}

// decodeText makes text of bytes in a charset. What is not valid there becomes
// U+FFFD. It reports whether it knows the charset.
func decodeText(b []byte, charset string) (string, bool) {
	switch strings.ReplaceAll(charset, "_", "-") {
	case "utf-8", "utf8":
		return validUTF8(b), true
	case "utf-8-sig":
		return validUTF8(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))), true
	case "us-ascii", "ascii":
		return mapBytes(b, func(c byte) rune {
			if c > 0x7f {
				return utf8.RuneError
			}
			return rune(c)
		}), true
	case "iso-8859-1", "latin-1", "latin1", "iso8859-1":
		return mapBytes(b, func(c byte) rune { return rune(c) }), true
	case "windows-1252", "cp1252":
		return mapBytes(b, func(c byte) rune {
			if c < 0x80 || c > 0x9f {
				return rune(c)
			}
			return []rune("€\uFFFD‚ƒ„…†‡ˆ‰Š‹Œ\uFFFDŽ\uFFFD\uFFFD‘’“”•–—˜™š›œ\uFFFDžŸ")[c-0x80]
		}), true
	case "utf-16":
		switch {
		case bytes.HasPrefix(b, []byte("\xfe\xff")):
			return fromUTF16(b[2:], true), true
		case bytes.HasPrefix(b, []byte("\xff\xfe")):
			b = b[2:]
		}
		return fromUTF16(b, false), true
	case "utf-16le", "utf-16-le":
		return fromUTF16(b, false), true
	case "utf-16be", "utf-16-be":
		return fromUTF16(b, true), true
	}
	return "", false
}

func mapBytes(b []byte, to func(byte) rune) string {
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(to(c))
	}
	return s.String()
}

func fromUTF16(b []byte, bigEndian bool) string {
	units := make([]uint16, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		lo, hi := b[i], b[i+1]
		if bigEndian {
			lo, hi = hi, lo
		}
		units = append(units, uint16(lo)|uint16(hi)<<8)
	}
	s := string(utf16.Decode(units))
	if len(b)%2 == 1 {
		s += string(utf8.RuneError)
	}
	return s
}

// validUTF8 puts one U+FFFD in place of each longest part of b that begins a
// character and is not one, as the Unicode standard recommends. Go's own
// conversion puts one in place of each byte.
func validUTF8(b []byte) string {
	var s strings.Builder
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			size = brokenUTF8(b)
		}
		s.WriteRune(r)
		b = b[size:]
	}
	return s.String()
}

// brokenUTF8 is the length of the broken character at the beginning of b.
func brokenUTF8(b []byte) int {
	lo, hi, want := byte(0x80), byte(0xbf), 0
	switch c := b[0]; {
	case c >= 0xc2 && c <= 0xdf:
		want = 1
	case c >= 0xe0 && c <= 0xef:
		want = 2
		switch c {
		case 0xe0:
			lo = 0xa0
		case 0xed:
			hi = 0x9f
		}
	case c >= 0xf0 && c <= 0xf4:
		want = 3
		switch c {
		case 0xf0:
			lo = 0x90
		case 0xf4:
			hi = 0x8f
		}
	}
	n := 1
	for n <= want && n < len(b) && b[n] >= lo && b[n] <= hi {
		n, lo, hi = n+1, 0x80, 0xbf
	}
	return n
}
