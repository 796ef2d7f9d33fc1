//go:build cgo

package onednn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

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

	planes bool // it reads images as they come
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
	x, y, dx, dy *tensor // dx: nil for images
}

// byHand is a program of one convolution, whose ops a test makes, and the node that it reads.
func (c convolution) byHand(t testing.TB, e *Engine, block int, bias bool) (h *handmade, from int) {
	t.Helper()
	var rec graph.Recorder
	x := rec.Input(c.in, c.h, c.w)
	if !c.planes {
		// Behind a convolution that does not run: the lanes of images are given, those of its output are as the second one wants.
		x, from = rec.Conv(graph.Name{Part: "before"}, x, graph.Conv{Out: c.in, Kernel: 1, Stride: 1, Groups: 1}), 1
	}
	rec.Conv(graph.Name{Part: "conv"}, x, graph.Conv{Out: c.out, Kernel: c.kernel, Stride: c.stride, Groups: c.groups, Bias: bias})
	g, err := rec.Graph()
	if err != nil {
		t.Fatal(err)
	}
	h = byHand(e, g, block, c.batch)
	if c.planes {
		h.plainInput, h.lanes[0] = true, naturalLanes(c.in, 1)
	}
	return h, from
}

// read is the tensor that the convolution reads: of images, planes.
func (h *handmade) read(node int, kind string) *tensor {
	t := h.newTensor(node, kind)
	if h.plainInput {
		t.block, t.blocks = 1, t.channels
		t.buf = h.plan.perImage(kind, t.record())
	}
	return t
}

