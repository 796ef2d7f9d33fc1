//go:build cgo

package onednn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"netspace/graph"
)

// Ops by their number in ns.h.
const (
	opApplyU = 1
	opApplyA = 2
	opStats  = 9
	opPool   = 10
	opMaxF   = 11
	opMaxB   = 12
	opPassU  = 13
	opPassA  = 14
	opPassB  = 15
	opDGate  = 16
	opMul    = 17
)

// number sets a field whose type is of C.
func number[T ~int32](field *T, v int) { *field = T(v) }

func activation(z float64, a graph.Activation) (value, slope float64) {
	s := 1 / (1 + math.Exp(-z))
	switch a {
	case graph.ReLU:
		if z > 0 {
			return z, 1
		}
		return 0, 0
	case graph.SiLU:
		return z * s, s * (1 + z*(1-s))
	case graph.Sigmoid:
		return s, s * (1 - s)
	}
	return z, 1
}

// elementwise is what the ops of kernels.h are asked to do in one run.
type elementwise struct {
	channels, h, w, batch, chunk int
	kernel, stride               int // of the pooling
	act                          graph.Activation
	norm, norm2, gate, mask      bool
	sources                      int // bits: g1, g2, g3, gradient of the mean
}

// compare runs all element-wise ops and checks each.
func (c elementwise) compare(t *testing.T, e *Engine, block int) {
	var rec graph.Recorder
	rec.MaxPool(rec.Input(c.channels, c.h, c.w), c.kernel, c.stride)
	g, err := rec.Graph()
	if err != nil {
		t.Fatal(err)
	}
	h := byHand(e, g, block, c.batch)
	defer h.Close()
	if err := h.makeWeights(h.lowering); err != nil { // of none
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(uint64(c.channels), uint64(c.h*c.w)))
	var operands []func()
	area, pooled := c.h*c.w, g.Nodes[1].H*g.Nodes[1].W
	operand := func(node, positions int, draw func(n int) values) (*tensor, values) {
		x := h.newTensor(node, "operand")
		if x.h, x.w = c.h, c.w; positions != area {
			x.h, x.w = 1, positions
		}
		x.buf = h.plan.use(h.plan.perImage("operand", x.record()))
		v := draw(c.batch * c.channels * positions)
		operands = append(operands, func() { h.set(x, v) })
		return x, v
	}
	small := func(n int) values { return integers(r, n, 3) }
	full := func() (*tensor, values) { return operand(0, area, small) }
	x, vx := full()
	res, vr := full()
	stored, vs := full()
	g1, v1 := full()
	g2, v2 := full()
	g3, v3 := full()
	gate, vgate := operand(0, 1, small)
	mean, vmean := operand(0, 1, small)
	dmax, vdmax := operand(1, pooled, small)
	maskBuffer := h.plan.use(h.plan.perImage("mask", 1))
	mask := make([]float64, c.batch)
	for i := range mask {
		mask[i] = 1
		if c.mask {
			mask[i] = float64(2 * r.IntN(2))
		}
	}
	operands = append(operands, func() {
		for i, m := range mask {
			h.area(maskBuffer)[i] = float32(m)
		}
	})
	// The vectors of a norm in the order of channelArrays.work.
	aNorm := func() (*norm, []values) {
		size := int64(len(h.lanes[0]))
		a := &channelArrays{size: size, work: h.plan.pin("norm", 7*size)}
		v := make([]values, 7)
		for i := range v {
			v[i] = integers(r, c.channels, 2)
			operands = append(operands, func() {
				for lane, ch := range h.lanes[0] {
					if ch >= 0 {
						h.area(a.work)[int64(i)*size+int64(lane)] = float32(v[i][ch])
					}
				}
			})
		}
		return &norm{channels: a}, v
	}
	n1, k1 := aNorm()
	n2, k2 := aNorm()

	var checks []func()
	tolerance := 0.0
	if c.act > graph.ReLU || area&(area-1) != 0 {
		tolerance = 1e-4 // exp, or the division by an area that is no power of two, and sums of them
	}
	h.begin(c.chunk, true)
	add := func(what string, kind int, positions int, want func(i, ch, p, at int) float64) *op {
		node := 0
		if positions == pooled && kind == opMaxF {
			node = 1
		}
		y, _ := operand(node, positions, func(int) values { return nil })
		o := h.newOp(0, x)
		number(&o.c.kind, kind)
		o.y = y.buf
		checks = append(checks, func() {
			v := make(values, 0, c.batch*c.channels*positions)
			for i := range c.batch {
				for ch := range c.channels {
					for p := range positions {
						v = append(v, want(i, ch, p, (i*c.channels+ch)*area+p))
					}
				}
			}
			h.check(t, fmt.Sprintf("%+v: %s", c, what), y, v, tolerance)
		})
		return o
	}
	// What ops have in common.
	z := func(ch, at int) float64 {
		if !c.norm {
			return vx[at]
		}
		return vx[at]*k1[0][ch] + k1[1][ch]
	}
	z2 := func(i, ch, at int) float64 {
		if !c.norm2 {
			return mask[i]*z(ch, at) + vr[at]
		}
		return mask[i]*z(ch, at) + vr[at]*k2[0][ch] + k2[1][ch]
	}
	value := func(z float64) float64 { v, _ := activation(z, c.act); return v }
	slope := func(z float64) float64 { _, s := activation(z, c.act); return s }
	unary := func(o *op) {
		h.activate(o, &expr{x: x, act: c.act})
		if o.x = x.buf; c.norm {
			o.norm = n1
		}
	}
	binary := func(o *op) {
		unary(o)
		if o.r = res.buf; c.norm2 {
			o.norm2 = n2
		}
		if c.mask {
			o.mask = maskBuffer
		}
	}
	arrive := func(o *op) {
		for i, slot := range []**buffer{&o.g1, &o.g2, &o.g3, &o.bc} {
			if c.sources>>i&1 == 1 {
				*slot = []*buffer{g1.buf, g2.buf, g3.buf, mean.buf}[i]
			}
		}
		if c.gate {
			o.gate = gate.buf
		}
	}
	arriving := func(i, ch, at int) float64 {
		f := 1.0
		if c.gate {
			f = vgate[i*c.channels+ch]
		}
		sum := 0.0
		for k, v := range []float64{v1[at], v2[at], v3[at] * f, vmean[i*c.channels+ch] / float64(area)} {
			if c.sources>>k&1 == 1 {
				sum += v
			}
		}
		return sum
	}
	// sums checks those that an op added up: want gives the terms of each.
	sums := func(what string, at int64, tolerance float64, want ...func(i, ch, at int) float64) {
		checks = append(checks, func() {
			acc := unsafe.Slice((*float64)(h.sums.p), h.sums.size/8)
			size := len(h.lanes[0])
			for k, term := range want {
				for lane, ch := range h.lanes[0] {
					sum := 0.0
					for i := range c.batch {
						for p := range area {
							if ch >= 0 {
								sum += term(i, ch, (i*c.channels+ch)*area+p)
							}
						}
					}
					if got := acc[int(at)+k*size+lane]; !(math.Abs(got-sum) <= tolerance*max(1, math.Abs(sum))) {
						t.Errorf("%+v: sum %d of %s: channel %d has %g, want %g", c, k, what, ch, got, sum)
						return
					}
				}
			}
		})
	}

	o := add("act(norm)·gate", opApplyU, area, func(i, ch, p, at int) float64 {
		if c.gate {
			return value(z(ch, at)) * vgate[i*c.channels+ch]
		}
		return value(z(ch, at))
	})
	if unary(o); c.gate {
		o.gate = gate.buf
	}
	h.add(o)

	o = add("addition", opApplyA, area, func(i, ch, p, at int) float64 { return value(z2(i, ch, at)) })
	binary(o)
	h.add(o)

	o = add("mean", opPool, 1, func(i, ch, p, at int) float64 {
		sum := 0.0
		for k := range area {
			sum += value(z(ch, (i*c.channels+ch)*area+k))
		}
		return sum / float64(area)
	})
	unary(o)
	h.add(o)

	o = add("gradient of the gate", opDGate, 1, func(i, ch, p, at int) float64 {
		sum := 0.0
		for k := range area {
			at := (i*c.channels+ch)*area + k
			sum += v1[at] * value(z(ch, at))
		}
		return sum
	})
	unary(o)
	o.g1 = g1.buf
	h.add(o)

	passU := func(i, ch, at int) float64 { return arriving(i, ch, at) * slope(z(ch, at)) }
	o = add("through the activation", opPassU, area, func(i, ch, p, at int) float64 { return passU(i, ch, at) })
	unary(o)
	arrive(o)
	if c.norm {
		o.c.acc = h.sumsFor(x, 2)
		sums("through the activation", int64(o.c.acc), tolerance, passU, func(i, ch, at int) float64 { return passU(i, ch, at) * (vx[at] - k1[2][ch]) })
	}
	h.add(o)

	passA := func(i, ch, at int) float64 {
		if c.act == graph.ReLU { // passes where the stored value is positive
			return arriving(i, ch, at) * slope(vs[at])
		}
		return arriving(i, ch, at) * slope(z2(i, ch, at))
	}
	o = add("through the addition", opPassA, area, func(i, ch, p, at int) float64 { return passA(i, ch, at) })
	binary(o)
	arrive(o)
	if c.act == graph.ReLU {
		o.r2, o.c.relu_y = stored.buf, 1
	}
	if c.norm {
		o.c.acc = h.sumsFor(x, 2)
		sums("through the addition", int64(o.c.acc), tolerance, func(i, ch, at int) float64 { return mask[i] * passA(i, ch, at) },
			func(i, ch, at int) float64 { return mask[i] * passA(i, ch, at) * (vx[at] - k1[2][ch]) })
	}
	if c.norm2 {
		o.c.acc2 = h.sumsFor(x, 2)
		sums("through the addition, of the other norm", int64(o.c.acc2), tolerance, passA,
			func(i, ch, at int) float64 { return passA(i, ch, at) * (vr[at] - k2[2][ch]) })
	}
	h.add(o)

	o = add("through the norm", opPassB, area, func(i, ch, p, at int) float64 {
		if !c.norm {
			return mask[i] * v1[at]
		}
		return k1[4][ch]*mask[i]*v1[at] + k1[5][ch]*vx[at] + k1[6][ch]
	})
	if o.x, o.g1 = x.buf, g1.buf; c.mask {
		o.mask = maskBuffer
	}
	if c.norm {
		o.through = n1
	}
	h.add(o)

	o = add("product", opMul, area, func(i, ch, p, at int) float64 { return vx[at] * vr[at] })
	o.x, o.r = x.buf, res.buf
	h.add(o)

	// The window of a pooled position, and the first maximum in it.
	largest := func(i, ch, p int) (at int) {
		at = -1
		pad, ow := (c.kernel-1)/2, g.Nodes[1].W
		for k := range c.kernel * c.kernel {
			iy, ix := p/ow*c.stride-pad+k/c.kernel, p%ow*c.stride-pad+k%c.kernel
			if iy < 0 || iy >= c.h || ix < 0 || ix >= c.w {
				continue
			}
			if here := ((i*c.channels+ch)*c.h+iy)*c.w + ix; at < 0 || vx[here] > vx[at] {
				at = here
			}
		}
		return at
	}
	pool := func(o *op) {
		m := h.windowOp(0, &root{expr: expr{x: x}}, &root{node: 1})
		o.c.of, o.x = m.c.of, x.buf
	}
	o = add("max pooling", opMaxF, pooled, func(i, ch, p, at int) float64 { return vx[largest(i, ch, p)] })
	pool(o)
	h.add(o)
	var back values
	o = add("max pooling backward", opMaxB, area, func(i, ch, p, at int) float64 {
		if back == nil {
			back = make(values, len(vx))
			for k := range c.batch * c.channels * pooled {
				back[largest(k/pooled/c.channels, k/pooled%c.channels, k%pooled)] += vdmax[k]
			}
		}
		return back[at]
	})
	pool(o)
	o.g1 = dmax.buf
	h.add(o)

	o = h.newOp(0, x)
	number(&o.c.kind, opStats)
	o.x, o.c.acc = x.buf, h.sumsFor(x, 3)
	h.add(o)
	first := func(ch int) float64 { return vx[ch*area] }
	sums("statistics", int64(o.c.acc)+int64(len(h.lanes[0])), 0, func(i, ch, at int) float64 { return vx[at] - first(ch) },
		func(i, ch, at int) float64 { return (vx[at] - first(ch)) * (vx[at] - first(ch)) })

	h.run(t, func() {
		for _, set := range operands {
			set()
		}
	})
	for _, check := range checks {
		check()
	}
}

