package parquet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"sort"
)

// Place is where a byte string lies: Size bytes, Skip bytes after the beginning of what Packed bytes of the file at Offset
// decompress to, which are Unpacked.
type Place struct {
	Offset                       int64
	Packed, Unpacked, Skip, Size uint32
	Codec                        Codec
}

// Read gives the bytes at a place of a file.
func (u *Unpacker) Read(r io.ReaderAt, p Place) ([]byte, error) {
	b := make([]byte, p.Packed)
	if _, err := r.ReadAt(b, p.Offset); err != nil {
		return nil, err
	}
	if p.Codec == Snappy {
		b = append(binary.AppendUvarint(nil, uint64(p.Unpacked)), b...)
	}
	data, err := u.unpack(p.Codec, b, int(p.Unpacked))
	if err != nil {
		return nil, &Error{p.Offset, err.Error()}
	}
	return data[p.Skip : p.Skip+p.Size], nil
}

const (
	pageData       = 0
	pageDictionary = 2
	pageData2      = 3

	encodingPlain           = 0
	encodingPlainDictionary = 2
	encodingRLE             = 3
	encodingDelta           = 5
	encodingDeltaLength     = 6
	encodingDictionary      = 8

	// Page headers may hold the least and the greatest value.
	pageHead     = 1 << 12
	maxPageHead  = 1 << 20
	maxPageCount = math.MaxInt32
)

// pageHeader is PageHeader and what is in it.
type pageHeader struct {
	typ              int64
	unpacked, packed int64
	values           int64
	encoding         int64
	levels           int64 // encoding of the levels, of version 1
	nested, present  int64 // bytes of the levels, of version 2
	plain            bool  // of version 2: not compressed
}

// page is a page that was decompressed.
type page struct {
	head   pageHeader
	at     int64  // of what is compressed
	data   []byte // of what is compressed
	levels []byte // of version 2
	codec  Codec
	packed int
	splits []split
	runs   []run
}

// values reads the values of a column chunk, one for each row.
type values struct {
	f      *File
	u      *Unpacker
	column Column
	chunk  chunk
	dict   *page
	starts []int // of the values of the dictionary
}

// each calls do for every row.
func (v *values) each(ctx context.Context, do func(value) error) error {
	at := v.chunk.data
	if v.chunk.dict > 0 {
		at = min(at, v.chunk.dict)
	}
	end := at + v.chunk.packed
	for left := v.chunk.values; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, next, err := v.page(at, end)
		if err != nil {
			return err
		}
		switch p.head.typ {
		case pageDictionary:
			if v.dict != nil {
				return fault(at, "a second dictionary")
			}
			if err = v.dictionary(p); err != nil {
				return fault(at, "dictionary: %v", err)
			}
		case pageData, pageData2:
			if left -= p.head.values; left < 0 {
				return fault(at, "more values than are announced")
			}
			if err := v.data(p, at, do); err != nil {
				return err
			}
		}
		at = next
	}
	return nil
}

