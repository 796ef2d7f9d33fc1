package dataset

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"maps"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/semaphore"
)

const (
	maxAspect = 4 // of longer photographs the middle is kept

	// An image that claims to need more memory than this to decode is refused as
	// damaged: a JPEG of 64 million pixels, a PNG of 48 million.
	maxPhotoBytes = 192 << 20
	maxPhotoFile  = 256 << 20 // bytes of a file
	// Evaluation resizes the shorter side to 256 for a crop of 224 (DDS, appendix).
	sideOver, sideUnder = 256, 224
)

// photoPlan is the form that the images of a folder are brought into; the training
// images decide it.
type photoPlan struct {
	Channels int  `json:"channels"`
	Height   int  `json:"height"` // of the images handed out
	Width    int  `json:"width"`
	Side     int  `json:"side"` // shorter side of the images kept; 0: they have Height×Width
	Photos   bool `json:"photos"`
}

// photoHead is what the header of an image file says.
type photoHead struct {
	h, w int
	gray bool
	bad  *FormatError
}

// photoBuffer is the memory in which one goroutine decodes images.
type photoBuffer struct {
	in   *bufio.Reader
	kept []byte
	rs   resizer
}

// kept is the size at which an image of h×w is kept, and the part of it that is.
func (p photoPlan) kept(h, w int) (int, int, box) {
	if p.Side == 0 {
		return p.Height, p.Width, box{0, 0, float64(h), float64(w)}
	}
	b := box{0, 0, float64(h), float64(w)}
	if h > maxAspect*w {
		h = maxAspect * w
		b.top += math.Floor((b.bottom - float64(h)) / 2)
		b.bottom = b.top + float64(h)
	}
	if w > maxAspect*h {
		w = maxAspect * h
		b.left += math.Floor((b.right - float64(w)) / 2)
		b.right = b.left + float64(w)
	}
	if h < w {
		return p.Side, p.Side * w / h, b
	}
	return p.Side * h / w, p.Side, b
}

// fit brings a decoded image into the form of the plan.
func (p photoPlan) fit(img image.Image, b *photoBuffer) picture {
	size := img.Bounds().Size()
	h, w, part := p.kept(size.Y, size.X)
	b.kept = grow(b.kept, p.Channels*h*w)
	dst := picture{b.kept, h, w}
	if part != (box{0, 0, float64(size.Y), float64(size.X)}) || h != size.Y || w != size.X {
		b.rs.resizeImage(dst, img, p.Channels, part)
		return dst
	}
	line := grow(b.rs.line, p.Channels*w)
	b.rs.line = line
	for y := range h {
		planarLine(line, img, y, p.Channels)
		for c := range p.Channels {
			copy(dst.pix[(c*h+y)*w:(c*h+y+1)*w], line[c*w:])
		}
	}
	return dst
}

// headerBytes is enough of a file for DecodeConfig of nearly all files: metadata such as
// thumbnails comes before the size of a JPEG. Where it is not, the whole file is read.
const headerBytes = 1 << 12

// readHead reads the header of an image file. The error is of reading; what is wrong
// with the image is in photoHead.bad.
func readHead(file string) (photoHead, error) {
	in, err := openImage(file)
	var bad *FormatError
	if errors.As(err, &bad) {
		return photoHead{bad: bad}, nil
	}
	if err != nil {
		return photoHead{}, err
	}
	defer in.Close()
	return headOf(in, in)
}

// headOf is readHead of an image whose bytes r gives.
func headOf(r io.Reader, in encoded) (photoHead, error) {
	start := make([]byte, headerBytes)
	n, err := io.ReadFull(r, start)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return photoHead{}, err
	}
	start = start[:n]
	config, err := decodeConfig(io.MultiReader(bytes.NewReader(start), r), start)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			return photoHead{}, err
		}
		return photoHead{bad: photoFault(in, err)}, nil
	}
	if bad := checkSize(in, config); bad != nil {
		return photoHead{bad: bad}, nil
	}
	gray := config.ColorModel == color.GrayModel || config.ColorModel == color.Gray16Model
	return photoHead{h: config.Height, w: config.Width, gray: gray}, nil
}

// checkSize refuses what would take too much memory to decode; nil if it is all right.
func checkSize(in encoded, c image.Config) *FormatError {
	if c.Width < 1 || c.Height < 1 || c.Width > maxPhotoBytes/pixelBytes(c)/c.Height {
		return in.fault(fmt.Sprintf("image of %d×%d pixels: decoded it takes more than %d MiB", c.Height, c.Width, maxPhotoBytes>>20))
	}
	return nil
}

// pixelBytes is what a decoded pixel takes at most.
func pixelBytes(c image.Config) int {
	switch c.ColorModel {
	case color.GrayModel:
		return 1
	case color.Gray16Model:
		return 2
	case color.YCbCrModel:
		return 3
	case color.RGBA64Model, color.NRGBA64Model:
		return 8
	}
	return 4
}

