//go:build cgo

package onednn

import (
	"math"
	"sort"
)

// buffer is a piece of memory that ops refer to before its place is known.
type buffer struct {
	name    string
	record  int64 // floats per image; 0: the same for all images
	size    int64 // floats
	half    bool  // of bfloat16 numbers, two to a float
	scratch bool  // belongs to each thread, within one loop
	pinned  bool  // lives through the whole program
	first   int   // the loops between which it holds something
	last    int
	off     int64 // floats from the arena's or the scratch's start
}

// planner hands out the arena: each buffer lives from its first to its last
// loop, and buffers whose lives do not meet may share memory.
type planner struct {
	batch   int64
	buffers []*buffer
	scratch int64 // floats per thread, the largest loop's need
	inLoop  int64 // of the loop that is being built
	loop    int
	// zone > 0: so many floats around every buffer belong to nobody, and no
	// two buffers share memory, so that what is written beside one is seen. For tests.
	zone        int64
	temporaries []*buffer
}

// perImage makes a buffer with a record for every image of the batch.
func (p *planner) perImage(name string, record int) *buffer {
	b := p.fixed(name, int64(record)*p.batch)
	b.record = int64(record)
	return b
}

// fixed makes a buffer that all images share.
func (p *planner) fixed(name string, size int64) *buffer {
	b := &buffer{name: name, size: (size + 15) / 16 * 16, first: math.MaxInt, last: -1}
	p.buffers = append(p.buffers, b)
	return b
}

// pin makes a buffer that lives always.
func (p *planner) pin(name string, size int64) *buffer {
	b := p.fixed(name, size)
	b.pinned = true
	return b
}

// temporary makes a buffer in every thread's scratch for the loop that is being built.
func (p *planner) temporary(size int64) *buffer {
	b := &buffer{size: (size + 15) / 16 * 16, scratch: true, off: p.inLoop + p.zone}
	p.temporaries = append(p.temporaries, b)
	p.inLoop += b.size + p.zone
	p.scratch = max(p.scratch, p.inLoop)
	return b
}

// use says that the loop that is being built touches b.
func (p *planner) use(b *buffer) *buffer {
	if b != nil && !b.scratch {
		b.first = min(b.first, p.loop)
		b.last = max(b.last, p.loop)
	}
	return b
}

// next begins the next loop.
func (p *planner) next() {
	p.loop++
	if p.zone == 0 {
		p.inLoop = 0
	}
}

// place gives every buffer its offset, the largest first, each at the lowest
// offset that is free throughout its life, and returns the arena's size.
func (p *planner) place() int64 {
	order := make([]*buffer, 0, len(p.buffers))
	for _, b := range p.buffers {
		b.pinned = b.pinned || p.zone > 0 && b.first <= b.last
		if b.pinned {
			b.first, b.last = 0, math.MaxInt
		}
		if b.first <= b.last {
			order = append(order, b)
		}
	}
	sort.SliceStable(order, func(i, j int) bool {
		if order[i].pinned != order[j].pinned {
			return order[i].pinned
		}
		return order[i].size > order[j].size
	})
	var placed []*buffer // by offset
	var total int64
	for _, b := range order {
		at := p.zone
		for _, q := range placed {
			if q.last < b.first || b.last < q.first {
				continue
			}
			if q.off-at >= b.size+p.zone {
				break
			}
			at = max(at, q.off+q.size+p.zone)
		}
		b.off = at
		i := sort.Search(len(placed), func(i int) bool { return placed[i].off > at })
		placed = append(placed, nil)
		copy(placed[i+1:], placed[i:])
		placed[i] = b
		total = max(total, at+b.size+p.zone)
	}
	return total
}
