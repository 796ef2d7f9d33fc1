package dataset

import (
	"bytes"
	"cmp"
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
	"path/filepath"
	"slices"
	"sync"
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
	file bytes.Buffer
	raw  []byte
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
func (p photoPlan) fit(src picture, b *photoBuffer) picture {
	h, w, part := p.kept(src.h, src.w)
	if part == whole(src) && h == src.h && w == src.w {
		return src
	}
	b.kept = grow(b.kept, p.Channels*h*w)
	dst := picture{b.kept, h, w}
	b.rs.resize(dst, src, p.Channels, part)
	return dst
}

// headerBytes is enough of a file for DecodeConfig of nearly all files: metadata such as
// thumbnails comes before the size of a JPEG. Where it is not, the whole file is read.
const headerBytes = 1 << 12

// readHead reads the header of an image file. The error is of reading; what is wrong
// with the image is in photoHead.bad.
func readHead(file string) (photoHead, error) {
	f, err := openFile(file)
	var bad *FormatError
	if errors.As(err, &bad) {
		return photoHead{bad: bad}, nil
	}
	if err != nil {
		return photoHead{}, err
	}
	defer f.Close()
	start := make([]byte, headerBytes)
	n, err := io.ReadFull(f, start)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return photoHead{}, err
	}
	start = start[:n]
	config, err := decodeConfig(io.MultiReader(bytes.NewReader(start), f), start)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			return photoHead{}, err
		}
		return photoHead{bad: photoFault(file, err)}, nil
	}
	if bad := checkSize(file, config); bad != nil {
		return photoHead{bad: bad}, nil
	}
	gray := config.ColorModel == color.GrayModel || config.ColorModel == color.Gray16Model
	return photoHead{h: config.Height, w: config.Width, gray: gray}, nil
}

// checkSize refuses what would take too much memory to decode; nil if it is all right.
func checkSize(file string, c image.Config) *FormatError {
	perPixel := 4
	switch c.ColorModel {
	case color.GrayModel:
		perPixel = 1
	case color.Gray16Model:
		perPixel = 2
	case color.YCbCrModel:
		perPixel = 3
	case color.RGBA64Model, color.NRGBA64Model:
		perPixel = 8
	}
	if c.Width < 1 || c.Height < 1 || c.Width > maxPhotoBytes/perPixel/c.Height {
		return &FormatError{file, -1, fmt.Sprintf("image of %d×%d pixels: decoded it takes more than %d MiB", c.Height, c.Width, maxPhotoBytes>>20)}
	}
	return nil
}

var errNotImage = errors.New("neither JPEG nor PNG")

func isJPEG(start []byte) bool { return bytes.HasPrefix(start, []byte("\xff\xd8")) }
func isPNG(start []byte) bool  { return bytes.HasPrefix(start, []byte("\x89PNG\r\n\x1a\n")) }

func decodeConfig(r io.Reader, start []byte) (image.Config, error) {
	switch {
	case isJPEG(start):
		return jpeg.DecodeConfig(r)
	case isPNG(start):
		return png.DecodeConfig(r)
	case len(start) == 0:
		return image.Config{}, errors.New("the file is empty")
	}
	return image.Config{}, errNotImage
}

// photoFault says what a decoder's error means for a file.
func photoFault(file string, err error) *FormatError {
	reason := err.Error()
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		reason = "truncated image"
	}
	return &FormatError{file, -1, reason}
}

// readPhoto decodes an image file to [channels,h,w]. The error is a *FormatError if the
// image is damaged.
func readPhoto(file string, channels int, b *photoBuffer) (picture, error) {
	f, err := openFile(file)
	if err != nil {
		return picture{}, err
	}
	b.file.Reset()
	_, err = b.file.ReadFrom(io.LimitReader(f, maxPhotoFile))
	if err = errors.Join(err, f.Close()); err != nil {
		return picture{}, err
	}
	data := b.file.Bytes()
	config, err := decodeConfig(bytes.NewReader(data), data)
	if err != nil {
		return picture{}, photoFault(file, err)
	}
	if bad := checkSize(file, config); bad != nil {
		return picture{}, bad
	}
	var img image.Image
	if isJPEG(data) {
		img, err = jpeg.Decode(bytes.NewReader(data))
	} else {
		img, err = png.Decode(bytes.NewReader(data))
	}
	if err != nil {
		return picture{}, photoFault(file, err)
	}
	size := img.Bounds().Size()
	b.raw = grow(b.raw, channels*size.X*size.Y)
	p := picture{b.raw, size.Y, size.X}
	planar(p, img, channels)
	return p, nil
}

