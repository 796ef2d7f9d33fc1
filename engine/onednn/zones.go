//go:build cgo

package onednn

// #include "ns.h"
import "C"

import (
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// untouched is a NaN that no computation gives.
const untouched = 0x7fa5a5a5

// guard fills what belongs to no buffer, if tests asked for such zones. Built
// with the address sanitizer, kernels that read there end the process, too.
func (p *program) guard(plan *planner, size, scratchStride int64) {
	if plan.zone == 0 {
		return
	}
	p.zones = between(p.arena.floats()[:size], plan.buffers)
	scratch := p.scratch.floats()
	for t := range int64(p.opt.Threads) {
		p.zones = append(p.zones, between(scratch[t*scratchStride:(t+1)*scratchStride], plan.temporaries)...)
	}
	for _, z := range p.zones {
		for i := range z {
			z[i] = math.Float32frombits(untouched)
		}
		C.ns_poison(unsafe.Pointer(&z[0]), C.size_t(4*len(z)), 1)
	}
}

// between lists the parts of an area that no buffer has.
func between(area []float32, buffers []*buffer) [][]float32 {
	placed := slices.DeleteFunc(slices.Clone(buffers), func(b *buffer) bool { return !b.scratch && b.first > b.last })
	slices.SortFunc(placed, func(a, b *buffer) int { return int(a.off - b.off) })
	var zones [][]float32
	at := int64(0)
	for _, b := range placed {
		if b.off > at {
			zones = append(zones, area[at:b.off])
		}
		at = max(at, b.off+b.size)
	}
	if int(at) < len(area) {
		zones = append(zones, area[at:])
	}
	return zones
}

// touched says what was written where nothing should be; nil if nothing was.
func (p *program) touched() error {
	for i, z := range p.zones {
		C.ns_poison(unsafe.Pointer(&z[0]), C.size_t(4*len(z)), 0)
		for k, v := range z {
			if math.Float32bits(v) != untouched {
				return fmt.Errorf("float %d of zone %d of %d was written: %g", k, i, len(p.zones), v)
			}
		}
	}
	return nil
}
