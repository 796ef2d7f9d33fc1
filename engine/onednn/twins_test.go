//go:build cgo

package onednn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"netspace/engine"
	"netspace/graph"
)

// Every family of kernels against a plain twin. Ops run as they do in a program, but one by
// one, between zones of NaN: what is read there shows in the results, what is written
// there is found. Values are small integers, so that sums are exact in any order and
// results are compared to the bit.

// handmade is a program whose ops a test makes.
type handmade struct {
	*program
	*scheduler
}

// vectors runs a test for every size of blocks and instruction set that this machine has.
func vectors(t *testing.T, f func(t *testing.T, e *Engine, block int)) {
	for _, v := range []struct {
		name  string
		wide  bool
		block int
	}{{"AVX2", false, 8}, {"AVX-512 in blocks of 8", true, 8}, {"AVX-512 in blocks of 16", true, 16}} {
		t.Run(v.name, func(t *testing.T) {
			e := open(t)
			if v.wide && !e.wide {
				t.Skip("this processor has no AVX-512")
			}
			e.wide, e.zone = v.wide, 64
			f(t, e, v.block)
		})
	}
}

func byHand(e *Engine, g *graph.Graph, block, batch int) *handmade {
	p := e.newProgram(g, engine.Options{Batch: batch}.WithDefaults(), block)
	return &handmade{p, &scheduler{lowering: p.newLowering(), p: p}}
}

// run runs the ops as one loop; fill sets the operands.
func (h *handmade) run(t *testing.T, fill func()) {
	t.Helper()
	h.end()
	if err := h.emit(h.scheduler); err != nil {
		t.Fatal(err)
	}
	fill()
	h.program.run.stats, h.program.run.backward = 1, 1
	if err := h.execute(); err != nil {
		t.Fatal(err)
	}
	if err := h.touched(); err != nil {
		t.Error(err)
	}
}

// values are indexed [image][channel][position].
type values []float64

// integers draws from [-most, most].
func integers(r *rand.Rand, n, most int) values {
	v := make(values, n)
	for i := range v {
		v[i] = float64(r.IntN(2*most+1) - most)
	}
	return v
}

// each visits the floats of a tensor with the element that each holds; -1: padding.
func (h *handmade) each(t *tensor, f func(at, element int)) {
	lanes, area := h.lanes[t.node], t.area()
	for n := range h.opt.Batch {
		for lane, ch := range lanes {
			for p := range area {
				at, element := ((n*t.blocks+lane/t.block)*area+p)*t.block+lane%t.block, -1
				if ch >= 0 {
					element = (n*t.channels+ch)*area + p
				}
				f(at, element)
			}
		}
	}
}

// set fills a tensor, zeros in its padding and NaN in what is left of its buffer; nil: NaN everywhere.
func (h *handmade) set(t *tensor, v values) {
	area := h.area(t.buf)
	for i := range area {
		area[i] = math.Float32frombits(untouched)
	}
	if v == nil {
		return
	}
	h.each(t, func(at, element int) {
		area[at] = 0
		if element >= 0 {
			area[at] = float32(v[element])
		}
	})
}

// check compares a tensor: zeros in its padding, nothing written beyond its end.
func (h *handmade) check(t *testing.T, what string, got *tensor, want values, tolerance float64) {
	t.Helper()
	area := h.area(got.buf)
	faults := 0
	h.each(got, func(at, element int) {
		w := 0.0
		if element >= 0 {
			w = want[element]
		}
		if d := math.Abs(float64(area[at]) - w); !(d <= tolerance*max(1, math.Abs(w))) {
			if faults++; faults == 1 {
				t.Errorf("%s: element %d (-1: padding) is %g, want %g", what, element, area[at], w)
			}
		}
	})
	for i, v := range area[h.opt.Batch*got.record():] {
		if math.Float32bits(v) != untouched {
			t.Errorf("%s: float %d behind the tensor was written: %g", what, i, v)
		}
	}
}

// convolution is a shape to run, and in groups of how many images.
type convolution struct {
	in, out, h, w, kernel, stride, groups, batch, chunk int
}

// twin is the convolution of x, and the gradients of its input and weights that follow from dy.
func (c convolution) twin(x, w, dy values, oh, ow int) (y, dx, dw values) {
	y, dx, dw = make(values, len(dy)), make(values, len(x)), make(values, len(w))
	gi, gout, pad, k := c.in/c.groups, c.out/c.groups, (c.kernel-1)/2, c.kernel
	for n := range c.batch {
		for o := range c.out {
			for i := range gi {
				from := (n*c.in + o/gout*gi + i) * c.h
				for tap := range k * k {
					at := (o*gi+i)*k*k + tap
					for oy := range oh {
						iy := oy*c.stride + tap/k - pad
						if iy < 0 || iy >= c.h {
							continue
						}
						for ox := range ow {
							ix := ox*c.stride + tap%k - pad
							if ix < 0 || ix >= c.w {
								continue
							}
							to, in := ((n*c.out+o)*oh+oy)*ow+ox, (from+iy)*c.w+ix
							y[to] += x[in] * w[at]
							dx[in] += dy[to] * w[at]
							dw[at] += dy[to] * x[in]
						}
					}
				}
			}
		}
	}
	return y, dx, dw
}

