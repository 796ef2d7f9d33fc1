package parquet

import (
	"encoding/binary"
	"errors"
)

// hybrid reads small numbers of a fixed width in runs and packed groups (Parquet's Encodings.md, RLE = 3): levels, and
// numbers of entries of a dictionary.
type hybrid struct {
	b      []byte
	width  int // bits, at most 32
	run    int // how often value comes yet
	value  uint32
	packed int // how many packed numbers come yet
	bits   uint64
	have   int // bits in bits
}

// next reads a number; it reports false where there is none.
func (h *hybrid) next() (uint32, bool) {
	for h.run == 0 && h.packed == 0 {
		n, size := binary.Uvarint(h.b)
		if size <= 0 || n>>1 == 0 || n > 1<<33 {
			return 0, false
		}
		h.b = h.b[size:]
		if n&1 == 1 {
			h.packed, h.have, h.bits = 8*int(n>>1), 0, 0
			continue
		}
		bytes := (h.width + 7) / 8
		if bytes > len(h.b) {
			return 0, false
		}
		h.value = 0
		for i, b := range h.b[:bytes] {
			h.value |= uint32(b) << (8 * i)
		}
		h.b = h.b[bytes:]
		h.run = int(n >> 1)
	}
	if h.run > 0 {
		h.run--
		return h.value, true
	}
	for h.have < h.width {
		if len(h.b) == 0 {
			return 0, false
		}
		h.bits |= uint64(h.b[0]) << h.have
		h.b, h.have = h.b[1:], h.have+8
	}
	v := uint32(h.bits & (1<<h.width - 1))
	h.bits, h.have = h.bits>>h.width, h.have-h.width
	h.packed--
	return v, true
}

// delta reads integers that are stored as differences (Encodings.md, DELTA_BINARY_PACKED = 5).
type delta struct {
	b     []byte
	begun bool
	left  uint64 // numbers that come yet
	value int64  // the next one
	per   uint64 // numbers in a miniblock

	minis  []byte // widths of the miniblocks that come yet in the block
	count  int    // miniblocks of a block
	least  int64
	width  int
	packed []byte // of the miniblock
	bit    int
	in     uint64 // numbers that come yet in the miniblock
}

var errDelta = errors.New("differences are cut short or wrong")

func (d *delta) begin() bool {
	d.begun = true
	block, count, total := d.uvarint(), d.uvarint(), d.uvarint()
	d.value = d.varint()
	// Blocks are multiples of 128, miniblocks of 32.
	if d.b == nil || count == 0 || count > 1<<10 || block%count != 0 || block/count%8 != 0 || block == 0 || block > 1<<20 {
		return false
	}
	d.left, d.per, d.count = total, block/count, int(count)
	return true
}

func (d *delta) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.b = nil
		return 0
	}
	d.b = d.b[n:]
	if d.b == nil {
		d.b = []byte{}
	}
	return v
}

func (d *delta) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// next reads a number; it reports false where there is none.
func (d *delta) next() (int64, bool) {
	if !d.begun && !d.begin() || d.left == 0 {
		return 0, false
	}
	v := d.value
	if d.left--; d.left > 0 && !d.advance() {
		return 0, false
	}
	return v, true
}

// advance makes value the one after it.
func (d *delta) advance() bool {
	if d.in == 0 && !d.miniblock() {
		return false
	}
	d.in--
	var x uint64
	for k := range d.width {
		if d.packed[d.bit>>3]>>(d.bit&7)&1 == 1 {
			x |= 1 << k
		}
		d.bit++
	}
	d.value += d.least + int64(x)
	return true
}

func (d *delta) miniblock() bool {
	if len(d.minis) == 0 {
		d.least = d.varint()
		if len(d.b) < d.count {
			return false
		}
		d.minis, d.b = d.b[:d.count], d.b[d.count:]
	}
	d.width, d.minis = int(d.minis[0]), d.minis[1:]
	size := uint64(d.width) * d.per / 8
	if d.width > 64 || size > uint64(len(d.b)) {
		return false
	}
	d.packed, d.b, d.bit, d.in = d.b[:size], d.b[size:], 0, d.per
	return true
}

// end is what follows the numbers, which stay to be read.
func (d *delta) end() ([]byte, error) {
	last := *d
	for last.begun || last.begin() {
		if last.left <= 1 {
			return last.b, nil
		}
		if last.in == 0 && !last.miniblock() {
			break
		}
		n := min(last.in, last.left-1)
		last.left, last.in = last.left-n, last.in-n
	}
	return nil, errDelta
}
