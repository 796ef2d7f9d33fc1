package dataset

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"io"

	"golang.org/x/image/webp"
)

// Where a WebP says what it is (RFC 9649, 2.4 and 2.7).
const (
	webpChunk, webpFlags = 12, 20
	webpAnimated         = 1 << 1 // of the flags of an extended file
)

func isWebP(start []byte) bool {
	return len(start) >= webpChunk && bytes.HasPrefix(start, []byte("RIFF")) && string(start[8:webpChunk]) == "WEBP"
}

var errAnimated = errors.New("an animation, of which no image is read")

// webpConfig is DecodeConfig of a WebP. Of an extended file it is not known yet whether the image is a lossy or a
// lossless one, which takes more.
func webpConfig(r io.Reader, start []byte) (image.Config, error) {
	extended := bytes.HasPrefix(start[webpChunk:], []byte("VP8X"))
	if extended && len(start) > webpFlags && start[webpFlags]&webpAnimated != 0 {
		return image.Config{}, errAnimated
	}
	c, err := webp.DecodeConfig(r)
	if extended {
		c.ColorModel = color.NRGBAModel
	}
	return c, err
}

// webpBytes is decodingBytes of a WebP: planes of a lossy image, with chroma at half the size, in whole macroblocks; of a
// lossless one the pixels and those under its last transform; of an extended one these for its transparency, and planes.
func webpBytes(c image.Config, pixels int64) int64 {
	if c.ColorModel == color.YCbCrModel {
		return 2 * pixels
	}
	return 8 * pixels
}

// decodeWebP is webp.Decode with the colours of lossy images as libwebp has them.
func decodeWebP(r io.Reader) (image.Image, error) {
	img, err := webp.Decode(r)
	switch m := img.(type) {
	case *image.YCbCr:
		return video{m}, err
	case *image.NYCbCrA:
		return video{&m.YCbCr}, err // transparency is ignored
	}
	return img, err
}

// video is an image whose luma and chroma have the range of video, from 16 to 235 and 240, as those of VP8 have, and not
// that of JPEG.
type video struct{ *image.YCbCr }

func (video) ColorModel() color.Model { return color.RGBAModel }

// At implements image.Image.
func (v video) At(x, y int) color.Color {
	r, g, b := v.rgb(x, y)
	return color.RGBA{r, g, b, 0xff}
}

// rgb converts a pixel in the integer arithmetic of libwebp (src/dsp/yuv.h).
func (v video) rgb(x, y int) (r, g, b uint8) {
	j, k := v.YOffset(x, y), v.COffset(x, y)
	luma, cb, cr := 19077*int(v.Y[j])>>8, int(v.Cb[k]), int(v.Cr[k])
	clip := func(x int) uint8 { return uint8(min(max(x>>6, 0), 255)) }
	return clip(luma + 26149*cr>>8 - 14234), clip(luma - 6419*cb>>8 - 13320*cr>>8 + 8708), clip(luma + 33050*cb>>8 - 17685)
}
