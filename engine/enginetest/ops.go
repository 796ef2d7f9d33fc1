package enginetest

import (
	"fmt"

	"netspace/engine"
	"netspace/graph"
)

// shape is the size of an image.
type shape struct{ c, h, w int }

func name(part string) graph.Name { return graph.Name{Part: part} }

func build(in shape, f func(r *graph.Recorder, x graph.Value)) *graph.Graph {
	return mustGraph(func(r *graph.Recorder) { f(r, r.Input(in.c, in.h, in.w)) })
}

// mustGraph records a graph; what the suite writes is meant to fit.
func mustGraph(f func(*graph.Recorder)) *graph.Graph {
	var r graph.Recorder
	f(&r)
	g, err := r.Graph()
	if err != nil {
		panic("enginetest: " + err.Error())
	}
	return g
}

// around puts ops between a convolution, whose gradients show whether the
// ops pass gradients down right, and a smooth nonlinearity and classifier,
// from which every element gets a different gradient.
func around(in shape, width int, f func(r *graph.Recorder, x graph.Value) graph.Value) *graph.Graph {
	return build(in, func(r *graph.Recorder, x graph.Value) {
		x = r.Conv(name("before"), x, graph.Conv{Out: width, Kernel: 1, Stride: 1, Groups: 1, Bias: true})
		finish(r, f(r, x))
	})
}

func finish(r *graph.Recorder, x graph.Value) {
	x = r.Activation(x, graph.SiLU)
	x = r.GlobalPool(x)
	r.Linear(name("head"), x, 7)
}

func convCase(in shape, batch int, c graph.Conv) Case {
	bias := ""
	if c.Bias {
		bias = "-bias"
	}
	return Case{
		Name:  fmt.Sprintf("conv/%dx%dx%d-to-%d-k%d-s%d-groups%d-batch%d%s", in.c, in.h, in.w, c.Out, c.Kernel, c.Stride, c.Groups, batch, bias),
		Batch: batch,
		Graph: around(shape{3, in.h, in.w}, in.c, func(r *graph.Recorder, x graph.Value) graph.Value {
			return r.Conv(name("conv"), x, c)
		}),
	}
}

// convCases are single convolutions.
func convCases() []Case {
	var cases []Case
	add := func(in shape, batch, out, kernel, stride, groups int, bias bool) {
		cases = append(cases, convCase(in, batch, graph.Conv{Out: out, Kernel: kernel, Stride: stride, Groups: groups, Bias: bias}))
	}
	// Dense: widths that are and are not multiples of a vector, all kernels and strides.
	for _, k := range []int{1, 3, 5, 7} {
		for s := 1; s <= 2; s++ {
			add(shape{8, 7, 9}, 2, 16, k, s, 1, false)
			add(shape{5, 8, 8}, 3, 12, k, s, 1, k == 3)
		}
	}
	add(shape{20, 6, 5}, 5, 36, 1, 1, 1, true)
	add(shape{36, 5, 6}, 2, 20, 3, 2, 1, false)
	add(shape{64, 4, 4}, 8, 40, 1, 2, 1, false)
	// Groups of every width, one to seven of them, at both strides.
	for i, g := range []int{1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24} {
		for s := 1; s <= 2; s++ {
			groups := 2 + (i+s)%3
			if g < 4 {
				groups = 8 + 3*(i+s)
			}
			add(shape{g * groups, 7, 6}, 2, g*groups, 3, s, groups, false)
		}
	}
	add(shape{32, 9, 9}, 3, 32, 5, 2, 8, false) // group width 4, kernel 5
	add(shape{16, 6, 6}, 2, 16, 7, 1, 8, false) // group width 2, kernel 7
	add(shape{24, 6, 6}, 2, 24, 1, 1, 6, false)
	add(shape{8, 6, 6}, 2, 12, 3, 1, 4, true) // as many groups, wider: 2 -> 3
	// Depthwise: whole and broken vectors of channels.
	for _, k := range []int{3, 5, 7} {
		add(shape{16, 7, 7}, 2, 16, k, 1, 16, false)
		add(shape{36, 8, 9}, 3, 36, k, 2, 36, false)
	}
	add(shape{5, 6, 6}, 2, 5, 3, 1, 5, true)
	// Maps that are smaller than the kernel's reach.
	add(shape{8, 1, 1}, 8, 16, 1, 1, 1, true)
	add(shape{8, 1, 1}, 8, 8, 3, 1, 2, false)
	add(shape{8, 2, 2}, 5, 8, 7, 2, 1, false)
	add(shape{8, 1, 3}, 5, 8, 3, 2, 8, false)
	add(shape{8, 5, 4}, 1, 8, 3, 1, 1, false)
	// The first convolution: 1 or 3 channels, no gradient for the images.
	for _, c := range []int{1, 3} {
		for _, k := range []int{3, 7} {
			for s := 1; s <= 2; s++ {
				cases = append(cases, Case{
					Name:  fmt.Sprintf("first-conv/%d-channels-k%d-s%d", c, k, s),
					Batch: 3,
					Graph: build(shape{c, 11, 10}, func(r *graph.Recorder, x graph.Value) {
						finish(r, r.Conv(name("conv"), x, graph.Conv{Out: 12, Kernel: k, Stride: s, Groups: 1}))
					}),
				})
			}
		}
	}
	return cases
}