// scheduled is a program of one convolution, forward and backward, with its operands.
type scheduled struct {
	*handmade
	g            *graph.Graph
	x, y, dx, dy *tensor
}

func (c convolution) schedule(t testing.TB, e *Engine, block int) scheduled {
	t.Helper()
	var rec graph.Recorder
	// Behind a convolution that does not run: the lanes of images are given, those of its output are as the second one wants.
	before := rec.Conv(graph.Name{Part: "before"}, rec.Input(c.in, c.h, c.w), graph.Conv{Out: c.in, Kernel: 1, Stride: 1, Groups: 1})
	rec.Conv(graph.Name{Part: "conv"}, before, graph.Conv{Out: c.out, Kernel: c.kernel, Stride: c.stride, Groups: c.groups})
	g, err := rec.Graph()
	if err != nil {
		t.Fatal(err)
	}
	h := byHand(e, g, block, c.batch)
	s := scheduled{h, g, h.newTensor(1, "x"), h.newTensor(2, "y"), h.newTensor(1, "dx"), h.newTensor(2, "dy")}
	k := &conv{node: 2, kind: h.kinds[2], root: &root{node: 1, grad: true, chunk: c.chunk}, raw: s.y, dz: s.dy.buf}
	h.convs[2] = k
	if err := h.makeWeights(h.lowering); err != nil {
		t.Fatal(err)
	}
	h.begin(c.chunk, true)
	h.convForward(k, s.x.buf)
	h.convBackward(k, s.x.buf, func() *buffer { return s.dx.buf })
	return s
}

// compare runs the convolution forward and backward; it names what ran it: forward, backward data, backward weights.
func (c convolution) compare(t *testing.T, e *Engine, block int) (kernels []string) {
	t.Helper()
	h := c.schedule(t, e, block)
	defer h.Close()
	g, x, y, dx, dy := h.g, h.x, h.y, h.dx, h.dy
	r := rand.New(rand.NewPCG(uint64(c.in), uint64(c.h*c.w)))
	oh, ow := y.h, y.w
	name, weights := g.Params[1].Name, integers(r, g.Params[1].Size(), 3)
	in, gradient := integers(r, c.batch*c.in*c.h*c.w, 3), integers(r, c.batch*c.out*oh*ow, 3)
	h.run(t, func() {
		h.set(x, in)
		h.set(dy, gradient)
		h.set(y, nil)
		h.set(dx, nil)
		w := make([]float32, len(weights))
		for i := range w {
			w[i] = float32(weights[i])
		}
		if err := h.Set(engine.Params, name, w); err != nil {
			t.Fatal(err)
		}
	})
	wantY, wantDX, wantDW := c.twin(in, weights, gradient, oh, ow)
	kernels = h.impls(h.weights[name])
	what := fmt.Sprintf("%+v on %v", c, kernels)
	h.check(t, what+": forward", y, wantY, 0)
	h.check(t, what+": backward data", dx, wantDX, 0)
	dw := make([]float32, len(weights))
	if err := h.Get(engine.Gradients, name, dw); err != nil {
		t.Fatal(err)
	}
	for i := range dw {
		if float64(dw[i]) != wantDW[i] {
			t.Errorf("%s: gradient of weight %d is %g, want %g", what, i, dw[i], wantDW[i])
			break
		}
	}
	if got, want := nonzero(h.area(h.grads)), nonzero(dw); got != want {
		t.Errorf("%s: %d weights with their padding have a gradient, without it %d", what, got, want)
	}
	return kernels
}

func nonzero(v []float32) (n int) {
	for _, x := range v {
		if x != 0 {
			n++
		}
	}
	return n
}

// Maps of every width up to two vectors, and beyond: kernels take rows in segments.
var mapWidths = []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 28, 31, 33}