// decodingBytes is about what the decoders hold at most of an image; start is the beginning of its file.
func decodingBytes(c image.Config, start []byte) int64 {
	pixels := int64(c.Width) * int64(c.Height)
	switch {
	case isJPEG(start):
		return jpegBytes(start, pixels)
	case isWebP(start):
		return webpBytes(c, pixels)
	}
	bytes := pixels * int64(pixelBytes(c))
	if len(start) > pngInterlace && start[pngInterlace] != 0 {
		bytes += bytes / 2 // the last of the passes, which are images of their own
	}
	return bytes
}

const pngInterlace = 28 // offset of the interlace method in a PNG (PNG specification, 11.2.1)

// jpegBytes is decodingBytes of a JPEG. A byte per sample, of which the frame header tells how many there are
// (ITU-T T.81, B.2.2); a progressive one has 32-bit coefficients of all of them besides.
func jpegBytes(start []byte, pixels int64) int64 {
	const sequential, extended, progressive, coefficients = 0xc0, 0xc1, 0xc2, 4
	worst := 3 * (1 + coefficients) * pixels // the frame header is not in start
	for i := 2; i+10 <= len(start) && start[i] == 0xff; {
		switch marker := start[i+1]; marker {
		case 0xff: // fill
			i++
			continue
		case sequential, extended, progressive:
			components := start[i+10:]
			if n := 3 * int(start[i+9]); n <= len(components) {
				components = components[:n]
			}
			samples, most := 0, 1
			for ; len(components) >= 3; components = components[3:] {
				n := int(components[1]>>4) * int(components[1]&15)
				samples, most = samples+n, max(most, n)
			}
			bytes := pixels * int64(samples) / int64(most)
			if marker == progressive {
				bytes *= 1 + coefficients
			}
			return min(bytes, worst)
		}
		i += 2 + int(binary.BigEndian.Uint16(start[i+2:]))
	}
	return worst
}

var errNotImage = errors.New("neither JPEG, PNG nor WebP")

func isJPEG(start []byte) bool { return bytes.HasPrefix(start, []byte("\xff\xd8")) }
func isPNG(start []byte) bool  { return bytes.HasPrefix(start, []byte("\x89PNG\r\n\x1a\n")) }

func decodeConfig(r io.Reader, start []byte) (image.Config, error) {
	switch {
	case isJPEG(start):
		return jpeg.DecodeConfig(r)
	case isPNG(start):
		return png.DecodeConfig(r)
	case isWebP(start):
		return webpConfig(r, start)
	case len(start) == 0:
		return image.Config{}, errors.New("the file is empty")
	}
	return image.Config{}, errNotImage
}

// photoFault says what a decoder's error means for an image.
func photoFault(in encoded, err error) *FormatError {
	reason := err.Error()
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		reason = "truncated image"
	}
	return in.fault(reason)
}

// photoSource reads an image as far as maxPhotoFile, and stops a decoder when ctx is cancelled.
type photoSource struct {
	ctx  context.Context
	in   encoded
	left int
	err  error // of reading, which is not the image's fault
}

