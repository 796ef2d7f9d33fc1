package parquet

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// Codec is how pages are compressed.
type Codec uint8

// The codecs that are read.
const (
	Uncompressed Codec = 0
	Snappy       Codec = 1
	Gzip         Codec = 2
	Zstd         Codec = 6
)

func (c Codec) String() string {
	names := []string{"none", "Snappy", "gzip", "LZO", "Brotli", "LZ4", "Zstandard", "LZ4 raw"}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("number %d", uint8(c))
}

// MaxPage is the most bytes of a page that are read, compressed or not.
const MaxPage = 256 << 20

// Unpacker decompresses pages. It is safe for concurrent use.
type Unpacker struct{ zstd *zstd.Decoder }

// NewUnpacker makes one.
func NewUnpacker() (*Unpacker, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(MaxPage), zstd.WithDecodeAllCapLimit(true))
	return &Unpacker{d}, err
}

// unpack decompresses to exactly that many bytes.
func (u *Unpacker) unpack(c Codec, packed []byte, size int) (data []byte, err error) {
	switch c {
	case Uncompressed:
		data = packed
	case Snappy:
		var n int
		if n, err = snappy.DecodedLen(packed); err == nil && n == size {
			data, err = snappy.Decode(make([]byte, n), packed)
		}
	case Gzip:
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(packed)); err == nil {
			var b bytes.Buffer // grows with what is there
			_, err = io.Copy(&b, io.LimitReader(r, int64(size)+1))
			data = b.Bytes()
		}
	case Zstd:
		var h zstd.Header
		if err = h.Decode(packed); err == nil && (!h.HasFCS || h.FrameContentSize == uint64(size)) {
			data, err = u.zstd.DecodeAll(packed, make([]byte, 0, size))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", c, err)
	}
	if len(data) != size {
		return nil, fmt.Errorf("%v: not the %d bytes that are announced", c, size)
	}
	return data, nil
}

// split is a place in a compressed page from which on it can be decompressed alone.
type split struct{ packed, data int }

// run is a part of a page that is stored as it is.
type run struct {
	split
	size int
}

const (
	// snappyPiece is the least size of a piece: Snappy's encoders compress pieces of as much by themselves.
	snappyPiece = 1 << 16
	snappyRun   = 1 << 8 // the least size of a run that is noted
)

// snappyPieces finds where a block of Snappy (format_description.txt) can be cut, and what of it is not compressed, so that a
// few bytes of a large page can be had without the rest. The first split is after the length. A block that decompresses
// to other than that many bytes, whatever decoders say, is not cut.
func snappyPieces(b []byte) (splits []split, runs []run) {
	total, n := binary.Uvarint(b)
	whole := []split{{n, 0}}
	splits = append(splits, whole...)
	out := 0
	for i := n; i < len(b); {
		if out-splits[len(splits)-1].data >= snappyPiece {
			splits = append(splits, split{i, out})
		}
		tag := int(b[i])
		length, back, size := 1+tag>>2, 0, 0 // size is that of the number which follows
		switch tag & 3 {
		case 0:
			size = max(length-60, 0)
		case 1:
			length, size = 4+tag>>2&7, 1
		case 2:
			size = 2
		case 3:
			size = 4
		}
		if size >= len(b)-i {
			return whole, nil
		}
		number := 0
		for k := range size {
			number |= int(b[i+1+k]) << (8 * k)
		}
		i += 1 + size
		switch tag & 3 {
		case 0:
			if size > 0 {
				length = number + 1
			}
			if length > len(b)-i {
				return whole, nil
			}
			if length >= snappyRun {
				runs = append(runs, run{split{i, out}, length})
			}
			i += length
		case 1:
			back = number | tag>>5<<8
		default:
			back = number
		}
		for len(splits) > 1 && back > out-splits[len(splits)-1].data {
			splits = splits[:len(splits)-1]
		}
		out += length
	}
	if uint64(out) != total {
		return whole, nil
	}
	return splits, runs
}