// tile.h where lanes have inputs of their own: groups of 2 to 24 channels that fill their blocks and that do not, dense
// convolutions as one group, depthwise; images in pairs, and the last without a second one.
func TestOwnInputs(t *testing.T) {
	vectors(t, func(t *testing.T, e *Engine, block int) {
		tiles := map[string]bool{}
		for i, w := range mapWidths {
			for j, width := range []int{1, 2, 4, 8, 17, 24} {
				for stride := 1; stride <= 2; stride++ {
					n := i + j + stride
					c := convolution{kernel: 3, stride: stride, h: 1 + (i+j)%5, w: w, groups: 1 + n%2, chunk: 1 + (i+2*j+stride)%5}
					switch {
					case width == 1:
						c.kernel, c.groups, c.h = 3+2*(n%3), 1+(5*i+stride)%(2*block), 1+n%9
					case width < block:
						c.groups = 1 + (i+j)%(2*block/width)
					}
					c.in, c.out = width*c.groups, width*c.groups
					if w > 8 {
						c.chunk = 1 + n%3
					}
					c.batch = c.chunk * (1 + (i+j)%2)
					node := &graph.Node{Op: graph.OpConv, C: c.out, Kernel: c.kernel, Stride: stride, Groups: c.groups}
					if ownWidth(node, c.in, block, e.wide) == 0 {
						continue
					}
					for images := range 3 {
						e.tile = [2]int{1, images}
						for which, k := range c.compare(t, e, block) {
							if lone := width == 1 && e.wide && block == 8 && c.chunk == 1; !strings.HasPrefix(k, "tile ") && !lone {
								t.Errorf("%+v runs on %s", c, k)
							}
							tiles[fmt.Sprint(c.kernel, width, stride, which, " ", k)] = true
						}
					}
				}
			}
		}
		if len(tiles) < 30 {
			t.Errorf("only %d tiles: %v", len(tiles), tiles)
		}
	})
}

// tile.h: every tile on rows that it fills and that it does not, with vectors, images and halves of
// vectors left over, for both kernels and strides; dense and in groups.
func TestTiles(t *testing.T) {
	vectors(t, func(t *testing.T, e *Engine, block int) {
		tiles := map[string]bool{}
		for vectors := 1; vectors <= 4; vectors++ {
			for images := 1; images <= 4; images++ {
				e.tile = [2]int{vectors, images}
				for positions := 1; positions <= 29; positions++ {
					for kernel := 1; kernel <= 3; kernel += 2 {
						if kernel == 1 && images > 1 || positions > 15 && vectors*kernel > 1 {
							continue
						}
						n := vectors + positions + images
						blocks := vectors
						if e.wide {
							blocks = vectors * 16 / block
						}
						c := convolution{
							in: block*(1+n%3) - n%2, out: block*(blocks+n%2) - n%3, h: 1 + n%3, w: positions,
							kernel: kernel, stride: 1 + n/2%2, groups: 1, chunk: images + n%3,
						}
						if c.stride == 2 {
							c.w = 2*positions - n%2
						}
						switch n % 4 {
						case 0: // as many on both sides: backward data has the same tiles
							c.in = c.out
						case 1:
							if groups := block * max(2, blocks); kernel == 3 && c.stride*positions < 20 {
								c.in, c.out, c.groups = 2*groups, 2*groups, 2
							}
						}
						c.batch = c.chunk * (1 + n%2)
						if c.h*c.w == 1 && kernel == 1 {
							continue
						}
						for which, k := range c.compare(t, e, block) {
							if !strings.HasPrefix(k, "tile ") {
								t.Errorf("%+v runs on %s", c, k)
							}
							tiles[fmt.Sprint(kernel, c.stride, which, " ", k)] = true
						}
					}
				}
			}
		}
		if len(tiles) < 20 {
			t.Errorf("only %d tiles: %v", len(tiles), tiles)
		}
	})
}

// What a tile does to its sums when nobody wants gradients: bias, what is there, activation; for every kind of row,
// with images and halves of vectors left over, and weights that are done in parts.
func TestTileEpilogues(t *testing.T) {
	vectors(t, func(t *testing.T, e *Engine, block int) {
		for i, w := range []int{1, 7, 9, 29} {
			for j, kernel := range []int{1, 3, 3, 5} {
				width := []int{0, 0, 4, 1}[j] // of groups
				for stride := 1; stride <= 2; stride++ {
					for act := range graph.Sigmoid + 1 {
						for bits := range 4 {
							e.tile = [2]int{1 + (i+bits)%4, 1 + (i+j)%2}
							c := convolution{
								in: block * (1 + i%3), out: block*(1+(i+bits)%4) - (i+j)%2, h: 2 + i%2, w: w,
								kernel: kernel, stride: stride, groups: 1, batch: 6, chunk: 3,
							}
							if i == 2 {
								c.in = 320 / kernel // whose weights do not fit the first-level cache
							}
							if act == graph.Sigmoid {
								c.out = block * (1 + (i+bits)%4) // it lifts padding from zero
							}
							if width > 0 {
								c.in = block * (1 + i%3)
								c.out, c.groups = c.in, c.in/width
							}
							c.fused(t, e, block, act, bits&1 != 0, bits&2 != 0)
						}
					}
				}
			}
		}
	})
}

