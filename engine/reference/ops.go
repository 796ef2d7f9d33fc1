package reference

import (
	"math"

	"netspace/engine"
	"netspace/graph"
)

// pass is how one forward pass is to go.
type pass struct {
	params, buffers tensors
	batchStats      bool    // BN normalises by the batch's statistics and updates the running ones
	momentum        float64 // weight of the batch in the running statistics
	masks           [][]float32
	keeps           bool // what a backward pass needs, rounded to Options.Activations
}

// factor is what drop-path or dropout node i multiplies element k of its input by.
func (p *Program) factor(f pass, i, k int) float64 {
	if f.masks == nil {
		return 1
	}
	n := &p.g.Nodes[i]
	if n.Op == graph.OpDropPath {
		k /= n.C * n.H * n.W
	}
	return float64(f.masks[p.mask[i]][k])
}

func (p *Program) forward(images []float32, f pass) {
	p.kink = math.Inf(1)
	p.reseed()
	for i := range p.g.Nodes {
		n := &p.g.Nodes[i]
		y := p.val[i]
		if n.Op == graph.OpInput {
			for k, v := range images {
				y[k] = float64(v)
			}
			continue
		}
		x := p.val[n.In[0]]
		area := n.H * n.W
		terms := 0 // of the sums that make y
		switch n.Op {
		case graph.OpConv, graph.OpLinear:
			p.convForward(i, f)
			terms = len(f.params[n.Params[0]]) / n.C
		case graph.OpBatchNorm:
			p.normForward(i, f)
			terms = 2
		case graph.OpActivation:
			for k, v := range x {
				y[k], _ = activate(n.Act, v)
			}
			if n.Act == graph.ReLU {
				p.reluKink(x)
			} else if n.Act != graph.Identity {
				terms = 1
			}
		case graph.OpMaxPool:
			p.poolForward(i)
		case graph.OpGlobalPool:
			terms = len(x) / len(y)
			for k := range y {
				s := 0.0
				for _, v := range x[k*terms : (k+1)*terms] {
					s += v
				}
				y[k] = s / float64(terms)
			}
		case graph.OpAdd:
			b := p.val[n.In[1]]
			for k := range y {
				y[k] = x[k] + b[k]
			}
			terms = 1
		case graph.OpScale:
			gate := p.val[n.In[1]]
			for k := range y {
				y[k] = x[k] * gate[k/area]
			}
			terms = 1
		case graph.OpAvgPool:
			clear(y)
			p.avgPool(i, func(in, out, count int) { y[out] += x[in] / float64(count) })
			terms = n.Kernel * n.Kernel
		case graph.OpFold:
			run := len(y) / p.o.Batch
			for k := range y {
				y[k] = 0
				for j := range n.Parts {
					y[k] += x[k/run*n.Parts*run+j*run+k%run]
				}
			}
			terms = n.Parts
		case graph.OpSoftmax:
			p.softmaxForward(i)
			terms = n.Parts
		case graph.OpDropPath, graph.OpDropout:
			for k := range y {
				y[k] = x[k] * p.factor(f, i, k)
			}
			terms = 1
		}
		p.round(y, terms)
		if f.keeps && p.rounds[i] {
			p.keepRounded(i, y)
		}
	}
}

// keepRounded rounds what a step keeps for its backward pass.
func (p *Program) keepRounded(node int, y []float64) {
	if p.rounding.kept != nil {
		p.rounding.kept(node, y)
		return
	}
	for k, v := range y {
		y[k] = p.o.Activations.Round(v)
	}
}

// avgPool calls f for every element of every window of an average pooling: the
// elements in and out, and what the window's sum is divided by.
func (p *Program) avgPool(i int, f func(in, out, count int)) {
	n, in := &p.g.Nodes[i], &p.g.Nodes[p.g.Nodes[i].In[0]]
	for plane := range p.o.Batch * n.C {
		for oy := range n.H {
			y0, y1, rows := graph.Window(oy, in.H, n.Kernel, n.Stride, n.Pad)
			for ox := range n.W {
				x0, x1, columns := graph.Window(ox, in.W, n.Kernel, n.Stride, n.Pad)
				for iy := y0; iy < y1; iy++ {
					for ix := x0; ix < x1; ix++ {
						f((plane*in.H+iy)*in.W+ix, (plane*n.H+oy)*n.W+ox, rows*columns)
					}
				}
			}
		}
	}
}

// softmaxAt calls f with the elements of one softmax after the other: parts of the
// input, and where they go in the output.
func (p *Program) softmaxAt(i int, f func(in, out []int)) {
	n := &p.g.Nodes[i]
	run := n.C / n.Groups / n.Parts * n.H * n.W // elements of a part of a group
	in, out := make([]int, n.Parts), make([]int, n.Parts)
	for image := range p.o.Batch {
		for group := range n.Groups {
			for k := range run {
				for j := range n.Parts {
					in[j] = ((image*n.Groups+group)*n.Parts+j)*run + k
					out[j] = ((image*n.Parts+j)*n.Groups+group)*run + k
				}
				f(in, out)
			}
		}
	}
}