func (c convolution) schedule(t testing.TB, e *Engine, block int) scheduled {
	t.Helper()
	h, from := c.byHand(t, e, block, false)
	s := scheduled{handmade: h, g: h.g, x: h.read(from, "x"), y: h.newTensor(from+1, "y"), dy: h.newTensor(from+1, "dy")}
	if !c.planes {
		s.dx = h.newTensor(from, "dx")
	}
	k := &conv{node: from + 1, kind: h.kinds[from+1], root: &root{node: from, grad: !c.planes, chunk: c.chunk}, raw: s.y, dz: s.dy.buf}
	h.convs[from+1] = k
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
	param := g.Params[len(g.Params)-1]
	name, weights := param.Name, integers(r, param.Size(), 3)
	in, gradient := integers(r, c.batch*c.in*c.h*c.w, 3), integers(r, c.batch*c.out*oh*ow, 3)
	h.run(t, func() {
		h.set(x, in)
		h.set(dy, gradient)
		h.set(y, nil)
		if dx != nil {
			h.set(dx, nil)
		}
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
	if dx != nil {
		h.check(t, what+": backward data", dx, wantDX, 0)
	}
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
					if ownWidth(node, c.in) == 0 {
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

// tile.h: every tile on rows that it fills and that it does not, with vectors, images and steps of
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
						c := convolution{
							in: block*(1+n%3) - n%2, out: block*(vectors+n%2) - n%3, h: 1 + n%3, w: positions,
							kernel: kernel, stride: 1 + n/2%2, groups: 1, chunk: images + n%3,
						}
						if c.stride == 2 {
							c.w = 2*positions - n%2
						}
						switch n % 4 {
						case 0: // as many on both sides: backward data has the same tiles
							c.in = c.out
						case 1:
							if groups := block * max(2, vectors); kernel == 3 && c.stride*positions < 20 {
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

// The tile decides about speed alone: with every one the results have the same bits.
func TestTilesKeepBits(t *testing.T) {
	vectors(t, func(t *testing.T, e *Engine, block int) {
		for _, c := range []convolution{
			{in: 3, out: 5 * block, h: 5, w: 29, kernel: 7, stride: 1, groups: 1, planes: true},
			{in: 1, out: 4 * block, h: 9, w: 23, kernel: 3, stride: 2, groups: 1, planes: true},
			{in: 5 * block, out: 4 * block, h: 3, w: 11, kernel: 1, stride: 1, groups: 1},
			{in: 640, out: 4 * block, h: 1, w: 9, kernel: 1, stride: 2, groups: 1}, // weights in parts
			{in: 8 * block, out: 8 * block, h: 4, w: 9, kernel: 3, stride: 1, groups: 2},
			{in: 160, out: 4 * block, h: 5, w: 8, kernel: 3, stride: 2, groups: 1},
			{in: 6 * block, out: 6 * block, h: 4, w: 9, kernel: 3, stride: 1, groups: 3 * block / 2},
		} {
			c.batch, c.chunk = 4, 4
			var want []float32
			for vectors := 1; vectors <= 4; vectors++ {
				for images := 1; images <= 4; images++ {
					e.tile = [2]int{vectors, images}
					h := c.schedule(t, e, block)
					r := rand.New(rand.NewPCG(uint64(c.in), 1))
					reals := func(n int) values {
						v := make(values, n)
						for i := range v {
							v[i] = r.NormFloat64()
						}
						return v
					}
					param := h.g.Params[len(h.g.Params)-1]
					w := make([]float32, param.Size())
					for i := range w {
						w[i] = float32(r.NormFloat64())
					}
					h.run(t, func() {
						h.set(h.x, reals(c.batch*c.in*c.h*c.w))
						h.set(h.dy, reals(c.batch*c.out*h.y.area()))
						h.set(h.y, nil)
						if h.dx != nil {
							h.set(h.dx, nil)
						}
						if err := h.Set(engine.Params, param.Name, w); err != nil {
							t.Fatal(err)
						}
					})
					got := slices.Concat(h.area(h.y.buf), h.area(h.grads))
					if h.dx != nil {
						got = append(got, h.area(h.dx.buf)...)
					}
					if want == nil {
						want = slices.Clone(got)
					} else if !slices.Equal(got, want) {
						t.Errorf("%+v: tiles of %d vectors and %d images give other bits on %v", c, vectors, images, h.impls(h.weights[param.Name]))
					}
					h.Close()
				}
			}
		}
	})
}

// What a tile does to its sums when nobody wants gradients: bias, what is there, activation; for every kind of row,
// with images and blocks of inputs left over, and weights that are done in parts.
func TestTileEpilogues(t *testing.T) {
	vectors(t, func(t *testing.T, e *Engine, block int) {
		for i, w := range []int{1, 7, 9, 29} {
			for j, kernel := range []int{1, 3, 3, 5, 5, 9} {
				width := []int{0, 0, 4, 1, 0, 1}[j] // of groups
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
	h, from := c.byHand(t, e, block, bias)
	defer h.Close()
	h.opt.Inference = true
	x, y := h.read(from, "x"), h.newTensor(from+1, "y")
	k := &conv{node: from + 1, kind: h.kinds[from+1], root: &root{node: from, chunk: c.chunk}, raw: y, epilogue: epilogue{on: true, act: act, sum: sum}}
	if bias {
		k.norm = &norm{node: from + 1, bias: true}
		k.epilogue.bias = k.norm
	}
	h.convs[from+1] = k
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
	own := h.g.Params[from:]
	params := []values{integers(r, own[0].Size(), 3), integers(r, c.out, 3)}
	h.run(t, func() {
		h.set(x, in)
		h.set(y, nil)
		if sum {
			h.set(y, there)
		}
		for i, p := range own {
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

// tile.h on kernels and strides that have no rows of their own: dense, in groups and depthwise, on maps smaller than the
// kernel's reach and larger ones, with vectors and images left over.
func TestAnyKernelAndStride(t *testing.T) {
	vectors(t, func(t *testing.T, e *Engine, block int) {
		tiles := map[string]bool{}
		for i, size := range [][2]int{{1, 2}, {2, 1}, {2, 2}, {3, 2}, {4, 5}, {9, 7}, {6, 13}, {3, 29}} {
			for j, k := range []int{1, 3, 5, 7, 9, 11, 31} {
				for stride := 1; stride <= 4; stride++ {
					n := i + j + stride
					c := convolution{in: (1+n%2)*block - i%3, out: (1+n%4)*block - i%2, h: size[0], w: size[1], kernel: k, stride: stride, groups: 1, chunk: 1 + n%4}
					kind := (n/2 + j) % 3
					if k == 31 && size[1] > 5 || kind < 2 && k == 1 && c.h <= stride && c.w <= stride {
						continue
					}
					switch kind {
					case 1: // groups
						c.in, c.out, c.groups = 2*(block+3), 2*(block+3), 2
					case 2: // depthwise
						c.out, c.groups = c.in, c.in
					}
					c.batch = c.chunk * (1 + i%2)
					e.tile = [2]int{1 + n%4, 1}
					for which, name := range c.compare(t, e, block) {
						if lone := kind == 2 && e.wide && block == 8 && c.chunk == 1; !strings.HasPrefix(name, "tile ") && !lone {
							t.Errorf("%+v runs on %s", c, name)
						}
						tiles[fmt.Sprint(kind, which, " ", name)] = true
					}
				}
			}
		}
		if len(tiles) < 12 {
			t.Errorf("only %d tiles: %v", len(tiles), tiles)
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
