package reference

import (
	"math"

	"netspace/engine"
	"netspace/graph"
)

// taps walks a convolution or linear layer: it calls f once per weight and row
// of outputs that the weight reaches. The layer is the sum over all calls and
// k < count of y[y0+k] += w[w0]·x[x0+k·stride]; its derivatives are the same
// walk with the roles changed.
func taps(n, in *graph.Node, batch int, f func(w0, x0, y0, count int)) {
	kernel, stride, groups := n.Kernel, n.Stride, n.Groups
	if n.Op == graph.OpLinear {
		kernel, stride, groups = 1, 1, 1
	}
	inH, inW, outH, outW := in.H, in.W, n.H, n.W
	if kernel == 1 && stride == 1 { // the whole map is one row
		inH, inW, outH, outW = 1, inH*inW, 1, outH*outW
	}
	pad, inC, outC := (kernel-1)/2, in.C/groups, n.C/groups
	for img := range batch {
		for o := range n.C {
			group := o / outC
			for c := range inC {
				for k := range kernel * kernel {
					ky, kx := k/kernel, k%kernel
					// The columns ox with 0 <= ox*stride+kx-pad < inW.
					first := (max(0, pad-kx) + stride - 1) / stride
					count := min(outW-1, (inW-1+pad-kx)/stride) - first + 1
					if inW-1+pad-kx < 0 || count < 1 {
						continue
					}
					for oy := range outH {
						iy := oy*stride + ky - pad
						if iy < 0 || iy >= inH {
							continue
						}
						f((o*inC+c)*kernel*kernel+k,
							((img*in.C+group*inC+c)*inH+iy)*inW+first*stride+kx-pad,
							((img*n.C+o)*outH+oy)*outW+first, count)
					}
				}
			}
		}
	}
}

func stride(n *graph.Node) int { return max(1, n.Stride) } // a linear layer states none

func (p *Program) convForward(i int, f pass) {
	n := &p.g.Nodes[i]
	x, y, w := p.val[n.In[0]], p.val[i], f.params[n.Params[0]]
	area := n.H * n.W
	for k := range y {
		y[k] = 0
		if len(n.Params) > 1 {
			y[k] = f.params[n.Params[1]][k/area%n.C]
		}
	}
	s := stride(n)
	taps(n, &p.g.Nodes[n.In[0]], p.o.Batch, func(w0, x0, y0, count int) {
		for k := range count {
			y[y0+k] += w[w0] * x[x0+k*s]
		}
	})
}

// convBackward returns the number of terms in each sum of dx.
func (p *Program) convBackward(i int) int {
	n := &p.g.Nodes[i]
	params, grads := p.sets[engine.Params], p.sets[engine.Gradients]
	x, dx, dy := p.val[n.In[0]], p.grad[n.In[0]], p.grad[i]
	w, dw := params[n.Params[0]], grads[n.Params[0]]
	s := stride(n)
	in := &p.g.Nodes[n.In[0]]
	taps(n, in, p.o.Batch, func(w0, x0, y0, count int) {
		sum := 0.0
		for k := range count {
			sum += dy[y0+k] * x[x0+k*s]
			dx[x0+k*s] += dy[y0+k] * w[w0]
		}
		dw[w0] += sum
	})
	if len(n.Params) > 1 {
		db := grads[n.Params[1]]
		for k, v := range dy {
			db[k/(n.H*n.W)%n.C] += v
		}
	}
	return len(w) / in.C
}

// channel calls f for every element of channel c of node i.
func (p *Program) channel(i, c int, f func(k int)) {
	n := &p.g.Nodes[i]
	area := n.H * n.W
	for img := range p.o.Batch {
		for k := range area {
			f((img*n.C+c)*area + k)
		}
	}
}

