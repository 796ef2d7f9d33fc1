package dataset

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"netspace/internal/infile"
)

// IDX, the format of MNIST and its relatives: two zero bytes, the type of the elements
// (0x08: bytes), the number of dimensions, each dimension as a big-endian uint32, the
// elements row by row. http://yann.lecun.com/exdb/mnist/

// idxReader reads one IDX file of bytes, plain or gzip, in one pass.
type idxReader struct {
	file  string
	dims  []int
	data  *bufio.Reader
	gz    *gzip.Reader // nil if plain
	close func() error
	at    int64 // bytes read of the decompressed file
	end   int64 // where it must end
}

const maxIDXBytes int64 = min(math.MaxInt, 1<<40)

// openFile opens a file of a data set. The error is a *FormatError where it is
// a device, a pipe or a folder.
func openFile(file string) (*os.File, error) {
	f, err := infile.Open(file)
	var refused *infile.RefusedError
	if errors.As(err, &refused) {
		return nil, &FormatError{file, -1, refused.Reason}
	}
	return f, err
}

// openIDX opens a file, by its content plain or gzip, and reads its header.
func openIDX(file string) (*idxReader, error) {
	f, err := openFile(file)
	if err != nil {
		return nil, err
	}
	r, err := newIDX(f, file)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.close = f.Close
	return r, nil
}

// newIDX reads the header of an IDX file; file is its name in errors.
func newIDX(src io.Reader, file string) (*idxReader, error) {
	r := &idxReader{file: file, data: bufio.NewReaderSize(src, 1<<16), close: func() error { return nil }}
	if head, _ := r.data.Peek(2); len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		gz, err := gzip.NewReader(r.data)
		if err != nil {
			return nil, r.fault(err)
		}
		r.gz, r.data = gz, bufio.NewReaderSize(gz, 1<<16)
	}
	var head [4]byte
	if err := r.read(head[:]); err != nil {
		return nil, err
	}
	if head[0] != 0 || head[1] != 0 {
		return nil, &FormatError{file, 0, fmt.Sprintf("not an IDX file: it begins with % x, not with 00 00", head[:])}
	}
	if head[2] != 8 {
		return nil, &FormatError{file, 2, fmt.Sprintf("IDX elements of type 0x%02x; only 0x08, unsigned bytes, is read", head[2])}
	}
	if head[3] < 1 || head[3] > 4 {
		return nil, &FormatError{file, 3, fmt.Sprintf("IDX data with %d dimensions; labels have 1, images 3, or 4 with channels", head[3])}
	}
	size := int64(1)
	for range head[3] {
		var b [4]byte
		at := r.at
		if err := r.read(b[:]); err != nil {
			return nil, err
		}
		d := int64(binary.BigEndian.Uint32(b[:]))
		if d == 0 {
			return nil, &FormatError{file, at, "a dimension is 0: there is no data"}
		}
		if size > maxIDXBytes/d {
			return nil, &FormatError{file, at, fmt.Sprintf("a dimension of %d makes more than %d bytes", d, maxIDXBytes)}
		}
		size *= d
		r.dims = append(r.dims, int(d))
	}
	r.end = r.at + size
	return r, nil
}

// read fills b.
func (r *idxReader) read(b []byte) error {
	n, err := io.ReadFull(r.data, b)
	r.at += int64(n)
	if err != nil {
		return r.fault(err)
	}
	return nil
}

// fault says what err means for a file of this format.
func (r *idxReader) fault(err error) error {
	var reason string
	switch {
	case errors.Is(err, gzip.ErrHeader):
		reason = "damaged gzip: header is wrong"
	case errors.Is(err, gzip.ErrChecksum):
		reason = "damaged gzip: checksum does not match"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		reason = "truncated: it ends within the header"
		if r.end > 0 {
			reason = fmt.Sprintf("truncated: the header announces %d bytes, it ends after %d", r.end, r.at)
		}
		if r.gz != nil {
			reason += " (decompressed)"
		}
	case r.gz != nil:
		reason = "damaged gzip: " + err.Error()
	default:
		return fmt.Errorf("%s: %w", r.file, err)
	}
	return &FormatError{r.file, r.at, reason}
}

// finish checks that nothing follows the data, and the checksum of gzip.
func (r *idxReader) finish() error {
	var b [1]byte
	switch n, err := r.data.Read(b[:]); {
	case n > 0:
		return &FormatError{r.file, r.end, fmt.Sprintf("longer than the %d bytes that its header announces", r.end)}
	case err != nil && err != io.EOF:
		return r.fault(err)
	}
	return nil
}

var idxName = regexp.MustCompile(`^(.*?)(train|t10k|test|val|valid|validation)[-_.]?(images|labels)[-_.]idx[134]-ubyte(\.gz)?$`)

// idxFiles are the files of one IDX data set.
type idxFiles struct {
	images, labels map[string]string // by part: train, val, test
}

// findIDX lists the IDX data sets of a folder by what precedes "train" and "test" in
// their names, which is nothing for MNIST.
func findIDX(dir string, names []string) map[string]*idxFiles {
	sets := map[string]*idxFiles{}
	slices.Sort(names) // plain files come before their .gz twins
	for _, name := range names {
		m := idxName.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		s := sets[m[1]]
		if s == nil {
			s = &idxFiles{map[string]string{}, map[string]string{}}
			sets[m[1]] = s
		}
		part := map[string]string{"train": "train", "t10k": "test", "test": "test"}[m[2]]
		if part == "" {
			part = "val"
		}
		files := s.images
		if m[3] == "labels" {
			files = s.labels
		}
		if files[part] == "" {
			files[part] = filepath.Join(dir, name)
		}
	}
	return sets
}

