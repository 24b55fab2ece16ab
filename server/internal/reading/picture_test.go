package reading

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
)

// photo makes a JPEG that is red on its left half and blue on its right one, with an EXIF
// orientation.
func photo(t *testing.T, width, height int, orientation uint16) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			c := color.NRGBA{R: 0xff, A: 0xff}
			if x >= width/2 {
				c = color.NRGBA{B: 0xff, A: 0xff}
			}
			m.SetNRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	exif := []byte("Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01")
	exif = binary.BigEndian.AppendUint16(exif, orientation)
	exif = append(exif, 0, 0, 0, 0, 0, 0)
	header := binary.BigEndian.AppendUint16([]byte("\xff\xd8\xff\xe1"), uint16(len(exif)+2))
	return append(append(header, exif...), b.Bytes()[2:]...)
}

// What is small stays as it is; what is large is made smaller and stands upright.
func TestFit(t *testing.T) {
	t.Parallel()
	small := photo(t, 40, 20, 6)
	if p, err := Fit(t.Context(), small); err != nil || !bytes.Equal(p.Content, small) || p.Width != 40 {
		t.Errorf("a small one became %d × %d, %v", p.Width, p.Height, err)
	}
	for orientation, corners := range map[uint16]string{1: "rbrb", 2: "brbr", 3: "brbr", 4: "rbrb", 5: "rrbb", 6: "rrbb", 7: "bbrr", 8: "bbrr"} {
		p, err := Fit(t.Context(), photo(t, 2000, 1000, orientation))
		if err != nil {
			t.Fatal(err)
		}
		m, err := jpeg.Decode(bytes.NewReader(p.Content))
		if err != nil || max(p.Width, p.Height) != maxSide || m.Bounds().Dx() != p.Width || (p.Width < p.Height) != (orientation > 4) {
			t.Fatalf("orientation %d: %d × %d, %v", orientation, p.Width, p.Height, err)
		}
		seen := ""
		for _, at := range []image.Point{{5, 5}, {p.Width - 5, 5}, {5, p.Height - 5}, {p.Width - 5, p.Height - 5}} {
			if r, _, b, _ := m.At(at.X, at.Y).RGBA(); r > b {
				seen += "r"
			} else {
				seen += "b"
			}
		}
		if seen != corners {
			t.Errorf("orientation %d: its corners are %s, want %s", orientation, seen, corners)
		}
	}
	var moving bytes.Buffer
	if err := gif.Encode(&moving, image.NewPaletted(image.Rect(0, 0, 9, 5), color.Palette{color.Black}), nil); err != nil {
		t.Fatal(err)
	}
	if p, err := Fit(t.Context(), moving.Bytes()); err != nil || p.Width != 9 || !bytes.HasPrefix(p.Content, []byte("\x89PNG")) {
		t.Errorf("a GIF became %d × %d, %v", p.Width, p.Height, err)
	}
	var clear bytes.Buffer
	if err := png.Encode(&clear, image.NewNRGBA(image.Rect(0, 0, 3000, 10))); err != nil {
		t.Fatal(err)
	}
	if p, err := Fit(t.Context(), clear.Bytes()); err != nil || p.Width != maxSide || p.Height != 5 || !bytes.HasPrefix(p.Content, []byte("\x89PNG")) {
		t.Errorf("a transparent one became %d × %d, %v", p.Width, p.Height, err)
	}
}

// What says that it is huge is not decoded, and what is broken is told.
func TestFitRefuses(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewNRGBA(image.Rect(0, 0, 2000, 1))); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func([]byte) []byte{
		"too large": func(all []byte) []byte {
			binary.BigEndian.PutUint32(all[16:], 1<<20)
			binary.BigEndian.PutUint32(all[20:], 1<<20)
			return withSum(all)
		},
		"broken":    func(all []byte) []byte { return all[:len(all)/2] },
		"is broken": func([]byte) []byte { return append(photo(t, 40, 20, 1), bytes.Repeat([]byte{0xff, 0xda}, maxScans)...) },
	} {
		if _, err := Fit(t.Context(), change(bytes.Clone(b.Bytes()))); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, exif := range [][]byte{{0xff, 0xd8}, []byte("\xff\xd8\xff\xe1\x00\x02"), []byte("\xff\xd8\xff\xe1\x00\x10Exif\x00\x00II*\x00\xff\xff\xff\xff"), []byte("\xff\xd8\xff\xe1\xff\xff"), []byte("\xff\xd8\xff\xd0\x00\x00\xff\xe0\x00\x10")} {
		if got := orientation(exif); got != 0 {
			t.Errorf("%q: orientation %d", exif, got)
		}
	}
}

// withSum mends the checksum of a PNG's header.
func withSum(all []byte) []byte {
	binary.BigEndian.PutUint32(all[29:], crc32.ChecksumIEEE(all[12:29]))
	return all
}
