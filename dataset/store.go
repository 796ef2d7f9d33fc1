package dataset

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
)

// A store is the decoded images of one part of a data set, in one block of bytes that is
// a mapped file or memory:
//
//	"NSDATA01"
//	pixels of the images, each [C,H,W] bytes
//	labels   n × uint16
//	sizes    n × (offset uint64, height, width uint32), only where sizes vary
//	moments  summed × C × (sum uint64, sum of squares uint64) of the pixel bytes
//	header   JSON
//	offset of the labels uint64, of the header uint64, CRC-32C of labels to header uint32, 4 zero bytes, "NSDATA01"
//
// All numbers are little-endian. What is needed to read it comes last, so that it is
// written in one pass and a file that was cut short is recognised. The checksum covers
// what is indexed with; the pixels are as good as the disk.
const (
	storeMagic  = "NSDATA01"
	storeFooter = 8 + 8 + 4 + 4 + 8
	sizeEntry   = 8 + 4 + 4
	momentEntry = 8 + 8
	maxClasses  = 1 << 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// storeHeader is what a store knows of itself.
type storeHeader struct {
	Source   string         `json:"source"` // fingerprint of the files it was made of
	Images   int            `json:"images"`
	Channels int            `json:"channels"`
	Height   int            `json:"height,omitempty"` // of every image; 0: they vary
	Width    int            `json:"width,omitempty"`
	Summed   int            `json:"summed"`            // images, from the first, with moments
	Kept     bool           `json:"kept"`              // pixels are here
	Plan     *photoPlan     `json:"plan,omitempty"`    // of images in folders
	Dropped  []int          `json:"dropped,omitempty"` // which of the files are damaged, in order
	Corrupt  []*FormatError `json:"corrupt,omitempty"` // and why
}

// store gives access to the images of one part.
type store struct {
	storeHeader
	data    []byte // the whole block
	labels  []byte
	sizes   []byte
	moment  []byte
	decoder *photoDecoder // reads images that are not kept
	places  []int32       // of images that are not kept, in the decoder's list
	unmap   func() error
}

func (s *store) len() int { return s.Images }

func (s *store) label(i int) int {
	return int(binary.LittleEndian.Uint16(s.labels[2*i:]))
}

func (s *store) mapped(unmap func() error) { s.unmap = unmap }

func (s *store) close() error {
	u, d := s.unmap, s.decoder
	s.unmap, s.decoder = nil, nil
	var err error
	if u != nil {
		err = u()
	}
	if d != nil {
		err = errors.Join(err, d.images.close())
	}
	return err
}

// picture is one image at its stored size.
type picture struct {
	pix  []byte // [C,height,width]; not to be written to
	h, w int
}

// at returns image i. What it returns is valid until the next use of b.
func (s *store) at(i int, b *photoBuffer) (picture, error) {
	if s.decoder != nil {
		return s.decoder.read(int(s.places[i]), b)
	}
	if s.sizes == nil {
		n := s.Channels * s.Height * s.Width
		at := len(storeMagic) + i*n
		return picture{s.data[at : at+n : at+n], s.Height, s.Width}, nil
	}
	e := s.sizes[i*sizeEntry:]
	at := int(binary.LittleEndian.Uint64(e))
	h, w := int(binary.LittleEndian.Uint32(e[8:])), int(binary.LittleEndian.Uint32(e[12:]))
	n := s.Channels * h * w
	return picture{s.data[at : at+n : at+n], h, w}, nil
}

// moments computes mean and standard deviation per channel of the first n images, or of
// as many of them as have sums, from values scaled to [0,1]. A deviation of 0 is given
// as 1, so that dividing by it does no harm.
func (s *store) moments(n int) (mean, std []float32, images int) {
	images = min(n, s.Summed)
	mean, std = make([]float32, s.Channels), make([]float32, s.Channels)
	for c := range mean {
		var sum, squares, count float64
		for i := range images {
			e := s.moment[(i*s.Channels+c)*momentEntry:]
			sum += float64(binary.LittleEndian.Uint64(e))
			squares += float64(binary.LittleEndian.Uint64(e[8:]))
			count += float64(s.pixels(i))
		}
		if count == 0 {
			std[c] = 1
			continue
		}
		m := sum / count
		v := math.Sqrt(max(squares/count-m*m, 0))
		if v == 0 {
			v = 255
		}
		mean[c], std[c] = float32(m/255), float32(v/255)
	}
	return mean, std, images
}

// pixels is the number of pixels of image i per channel.
func (s *store) pixels(i int) int {
	if s.sizes == nil {
		return s.Height * s.Width
	}
	e := s.sizes[i*sizeEntry:]
	return int(binary.LittleEndian.Uint32(e[8:])) * int(binary.LittleEndian.Uint32(e[12:]))
}

// parseStore makes a store of a block. source, if not empty, must be its fingerprint.
func parseStore(data []byte, source string) (*store, error) {
	fault := func(format string, args ...any) error { return fmt.Errorf("decoded images: "+format, args...) }
	s := &store{data: data}
	tables, rest, err := parseBlock(data, storeMagic, &s.storeHeader)
	if err != nil {
		return nil, fault("%w", err)
	}
	if source != "" && s.Source != source {
		return nil, fault("made of other files")
	}
	take := func(n int) []byte {
		if n < 0 || n > len(rest) {
			rest = nil
			return nil
		}
		b := rest[:n:n]
		rest = rest[n:]
		return b
	}
	s.labels = take(2 * s.Images)
	if s.Height == 0 {
		s.sizes = take(sizeEntry * s.Images)
	}
	s.moment = take(momentEntry * s.Summed * s.Channels)
	if rest == nil || len(rest) != 0 || s.Summed > s.Images {
		return nil, fault("tables are wrong")
	}
	if s.Kept {
		need := uint64(len(storeMagic))
		for i := range s.Images {
			if s.sizes != nil && binary.LittleEndian.Uint64(s.sizes[i*sizeEntry:]) != need {
				return nil, fault("sizes are wrong")
			}
			need += uint64(s.Channels) * uint64(s.pixels(i))
		}
		if need != tables {
			return nil, fault("pixels are missing")
		}
	}
	return s, nil
}

// parseBlock finds the tables of a block, which begin at byte at, and its header.
func parseBlock(data []byte, magic string, head any) (at uint64, tables []byte, err error) {
	if len(data) < len(magic)+storeFooter || string(data[:len(magic)]) != magic {
		return 0, nil, errors.New("another format")
	}
	f := data[len(data)-storeFooter:]
	if string(f[20:]) != "\x00\x00\x00\x00"+magic {
		return 0, nil, errors.New("cut short")
	}
	at, header := binary.LittleEndian.Uint64(f), binary.LittleEndian.Uint64(f[8:])
	end := uint64(len(data) - storeFooter)
	if at < uint64(len(magic)) || at > header || header > end {
		return 0, nil, errors.New("offsets are wrong")
	}
	if crc32.Checksum(data[at:end], castagnoli) != binary.LittleEndian.Uint32(f[16:]) {
		return 0, nil, errors.New("checksum is wrong")
	}
	return at, data[at:header], json.Unmarshal(data[header:end], head)
}

// blockWriter writes a block in one pass.
type blockWriter struct {
	w   *bufio.Writer
	err error // the first fault of the underlying writer
	at  uint64
}

func newBlockWriter(w io.Writer, magic string) blockWriter {
	b := blockWriter{w: bufio.NewWriterSize(w, 1<<18)}
	b.write([]byte(magic))
	return b
}

func (b *blockWriter) write(data []byte) {
	if b.err == nil {
		_, b.err = b.w.Write(data)
	}
	b.at += uint64(len(data))
}

// seal writes what comes last: tables and header.
func (b *blockWriter) seal(magic string, header any, tables ...[]byte) error {
	head, err := json.Marshal(header)
	if err != nil {
		return err
	}
	f := binary.LittleEndian.AppendUint64(nil, b.at)
	sum := crc32.New(castagnoli)
	for _, t := range tables {
		b.write(t)
		sum.Write(t)
	}
	f = binary.LittleEndian.AppendUint64(f, b.at)
	b.write(head)
	sum.Write(head)
	f = binary.LittleEndian.AppendUint32(f, sum.Sum32())
	f = append(f, 0, 0, 0, 0)
	b.write(append(f, magic...))
	if b.err == nil {
		b.err = b.w.Flush()
	}
	return b.err
}

// storeWriter writes a store in one pass: add for each image, then finish.
type storeWriter struct {
	blockWriter
	labels []byte
	sizes  []byte
	moment []byte
	header storeHeader
}

// newStoreWriter writes images of channels × h × w bytes, or of varied size where h is
// 0.
func newStoreWriter(w io.Writer, channels, h, width int) *storeWriter {
	s := &storeWriter{blockWriter: newBlockWriter(w, storeMagic)}
	s.header = storeHeader{Channels: channels, Height: h, Width: width, Kept: true}
	return s
}

// add appends an image of pixels [C,h,w].
func (s *storeWriter) add(label int, p picture) error {
	s.entry(label, p)
	s.sum(appendMoments(nil, p, s.header.Channels))
	s.write(p.pix)
	return s.err
}

// entry appends label and size alone.
func (s *storeWriter) entry(label int, p picture) {
	s.labels = binary.LittleEndian.AppendUint16(s.labels, uint16(label))
	if s.header.Height == 0 {
		s.sizes = binary.LittleEndian.AppendUint64(s.sizes, s.at)
		s.sizes = binary.LittleEndian.AppendUint32(s.sizes, uint32(p.h))
		s.sizes = binary.LittleEndian.AppendUint32(s.sizes, uint32(p.w))
	}
	s.header.Images++
}

// sum appends the moments of an image.
func (s *storeWriter) sum(moments []uint64) {
	for _, m := range moments {
		s.moment = binary.LittleEndian.AppendUint64(s.moment, m)
	}
	s.header.Summed++
}

// appendMoments appends the moments of an image: for each channel the sum of its pixels, and of their squares.
func appendMoments(dst []uint64, p picture, channels int) []uint64 {
	n := p.h * p.w
	for c := range channels {
		var sum, squares uint64
		for _, b := range p.pix[c*n : (c+1)*n] {
			v := uint64(b)
			sum += v
			squares += v * v
		}
		dst = append(dst, sum, squares)
	}
	return dst
}

// finish writes the tables. source is the fingerprint of the files.
func (s *storeWriter) finish(source string) error {
	s.header.Source = source
	return s.seal(storeMagic, s.header, s.labels, s.sizes, s.moment)
}

// buildFunc writes the block of a store or an index; memory says that w is memory of
// this process. Faults of w are returned as they are.
type buildFunc func(w io.Writer, source string, memory bool) error

// subset is a run of the images of a store, with the size they are handed out at.
type subset struct {
	s         *store
	from, to  int
	backwards bool // from the last to the first
	h, w      int
}

func (d *subset) Len() int { return d.to - d.from }

func (d *subset) Label(i int) int { return d.s.label(d.index(i)) }

func (d *subset) index(i int) int {
	if i < 0 || i >= d.to-d.from {
		panic(fmt.Sprintf("dataset: image %d of %d", i, d.to-d.from))
	}
	if d.backwards {
		return d.to - 1 - i
	}
	return d.from + i
}

// Image copies image i as evaluation sees it: the centre of photographs.
func (d *subset) Image(i int, dst []byte) error {
	var b photoBuffer
	p, err := d.at(i, &b)
	if err != nil {
		return err
	}
	crop(dst, p, d.s.Channels, (p.h-d.h)/2, (p.w-d.w)/2, d.h, d.w)
	return nil
}

func (d *subset) at(i int, b *photoBuffer) (picture, error) { return d.s.at(d.index(i), b) }

// crop copies the h×w pixels of p from (top, left) on; what lies outside p is 0.
func crop(dst []byte, p picture, channels, top, left, h, w int) {
	if h == p.h && w == p.w && top == 0 && left == 0 {
		copy(dst, p.pix)
		return
	}
	from, to := clampInt(-left, 0, w), clampInt(p.w-left, 0, w)
	for c := range channels {
		for y := range h {
			row := dst[(c*h+y)*w : (c*h+y+1)*w]
			sy := y + top
			if sy < 0 || sy >= p.h || from >= to {
				clear(row)
				continue
			}
			clear(row[:from])
			src := (c*p.h+sy)*p.w + left
			copy(row[from:to], p.pix[src+from:src+to])
			clear(row[to:])
		}
	}
}

func clampInt(v, lo, hi int) int { return min(max(v, lo), hi) }