func (s *photoSource) Read(b []byte) (int, error) {
	if s.err = s.ctx.Err(); s.err != nil {
		return 0, s.err
	}
	if s.left == 0 {
		return 0, io.EOF
	}
	n, err := s.in.Read(b[:min(len(b), s.left)])
	s.left -= n
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// rewind lets in read the file from its beginning, which it returns, valid until in is read. The errors
// of reading come again with those of decoding.
func (s *photoSource) rewind(in *bufio.Reader) (start []byte, err error) {
	if _, err := s.in.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	s.left = maxPhotoFile
	in.Reset(s)
	start, _ = in.Peek(in.Size())
	return start, nil
}

// fault is what an error of decoding means.
func (s *photoSource) fault(err error) error {
	if s.err != nil {
		return s.err
	}
	bad := photoFault(s.in, err)
	if s.left == 0 {
		bad.Reason += fmt.Sprintf(" (of files of more than %d MiB no more is read)", maxPhotoFile>>20)
	}
	return bad
}

// newPhotoMemory is what the goroutines that decode the images of a data set share: together they hold
// about as much as one image may need.
func newPhotoMemory() *semaphore.Weighted { return semaphore.NewWeighted(maxPhotoBytes) }

// largePhoto is the size in bytes from which decoded images are collected at once: left to its own, the
// garbage collector lets a few of them gather before it runs. Decoding one takes far longer than collecting.
const largePhoto = 16 << 20

// readPhoto decodes image i into the form of the plan. The error is a *FormatError if the
// image is damaged. The picture is valid until the next use of b.
func readPhoto(ctx context.Context, images imageList, i int, plan photoPlan, memory *semaphore.Weighted, b *photoBuffer) (picture, error) {
	in, err := images.open(i)
	if err != nil {
		return picture{}, err
	}
	defer in.Close()
	return decodePhoto(ctx, in, plan, memory, b)
}

// decodePhoto is readPhoto of an open image.
func decodePhoto(ctx context.Context, in encoded, plan photoPlan, memory *semaphore.Weighted, b *photoBuffer) (picture, error) {
	if b.in == nil {
		b.in = bufio.NewReaderSize(nil, 1<<16) // nearly always as far as the frame header of a JPEG
	}
	src := &photoSource{ctx: ctx, in: in}
	start, err := src.rewind(b.in)
	if err != nil {
		return picture{}, err
	}
	config, err := decodeConfig(b.in, start)
	if err != nil {
		return picture{}, src.fault(err)
	}
	if bad := checkSize(in, config); bad != nil {
		return picture{}, bad
	}
	if start, err = src.rewind(b.in); err != nil {
		return picture{}, err
	}
	need := min(decodingBytes(config, start), maxPhotoBytes)
	if err := memory.Acquire(ctx, need); err != nil {
		return picture{}, err
	}
	defer memory.Release(need)
	if need >= largePhoto {
		defer runtime.GC()
	}
	decode := png.Decode
	switch {
	case isJPEG(start):
		decode = jpeg.Decode
	case isWebP(start):
		decode = decodeWebP
	}
	img, err := decode(b.in)
	if err != nil {
		return picture{}, src.fault(err)
	}
	return plan.fit(img, b), nil
}

// planarLine copies the pixels of line y of img to [channels,width]. Transparency is ignored: the colour
// below it counts, as with Pillow. Of 16-bit channels the high byte is kept.
func planarLine(dst []byte, img image.Image, y, channels int) {
	at := img.Bounds().Min
	y += at.Y
	if channels == 1 {
		if g, ok := img.(*image.Gray); ok {
			copy(dst, g.Pix[g.PixOffset(at.X, y):])
			return
		}
		for x := range dst {
			c := color.NRGBAModel.Convert(img.At(at.X+x, y)).(color.NRGBA)
			dst[x] = grey(c.R, c.G, c.B)
		}
		return
	}
	w := len(dst) / 3
	r, g, b := dst[:w], dst[w:2*w], dst[2*w:]
	switch m := img.(type) {
	case *image.YCbCr:
		for x := range r {
			j, k := m.YOffset(at.X+x, y), m.COffset(at.X+x, y)
			r[x], g[x], b[x] = color.YCbCrToRGB(m.Y[j], m.Cb[k], m.Cr[k])
		}
	case video:
		for x := range r {
			r[x], g[x], b[x] = m.rgb(at.X+x, y)
		}
	case *image.Gray:
		copy(r, m.Pix[m.PixOffset(at.X, y):])
		copy(g, r)
		copy(b, r)
	case *image.NRGBA:
		line := m.Pix[m.PixOffset(at.X, y):]
		for x := range r {
			r[x], g[x], b[x] = line[4*x], line[4*x+1], line[4*x+2]
		}
	case *image.RGBA: // the decoder of PNG makes it of images without alpha only
		line := m.Pix[m.PixOffset(at.X, y):]
		for x := range r {
			r[x], g[x], b[x] = line[4*x], line[4*x+1], line[4*x+2]
		}
	default:
		for x := range r {
			c := color.NRGBAModel.Convert(img.At(at.X+x, y)).(color.NRGBA)
			r[x], g[x], b[x] = c.R, c.G, c.B
		}
	}
}

// photoDecoder reads images that are not kept decoded.
type photoDecoder struct {
	images  imageList
	plan    photoPlan
	memory  *semaphore.Weighted
	allowed int // damaged images that are tolerated

	mu     sync.Mutex
	faults map[string]*FormatError // by what they say
}

func (d *photoDecoder) read(i int, b *photoBuffer) (picture, error) {
	return readPhoto(context.Background(), d.images, i, d.plan, d.memory, b)
}

// tolerate notes a damaged image. It returns nil as long as there are not too many.
func (d *photoDecoder) tolerate(e *FormatError) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.faults == nil {
		d.faults = map[string]*FormatError{}
	}
	d.faults[e.Error()] = e
	if len(d.faults) > d.allowed {
		return fmt.Errorf("%d damaged images, more than the %d that are tolerated; the last one: %w", len(d.faults), d.allowed, e)
	}
	return nil
}

// damaged lists the images noted so far, by place.
func (d *photoDecoder) damaged() []*FormatError {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.SortedFunc(maps.Values(d.faults), func(a, b *FormatError) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Reason, b.Reason))
	})
}