// openIDXSet decodes a data set of IDX files.
func openIDXSet(dir, prefix string, f *idxFiles, o Options) (_ *parts, err error) {
	if f.images["train"] == "" {
		return nil, &FormatError{dir, -1, fmt.Sprintf("there is no file of training images (%strain-images-idx3-ubyte, plain or .gz)", prefix)}
	}
	p := &parts{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	for _, part := range []struct {
		name string
		s    **store
	}{{"train", &p.train}, {"val", &p.val}, {"test", &p.test}} {
		images, labels := f.images[part.name], f.labels[part.name]
		switch {
		case images == "" && labels == "":
			continue
		case images == "":
			return nil, &FormatError{labels, -1, "there is no file of the images that these labels are of"}
		case labels == "":
			return nil, &FormatError{images, -1, "there is no file of the labels of these images"}
		}
		if *part.s, err = loadIDX(images, labels, o); err != nil {
			return nil, err
		}
	}
	return p, p.agree(f)
}

// agree checks that the parts, which were read from f, have one shape, and counts
// classes.
func (p *parts) agree(f *idxFiles) error {
	p.height, p.width = p.train.Height, p.train.Width
	for i := range p.train.len() {
		p.classes = max(p.classes, p.train.label(i)+1)
	}
	if p.classes < 2 {
		return &FormatError{f.labels["train"], -1, "all labels are 0: there is nothing to tell apart"}
	}
	for _, part := range []struct {
		name string
		s    *store
	}{{"val", p.val}, {"test", p.test}} {
		s := part.s
		if s == nil {
			continue
		}
		if s.Height != p.height || s.Width != p.width || s.Channels != p.train.Channels {
			return &FormatError{f.images[part.name], -1, fmt.Sprintf("images of %d channels of %d×%d pixels, but those for training have %d of %d×%d",
				s.Channels, s.Height, s.Width, p.train.Channels, p.height, p.width)}
		}
		for i := range s.len() {
			if l := s.label(i); l >= p.classes {
				return &FormatError{f.labels[part.name], -1, fmt.Sprintf("image %d has label %d, but the training images have labels 0 to %d", i, l, p.classes-1)}
			}
		}
	}
	return nil
}

// loadIDX decodes one pair of files, or finds it in the cache.
func loadIDX(images, labels string, o Options) (*store, error) {
	g := origin{path: images, how: fmt.Sprintf("idx %d", o.Resolution)}
	for _, file := range []string{images, labels} {
		st, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		g.files = append(g.files, identify(filepath.Base(file), st))
	}
	return o.load(g, func(w io.Writer, source string, _ bool) error {
		return decodeIDX(w, source, images, labels, o.Resolution)
	})
}

// decodeIDX writes the images of a pair of files into a store.
func decodeIDX(w io.Writer, source, images, labels string, resolution int) (err error) {
	lr, err := openIDX(labels)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lr.close()) }()
	ir, err := openIDX(images)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ir.close()) }()
	return copyIDX(w, source, ir, lr, resolution)
}

// copyIDX is decodeIDX after opening.
func copyIDX(w io.Writer, source string, ir, lr *idxReader, resolution int) error {
	if len(lr.dims) != 1 {
		return &FormatError{lr.file, 3, fmt.Sprintf("labels have 1 dimension, this has %d", len(lr.dims))}
	}
	if len(ir.dims) < 3 {
		return &FormatError{ir.file, 3, fmt.Sprintf("images have 3 dimensions (number, rows, columns), this has %d", len(ir.dims))}
	}
	if ir.dims[0] != lr.dims[0] {
		return &FormatError{lr.file, 4, fmt.Sprintf("%d labels, but %s has %d images", lr.dims[0], ir.file, ir.dims[0])}
	}
	n, c, h, width := ir.dims[0], 1, ir.dims[len(ir.dims)-2], ir.dims[len(ir.dims)-1]
	if len(ir.dims) == 4 {
		c = ir.dims[1]
	}
	if c != 1 && c != 3 {
		return &FormatError{ir.file, 8, fmt.Sprintf("images of %d channels; 1 and 3 are read", c)}
	}
	if h > maxResolution || width > maxResolution {
		return &FormatError{ir.file, 8, fmt.Sprintf("images of %d×%d pixels; at most %d×%[4]d are read", h, width, maxResolution, maxResolution)}
	}
	outH, outW := h, width
	if resolution > 0 {
		outH, outW = resolution, resolution
	}
	sw := newStoreWriter(w, c, outH, outW)
	buf := picture{make([]byte, c*h*width), h, width}
	var rs resizer
	out := picture{make([]byte, c*outH*outW), outH, outW}
	label := make([]byte, 1)
	for range n {
		if err := lr.read(label); err != nil {
			return err
		}
		if err := ir.read(buf.pix); err != nil {
			return err
		}
		p := buf
		if outH != h || outW != width {
			rs.resize(out, buf, c, whole(buf))
			p = out
		}
		if err := sw.add(int(label[0]), p); err != nil {
			return err
		}
	}
	if err := errors.Join(lr.finish(), ir.finish()); err != nil {
		return err
	}
	return sw.finish(source)
}

// setNames lists the prefixes of IDX data sets for an error.
func setNames(sets map[string]*idxFiles) string {
	var names []string
	for prefix := range sets {
		names = append(names, fmt.Sprintf("%q", prefix))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