func (p *Program) softmaxForward(i int) {
	x, y := p.val[p.g.Nodes[i].In[0]], p.val[i]
	p.softmaxAt(i, func(in, out []int) {
		top, sum := math.Inf(-1), 0.0
		for _, k := range in {
			top = math.Max(top, x[k])
		}
		for j, k := range in {
			y[out[j]] = math.Exp(x[k] - top)
			sum += y[out[j]]
		}
		for _, k := range out {
			y[k] /= sum
		}
	})
}

func (p *Program) softmaxBackward(i int) {
	dx, y, dy := p.grad[p.g.Nodes[i].In[0]], p.val[i], p.grad[i]
	p.softmaxAt(i, func(in, out []int) {
		mean := 0.0
		for _, k := range out {
			mean += y[k] * dy[k]
		}
		for j, k := range in {
			dx[k] += y[out[j]] * (dy[out[j]] - mean)
		}
	})
}

// loss is the mean over the batch of -Σ targets·log softmax(logits). It leaves
// the loss's derivative by the logits.
func (p *Program) loss(targets []float32) float64 {
	last := len(p.val) - 1
	logits, d := p.val[last], p.grad[last]
	classes, total := p.g.Nodes[last].C, 0.0
	for n := range p.o.Batch {
		z, t, dz := logits[n*classes:(n+1)*classes], targets[n*classes:(n+1)*classes], d[n*classes:(n+1)*classes]
		top := math.Inf(-1)
		for _, v := range z {
			top = math.Max(top, v)
		}
		sum, weight := 0.0, 0.0
		for c, v := range z {
			sum += math.Exp(v - top)
			weight += float64(t[c])
		}
		for c, v := range z {
			logp := v - top - math.Log(sum)
			total -= float64(t[c]) * logp
			dz[c] = (weight*math.Exp(logp) - float64(t[c])) / float64(p.o.Batch)
		}
	}
	p.round(d, 2)
	return total / float64(p.o.Batch)
}

// backward spreads the derivative of the loss from the last node to all
// others and to the parameters.
func (p *Program) backward(f pass) {
	p.grad[:len(p.grad)-1].zero()
	p.sets[engine.Gradients].zero()
	for i := len(p.g.Nodes) - 1; i > 0; i-- {
		n := &p.g.Nodes[i]
		y, dy := p.val[i], p.grad[i]
		x, dx := p.val[n.In[0]], p.grad[n.In[0]]
		area, terms := n.H*n.W, 1 // terms of the sums that make dx
		switch n.Op {
		case graph.OpConv, graph.OpLinear:
			terms = p.convBackward(i)
		case graph.OpBatchNorm:
			p.normBackward(i)
			terms = 2
		case graph.OpActivation:
			for k := range dy {
				_, slope := activate(n.Act, x[k])
				dx[k] += dy[k] * slope
			}
		case graph.OpMaxPool:
			for k, w := range p.winner[i] {
				dx[w] += dy[k]
			}
		case graph.OpGlobalPool:
			pooled := len(x) / len(y)
			for k := range dx {
				dx[k] += dy[k/pooled] / float64(pooled)
			}
		case graph.OpAdd:
			db := p.grad[n.In[1]]
			for k := range dy {
				dx[k] += dy[k]
				db[k] += dy[k]
			}
		case graph.OpScale:
			gate, dgate := p.val[n.In[1]], p.grad[n.In[1]]
			for k := range dy {
				dx[k] += dy[k] * gate[k/area]
				dgate[k/area] += dy[k] * x[k]
			}
			p.round(dgate, area)
		case graph.OpAvgPool:
			p.avgPool(i, func(in, out, count int) { dx[in] += dy[out] / float64(count) })
		case graph.OpFold:
			run := len(dy) / p.o.Batch
			for k := range dx {
				dx[k] += dy[k/(n.Parts*run)*run+k%run]
			}
		case graph.OpSoftmax:
			p.softmaxBackward(i)
			terms = n.Parts
		case graph.OpDropPath, graph.OpDropout:
			for k := range dy {
				dx[k] += dy[k] * p.factor(f, i, k)
			}
		}
		p.round(dx, terms)
		for _, t := range n.Params {
			if n.Op != graph.OpBatchNorm { // which has done it before using them
				p.round(p.sets[engine.Gradients][t], p.o.Batch*area)
			}
		}
	}
}

// activate gives an activation's value and derivative at x.
func activate(a graph.Activation, x float64) (y, slope float64) {
	switch a {
	case graph.ReLU:
		if x > 0 {
			return x, 1
		}
		return math.Max(0, x), 0 // NaN stays NaN
	case graph.SiLU:
		s := 1 / (1 + math.Exp(-x))
		return x * s, s + x*s*(1-s)
	case graph.Sigmoid:
		s := 1 / (1 + math.Exp(-x))
		return s, s * (1 - s)
	}
	return x, 1
}