// fused runs act(conv(x) + bias + y) as an inference program does.
func (c convolution) fused(t *testing.T, e *Engine, block int, act graph.Activation, bias, sum bool) {
	t.Helper()
	var rec graph.Recorder
	before := rec.Conv(graph.Name{Part: "before"}, rec.Input(c.in, c.h, c.w), graph.Conv{Out: c.in, Kernel: 1, Stride: 1, Groups: 1})
	rec.Conv(graph.Name{Part: "conv"}, before, graph.Conv{Out: c.out, Kernel: c.kernel, Stride: c.stride, Groups: c.groups, Bias: bias})
	g, err := rec.Graph()
	if err != nil {
		t.Fatal(err)
	}
	h := byHand(e, g, block, c.batch)
	defer h.Close()
	h.opt.Inference = true
	x, y := h.newTensor(1, "x"), h.newTensor(2, "y")
	k := &conv{node: 2, kind: h.kinds[2], root: &root{node: 1, chunk: c.chunk}, raw: y, epilogue: epilogue{on: true, act: act, sum: sum}}
	if bias {
		k.norm = &norm{node: 2, bias: true}
		k.epilogue.bias = k.norm
	}
	h.convs[2] = k
	if err := h.makeWeights(h.lowering); err != nil {
		t.Fatal(err)
	}
	what := fmt.Sprintf("%+v on %v, activation %d, bias %v, sum %v", c, h.impls(k.weight), act, bias, sum)
	if k.weight.prims.info.fused == 0 {
		t.Fatal(what + ": not fused")
	}
	h.begin(c.chunk, true)
	h.convForward(k, x.buf)
	r := rand.New(rand.NewPCG(uint64(c.in), uint64(c.h*c.w)))
	in, there := integers(r, c.batch*c.in*c.h*c.w, 3), integers(r, c.batch*c.out*y.area(), 3)
	params := []values{integers(r, g.Params[1].Size(), 3), integers(r, c.out, 3)}
	h.run(t, func() {
		h.set(x, in)
		h.set(y, nil)
		if sum {
			h.set(y, there)
		}
		for i, p := range g.Params[1:] {
			w := make([]float32, len(params[i]))
			for j := range w {
				w[j] = float32(params[i][j])
			}
			if err := h.Set(engine.Params, p.Name, w); err != nil {
				t.Fatal(err)
			}
		}
	})
	want, _, _ := c.twin(in, params[0], make(values, len(there)), y.h, y.w)
	for i := range want {
		if bias {
			want[i] += params[1][i/y.area()%c.out]
		}
		if sum {
			want[i] += there[i]
		}
		want[i], _ = activation(want[i], act)
	}
	tolerance := 0.0
	if act > graph.ReLU {
		tolerance = 1e-6 // exp
	}
	h.check(t, what, y, want, tolerance)
}

// direct.h: dense, groups and depthwise, forward and both ways back, wherever oneDNN leaves
// a shape to scalar code; what it has kernels for is compared as well.
func TestDirectKernels(t *testing.T) {
	vectors(t, func(t *testing.T, e *Engine, block int) {
		passes, seen := []string{"forward", "backward data", "backward weights"}, map[string]int{}
		for i, size := range [][2]int{{1, 2}, {2, 1}, {2, 2}, {1, 3}, {3, 2}, {3, 3}, {4, 5}, {9, 7}} {
			for _, k := range []int{3, 5, 7, 9} {
				for stride := 1; stride <= 2; stride++ {
					for j, kind := range []string{"dense", "groups", "depthwise"} {
						c := convolution{in: 2*block - i%3, out: 3*block - i%2, h: size[0], w: size[1], kernel: k, stride: stride, groups: 1, chunk: 1 + (i+j+k)%6}
						switch kind {
						case "groups":
							c.in, c.out, c.groups = 2*(block+3), 2*(block+3), 2
						case "depthwise":
							c.out, c.groups = c.in, c.in
						}
						c.batch = c.chunk * (1 + i%2)
						for which, name := range c.compare(t, e, block) {
							if name == "direct" {
								seen[passes[which]]++
							}
						}
					}
				}
			}
		}
		for _, which := range passes {
			if seen[which] == 0 {
				t.Errorf("%s runs on none", which)
			}
		}
	})
}

// sgemm has channels on both sides that fill their blocks and that do not.
func TestProducts(t *testing.T) {
	vectors(t, func(t *testing.T, e *Engine, block int) {
		for _, in := range []int{1, 7, 8, 16, 23, 40} {
			for _, out := range []int{1, 8, 10, 33} {
				convolution{in: in, out: out, h: 1, w: 1, kernel: 1, stride: 1, groups: 1, batch: 6, chunk: 1 + in%3}.compare(t, e, block)
			}
		}
	})
}

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
