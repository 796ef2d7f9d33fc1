package dataset

import (
	"archive/tar"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"netspace/internal/parquet"
)

const (
	tarBlock      = 512
	maxMemberName = 4096    // bytes
	maxNumberFile = 64      // bytes of a .cls
	maxJSONFile   = 1 << 20 // bytes of a .json
)

// tarScan reads the headers of a tar archive of images, a shard of a WebDataset: members whose names agree up to their
// first dot, and which follow on one another, are a sample.
type tarScan struct {
	shardScan
	in     *window
	tar    *tar.Reader
	sample tarSample
}

// tarSample is the sample that is being read.
type tarSample struct {
	key     string
	at      int64 // of its first member
	images  []shardImage
	cls     label // of the .cls
	json    label // of the .json
	labeled bool  // it has a .cls, so that it is meant to have an image
}

// scanTar finds the images of an archive.
func scanTar(ctx context.Context, s shardScan, f *os.File) (shardScan, error) {
	st, err := f.Stat()
	if err != nil {
		return s, err
	}
	t := &tarScan{shardScan: s, in: &window{r: f, size: st.Size()}}
	t.tar = tar.NewReader(t.in)
	next := int64(0) // where a member begins
	for {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		h, err := t.tar.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return s, t.readFault(next, err)
		}
		if left := t.in.size - t.in.pos; h.Size > left {
			return s, t.fault(t.in.pos, fmt.Sprintf("%s: truncated: it has %d bytes, of which %d are there", legible(h.Name), h.Size, left))
		}
		at := t.in.pos
		if err := t.member(h, at); err != nil {
			return s, err
		}
		next = at + (h.Size+tarBlock-1)/tarBlock*tarBlock
	}
	if err := t.end(next); err != nil {
		return s, err
	}
	return t.shardScan, t.flush()
}

// readFault says what an error of reading at a byte means.
func (t *tarScan) readFault(at int64, err error) error {
	switch {
	case t.in.err != nil:
		return t.in.err
	case at == 0 && t.in.starts("\x1f\x8b"):
		return t.fault(-1, "gzip: images in it cannot be reached one by one; decompress it first (gunzip)")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return t.fault(at, "truncated")
	}
	return t.fault(at, err.Error())
}

