//go:build cgo

package onednn

// #include "ns.h"
import "C"

import (
	"fmt"
	"slices"
	"unsafe"

	"netspace/graph"
)

// prims are the oneDNN primitives of one shape; equal convolutions share them.
type prims struct {
	c    *C.struct_ns_conv
	info C.ns_conv_info
	own  bool // lanes have inputs of their own: see ownWidth
}

// weight is a convolution's or linear layer's weight in the forward layout.
type weight struct {
	prims  *prims  // nil for gemm
	at     []int   // element of the PyTorch tensor -> element of the padded plain one
	plain  int     // floats of the padded plain one
	size   int64   // floats in the arena, a multiple of 8
	off    int64   // floats from the start of the parameters
	masked bool    // the padded array has elements that must stay zero
	mask   *buffer // their factors
}

// channelArrays are a norm's vectors in the arena, each of blocks*8 floats.
type channelArrays struct {
	size        int64 // floats of one vector
	channels    []int // channel -> lane
	gamma, beta int64 // floats from the start of the parameters
	runMean     int64 // floats from the start of the running statistics
	runVar      int64
	work        *buffer // s, t, mean, 1/std, k1, k2, k3
}

// Error is a failure of the oneDNN library.
type Error struct {
	Primitive string // what was being made or run: "forward", "backward weights", ...
	Shape     string // of the convolution
	Status    string // oneDNN's status
}

func (e *Error) Error() string {
	return fmt.Sprintf("onednn: %s of %s: %s", e.Primitive, e.Shape, e.Status)
}

func shapeString(s C.ns_shape) string {
	return fmt.Sprintf("convolution %dx%dx%dx%d -> %dx%dx%d, kernel %d, stride %d, %d groups",
		s.n, s.ic, s.ih, s.iw, s.oc, s.oh, s.ow, s.kernel, s.stride, s.groups)
}

// ownWidth is that of a convolution as this program runs it.
func (p *program) ownWidth(c *conv) int {
	n := &p.g.Nodes[c.node]
	if c.kind == gemmConv || c.kind == identityConv || c.kind == denseConv && (n.Groups > 1 || p.readsPlain(c)) {
		return 0
	}
	return ownWidth(n, p.g.Nodes[n.In[0]].C)
}

// pairs says that a convolution runs on two images at a time.
func (p *program) pairs(c *conv) bool {
	return p.engine.wide && p.block == 8 && p.ownWidth(c) != 0
}

// readsPlain says that a convolution reads the images as they come: planes.
func (p *program) readsPlain(c *conv) bool { return p.plainInput && c.root.node == 0 }

// primsFor returns the primitives of a convolution at its root's chunk size.
func (p *program) primsFor(l *lowering, c *conv) (*prims, error) {
	n, in := &l.g.Nodes[c.node], &l.g.Nodes[l.g.Nodes[c.node].In[0]]
	shape := C.ns_shape{
		n: C.int32_t(c.root.chunk), groups: 1,
		ic: C.int32_t(len(l.lanes[n.In[0]])), oc: C.int32_t(len(l.lanes[c.node])),
		ih: C.int32_t(in.H), iw: C.int32_t(in.W), oh: C.int32_t(n.H), ow: C.int32_t(n.W),
		kernel: C.int32_t(max(1, n.Kernel)), stride: C.int32_t(max(1, n.Stride)),
		threads: C.int32_t(p.opt.Threads), block: C.int32_t(p.block),
		width: C.int32_t(p.ownWidth(c)), vectors: C.int32_t(p.engine.tile[0]), images: C.int32_t(p.engine.tile[1]),
	}
	switch c.kind {
	case depthwiseConv:
		shape.groups = shape.oc
	case groupConv:
		shape.groups = shape.oc / C.int32_t(ceil(n.C/n.Groups, p.block))
	}
	if p.engine.wide {
		shape.wide = 1
	}
	if p.readsPlain(c) {
		shape.plain_src = 1
		shape.ic = C.int32_t(in.C)
	}
	if e := &c.epilogue; e.on {
		shape.fuse, shape.act = 1, C.int32_t(e.act)
		if e.bias != nil {
			shape.bias = 1
		}
		if e.sum {
			shape.sum = 1
		}
	}
	if !p.opt.Inference {
		shape.backward = 1
		if c.root.grad {
			shape.backward = 2
		}
	}
	return p.makePrims(shape)
}

func (p *program) makePrims(shape C.ns_shape) (*prims, error) {
	if q := p.shapes[shape]; q != nil {
		return q, nil
	}
	q := &prims{own: shape.width != 0}
	var what *C.char
	var status C.int
	q.c = C.ns_conv_new(p.engine.c, &shape, &q.info, &what, &status)
	if status != 0 {
		return nil, &Error{C.GoString(what), shapeString(shape), C.GoString(C.ns_status(status))}
	}
	p.shapes[shape] = q
	p.shapeNames[q] = shapeString(shape)
	return q, nil
}