// widthCases run one convolution of each kind on maps of every width up to
// two vectors and some beyond: kernels work on rows in tiles, and every
// remainder must be right.
func widthCases() []Case {
	var cases []Case
	for _, w := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 28, 31, 33} {
		for s := 1; s <= 2; s++ {
			cases = append(cases, Case{
				Name:    fmt.Sprintf("width/%d-s%d", w, s),
				Batch:   2,
				Updates: []engine.Update{{LR: 0.1}},
				Graph: build(shape{3, 4, w}, func(r *graph.Recorder, x graph.Value) {
					grouped := func(part string, groups, stride int) {
						x = r.Conv(name(part), x, graph.Conv{Out: 16, Kernel: 3, Stride: stride, Groups: groups})
						x = r.Activation(r.BatchNorm(name(part+"_bn"), x, graph.BatchNorm{}), graph.SiLU)
					}
					grouped("first", 1, 1)
					grouped("wide", 2, s)
					grouped("narrow", 8, 1)
					grouped("depthwise", 16, 1)
					x = r.Conv(name("dense"), x, graph.Conv{Out: 24, Kernel: 1, Stride: 1, Groups: 1})
					finish(r, x)
				}),
			}, Case{
				// Group widths that have kernels of their own, on widths that are
				// and are not multiples of 16 channels; an odd batch.
				Name:  fmt.Sprintf("width/%d-s%d-groups", w, s),
				Batch: 3,
				Graph: build(shape{3, 4, w}, func(r *graph.Recorder, x graph.Value) {
					width := 16 + 8*(w%2)
					conv := func(part string, c graph.Conv) {
						x = r.Activation(r.BatchNorm(name(part+"_bn"), r.Conv(name(part), x, c), graph.BatchNorm{}), graph.SiLU)
					}
					conv("first", graph.Conv{Out: width, Kernel: 1, Stride: 1, Groups: 1})
					conv("pairs", graph.Conv{Out: width, Kernel: 3, Stride: 1, Groups: width / 2})
					conv("fours", graph.Conv{Out: width, Kernel: 3, Stride: s, Groups: width / 4})
					conv("eights", graph.Conv{Out: width, Kernel: 3, Stride: 1, Groups: width / 8})
					conv("dense", graph.Conv{Out: width, Kernel: 3, Stride: 1, Groups: 1})
					conv("strided", graph.Conv{Out: 2 * width, Kernel: 1, Stride: s, Groups: 1})
					conv("whole", graph.Conv{Out: 2 * width, Kernel: 3, Stride: s, Groups: 2})
					finish(r, x)
				}),
			})
		}
	}
	return cases
}

