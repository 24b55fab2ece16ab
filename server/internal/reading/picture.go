package reading

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // their sizes are told
	"image/jpeg"
	"image/png"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // likewise
)

// Limits of pictures that models are given.
const (
	// maxSide is the longest side in pixels: providers make more of it smaller themselves.
	maxSide = 1568
	// maxPicture is the most bytes: Anthropic takes 5 MiB in base64.
	maxPicture = 3500 << 10
	// maxDecoded is the most memory that decoding may take, in bytes, as far as the header
	// tells; one image is decoded at a time.
	maxDecoded = 300 << 20
	// maxScans is how often a JPEG may go over its picture.
	maxScans = 64
	quality  = 85
)

// picture tells how large an image is, and keeps it for those who see.
func (*Reader) picture(_ context.Context, all []byte, _ int) (Text, error) {
	c, kind, err := image.DecodeConfig(bytes.NewReader(all))
	if err != nil {
		return unread("It is an image that is broken."), nil //nolint:nilerr // as the text says
	}
	t := unread("It is an image (%s, %d × %d), which is not given as text.", kind, c.Width, c.Height)
	t.Width, t.Height, t.Image = c.Width, c.Height, all
	return t, nil
}

// Picture is an image as a model that sees takes it: PNG, JPEG, GIF or WebP.
type Picture struct {
	Content       []byte
	Width, Height int
}

// PictureTokens estimates what a picture of so many pixels takes of a model's window, as
// Anthropic counts it.
func PictureTokens(width, height int) int { return max(1, width*height/750) }

// decoding is held by whoever decodes an image, which takes memory.
var decoding = make(chan struct{}, 1) //nolint:gochecknoglobals // of the process

// Fit makes a picture of an image. One that is small enough stays as it is, but for a GIF,
// which not all providers take; any other is made smaller, upright, as JPEG, or as PNG if it
// is transparent. The error says what is wrong with the image, or is the context's.
func Fit(ctx context.Context, all []byte) (Picture, error) {
	c, kind, err := image.DecodeConfig(bytes.NewReader(all))
	if err != nil {
		return Picture{}, errBroken
	}
	if most := maxDecoded / bytesPerPixel(kind, c.ColorModel, all); c.Width > most || c.Height > most || c.Width*c.Height > most {
		return Picture{}, fmt.Errorf("it is an image of %d × %d pixels, which is too large to be read", c.Width, c.Height)
	}
	if kind == "jpeg" && bytes.Count(all, []byte{0xff, 0xda}) > maxScans {
		return Picture{}, errBroken
	}
	select {
	case decoding <- struct{}{}:
		defer func() { <-decoding }()
	case <-ctx.Done():
		return Picture{}, context.Cause(ctx)
	}
	full, _, err := image.Decode(bytes.NewReader(all))
	fits := max(c.Width, c.Height) <= maxSide && len(all) <= maxPicture
	switch {
	case err != nil:
		return Picture{}, errBroken
	case fits && kind != "gif":
		return Picture{all, c.Width, c.Height}, nil
	}
	small := image.NewNRGBA(shrunk(c.Width, c.Height))
	draw.ApproxBiLinear.Scale(small, small.Bounds(), full, full.Bounds(), draw.Src, nil)
	if kind == "jpeg" {
		small = upright(small, orientation(all))
	}
	var out bytes.Buffer
	if small.Opaque() && kind != "gif" {
		err = jpeg.Encode(&out, small, &jpeg.Options{Quality: quality})
	} else {
		err = png.Encode(&out, small)
	}
	if err == nil && out.Len() > maxPicture {
		err = fmt.Errorf("it is an image of more than %d KiB, also when it is made smaller", maxPicture>>10)
	}
	return Picture{out.Bytes(), small.Rect.Dx(), small.Rect.Dy()}, err
}

var errBroken = errors.New("it is an image that is broken")

// bytesPerPixel is about what decoding takes for a pixel: a progressive JPEG is gathered as
// numbers before it is a picture, an interlaced PNG is there twice.
func bytesPerPixel(kind string, model color.Model, all []byte) int {
	switch kind {
	case "jpeg":
		if bytes.Contains(all, []byte{0xff, 0xc2}) { // the frame of a progressive one
			return 24
		}
		return 4
	case "png":
		n := 4
		if model == color.RGBA64Model || model == color.NRGBA64Model || model == color.Gray16Model {
			n = 8
		}
		if interlaced := all[min(28, len(all)-1)] != 0; interlaced { // the last byte of the header
			n *= 2
		}
		return n
	default:
		return 8
	}
}

// shrunk is a rectangle of the same form whose longest side is at most maxSide.
func shrunk(width, height int) image.Rectangle {
	long := max(width, height)
	side := func(n int) int { return max(1, n*min(maxSide, long)/long) }
	return image.Rect(0, 0, side(width), side(height))
}

// upright turns an image as its EXIF orientation says, from 1 to 8.
func upright(from *image.NRGBA, orientation int) *image.NRGBA {
	if orientation <= 1 || orientation > 8 {
		return from
	}
	w, h := from.Rect.Dx(), from.Rect.Dy()
	size := image.Rect(0, 0, w, h)
	if orientation > 4 {
		size = image.Rect(0, 0, h, w)
	}
	to := image.NewNRGBA(size)
	for y := range h {
		for x := range w {
			tx, ty := x, y
			switch orientation {
			case 2:
				tx = w - 1 - x
			case 3:
				tx, ty = w-1-x, h-1-y
			case 4:
				ty = h - 1 - y
			case 5:
				tx, ty = y, x
			case 6:
				tx, ty = h-1-y, x
			case 7:
				tx, ty = h-1-y, w-1-x
			case 8:
				tx, ty = y, w-1-x
			}
			to.SetNRGBA(tx, ty, from.NRGBAAt(x, y))
		}
	}
	return to
}

// orientation finds the orientation in a JPEG's EXIF header (CIPA DC-008, tag 0x0112); 0
// for none.
func orientation(jpeg []byte) int {
	for rest := jpeg[2:]; len(rest) > 4 && rest[0] == 0xff; {
		size := int(binary.BigEndian.Uint16(rest[2:])) + 2
		if size < 4 || size > len(rest) || rest[1] == 0xda { // the image itself begins
			return 0
		}
		if tiff, is := bytes.CutPrefix(rest[4:size], []byte("Exif\x00\x00")); is && rest[1] == 0xe1 {
			return tiffOrientation(tiff)
		}
		rest = rest[size:]
	}
	return 0
}

func tiffOrientation(tiff []byte) int {
	if len(tiff) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.BigEndian
	if string(tiff[:2]) == "II" {
		order = binary.LittleEndian
	}
	at := uint64(order.Uint32(tiff[4:]))
	if at+2 > uint64(len(tiff)) {
		return 0
	}
	const entry, tag = 12, 0x0112
	for i := range uint64(order.Uint16(tiff[at:])) {
		from := at + 2 + i*entry
		if from+entry > uint64(len(tiff)) {
			return 0
		}
		if order.Uint16(tiff[from:]) == tag {
			return int(order.Uint16(tiff[from+8:]))
		}
	}
	return 0
}