// kernels.h: every op with every activation and combination of operands, on maps of odd
// sizes, of one position, and of more than go into one sum of float32.
func TestElementwiseKernels(t *testing.T) {
	vectors(t, func(t *testing.T, e *Engine, block int) {
		if e.wide && block == 8 {
			t.Skip("the same as on AVX2")
		}
		maps := [][2]int{{1, 1}, {1, 3}, {5, 7}, {2, 2}, {4, 8}, {3, 3}}
		for k := range 192 {
			c := elementwise{
				channels: 1 + k*7%(3*block), h: maps[k%6][0], w: maps[k%6][1], chunk: 1 + k%3, kernel: 2 + k/2%2, stride: 1 + k%2,
				act: graph.Activation(k % 4), norm: k>>2&1 == 0, norm2: k>>3&1 == 0, mask: k>>4&1 == 0, sources: 1 + k*5%15,
			}
			c.gate = c.sources&4 != 0 && k>>5&1 == 0
			c.batch = c.chunk * (1 + k%2)
			if c.h == 1 {
				c.kernel = 3 // two rows do not fit
			}
			c.compare(t, e, block)
		}
		for k := range 8 {
			c := elementwise{channels: 2*block - 3, h: 32, w: 64, batch: 2, chunk: 1 + k%2, kernel: 3, stride: 2, act: graph.Activation(k % 2), norm: true, norm2: k>>1&1 == 0, sources: 1 + 2*(k>>2&1)}
			c.compare(t, e, block)
		}
		// More blocks than a strip has.
		elementwise{channels: 33*block + 1, h: 2, w: 2, batch: 2, chunk: 1, kernel: 2, stride: 2, act: graph.ReLU, norm: true, norm2: true, sources: 3}.compare(t, e, block)
	})
}
