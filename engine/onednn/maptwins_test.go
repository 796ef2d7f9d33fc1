//go:build cgo

package onednn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"netspace/graph"
)

// mapping is an op between values of different shapes, with its twin.
type mapping struct {
	name     string
	channels int
	write    func(r *graph.Recorder, x graph.Value) graph.Value
	// forward gives the output of one image, [channels][positions], backward the gradient of its input.
	forward  func(in, out *graph.Node, x values) values
	backward func(in, out *graph.Node, x, dy values) values
	exact    bool // sums of small integers, and divisions by powers of two
}

func average(channels, kernel, stride, pad int) mapping {
	// Windows at the edge of tiles average what is left of the image; with padding its zeros count.
	each := func(in, out *graph.Node, f func(from, to, count int)) {
		for c := range out.C {
			for p := range out.H * out.W {
				top, left := p/out.W*stride-pad, p%out.W*stride-pad
				count := kernel * kernel
				if pad == 0 {
					count = (min(top+kernel, in.H) - top) * (min(left+kernel, in.W) - left)
				}
				for y := max(top, 0); y < min(top+kernel, in.H); y++ {
					for x := max(left, 0); x < min(left+kernel, in.W); x++ {
						f((c*in.H+y)*in.W+x, c*out.H*out.W+p, count)
					}
				}
			}
		}
	}
	return mapping{
		name: fmt.Sprintf("average %d/%d pad %d of %d", kernel, stride, pad, channels), channels: channels,
		write: func(r *graph.Recorder, x graph.Value) graph.Value { return r.AvgPool(x, kernel, stride, pad) },
		forward: func(in, out *graph.Node, x values) values {
			y := make(values, out.C*out.H*out.W)
			each(in, out, func(from, to, count int) { y[to] += x[from] / float64(count) })
			return y
		},
		backward: func(in, out *graph.Node, _, dy values) values {
			dx := make(values, in.C*in.H*in.W)
			each(in, out, func(from, to, count int) { dx[from] += dy[to] / float64(count) })
			return dx
		},
	}
}

func foldInto(channels, parts int) mapping {
	return mapping{
		name: fmt.Sprintf("fold of %d in %d", channels, parts), channels: channels, exact: true,
		write: func(r *graph.Recorder, x graph.Value) graph.Value { return r.Fold(x, parts) },
		forward: func(_, _ *graph.Node, x values) values {
			y := make(values, len(x)/parts)
			for i, v := range x {
				y[i%len(y)] += v
			}
			return y
		},
		backward: func(_, _ *graph.Node, x, dy values) values {
			dx := make(values, len(x))
			for i := range dx {
				dx[i] = dy[i%len(dy)]
			}
			return dx
		},
	}
}

func softmaxing(channels, parts, groups int) mapping {
	// from and to are the elements of part j of one softmax: channels are [groups][parts][…] before and [parts][groups][…] after.
	each := func(n *graph.Node, f func(from, to []int)) {
		run := n.C / parts / groups * n.H * n.W
		from, to := make([]int, parts), make([]int, parts)
		for g := range groups {
			for k := range run {
				for j := range parts {
					from[j], to[j] = (g*parts+j)*run+k, (j*groups+g)*run+k
				}
				f(from, to)
			}
		}
	}
	forward := func(_, out *graph.Node, x values) values {
		y := make(values, len(x))
		each(out, func(from, to []int) {
			sum := 0.0
			for _, i := range from {
				sum += math.Exp(x[i])
			}
			for j, i := range from {
				y[to[j]] = math.Exp(x[i]) / sum
			}
		})
		return y
	}
	return mapping{
		name: fmt.Sprintf("softmax of %d in %d of %d groups", channels, parts, groups), channels: channels,
		write:   func(r *graph.Recorder, x graph.Value) graph.Value { return r.Softmax(x, parts, groups) },
		forward: forward,
		backward: func(in, out *graph.Node, x, dy values) values {
			y, dx := forward(in, out, x), make(values, len(x))
			each(out, func(from, to []int) {
				mean := 0.0
				for _, i := range to {
					mean += y[i] * dy[i]
				}
				for j, i := range from {
					dx[i] = y[to[j]] * (dy[to[j]] - mean)
				}
			})
			return dx
		},
	}
}

