//go:build cgo

package onednn

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"netspace/engine"
	"netspace/engine/enginetest"
	"netspace/graph"
)

const opWiden = 26 // by its number in ns.h

// keptOf reads what a step has kept of a node, of a program whose buffers share no memory.
func keptOf(t *testing.T) enginetest.KeptOf {
	return func(p engine.Program, node int) []float32 {
		q := p.(*program)
		b := q.kept[node]
		if b == nil || !b.half {
			t.Errorf("node %d is not kept in bfloat16", node)
			return nil
		}
		area := q.area(b)
		halves := unsafe.Slice((*uint16)(unsafe.Pointer(&area[0])), 2*len(area))
		n := &q.g.Nodes[node]
		lanes, _ := layouts(q.g, q.block)
		at := lanes[node].index(n.C)
		v := make([]float32, 0, q.opt.Batch*n.C*n.H*n.W)
		for i := range q.opt.Batch {
			for _, lane := range at {
				for k := range n.H * n.W {
					h := halves[2*i*int(b.record)+(lane/q.block*n.H*n.W+k)*q.block+lane%q.block]
					v = append(v, math.Float32frombits(uint32(h)<<16))
				}
			}
		}
		return v
	}
}

// Every case with activations in bfloat16; those that are small on all kinds of vectors.
func TestActivationsInBF16(t *testing.T) {
	for _, wide := range []bool{true, false} {
		e := open(t)
		if wide && !e.wide {
			continue
		}
		e.wide, e.zone = wide, 64
		e.closing = func(p *program) {
			if err := p.touched(); err != nil {
				t.Error(err)
			}
		}
		for _, c := range enginetest.Cases() {
			if small := c.Graph.Complexity().Flops*int64(c.Batch) < 1_000_000; !small && e.wide != open(t).wide {
				continue
			}
			t.Run(c.Name, func(t *testing.T) { enginetest.CompareKept(t, e, c, engine.FP32.Unit(), keptOf(t)) })
		}
	}
}

func TestPromisesInBF16(t *testing.T) {
	for _, wide := range []bool{true, false} {
		e := open(t)
		if wide && !e.wide {
			continue
		}
		e.wide = wide
		enginetest.RunKept(t, e)
	}
}

// The rounding of the kernels: what is no number, infinite, subnormal or in the middle, against that of package engine.
func TestRoundingToBF16(t *testing.T) {
	vectors(t, func(t *testing.T, e *Engine, block int) {
		var rec graph.Recorder
		rec.MaxPool(rec.Input(block, 1, 1), 1, 1)
		g, err := rec.Graph()
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 1))
		special := []uint32{0, 1, 0x7fff, 0x8000, 0x18000, 0x3f808000, 0x3f818000, 0x7f7fffff, 0x7f800000, 0xff800000, 0x7f800001, 0x7fffffff, 0xffc00000, 0xffffffff, 0x80000000}
		const batch = 500
		h := byHand(e, g, block, batch)
		defer h.Close()
		if err := h.makeWeights(h.lowering); err != nil { // of none
			t.Fatal(err)
		}
		from, back := h.newTensor(0, "from"), h.newTensor(0, "back")
		h.rounds[0] = true
		half := h.newTensor(0, "half")
		h.begin(batch, true)
		h.cur.wide[half] = from.buf
		h.keep(half)
		clear(h.cur.wide)
		o := h.newOp(0, half)
		number(&o.c.kind, opWiden)
		o.x, o.y = half.buf, back.buf
		h.add(o)
		x := make([]float32, batch*block)
		h.run(t, func() {
			for i := range x {
				b := r.Uint32()
				if i < len(special) {
					b = special[i]
				} else if i%3 == 0 {
					b = b&^0xffff | 0x8000
				}
				x[i] = math.Float32frombits(b)
			}
			copy(h.area(from.buf), x)
		})
		for i, v := range x {
			want := engine.BF16.Round(float64(v))
			for _, got := range []float32{h.area(from.buf)[i], h.area(back.buf)[i]} {
				if float64(got) != want && !(got != got && want != want) {
					t.Fatalf("%x: %g rounded to %g, want %g", math.Float32bits(v), v, got, want)
				}
			}
		}
	})
}