// opCases are the other ops, each alone and in the pairs that engines fuse.
func opCases() []Case {
	var cases []Case
	add := func(n string, in shape, batch, width int, f func(r *graph.Recorder, x graph.Value) graph.Value) {
		cases = append(cases, Case{Name: n, Batch: batch, Graph: around(in, width, f)})
	}
	bn := func(r *graph.Recorder, x graph.Value) graph.Value {
		return r.BatchNorm(name("bn"), x, graph.BatchNorm{})
	}
	for _, w := range []int{5, 8, 16, 20, 36} {
		add(fmt.Sprintf("bn/%d", w), shape{3, 5, 7}, 3, w, bn)
		add(fmt.Sprintf("bn-relu/%d", w), shape{3, 5, 7}, 3, w, func(r *graph.Recorder, x graph.Value) graph.Value {
			return r.Activation(bn(r, x), graph.ReLU)
		})
	}
	add("bn/batch-1", shape{3, 6, 6}, 1, 8, bn)
	add("bn/1x1", shape{3, 1, 1}, 8, 12, bn)
	add("bn-relu/used-twice", shape{3, 5, 5}, 3, 12, func(r *graph.Recorder, x graph.Value) graph.Value {
		x = bn(r, x) // its output is wanted with and without ReLU
		return r.Add(x, r.Activation(x, graph.ReLU))
	})
	for _, a := range []graph.Activation{graph.Identity, graph.ReLU, graph.SiLU, graph.Sigmoid} {
		for _, w := range []int{8, 5} {
			add(fmt.Sprintf("activation/%v-%d", a, w), shape{3, 6, 5}, 2, w, func(r *graph.Recorder, x graph.Value) graph.Value {
				return r.Activation(x, a)
			})
		}
		add(fmt.Sprintf("bn-activation/%v", a), shape{3, 6, 5}, 3, 12, func(r *graph.Recorder, x graph.Value) graph.Value {
			return r.Activation(bn(r, x), a)
		})
		add(fmt.Sprintf("add-activation/%v", a), shape{3, 6, 5}, 3, 12, func(r *graph.Recorder, x graph.Value) graph.Value {
			y := r.Conv(name("branch"), x, graph.Conv{Out: 12, Kernel: 3, Stride: 1, Groups: 1})
			return r.Activation(r.Add(x, bn(r, y)), a)
		})
	}
	for _, k := range []int{3, 5} {
		for s := 1; s <= 2; s++ {
			for _, w := range []int{8, 5} {
				add(fmt.Sprintf("max-pool/k%d-s%d-%d", k, s, w), shape{3, 7, 10}, 2, w, func(r *graph.Recorder, x graph.Value) graph.Value {
					return r.MaxPool(x, k, s)
				})
			}
		}
	}
	for _, w := range []int{8, 5} {
		for _, p := range [][3]int{{2, 2, 0}, {3, 3, 0}, {4, 4, 0}, {3, 1, 1}, {3, 2, 1}, {3, 3, 1}, {5, 2, 2}, {1, 2, 0}} {
			add(fmt.Sprintf("avg-pool/k%d-s%d-p%d-%d", p[0], p[1], p[2], w), shape{3, 7, 10}, 2, w, func(r *graph.Recorder, x graph.Value) graph.Value {
				return r.AvgPool(x, p[0], p[1], p[2])
			})
		}
	}
	add("avg-pool/after-relu", shape{3, 9, 9}, 2, 8, func(r *graph.Recorder, x graph.Value) graph.Value {
		return r.AvgPool(r.Activation(bn(r, x), graph.ReLU), 2, 2, 0)
	})
	for _, c := range [][2]int{{16, 2}, {12, 2}, {12, 3}, {40, 5}, {6, 6}} {
		add(fmt.Sprintf("fold/%d-in-%d", c[0], c[1]), shape{3, 5, 7}, 3, c[0], func(r *graph.Recorder, x graph.Value) graph.Value {
			return r.Fold(bn(r, x), c[1])
		})
	}
	// Values that belong together by folds have lanes that fit each other, and what they are added to.
	add("fold/of-folds", shape{3, 5, 7}, 3, 24, func(r *graph.Recorder, x graph.Value) graph.Value {
		y := r.Conv(name("half"), x, graph.Conv{Out: 12, Kernel: 1, Stride: 1, Groups: 1})
		x = r.Fold(r.Activation(x, graph.SiLU), 2)
		return r.Add(r.Fold(r.Add(x, y), 2), r.Fold(r.Activation(x, graph.SiLU), 2))
	})
	for _, groups := range []int{1, 2, 3, 6} {
		for radix := 1; radix <= 3; radix++ {
			add(fmt.Sprintf("fold/groups-%d-radix-%d", groups, radix), shape{3, 5, 7}, 3, 36, func(r *graph.Recorder, x graph.Value) graph.Value {
				y := r.Conv(name("splits"), bn(r, x), graph.Conv{Out: 36 * radix, Kernel: 3, Stride: 1, Groups: groups * radix})
				gate := r.Fold(r.GlobalPool(y), radix)
				gate = r.Conv(name("squeeze"), gate, graph.Conv{Out: 12, Kernel: 1, Stride: 1, Groups: groups, Bias: true})
				gate = r.BatchNorm(name("squeeze_bn"), gate, graph.BatchNorm{})
				gate = r.Conv(name("gate"), r.Activation(gate, graph.SiLU), graph.Conv{Out: 36 * radix, Kernel: 1, Stride: 1, Groups: groups, Bias: true})
				return r.Fold(r.Scale(y, r.Softmax(gate, radix, groups)), radix)
			})
		}
	}
	for _, c := range [][3]int{{16, 2, 1}, {20, 2, 5}, {12, 3, 2}, {9, 9, 1}} {
		add(fmt.Sprintf("softmax/%d-in-%d-of-%d", c[0], c[1], c[2]), shape{3, 4, 3}, 3, c[0], func(r *graph.Recorder, x graph.Value) graph.Value {
			return r.Softmax(x, c[1], c[2])
		})
	}
	add("max-pool/after-relu", shape{3, 9, 9}, 2, 8, func(r *graph.Recorder, x graph.Value) graph.Value {
		return r.MaxPool(r.Activation(bn(r, x), graph.ReLU), 3, 2)
	})
	cases = append(cases, tieCase())
	add("global-pool", shape{3, 5, 7}, 3, 20, func(r *graph.Recorder, x graph.Value) graph.Value {
		return r.Scale(x, r.GlobalPool(x)) // so that the pool's gradient is not alone
	})
	for _, w := range []int{8, 20, 33} {
		cases = append(cases, Case{Name: fmt.Sprintf("linear/%d", w), Batch: 5, Graph: build(shape{w, 1, 1}, func(r *graph.Recorder, x graph.Value) {
			r.Linear(name("head"), x, 10)
		})})
		cases = append(cases, Case{Name: fmt.Sprintf("linear/two-%d", w), Batch: 1, Graph: build(shape{3, 1, 1}, func(r *graph.Recorder, x graph.Value) {
			r.Linear(name("head"), r.Activation(r.Linear(name("hidden"), x, w), graph.SiLU), 3)
		})})
	}
	for _, w := range []int{8, 20} {
		add(fmt.Sprintf("scale/%d", w), shape{3, 6, 5}, 3, w, func(r *graph.Recorder, x graph.Value) graph.Value {
			gate := r.Conv(name("gate"), r.GlobalPool(x), graph.Conv{Out: w, Kernel: 1, Stride: 1, Groups: 1, Bias: true})
			return r.Scale(x, r.Activation(gate, graph.Sigmoid))
		})
	}
	add("add/three-uses", shape{3, 6, 5}, 2, 12, func(r *graph.Recorder, x graph.Value) graph.Value {
		a := r.Activation(x, graph.Sigmoid)
		b := r.Activation(x, graph.SiLU)
		return r.Add(r.Add(x, a), r.Add(b, x))
	})
	for _, rate := range []float64{0.2, 0.5} {
		for _, noMasks := range []bool{false, true} {
			suffix := fmt.Sprintf("%g", rate)
			if noMasks {
				suffix += "-no-masks"
			}
			for _, w := range []int{8, 5} {
				add(fmt.Sprintf("drop-path/%d-%s", w, suffix), shape{3, 6, 5}, 5, w, func(r *graph.Recorder, x graph.Value) graph.Value {
					y := r.Conv(name("branch"), x, graph.Conv{Out: w, Kernel: 3, Stride: 1, Groups: 1})
					return r.Add(x, r.DropPath(bn(r, y), rate))
				})
				cases[len(cases)-1].NoMasks = noMasks
				add(fmt.Sprintf("dropout/%d-%s", w, suffix), shape{3, 6, 5}, 3, w, func(r *graph.Recorder, x graph.Value) graph.Value {
					return r.Dropout(x, rate)
				})
				cases[len(cases)-1].NoMasks = noMasks
			}
		}
	}
	return cases
}

// tieCase is a max-pool over images of three grey values, where most windows
// have several maxima: the first in row-major order must get the gradient. The
// convolution before it passes the image on and its other weights' gradients
// tell where the gradient went.
func tieCase() Case {
	return Case{
		Name:      "max-pool/ties",
		Batch:     2,
		Roundings: 170, // disturbed values do not tie
		Graph: build(shape{1, 9, 8}, func(r *graph.Recorder, x graph.Value) {
			x = r.Conv(name("copy"), x, graph.Conv{Out: 4, Kernel: 3, Stride: 1, Groups: 1})
			finish(r, r.MaxPool(x, 3, 2))
		}),
		Updates: []engine.Update{{}}, // of rate 0: the weights stay
		Prepare: func(d *Data) {
			for i := range d.Params[0] {
				d.Params[0][i] = 0
				if i%9 == 4 {
					d.Params[0][i] = float32(1 + i/9)
				}
			}
			for _, b := range d.Batches {
				for i, v := range b.Images {
					b.Images[i] = float32(int(v * 1.2)) // rounds towards 0: -2 ... 2
				}
			}
		},
	}
}