// page reads the page at a byte.
func (v *values) page(at, end int64) (p *page, next int64, err error) {
	var h pageHeader
	size := int64(0)
	for _, n := range []int64{pageHead, maxPageHead} {
		b := make([]byte, min(n, end-at))
		if _, err := v.f.r.ReadAt(b, at); err != nil {
			return nil, 0, fault(at, "page: %v", noEOF(err))
		}
		r := &thrift{b: b}
		if h, err = r.page(); err == nil {
			size = int64(len(b) - len(r.b))
			break
		}
		if !errors.Is(err, errShort) || int64(len(b)) < n {
			break
		}
	}
	if err != nil {
		return nil, 0, fault(at, "header of a page: %v", err)
	}
	from := at + size
	levels := int64(0)
	if h.typ == pageData2 {
		levels = h.nested + h.present
	}
	switch {
	case h.packed < 0 || h.unpacked < 0 || h.packed > end-from || h.values < 0 || h.values > maxPageCount || h.nested < 0 || h.present < 0 || levels > min(h.packed, h.unpacked):
		return nil, 0, fault(at, "header of a page: sizes are wrong")
	case h.packed > MaxPage || h.unpacked > MaxPage:
		return nil, 0, fault(at, "a page of %d bytes, decompressed %d: at most %d MiB are read", h.packed, h.unpacked, MaxPage>>20)
	}
	next = from + h.packed
	if h.typ != pageData && h.typ != pageData2 && h.typ != pageDictionary {
		return &page{head: h}, next, nil
	}
	b := make([]byte, h.packed)
	if _, err := v.f.r.ReadAt(b, from); err != nil {
		return nil, 0, fault(from, "page: %v", noEOF(err))
	}
	p = &page{head: h, at: from + levels, levels: b[:levels], codec: v.chunk.codec}
	b = b[levels:]
	if h.plain {
		p.codec = Uncompressed
	}
	p.packed = len(b)
	if p.data, err = v.u.unpack(p.codec, b, int(h.unpacked-levels)); err != nil {
		return nil, 0, fault(from, "page: %v", err)
	}
	if p.codec == Snappy && v.column.Type == ByteArray {
		p.splits, p.runs = snappyPieces(b)
	}
	return p, next, nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (r *thrift) page() (h pageHeader, err error) {
	r.fields(func(id int64, typ byte) bool {
		switch {
		case id == 1 && typ == thriftInt32:
			h.typ = r.int()
		case id == 2 && typ == thriftInt32:
			h.unpacked = r.int()
		case id == 3 && typ == thriftInt32:
			h.packed = r.int()
		case (id == 5 || id == 7) && typ == thriftStruct: // DataPageHeader, DictionaryPageHeader
			r.fields(func(id int64, typ byte) bool {
				switch {
				case id == 1 && typ == thriftInt32:
					h.values = r.int()
				case id == 2 && typ == thriftInt32:
					h.encoding = r.int()
				case id == 3 && typ == thriftInt32:
					h.levels = r.int()
				default:
					return false
				}
				return true
			})
		case id == 8 && typ == thriftStruct: // DataPageHeaderV2
			r.fields(func(id int64, typ byte) bool {
				switch {
				case id == 1 && typ == thriftInt32:
					h.values = r.int()
				case id == 4 && typ == thriftInt32:
					h.encoding = r.int()
				case id == 5 && typ == thriftInt32:
					h.present = r.int()
				case id == 6 && typ == thriftInt32:
					h.nested = r.int()
				case id == 7 && typ == thriftFalse:
					h.plain = true
				default:
					return false
				}
				return true
			})
		default:
			return false
		}
		return true
	})
	return h, r.err
}

// value is one of a column; it is absent where page is nil.
type value struct {
	page     *page
	number   int64 // of a column of integers
	at, size int   // of a byte string, in page
}

// plain is the plain value at byte i of a page, and how many bytes it takes; none if it does not end within the page.
func (v *values) plain(p *page, i int) (value, int) {
	b := p.data[i:]
	switch v.column.Type {
	case Int64:
		if len(b) >= 8 {
			return value{page: p, number: int64(binary.LittleEndian.Uint64(b))}, 8
		}
	case Int32:
		if len(b) >= 4 {
			return value{page: p, number: int64(int32(binary.LittleEndian.Uint32(b)))}, 4
		}
	default:
		if len(b) >= 4 && uint64(binary.LittleEndian.Uint32(b)) <= uint64(len(b)-4) {
			size := int(binary.LittleEndian.Uint32(b))
			return value{page: p, at: i + 4, size: size}, 4 + size
		}
	}
	return value{}, 0
}

func (v *values) dictionary(p *page) error {
	if p.head.encoding != encodingPlain && p.head.encoding != encodingPlainDictionary {
		return fmt.Errorf("encoding %d is not read", p.head.encoding)
	}
	v.dict = p
	i := 0
	for range p.head.values {
		_, n := v.plain(p, i)
		if n == 0 {
			return errShort
		}
		v.starts = append(v.starts, i)
		i += n
	}
	return nil
}

// data calls do for the values of a page; at is where it begins.
func (v *values) data(p *page, at int64, do func(value) error) error {
	i := 0
	levels := &hybrid{b: p.levels[min(p.head.nested, int64(len(p.levels))):], width: bits.Len(uint(v.column.optional))}
	if p.head.typ == pageData && v.column.optional > 0 {
		if p.head.levels != encodingRLE {
			return fault(at, "levels in encoding %d are not read", p.head.levels)
		}
		if len(p.data) < 4 || uint64(binary.LittleEndian.Uint32(p.data)) > uint64(len(p.data)-4) {
			return fault(at, "levels are cut short")
		}
		i = 4 + int(binary.LittleEndian.Uint32(p.data))
		levels.b = p.data[4:i]
	}
	next, err := v.decoder(p, i)
	if err != nil {
		return fault(at, "column %s: %v", v.column.Path, err)
	}
	for range p.head.values {
		if v.column.optional > 0 {
			level, ok := levels.next()
			if !ok || int(level) > v.column.optional {
				return fault(at, "levels are wrong")
			}
			if int(level) < v.column.optional {
				if err := do(value{}); err != nil {
					return err
				}
				continue
			}
		}
		x, ok := next()
		if !ok {
			return fault(at, "values of column %s are cut short or wrong", v.column.Path)
		}
		if err := do(x); err != nil {
			return err
		}
	}
	return nil
}

// decoder gives the values of a page of data that begin at its byte i, one after the other.
func (v *values) decoder(p *page, i int) (next func() (value, bool), err error) {
	switch e := p.head.encoding; {
	case e == encodingPlain:
		return func() (value, bool) {
			x, n := v.plain(p, i)
			i += n
			return x, n > 0
		}, nil
	case e == encodingPlainDictionary || e == encodingDictionary:
		if v.dict == nil {
			return nil, errors.New("its dictionary is missing")
		}
		numbers := &hybrid{}
		if i < len(p.data) { // else all are absent
			numbers.width, numbers.b = int(p.data[i]), p.data[i+1:]
		}
		if numbers.width > 32 {
			return nil, fmt.Errorf("numbers of %d bits", numbers.width)
		}
		return func() (value, bool) {
			n, ok := numbers.next()
			if !ok || int64(n) >= int64(len(v.starts)) {
				return value{}, false
			}
			x, _ := v.plain(v.dict, v.starts[n])
			return x, true
		}, nil
	case e == encodingDelta && v.column.Type != ByteArray:
		d := &delta{b: p.data[i:]}
		return func() (value, bool) {
			n, ok := d.next()
			if v.column.Type == Int32 {
				n = int64(int32(n))
			}
			return value{page: p, number: n}, ok
		}, nil
	case e == encodingDeltaLength && v.column.Type == ByteArray:
		// The lengths of all come first.
		d := &delta{b: p.data[i:]}
		from, err := d.end()
		if err != nil {
			return nil, err
		}
		i = len(p.data) - len(from)
		return func() (value, bool) {
			n, ok := d.next()
			if !ok || n < 0 || n > int64(len(p.data)-i) {
				return value{}, false
			}
			x := value{page: p, at: i, size: int(n)}
			i += x.size
			return x, true
		}, nil
	}
	return nil, fmt.Errorf("encoding %d is not read", p.head.encoding)
}

// place is where size bytes from byte i on of a page lie.
func (p *page) place(i, size int) Place {
	w := Place{Offset: p.at, Packed: uint32(p.packed), Unpacked: uint32(len(p.data)), Skip: uint32(i), Size: uint32(size), Codec: p.codec}
	switch {
	case p.codec == Uncompressed:
		w.Offset, w.Packed, w.Unpacked, w.Skip = p.at+int64(i), uint32(size), uint32(size), 0
	case p.splits != nil:
		k := sort.Search(len(p.runs), func(k int) bool { return p.runs[k].data > i }) - 1
		if k >= 0 && i+size <= p.runs[k].data+p.runs[k].size {
			return Place{Offset: p.at + int64(p.runs[k].packed+i-p.runs[k].data), Packed: uint32(size), Unpacked: uint32(size), Size: uint32(size)}
		}
		first := sort.Search(len(p.splits), func(k int) bool { return p.splits[k].data > i }) - 1
		last := sort.Search(len(p.splits), func(k int) bool { return p.splits[k].data >= i+size })
		from, to := p.splits[first], split{p.packed, len(p.data)}
		if last < len(p.splits) && last > first {
			to = p.splits[last]
		}
		w.Offset, w.Packed, w.Unpacked, w.Skip = p.at+int64(from.packed), uint32(to.packed-from.packed), uint32(to.data-from.data), uint32(i-from.data)
	}
	return w
}

// open begins to read a column of a row group.
func (f *File) open(group, column int, u *Unpacker, types ...Type) (*values, error) {
	c, k := f.Columns[column], f.Groups[group].chunks[column]
	ok := false
	for _, t := range types {
		ok = ok || c.Type == t
	}
	switch {
	case !ok || c.Repeated:
		return nil, fault(-1, "column %s: a list, or of a type that is not read", c.Path)
	case k.elsewhere:
		return nil, fault(-1, "column %s: in another file", c.Path)
	case k.codec != Uncompressed && k.codec != Snappy && k.codec != Gzip && k.codec != Zstd:
		return nil, fault(-1, "column %s: compressed with %v: none, Snappy, gzip and Zstandard are read", c.Path, k.codec)
	case k.values != f.Groups[group].Rows:
		return nil, fault(-1, "row group %d: column %s has %d values, but there are %d rows", group, c.Path, k.values, f.Groups[group].Rows)
	}
	return &values{f: f, u: u, column: c, chunk: k}, nil
}

// ByteStrings calls do with the values of a column of a row group, in order, and where they lie; value is nil where
// it is absent, and valid until do returns.
func (f *File) ByteStrings(ctx context.Context, group, column int, u *Unpacker, do func(at Place, value []byte) error) error {
	v, err := f.open(group, column, u, ByteArray)
	if err != nil {
		return err
	}
	return v.each(ctx, func(x value) error {
		if x.page == nil {
			return do(Place{}, nil)
		}
		return do(x.page.place(x.at, x.size), x.page.data[x.at:x.at+x.size:x.at+x.size])
	})
}

// Integers calls do with the values of a column of a row group, in order; ok is false where there is none.
func (f *File) Integers(ctx context.Context, group, column int, u *Unpacker, do func(value int64, ok bool) error) error {
	v, err := f.open(group, column, u, Int32, Int64)
	if err != nil {
		return err
	}
	return v.each(ctx, func(x value) error { return do(x.number, x.page != nil) })
}