// compare runs the op forward and backward on images of h×w.
func (m mapping) compare(t *testing.T, e *Engine, block, h, w, batch, chunk int) {
	var rec graph.Recorder
	m.write(&rec, rec.Input(m.channels, h, w))
	g, err := rec.Graph()
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Nodes) == 1 {
		return // a fold of one part records nothing
	}
	p := byHand(e, g, block, batch)
	defer p.Close()
	p.softmaxes = map[int]*buffer{}
	if err := p.makeWeights(p.lowering); err != nil { // of none
		t.Fatal(err)
	}
	tensors := make([]*tensor, 4)
	for i := range tensors {
		tensors[i] = p.newTensor(i%2, "operand")
		p.plan.use(tensors[i].buf)
	}
	x, y, dx, dy := tensors[0], tensors[1], tensors[2], tensors[3]
	r := rand.New(rand.NewPCG(uint64(m.channels), uint64(h*w)))
	in, out := &g.Nodes[0], &g.Nodes[1]
	vx, vdy := integers(r, batch*in.C*h*w, 3), integers(r, batch*out.C*out.H*out.W, 3)
	p.begin(chunk, true)
	from, to := &root{node: 0, expr: expr{x: x}}, &root{node: 1, expr: expr{x: y}}
	o := p.mapOp(true, from, to)
	o.x, o.y = x.buf, y.buf
	p.add(o)
	o = p.mapOp(false, from, to)
	o.g1, o.y = dy.buf, dx.buf
	p.add(o)
	p.run(t, func() {
		p.set(x, vx)
		p.set(dy, vdy)
		p.set(y, nil)
		p.set(dx, nil)
	})
	var wantY, wantX values
	for i := range batch {
		image := vx[i*len(vx)/batch : (i+1)*len(vx)/batch]
		wantY = append(wantY, m.forward(in, out, image)...)
		wantX = append(wantX, m.backward(in, out, image, vdy[i*len(vdy)/batch:(i+1)*len(vdy)/batch])...)
	}
	tolerance := 1e-5 // exp, and the division by areas that are no powers of two
	if m.exact {
		tolerance = 0
	}
	what := fmt.Sprintf("%s, %d×%d, %d images", m.name, h, w, batch)
	p.check(t, what, y, wantY, tolerance)
	p.check(t, what+", backward", dx, wantX, tolerance)
}

// Average poolings, folds and softmaxes of every shape: groups that share blocks, parts that are no whole blocks, windows
// beyond the edge, maps of one position.
func TestMapKernels(t *testing.T) {
	vectors(t, func(t *testing.T, e *Engine, block int) {
		if e.wide && block == 8 {
			t.Skip("the same as on AVX2")
		}
		sizes := [][2]int{{1, 1}, {1, 3}, {5, 7}, {4, 4}, {8, 3}}
		for k, size := range sizes {
			batch, chunk := 1+k%2*3, 1+k%2
			for _, channels := range []int{1, 5, block, block + 3, 2 * block} {
				for _, window := range [][3]int{{2, 2, 0}, {3, 3, 0}, {3, 1, 1}, {3, 2, 1}, {1, 2, 0}, {5, 2, 2}} {
					if window[2] == 0 || window[0] <= size[0]+2*window[2] && window[0] <= size[1]+2*window[2] {
						average(channels, window[0], window[1], window[2]).compare(t, e, block, size[0], size[1], batch, chunk)
					}
				}
				for _, parts := range []int{1, 2, 3, 5} {
					foldInto(channels*parts, parts).compare(t, e, block, size[0], size[1], batch, chunk)
					for _, groups := range []int{1, 2, 3} {
						softmaxing(channels*parts*groups, parts, groups).compare(t, e, block, size[0], size[1], batch, chunk)
					}
				}
			}
		}
	})
}