// end checks that the archive, whose members end at a byte, is whole, and the only one in its file.
func (t *tarScan) end(next int64) error {
	if next >= t.in.size {
		return t.fault(t.in.size, "truncated: the end of the archive is missing")
	}
	b := make([]byte, 1<<12)
	for {
		n, err := t.in.Read(b)
		if strings.Trim(string(b[:n]), "\x00") != "" {
			return t.fault(t.in.pos-int64(n), "there is something after the end of the archive, as of several that were joined")
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// member reads a member whose content is at a byte.
func (t *tarScan) member(h *tar.Header, at int64) error {
	name := path.Clean(h.Name)
	if path.IsAbs(h.Name) || name == ".." || strings.HasPrefix(name, "../") {
		return t.fault(at, legible(h.Name)+": a name that leads out of the archive")
	}
	if len(name) > maxMemberName {
		return t.fault(at, fmt.Sprintf("a name of %d bytes; at most %d are read", len(name), maxMemberName))
	}
	if h.Typeflag == tar.TypeDir || strings.HasPrefix(name, ".") || strings.Contains(name, "/.") {
		return nil
	}
	base := path.Base(name)
	stem, ext, _ := strings.Cut(base, ".")
	ext = strings.ToLower(ext)
	isImage := !strings.Contains(ext, ".") && hasImageName(base)
	loose := !isImage && hasImageName(base)
	if !isImage && !loose && ext != "cls" && ext != "json" {
		return nil
	}
	if h.Typeflag != tar.TypeReg || isSparse(h) {
		return t.fault(at, fmt.Sprintf("%s: %s, not a file", legible(h.Name), memberKind(h)))
	}
	if key := path.Join(path.Dir(name), stem); key != t.sample.key {
		if err := t.flush(); err != nil {
			return err
		}
		t.sample.key, t.sample.at = key, at
	}
	var err error
	switch ext {
	case "cls":
		if t.labels != "" {
			return nil // another label is wanted
		}
		t.sample.labeled = true
		t.sample.cls, err = t.number(name, at)
	case "json":
		t.sample.json, err = t.fromJSON(name, at)
	default:
		var head photoHead
		head, err = headOf(t.tar, encoded{file: t.file, offset: at, name: legible(name)})
		size := uint32(min(h.Size, maxPhotoFile))
		m := shardImage{place: parquet.Place{Offset: at, Packed: size, Unpacked: size, Size: size}, head: head, loose: loose}
		t.setName(&m, name)
		t.sample.images = append(t.sample.images, m)
	}
	if t.in.err != nil {
		err = t.in.err
	}
	return err
}

// isSparse says that the bytes of a member are not one run of the archive.
func isSparse(h *tar.Header) bool {
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

func memberKind(h *tar.Header) string {
	switch {
	case isSparse(h):
		return "a sparse file"
	case h.Typeflag == tar.TypeLink || h.Typeflag == tar.TypeSymlink:
		return "a link"
	}
	return "something of type " + strconv.QuoteRune(rune(h.Typeflag))
}

// number reads a .cls.
func (t *tarScan) number(name string, at int64) (label, error) {
	b, err := io.ReadAll(io.LimitReader(t.tar, maxNumberFile+1))
	if err != nil {
		return label{}, t.readFault(at, err)
	}
	text := strings.TrimSpace(string(b))
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || len(b) > maxNumberFile {
		return label{}, t.fault(at, fmt.Sprintf("%s: %q is not the number of a class", legible(name), text))
	}
	return t.numbered(int64(n), name, at)
}

// fromJSON reads the label of a .json, a number or a name; without one it gives none.
func (t *tarScan) fromJSON(name string, at int64) (label, error) {
	b, err := io.ReadAll(io.LimitReader(t.tar, maxJSONFile+1))
	if err != nil {
		return label{}, t.readFault(at, err)
	}
	if len(b) > maxJSONFile {
		return label{}, t.fault(at, fmt.Sprintf("%s: of more than %d KiB", legible(name), maxJSONFile>>10))
	}
	value, member := json.RawMessage(b), cmp.Or(t.labels, defaultLabels)
	for _, key := range strings.Split(member, ".") {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(value, &fields); err != nil {
			return label{}, t.fault(at, fmt.Sprintf("%s: %v", legible(name), err))
		}
		if value = fields[key]; value == nil || string(value) == "null" {
			return label{}, nil
		}
	}
	var (
		n    int64
		text string
	)
	if json.Unmarshal(value, &n) == nil {
		return t.numbered(n, name, at)
	}
	if json.Unmarshal(value, &text) == nil {
		return t.named(text, name, at)
	}
	return label{}, t.fault(at, fmt.Sprintf("%s: %s is neither the number nor the name of a class", legible(name), member))
}

// flush ends the sample.
func (t *tarScan) flush() error {
	s := &t.sample
	l := s.cls
	if l.kind == unlabeled {
		l = s.json
	}
	own := 0
	for _, m := range s.images {
		if !m.loose {
			m.label = l
			own++
		}
		t.images = append(t.images, m)
	}
	switch {
	case own > 1 && l.kind != unlabeled:
		return t.fault(s.at, legible(s.key)+": a sample of several images")
	case own == 0 && s.labeled:
		return t.fault(s.at, legible(s.key)+": a sample with a class and without an image (.jpg, .jpeg, .png, .webp)")
	}
	*s = tarSample{images: s.images[:0]}
	return nil
}

// legible is a name as it may be printed.
func legible(name string) string {
	if q := strconv.Quote(name); q[1:len(q)-1] != name {
		return q
	}
	return name
}

// window reads a file, and passes over parts of it, by larger pieces than it is asked for.
type window struct {
	r    io.ReaderAt
	size int64
	pos  int64
	from int64  // of buf
	buf  []byte // what was read
	err  error  // of reading, other than the end
}

const windowBytes = 1 << 14

func (w *window) Read(p []byte) (int, error) {
	if w.pos < w.from || w.pos >= w.from+int64(len(w.buf)) {
		w.buf = grow(w.buf, windowBytes)
		n, err := w.r.ReadAt(w.buf, w.pos)
		if err != nil && err != io.EOF {
			w.err = err
			n = 0
		}
		w.from, w.buf = w.pos, w.buf[:n]
		if n == 0 {
			if err == nil {
				err = io.ErrNoProgress
			}
			return 0, err
		}
	}
	n := copy(p, w.buf[w.pos-w.from:])
	w.pos += int64(n)
	return n, nil
}

// Seek is that of io.Seeker; the end is not known as a place to seek from.
func (w *window) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekCurrent {
		offset += w.pos
	}
	if whence == io.SeekEnd || offset < 0 {
		return 0, errors.ErrUnsupported
	}
	w.pos = offset
	return offset, nil
}

// starts says whether the file begins so.
func (w *window) starts(with string) bool {
	b := make([]byte, len(with))
	n, _ := w.r.ReadAt(b, 0)
	return string(b[:n]) == with
}