// normForward is batch normalisation (Ioffe and Szegedy 2015, algorithm 1).
func (p *Program) normForward(i int, f pass) {
	n := &p.g.Nodes[i]
	x, y, mean, inv := p.val[n.In[0]], p.val[i], p.mean[i], p.inv[i]
	gamma, beta := f.params[n.Params[0]], f.params[n.Params[1]]
	runMean, runVar := f.buffers[n.Buffers[0]], f.buffers[n.Buffers[1]]
	count := float64(p.o.Batch * n.H * n.W)
	copy(mean, runMean)
	variance := inv // until its root is taken
	copy(variance, runVar)
	if f.batchStats && !p.fixed[i] {
		for c := range n.C {
			sum, squares := 0.0, 0.0
			p.channel(i, c, func(k int) { sum += x[k] })
			p.channel(i, c, func(k int) { squares += (x[k] - sum/count) * (x[k] - sum/count) })
			mean[c], variance[c] = sum/count, squares/count
		}
		p.round(mean, int(count))
		p.round(variance, int(count))
		for c := range n.C {
			unbiased := variance[c] * count / math.Max(1, count-1)
			runMean[c] += f.momentum * (mean[c] - runMean[c])
			runVar[c] += f.momentum * (unbiased - runVar[c])
		}
	}
	for c := range n.C {
		inv[c] = 1 / math.Sqrt(variance[c]+n.Epsilon)
		p.channel(i, c, func(k int) { y[k] = (x[k]-mean[c])*inv[c]*gamma[c] + beta[c] })
	}
}

func (p *Program) normBackward(i int) {
	n := &p.g.Nodes[i]
	x, dx, dy, mean, inv := p.val[n.In[0]], p.grad[n.In[0]], p.grad[i], p.mean[i], p.inv[i]
	gamma := p.sets[engine.Params][n.Params[0]]
	dgamma, dbeta := p.sets[engine.Gradients][n.Params[0]], p.sets[engine.Gradients][n.Params[1]]
	count := p.o.Batch * n.H * n.W
	for c := range n.C {
		p.channel(i, c, func(k int) {
			dbeta[c] += dy[k]
			dgamma[c] += dy[k] * (x[k] - mean[c]) * inv[c]
		})
	}
	p.round(dgamma, count)
	p.round(dbeta, count)
	for c := range n.C {
		p.channel(i, c, func(k int) {
			d := dy[k]
			if !p.fixed[i] { // the statistics move with x
				xhat := (x[k] - mean[c]) * inv[c]
				d -= (dbeta[c] + xhat*dgamma[c]) / float64(count)
			}
			dx[k] += gamma[c] * inv[c] * d
		})
	}
}

// poolForward takes the first maximum of each window in row-major order.
func (p *Program) poolForward(i int) {
	n := &p.g.Nodes[i]
	in := &p.g.Nodes[n.In[0]]
	x, y := p.val[n.In[0]], p.val[i]
	pad, size := (n.Kernel-1)/2, rms(x)
	for k := range y {
		plane, oy, ox := k/(n.H*n.W), k/n.W%n.H, k%n.W
		best, next := -1, math.Inf(-1)
		for t := range n.Kernel * n.Kernel {
			iy, ix := oy*n.Stride+t/n.Kernel-pad, ox*n.Stride+t%n.Kernel-pad
			if iy < 0 || iy >= in.H || ix < 0 || ix >= in.W {
				continue
			}
			at := (plane*in.H+iy)*in.W + ix
			switch {
			case best < 0:
				best = at
			case x[at] > x[best] || math.IsNaN(x[at]):
				best, next = at, x[best]
			case x[at] < x[best]:
				next = math.Max(next, x[at])
			}
		}
		p.winner[i][k], y[k] = best, x[best]
		p.kink = math.Min(p.kink, (x[best]-next)/size)
	}
}

func (p *Program) reluKink(x []float64) {
	size := rms(x)
	for _, v := range x {
		if d := math.Abs(v) / size; d > 0 && d < p.kink {
			p.kink = d
		}
	}
}