// makeWeights lays out parameters, running statistics and gradients.
func (p *program) makeWeights(l *lowering) error {
	for _, c := range l.convs {
		if c == nil || c.kind == identityConv {
			continue
		}
		n, in := &l.g.Nodes[c.node], &l.g.Nodes[l.g.Nodes[c.node].In[0]]
		w := &weight{}
		lanesIn := l.lanes[n.In[0]]
		if p.readsPlain(c) {
			lanesIn = naturalLanes(in.C, 1)
		}
		w.at, w.plain, w.masked = weightMap(n, c.kind, lanesIn, l.lanes[c.node], in.C, p.block)
		w.size = int64(w.plain)
		if c.kind != gemmConv {
			q, err := p.primsFor(l, c)
			if err != nil {
				return err
			}
			w.prims, w.size = q, int64(q.info.wf)/4
			w.masked = w.masked && !q.own // those have no weights between groups
		}
		w.size = (w.size + 7) / 8 * 8
		w.off = p.paramSize
		p.paramSize += w.size
		c.weight = w
		p.weights[l.g.Params[n.Params[0]].Name] = w
		if w.masked && !p.opt.Inference {
			w.mask = l.plan.pin("weight mask", w.size)
		}
	}
	p.weightEnd = p.paramSize
	vector := func(c *conv) *channelArrays {
		a := &channelArrays{size: int64(len(l.lanes[c.node])), channels: l.lanes[c.node].index(l.g.Nodes[c.node].C)}
		c.norm.channels = a
		return a
	}
	for _, c := range l.convs {
		if c == nil || c.norm == nil || c.norm.bias {
			continue
		}
		n := &l.g.Nodes[c.norm.node]
		a := vector(c)
		a.gamma, a.beta = p.paramSize, p.paramSize+a.size
		p.paramSize += 2 * a.size
		a.runMean, a.runVar = p.bufferSize, p.bufferSize+a.size
		p.bufferSize += 2 * a.size
		if !slices.Contains(p.opt.FixedNorms, c.norm.node) {
			if last := len(p.averaged) - 1; last >= 0 && p.averaged[last].to == a.runMean {
				p.averaged[last].to = p.bufferSize
			} else {
				p.averaged = append(p.averaged, span{a.runMean, p.bufferSize})
			}
		}
		a.work = l.plan.pin("norm", 7*a.size)
		p.vectors[l.g.Params[n.Params[0]].Name] = vectorAt{a.gamma, a.channels}
		p.vectors[l.g.Params[n.Params[1]].Name] = vectorAt{a.beta, a.channels}
		p.running[l.g.Buffers[n.Buffers[0]].Name] = vectorAt{a.runMean, a.channels}
		p.running[l.g.Buffers[n.Buffers[1]].Name] = vectorAt{a.runVar, a.channels}
	}
	p.normEnd = p.paramSize
	for _, c := range l.convs {
		if c == nil || c.norm == nil || !c.norm.bias {
			continue
		}
		n := &l.g.Nodes[c.node]
		a := vector(c)
		a.beta = p.paramSize
		p.paramSize += a.size
		p.vectors[l.g.Params[n.Params[1]].Name] = vectorAt{a.beta, a.channels}
	}
	p.params = l.plan.pin("parameters", p.paramSize)
	p.stats = l.plan.pin("running statistics", p.bufferSize)
	if !p.opt.Inference {
		p.grads = l.plan.pin("gradients", p.paramSize)
	}
	return nil
}

// span is a part of an area, in floats.
type span struct{ from, to int64 }

// vectorAt is a per-channel tensor within an area.
type vectorAt struct {
	off      int64
	channels []int
}

// pack copies a PyTorch tensor into an area of parameters; unpack is the way back.
func (p *program) pack(w *weight, src []float32, area []float32) error {
	if w.prims == nil {
		for i, at := range w.at {
			area[w.off+int64(at)] = src[i]
		}
		return nil
	}
	plain := p.staging(w.plain)
	clear(plain)
	for i, at := range w.at {
		plain[at] = src[i]
	}
	return p.reorder(w, plain, area, 0)
}

func (p *program) unpack(w *weight, area []float32, dst []float32) error {
	if w.prims == nil {
		for i, at := range w.at {
			dst[i] = area[w.off+int64(at)]
		}
		return nil
	}
	plain := p.staging(w.plain)
	if err := p.reorder(w, plain, area, 1); err != nil {
		return err
	}
	for i, at := range w.at {
		dst[i] = plain[at]
	}
	return nil
}

func (p *program) reorder(w *weight, plain, area []float32, unpack C.int) error {
	status := C.ns_conv_pack(w.prims.c, (*C.float)(unsafe.Pointer(&plain[0])), (*C.float)(unsafe.Pointer(&area[w.off])), unpack)
	if status != 0 {
		return &Error{"reorder", p.shapeNames[w.prims], C.GoString(C.ns_status(status))}
	}
	return nil
}

// staging is memory outside Go's heap for n floats of one weight.
func (p *program) staging(n int) []float32 {
	p.stage.used = true
	return p.stage.floats()[:n]
}

// plainChannels are the most that images have as planes: of more, a block is filled well enough.
const plainChannels = 4

// plainInputFits says whether the images can stay [N,C,H,W]: dense
// convolutions of few channels are all that reads them.
func plainInputFits(g *graph.Graph) bool {
	if in := g.Nodes[0]; in.C > plainChannels || in.H*in.W == 1 {
		return false
	}
	for i := range g.Nodes {
		for _, in := range g.Nodes[i].In {
			if in == 0 && (g.Nodes[i].Op != graph.OpConv || g.Nodes[i].Groups != 1) {
				return false
			}
		}
	}
	return true
}

// impls names oneDNN's kernels of a weight: forward, backward data, backward weights.
func (p *program) impls(w *weight) []string {
	if w.prims == nil {
		return nil
	}
	names := make([]string, 3)
	for i, s := range w.prims.info.impl {
		names[i] = C.GoString(s)
	}
	return names
}