// planar copies the pixels of img. Transparency is ignored: the colour below it counts,
// as with Pillow. Of 16-bit channels the high byte is kept.
func planar(dst picture, img image.Image, channels int) {
	at := img.Bounds().Min
	n := dst.h * dst.w
	if channels == 1 {
		for y := range dst.h {
			row := dst.pix[y*dst.w : (y+1)*dst.w]
			if g, ok := img.(*image.Gray); ok {
				copy(row, g.Pix[g.PixOffset(at.X, at.Y+y):])
				continue
			}
			for x := range row {
				c := color.NRGBAModel.Convert(img.At(at.X+x, at.Y+y)).(color.NRGBA)
				row[x] = grey(c.R, c.G, c.B)
			}
		}
		return
	}
	red, green, blue := dst.pix[:n], dst.pix[n:2*n], dst.pix[2*n:3*n]
	for y := range dst.h {
		i := y * dst.w
		r, g, b := red[i:i+dst.w], green[i:i+dst.w], blue[i:i+dst.w]
		switch m := img.(type) {
		case *image.YCbCr:
			for x := range r {
				j, k := m.YOffset(at.X+x, at.Y+y), m.COffset(at.X+x, at.Y+y)
				r[x], g[x], b[x] = color.YCbCrToRGB(m.Y[j], m.Cb[k], m.Cr[k])
			}
		case *image.Gray:
			copy(r, m.Pix[m.PixOffset(at.X, at.Y+y):])
			copy(g, r)
			copy(b, r)
		case *image.NRGBA:
			line := m.Pix[m.PixOffset(at.X, at.Y+y):]
			for x := range r {
				r[x], g[x], b[x] = line[4*x], line[4*x+1], line[4*x+2]
			}
		case *image.RGBA: // the decoder of PNG makes it of images without alpha only
			line := m.Pix[m.PixOffset(at.X, at.Y+y):]
			for x := range r {
				r[x], g[x], b[x] = line[4*x], line[4*x+1], line[4*x+2]
			}
		default:
			for x := range r {
				c := color.NRGBAModel.Convert(img.At(at.X+x, at.Y+y)).(color.NRGBA)
				r[x], g[x], b[x] = c.R, c.G, c.B
			}
		}
	}
}

// photoDecoder reads images that are not kept decoded.
type photoDecoder struct {
	root    string
	plan    photoPlan
	allowed int // damaged images that are tolerated

	mu     sync.Mutex
	faults map[string]*FormatError // by file
}

func (d *photoDecoder) read(file string, b *photoBuffer) (picture, error) {
	p, err := readPhoto(filepath.Join(d.root, file), d.plan.Channels, b)
	if err != nil {
		return picture{}, err
	}
	return d.plan.fit(p, b), nil
}

// tolerate notes a damaged image. It returns nil as long as there are not too many.
func (d *photoDecoder) tolerate(e *FormatError) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.faults == nil {
		d.faults = map[string]*FormatError{}
	}
	d.faults[e.File] = e
	if len(d.faults) > d.allowed {
		return fmt.Errorf("%d damaged images, more than the %d that are tolerated; the last one: %w", len(d.faults), d.allowed, e)
	}
	return nil
}

// damaged lists the images noted so far, by name.
func (d *photoDecoder) damaged() []*FormatError {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.SortedFunc(maps.Values(d.faults), func(a, b *FormatError) int { return cmp.Compare(a.File, b.File) })
}
